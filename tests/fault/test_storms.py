"""A22, R7: storms of signals. A11, C18, R6: offspring in numbers. Everybody else goes on, and nothing of it is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from actorcore.runtime.children import NEWBORN_COMM
from tests.conftest import Size, Tell
from tests.daemon_fixture import WAIT_S, Daemon, Desk, comm, desk_of, send_signal, watched
from tests.fault.test_resources import await_pool

STORM = 2_000_000
BOMB = 500

FLOODER = """
import collections, itertools, os, signal, sys, time
handle, count, numbers = os.pidfd_open(int(sys.argv[1])), int(sys.argv[2]), [int(word) for word in sys.argv[3].split()]
sys.stdin.read()  # all begin together
began = time.monotonic()
send = signal.pidfd_send_signal
collections.deque(map(send, itertools.repeat(handle), itertools.islice(itertools.cycle(numbers), count)), maxlen=0)
print(count, time.monotonic() - began)
"""
"""Sends ``count`` signals, the ``numbers`` in turn, to one process."""

HARMLESS_FOR = {
    "guardian": "CHLD USR1 CHLD WINCH CHLD ALRM",
    "node": "TERM INT HUP USR1 QUIT PROF",
    "session": "CHLD PIPE CHLD URG CHLD WINCH",
}
"""What each of them has to absorb; HUP and TERM to the guardian mean something, TERM and HUP end a session."""


@contextmanager
def flood(targets: dict[int, str], count: int) -> Iterator[list[subprocess.Popen[str]]]:
    """Flooders, ``count`` signals each, that have begun; they are waited for in the end."""
    floods: list[subprocess.Popen[str]] = []
    try:
        for os_pid, names in targets.items():
            numbers = " ".join(str(int(getattr(signal, f"SIG{name}"))) for name in names.split())
            argv = [sys.executable, "-c", FLOODER, str(os_pid), str(count), numbers]
            floods.append(subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
        for process in floods:
            assert process.stdin is not None
            process.stdin.close()
        yield floods
    finally:
        for process in floods:
            process.wait()
            assert process.stdout is not None
            process.stdout.close()


def life(desk: Desk) -> None:
    """A process from spawn to DOWN: the guardian keeps it, and reaps it."""
    pid = desk.client.spawn("tests.fault.actors:idle")
    ref = desk.client.monitor(pid)
    desk.client.exit(pid, "kill")
    assert desk.client.wait_down(ref, WAIT_S).reason == "killed"


def answers_during(floods: list[subprocess.Popen[str]], desk: Desk, session: str) -> str:
    """Have all three at work until the storm is over; how long each of their answers took, as text."""
    asks = {
        "node": lambda: desk.client.node("status", WAIT_S),
        "session": lambda: desk.client.call(session, ["state", None], WAIT_S),
        "guardian (a life)": lambda: life(desk),
    }
    took: dict[str, list[float]] = {who: [] for who in asks}
    lasts = True
    while lasts:
        lasts = any(process.poll() is None for process in floods)
        for who, ask in asks.items():
            began = time.monotonic()
            ask()
            took[who].append((time.monotonic() - began) * 1e3)
    return "; ".join(
        f"{who} {len(each)} answers, median {sorted(each)[len(each) // 2]:.2f} ms, slowest {max(each):.1f} ms"
        for who, each in took.items()
    )


def storm(desk: Desk, count: int) -> str:
    """``count`` signals over guardian, node and a session; what came of it, as a line."""
    session = desk.start("victim")
    node, generation = desk.node_os_pid(), desk.client.node("status")["generation"]
    roles = {"guardian": desk.daemon.guardian_pid, "node": node, "session": session}
    each = -(-count // len(roles))
    with flood({os_pid: HARMLESS_FOR[role] for role, os_pid in roles.items()}, each) as floods:
        answers = answers_during(floods, desk, "victim")
        sent = [process.stdout.read().split() for process in floods if process.stdout is not None]
    assert (desk.node_os_pid(), desk.client.node("status")["generation"]) == (node, generation)
    assert desk.client.call("victim", ["state", None]) == [session, 0]
    ref = desk.client.monitor("victim")  # the guardian reaps, the node restarts
    send_signal(session, signal.SIGKILL)
    assert desk.client.wait_down(ref, WAIT_S).reason == "killed"
    desk.await_up("victim")
    desk.client.stop_session("victim")
    desk.started.clear()
    total, longest = sum(int(number) for number, _ in sent), max(float(seconds) for _, seconds in sent)
    assert total >= count
    return f"{total} signals in {longest:.2f} s; meanwhile {answers}"


@pytest.mark.sized
def test_A22_R7_two_million_signals_to_guardian_node_and_session_hang_nobody(own: Daemon, size: Size, tell: Tell) -> None:
    with desk_of(own) as desk:
        for _ in range(size("R7_STORMS", 1, 10, 100)):
            tell(f"R7: {storm(desk, STORM)}")


def test_A22_a_storm_of_hangups_ends_with_a_reloaded_node(own: Daemon) -> None:
    with desk_of(own) as desk:
        session, node = desk.start("victim"), desk.node_os_pid()
        with flood({own.guardian_pid: "HUP"}, 20_000) as floods:
            answers_during(floods, desk, "victim")
        while desk.node_os_pid() == node:
            pass
        assert desk.client.call("victim", ["state", None], WAIT_S) == [session, 0]


def test_A9_A22_a_storm_of_stops_and_continues_harms_nobody_else(own: Daemon, tell: Tell) -> None:
    with desk_of(own) as desk:
        session, other, node = desk.start("victim"), desk.start("other"), desk.node_os_pid()
        ref = desk.client.monitor("victim")
        with flood({session: "STOP CONT"}, 100_000) as floods:
            answers = answers_during(floods, desk, "other")
        send_signal(session, signal.SIGCONT)
        assert desk.client.call("victim", ["state", None], WAIT_S) == [session, 0]
        assert desk.client.call("other", ["state", None]) == [other, 0]
        assert (desk.client.demonitor(ref), desk.row("victim")["restarts"], desk.node_os_pid()) == (True, 0, node)
        tell(f"A9: 100000 stops and continues; meanwhile {answers}")


def test_A11_R6_fifty_daemonised_grandchildren_are_gone_when_their_session_s_death_is_told(desk: Desk, tell: Tell) -> None:
    os_pid = desk.start("victim")
    offspring = desk.client.call("victim", ["offspring", 50], WAIT_S)
    ref = desk.client.monitor("victim")
    with watched(offspring) as handles:
        began = time.monotonic()
        send_signal(os_pid, signal.SIGKILL)
        assert desk.client.wait_down(ref, WAIT_S).reason == "killed"
        took = time.monotonic() - began
        assert [os_pid for os_pid in offspring if Path(f"/proc/{os_pid}").exists()] == [], "not even as a zombie"
        assert len(handles) == 50
    tell(f"R6: 50 grandchildren gone {took * 1e3:.1f} ms after the kill")
    desk.await_up("victim")


def test_A11_who_calls_itself_a_newborn_is_gone_when_its_session_s_death_is_told(desk: Desk) -> None:
    """A process that was just forked for the node is nobody's yet, and told by its name from what dead sessions leave."""
    os_pid = desk.start("victim")
    disguised = desk.client.call("victim", ["disguised", NEWBORN_COMM], WAIT_S)
    assert comm(disguised) == NEWBORN_COMM
    await_pool(desk)
    assert desk.signal("victim", os_pid, signal.SIGKILL).reason == "killed"
    assert not Path(f"/proc/{disguised}").exists()
    desk.await_up("victim")


@pytest.mark.parametrize("when", ["complete", "exploding"])
def test_C18_R6_a_bomb_of_five_hundred_processes_is_gone_when_its_session_s_death_is_told(
    desk: Desk, tmp_path: Path, tell: Tell, when: str
) -> None:
    """Half of its processes have sessions of their own. All hold the FIFO, so its end tells that none is left."""
    os_pid, fifo = desk.start("victim"), tmp_path / "bomb"
    os.mkfifo(fifo)
    ref = desk.client.monitor("victim")
    desk.client.cast("victim", ["bomb", [str(fifo), BOMB]])
    with open(fifo, "rb", buffering=0) as reader:
        count, enough = 0, BOMB if when == "complete" else BOMB // 2
        while count < enough:
            count += len(reader.read(4096))
        began = time.monotonic()
        send_signal(os_pid, signal.SIGKILL)
        assert desk.client.wait_down(ref, WAIT_S).reason == "killed"
        took = time.monotonic() - began
        os.set_blocking(reader.fileno(), False)
        while piece := reader.read(4096):
            count += len(piece)
        assert piece == b"", "somebody holds the other end"
    tell(f"R6: bomb of {count} processes ({when}) gone {took * 1e3:.1f} ms after the kill")
    desk.await_up("victim")
