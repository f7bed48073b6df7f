"""RELIABILITY table A: real signals to sessions, their offspring and their clients; the rest of the world goes on."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from actorcore.errors import CallFailed
from actorcore.pids import Pid
from actorcore.signals import ProcessSpec
from supervisors.clients.messages import DownMessage, ExitMessage, InfoMessage, Mail
from tests.daemon_fixture import WAIT_S, Desk, await_deaths, descendants, send_signal, watched

DEADLY = ("SEGV", "BUS", "ABRT", "FPE", "ILL", "INT", "HUP", "QUIT", "USR1", "USR2", "ALRM", "VTALRM", "PROF", "XCPU", "XFSZ")


def zombies_of(os_pid: int) -> set[int]:
    """The children of a process that are dead and not reaped."""
    return {child for child in descendants(os_pid) if _is_zombie(child)}


def _is_zombie(os_pid: int) -> bool:
    try:
        return Path(f"/proc/{os_pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_A1_kill_of_a_session_is_told_and_it_is_back(desk: Desk) -> None:
    old = desk.start("victim")
    down = desk.signal("victim", old, signal.SIGKILL)
    new = desk.await_up("victim")
    row = desk.row("victim")
    assert (down.reason, row["state"], row["restarts"], row["reason"]) == ("killed", "active", 1, "killed")
    assert desk.client.call("victim", ["state", None]) == [new, 0]
    assert new != old


@pytest.mark.parametrize("name", DEADLY)
def test_A2_A5_A7_acceptance_43_44_reason_names_the_signal(desk: Desk, name: str) -> None:
    """Acceptance 43 and 44; a permanent session is back each time."""
    old = desk.start("victim")
    down = desk.signal("victim", old, getattr(signal, f"SIG{name}"))
    assert down.reason == {"signal": f"SIG{name}"}
    new = desk.await_up("victim")
    assert desk.client.call("victim", ["state", None]) == [new, 0]


def test_A2_no_core_is_ever_written(desk: Desk) -> None:
    desk.start("victim")
    assert desk.client.call("victim", ["core_limit", None]) == [0, 0]


def test_A3_term_is_the_exit_signal_shutdown_and_restarts_nobody_transient(desk: Desk) -> None:
    old = desk.start("victim", restart="transient")
    assert desk.signal("victim", old, signal.SIGTERM).reason == "shutdown"
    desk.client.node("status")
    assert [row["id"] for row in desk.client.sessions() if row["id"] == "victim"] == []


def test_A4_who_ignores_term_and_is_busy_is_killed_with_its_offspring(desk: Desk, tmp_path) -> None:
    old = desk.start("victim", trap_exit=True, shutdown_s=0.1)
    desk.client.call("victim", ["ignore_term", None])
    offspring = desk.client.call("victim", ["offspring", 2])
    send_signal(old, signal.SIGTERM)
    assert desk.client.call("victim", ["state", None]) == [old, 0]
    with watched([old, *offspring]) as handles:
        desk.loop("victim", tmp_path / "fifo")
        row = desk.client.stop_session("victim")
        assert await_deaths(handles)
    assert (row["state"], row["reason"], row["restarts"]) == ("stopped", "killed", 0)


def test_A5_a_session_is_out_of_reach_of_the_terminal(desk: Desk) -> None:
    os_pid = desk.start("victim")
    assert (os.getsid(os_pid), os.getpgid(os_pid)) == (os_pid, os_pid)


def test_A6_a_broken_pipe_is_an_exit_reason_not_a_signal(desk: Desk) -> None:
    desk.start("victim", restart="temporary")
    ref = desk.client.monitor("victim")
    with pytest.raises(CallFailed) as caught:
        desk.client.call("victim", ["broken_pipe", None])
    reason = {"error": {"type": "BrokenPipeError", "text": "[Errno 32] Broken pipe"}}
    assert (caught.value.reason, desk.client.wait_down(ref).reason) == (reason, reason)


def test_A6_pipe_from_outside_changes_nothing(desk: Desk) -> None:
    os_pid = desk.start("victim")
    send_signal(os_pid, signal.SIGPIPE)
    assert desk.client.call("victim", ["state", None]) == [os_pid, 0]


def test_A8_stopped_and_continued_recovers_without_restart(desk: Desk) -> None:
    os_pid = desk.start("victim")
    send_signal(os_pid, signal.SIGSTOP)
    send_signal(os_pid, signal.SIGCONT)
    assert desk.client.call("victim", ["state", None]) == [os_pid, 0]
    assert desk.row("victim")["restarts"] == 0


def test_A8_a_stopped_session_dies_of_a_kill_at_once(desk: Desk) -> None:
    os_pid = desk.start("victim")
    send_signal(os_pid, signal.SIGSTOP)
    assert desk.signal("victim", os_pid, signal.SIGKILL).reason == "killed"
    desk.await_up("victim")


def test_A9_a_hundred_stops_and_continues_restart_nobody(desk: Desk) -> None:
    os_pid = desk.start("victim")
    ref = desk.client.monitor("victim")
    for _ in range(100):
        send_signal(os_pid, signal.SIGSTOP)
        send_signal(os_pid, signal.SIGCONT)
    assert desk.client.call("victim", ["state", None]) == [os_pid, 0]
    assert (desk.client.demonitor(ref), desk.row("victim")["restarts"]) == (True, 0)


def test_A10_kill_of_a_grandchild_is_the_sessions_own_affair(desk: Desk) -> None:
    os_pid = desk.start("victim")
    (grandchild,) = desk.client.call("victim", ["offspring", 1])
    send_signal(grandchild, signal.SIGKILL)
    assert desk.client.call("victim", ["state", None]) == [os_pid, 0]
    assert desk.row("victim")["restarts"] == 0


def test_A11_acceptance_58_fifty_daemonised_grandchildren_go_with_their_session(desk: Desk) -> None:
    os_pid = desk.start("victim")
    offspring = desk.client.call("victim", ["offspring", 50], WAIT_S)
    with watched(offspring) as handles:
        assert desk.signal("victim", os_pid, signal.SIGKILL).reason == "killed"
        assert await_deaths(handles)
    desk.await_up("victim")


def test_G13_zombies_of_orphans_do_not_pile_up_in_a_session_that_lives_on_though_it_is_idle(desk: Desk) -> None:
    os_pid = desk.start("victim")
    orphans = desk.client.call("victim", ["offspring", 20], WAIT_S)
    own = desk.client.call("victim", ["start_program", None])
    with watched([*orphans, own]) as handles:
        for each in [*orphans, own]:
            send_signal(each, signal.SIGKILL)
        assert await_deaths(handles)
    while set(orphans) & zombies_of(os_pid):
        desk.client.node("status", WAIT_S)  # nobody speaks to the session
    assert zombies_of(os_pid) == {own}
    assert desk.client.call("victim", ["wait_for_program", None]) == -signal.SIGKILL
    assert (desk.client.call("victim", ["state", None]), zombies_of(os_pid)) == ([os_pid, 0], set())


def test_G13_an_idle_async_process_reaps_the_orphans_that_it_adopted(desk: Desk) -> None:
    pid = desk.client.spawn("tests.fault.async_actors:AsyncParent")
    os_pid, orphans = desk.client.call(pid, None), desk.client.call(pid, 5, WAIT_S)
    with watched(orphans) as handles:
        for each in orphans:
            send_signal(each, signal.SIGKILL)
        assert await_deaths(handles)
    while zombies_of(os_pid):
        desk.client.node("status", WAIT_S)
    desk.client.exit(pid, "kill")


def test_G13_what_a_session_never_waited_for_is_gone_with_it(desk: Desk) -> None:
    os_pid = desk.start("victim")
    own = desk.client.call("victim", ["start_program", None])
    with watched([own]) as handles:
        send_signal(own, signal.SIGKILL)
        assert await_deaths(handles)
    assert zombies_of(os_pid) == {own}
    desk.signal("victim", os_pid, signal.SIGKILL)
    assert not Path(f"/proc/{own}").exists()
    desk.await_up("victim")


def test_G13_the_zombies_of_what_a_session_has_started_are_gone_with_it(desk: Desk) -> None:
    os_pid = desk.start("victim")
    negligent = desk.client.call("victim", ["start_negligent", None])
    while not (left := zombies_of(negligent)):
        desk.client.node("status", WAIT_S)
    desk.signal("victim", os_pid, signal.SIGKILL)
    assert [each for each in (negligent, *left) if Path(f"/proc/{each}").exists()] == []
    desk.await_up("victim")


CLIENT = """
import sys
from supervisors.client import Client
client = Client.connect(sys.argv[1])
print(client.spawn("tests.fault.actors:idle", link=True).serial, client.spawn("tests.fault.actors:idle").serial, flush=True)
client.call("victim", ["wait", sys.argv[2]], 60)
"""


def test_A18_kill_of_a_client_in_mid_request_ends_only_what_it_was_linked_to(desk: Desk, tmp_path) -> None:
    os_pid = desk.start("victim")
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    argv = [sys.executable, "-c", CLIENT, str(desk.daemon.directory), str(fifo)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, env=desk.daemon.environment, text=True) as client:
        assert client.stdout is not None
        linked, free = (desk.client.pid.__class__(desk.client.pid.instance, int(n)) for n in client.stdout.readline().split())
        refs = [desk.client.monitor(pid) for pid in (linked, free)]
        with open(fifo, "wb"):  # returns when the session reads: it is inside the request
            client.kill()
            client.wait()
    assert desk.client.wait_down(refs[0], WAIT_S).reason == "noconnection"
    assert desk.client.call("victim", ["state", None]) == [os_pid, 1]
    assert desk.client.demonitor(refs[1])
    desk.client.exit(free, "kill")


def test_A23_two_hundred_children_are_killed_in_one_instant(desk: Desk) -> None:
    pids = [desk.client.spawn("tests.fault.actors:idle", wait_init=True) for _ in range(200)]
    refs = {desk.client.monitor(pid): pid for pid in pids}
    serials = {pid.serial for pid in pids}
    handles = [os.pidfd_open(row["os_pid"]) for row in desk.client.processes() if row["serial"] in serials]
    for handle in handles:
        signal.pidfd_send_signal(handle, signal.SIGUSR1)
        os.close(handle)
    downs = [desk.client.receive(WAIT_S) for _ in refs]
    assert {(down.ref, down.pid) for down in downs} == set(refs.items())
    assert [down.reason for down in downs] == [{"signal": "SIGUSR1"}] * 200


@pytest.mark.sized
def test_A23_five_hundred_children_end_in_one_instant_and_each_is_heard_to_its_last_word(desk: Desk, tmp_path: Path) -> None:
    """500 DOWNs, and none before the last message of its process; no zombie is left (the desk looks for them)."""
    with open(tmp_path / "gate", "wb") as gate:
        fcntl.flock(gate, fcntl.LOCK_EX)
        spec = ProcessSpec("tests.fault.actors:ends_at_the_gate", [gate.name], init_timeout_s=60.0)
        pids = [desk.client.spawn_spec(spec, wait_init=False) for _ in range(500)]
        refs = {desk.client.monitor(pid): pid for pid in pids}
        while {row["phase"] for row in desk.client.processes()} & {"forking", "booting"}:
            pass  # a message to who is not born yet has no longer than five seconds to leave
        for pid in pids:
            desk.client.send(pid, desk.name)
        fcntl.flock(gate, fcntl.LOCK_UN)  # all who are there go on together
    heard: dict[Pid | None, list[object]] = {pid: [] for pid in pids}
    for _ in range(4 * len(pids)):
        match desk.client.receive(WAIT_S):
            case InfoMessage(frm, body):
                heard[frm].append(body)
            case DownMessage(ref, pid, reason):
                assert refs.pop(ref) == pid
                heard[pid].append(reason)
    assert (refs, [said for said in heard.values() if said != [0, 1, 2, "normal"]]) == ({}, [])


def test_what_was_said_to_a_busy_node_comes_before_the_death_of_who_said_it_however_much_it_is(desk: Desk) -> None:
    pid = desk.client.spawn("tests.fault.async_actors:many_last_words", desk.client.pid.serial, 300)
    ref = desk.client.monitor(pid)
    [os_pid] = [row["os_pid"] for row in desk.client.processes() if row["serial"] == pid.serial]
    desk.client.send(pid, "for a channel")
    node = desk.node_os_pid()
    send_signal(node, signal.SIGSTOP)
    with watched([os_pid]) as handles:
        desk.client.send(pid, "speak")
        assert await_deaths(handles)
    send_signal(node, signal.SIGCONT)
    expected: list[Mail] = [ExitMessage(pid, {"word": number}) for number in range(300)]
    assert [desk.client.receive(WAIT_S) for _ in range(301)] == [*expected, DownMessage(ref, pid, {"exit": 3})]


def test_A24_a_signal_for_a_process_that_was_reaped_reaches_nobody(desk: Desk) -> None:
    pid = desk.client.spawn("tests.fault.actors:idle")
    ref = desk.client.monitor(pid)
    desk.client.kill(pid)
    assert desk.client.wait_down(ref).reason == "killed"
    with pytest.raises(CallFailed) as caught:
        desk.client.kill(pid, signal.SIGTERM)
    assert caught.value.reason == "noproc"
