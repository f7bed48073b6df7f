"""The node, the zygote and the guardian die or hang at any moment; sessions, clients and promises do not notice."""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from actorcore.signals import ProcessSpec
from supervisors.async_client import AsyncClient
from supervisors.client import Client
from supervisors.place import AlreadyRunning, take_lock
from supervisors.tree.child_spec import ChildSpec
from tests.conftest import Size, Tell
from tests.daemon_fixture import (
    WAIT_S,
    Daemon,
    Desk,
    await_deaths,
    await_taken,
    descendants,
    descriptors_beyond,
    desk_of,
    send_signal,
    still_there,
    watched,
)  # fmt: skip

IDLE = "tests.fault.actors:idle"
SESSION_KILLS_PER_NODE_KILL = 10
SIGNALS = {"KILL": "killed", "SEGV": {"signal": "SIGSEGV"}, "ABRT": {"signal": "SIGABRT"}, "HUP": {"signal": "SIGHUP"},
           "TERM": "shutdown", "USR1": {"signal": "SIGUSR1"}}  # fmt: skip

TEMPLATES = ("lean", "asyncio")


def test_A15_A16_a_death_under_a_dead_node_is_told_once_by_its_successor(own: Daemon) -> None:
    with desk_of(own) as desk:
        os_pid = desk.start("victim")
        ref = desk.client.monitor("victim")
        send_signal(desk.node_os_pid(), signal.SIGKILL)
        send_signal(os_pid, signal.SIGSEGV)
        with Client.connect(own.directory, WAIT_S) as late:  # nobody is refused while there is no node
            assert late.whereis("ada") is not None
        assert desk.client.wait_down(ref, WAIT_S).reason == {"signal": "SIGSEGV"}
        desk.await_up("victim")


@pytest.mark.sized
def test_R5_R8_kills_of_the_node_among_kills_of_sessions_lose_and_double_nothing(own: Daemon, size: Size, tell: Tell) -> None:
    node_kills = size("R5_NODE_KILLS", 50, 200, 1_000)
    session_kills = node_kills * SESSION_KILLS_PER_NODE_KILL
    chance = random.Random(8)
    answers: list[object] = []
    over = threading.Event()

    def keep_calling() -> None:
        with Client.connect(own.directory, WAIT_S) as client:
            while not over.is_set():
                answers.append(client.call("counting", ["add", 1], WAIT_S))
                answers.append(client.call("counting", ["add", 1], WAIT_S))
                client.whereis("ada")

    with desk_of(own) as desk:
        counting = desk.start("counting")
        os_pid = desk.start("victim")
        before = descriptors_beyond(desk)
        generation = desk.client.node("status")["generation"]
        caller = threading.Thread(target=keep_calling)
        caller.start()
        try:
            for at in range(session_kills):
                name, reason = chance.choice(list(SIGNALS.items()))
                ref = desk.client.monitor("victim")
                if at % SESSION_KILLS_PER_NODE_KILL == 0:
                    node = desk.node_os_pid()
                    first, second = chance.sample([(os_pid, f"SIG{name}"), (node, "SIGKILL")], 2)
                    send_signal(first[0], getattr(signal, first[1]))
                    send_signal(second[0], getattr(signal, second[1]))
                else:
                    send_signal(os_pid, getattr(signal, f"SIG{name}"))
                assert desk.client.wait_down(ref, WAIT_S).reason == reason
                os_pid = desk.await_up("victim")
        finally:
            over.set()
            caller.join()
        assert answers == list(range(1, len(answers) + 1))
        assert desk.client.call("counting", ["state", None]) == [counting, len(answers)]
        assert desk.client.node("status")["generation"] == generation + node_kills
        assert desk.row("victim")["restarts"] == session_kills
        assert descriptors_beyond(desk) == before
    assert set(re.findall(r"the next spare waits (\S+) s", own.log.read_text())) == {"0"}
    tell(f"R5: {node_kills:,} kills of the node with {session_kills:,} of sessions: 0 statuses lost, 0 DOWN lost or doubled, "
         f"0 of {len(answers):,} calls lost")  # fmt: skip


def test_A15_a_request_of_which_every_node_is_killed_is_refused_after_two_and_those_with_it_are_answered(tmp_path: Path) -> None:
    """It stands behind another that has not been performed, which each node handles again before it."""

    async def together() -> list[object]:
        async with await AsyncClient.connect(daemon.directory, WAIT_S) as client:
            await client.call("system:poison", "warm")
            asks = [client.call("system:poison", word, WAIT_S) for word in ("first", "die", "last")]
            return await asyncio.gather(*asks, return_exceptions=True)

    with Daemon(tmp_path / "run", module="tests.fault.poisoned") as daemon:
        daemon.bystanders()
        with desk_of(daemon) as desk:
            generation = desk.client.node("status")["generation"]
            first, refused, last = asyncio.run(together())
            assert (first, str(refused), last) == ("first", "internal_error: this request was skipped", "last")
            assert desk.client.node("status", WAIT_S)["generation"] == generation + 2  # type: ignore[operator]
        kinds = [json.loads(line)["kind"] for line in daemon.log.read_text().splitlines() if line.startswith("{")]
        assert [kinds.count(kind) for kind in ("node_died_in_event", "event_skipped")] == [2, 1]


def test_A22_a_stopped_node_is_killed_by_the_guardian_and_work_goes_on(own: Daemon) -> None:
    with desk_of(own) as desk:
        os_pid, node = desk.start("victim"), desk.node_os_pid()
        ref = desk.client.monitor("victim")
        with watched([node]) as handles:
            send_signal(node, signal.SIGSTOP)
            send_signal(os_pid, signal.SIGKILL)
            assert await_deaths(handles)
        assert desk.client.wait_down(ref, WAIT_S).reason == "killed"
        desk.await_up("victim")


@pytest.mark.parametrize("template", TEMPLATES)
def test_A12_a_killed_zygote_is_replaced_and_no_spawn_is_lost(
    own: Daemon, template: str
) -> None:
    with desk_of(own) as desk:
        desk.client.exit(desk.client.spawn(IDLE, template=template), "kill")
        zygote = own.zygote_pid(template)
        with watched([zygote]) as handles:
            send_signal(zygote, signal.SIGKILL)
            assert await_deaths(handles)
        pids = [desk.client.spawn(IDLE, template=template) for _ in range(20)]
        assert len({pid.serial for pid in pids}) == 20
        for pid in pids:
            desk.client.exit(pid, "kill")


@pytest.mark.parametrize("template", TEMPLATES)
def test_A14_a_stopped_zygote_is_replaced_and_no_spawn_is_lost(
    own: Daemon, template: str
) -> None:
    with desk_of(own) as desk:
        desk.client.exit(desk.client.spawn(IDLE, template=template), "kill")
        zygote = own.zygote_pid(template)
        with watched([zygote]) as handles:
            send_signal(zygote, signal.SIGSTOP)
            pids = [desk.client.spawn(IDLE, template=template) for _ in range(20)]
            assert await_deaths(handles)
        assert len({pid.serial for pid in pids}) == 20
        for pid in pids:
            desk.client.exit(pid, "kill")


@pytest.mark.parametrize("template", TEMPLATES)
def test_A13_a_zygote_killed_among_forks_costs_no_spawn_and_leaves_no_child_over(
    own: Daemon, template: str
) -> None:
    with desk_of(own) as desk:
        desk.client.exit(desk.client.spawn(IDLE, template=template), "kill")
        zygote, before = own.zygote_pid(template), descriptors_beyond(desk)
        # Forty starts are under way, more than the pool has, when the zygote dies.
        pids = [desk.client.spawn(IDLE, template=template, wait_init=False) for _ in range(20)]
        send_signal(zygote, signal.SIGKILL)
        pids += [desk.client.spawn(IDLE, template=template, wait_init=False) for _ in range(20)]
        pids.append(desk.client.spawn(IDLE, template=template))
        refs = {desk.client.monitor(pid): pid for pid in pids}
        for pid in pids:
            desk.client.exit(pid, "kill")
        assert [desk.client.wait_down(ref, WAIT_S).reason for ref in refs] == ["killed"] * 41
        assert descriptors_beyond(desk) == before  # which knows every child of the guardian by its row


def test_A19_everything_killed_at_once_in_random_order_starts_again_clean(own: Daemon) -> None:
    everybody = [own.guardian_pid, *descendants(own.guardian_pid)]
    random.Random(19).shuffle(everybody)
    with watched(everybody) as handles:
        for handle in handles:
            try:
                signal.pidfd_send_signal(handle, signal.SIGKILL)
            except ProcessLookupError:  # an orphan that the guardian reaped
                pass
        assert await_deaths(handles)
    assert own.process.wait() == -signal.SIGKILL
    own.start()
    own.bystanders()
    with desk_of(own) as desk:
        assert [row["id"] for row in desk.client.sessions()] == list(desk.before)


FORKING = """
import os, pathlib, signal, sys
from supervisors.place import take_lock
take_lock(pathlib.Path(sys.argv[1]))
if os.fork() == 0:
    sys.exit(sys.stdin.read())  # it has closed nothing yet
print("forked", flush=True)
signal.pause()
"""


def test_A17_F4_who_is_killed_while_it_forks_leaves_its_lock_to_nobody(tmp_path: Path) -> None:
    """The child stands still at its first instruction, with all that its parent had open."""
    argv = [sys.executable, "-c", FORKING, str(tmp_path)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as daemon:
        assert daemon.stdout is not None
        assert daemon.stdout.readline() == b"forked\n"
        with pytest.raises(AlreadyRunning, match=f"already running pid {daemon.pid}$"):
            take_lock(tmp_path)
        daemon.kill()
        daemon.wait()
        os.close(take_lock(tmp_path))
        assert daemon.communicate() == (b"", None)  # which lets the child end, and waits for it


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_A20_term_and_int_end_the_daemon_in_order(tmp_path: Path, number: signal.Signals) -> None:
    with Daemon(tmp_path / "run") as daemon:
        daemon.bystanders()
        left = descendants(daemon.guardian_pid)
        assert daemon.stop(number) == 0
        assert still_there(left) == []


def test_A20_hangup_reloads_the_node_and_keeps_the_sessions(own: Daemon) -> None:
    with desk_of(own) as desk:
        node = desk.node_os_pid()
        with watched([node]) as handles:
            send_signal(own.guardian_pid, signal.SIGHUP)
            assert await_deaths(handles)
        assert desk.node_os_pid() != node


def start_last_words(daemon: Daemon, tmp_path: Path) -> list[Path]:
    """A session that takes its time to end; the FIFOs ``told`` and ``release``, and what it writes at last."""
    paths = [tmp_path / name for name in ("told", "release", "words")]
    for fifo in paths[:2]:
        os.mkfifo(fifo)
    spec = ProcessSpec("tests.fault.actors:LastWords", [str(path) for path in paths], trap_exit=True)
    with Client.connect(daemon.directory, WAIT_S) as client:
        client.start_session(ChildSpec(id="slow", process=spec))
    return paths


def test_A20_A21_a_second_term_and_a_hangup_do_not_shorten_the_shutdown(tmp_path: Path) -> None:
    with Daemon(tmp_path / "run") as daemon:
        told, release, words = start_last_words(daemon, tmp_path)
        with watched([daemon.guardian_pid]) as handles:
            send_signal(daemon.guardian_pid, signal.SIGTERM)
            assert told.read_bytes() == b"1"
            for number in (signal.SIGTERM, signal.SIGHUP):
                send_signal(daemon.guardian_pid, number)
                await_taken(daemon.guardian_pid, number)
            release.write_bytes(b"")
            assert await_deaths(handles)
        assert (daemon.process.wait(), words.read_text()) == (0, "shutdown")


@pytest.mark.parametrize("numbers", [(signal.SIGTERM, signal.SIGTERM), (signal.SIGQUIT,)])
def test_A21_a_third_term_or_quit_forces_the_end(tmp_path: Path, numbers: tuple[signal.Signals, ...]) -> None:
    with Daemon(tmp_path / "run") as daemon:
        told, _, words = start_last_words(daemon, tmp_path)
        with watched([daemon.guardian_pid]) as handles:
            send_signal(daemon.guardian_pid, signal.SIGTERM)
            assert told.read_bytes() == b"1"
            for number in numbers[:-1]:
                send_signal(daemon.guardian_pid, number)
                await_taken(daemon.guardian_pid, number)
            send_signal(daemon.guardian_pid, numbers[-1])
            assert await_deaths(handles)
        assert (daemon.process.wait(), words.exists()) == (0, False)


def test_A16_a_client_that_closes_before_it_has_noticed_the_death_of_the_node_is_gone_all_the_same(desk: Desk) -> None:
    clients = [desk.daemon.client() for _ in range(3)]
    serials = {client.pid.serial for client in clients}
    kill_the_node(desk)
    for client in clients:
        client.close()

    async def the_same_in_a_loop() -> int:
        client = await AsyncClient.connect(desk.daemon.directory, WAIT_S)
        kill_the_node(desk)
        await client.close()
        return client.pid.serial

    serials.add(asyncio.run(the_same_in_a_loop()))
    assert serials & {row["serial"] for row in desk.client.processes()} == set()


def kill_the_node(desk: Desk) -> None:
    """And let the next one serve."""
    send_signal(desk.node_os_pid(), signal.SIGKILL)
    desk.client.node("status", WAIT_S)
