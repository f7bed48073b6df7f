"""RELIABILITY A8, A9, G1, G2, acceptance 59 and 60: sessions that do not get on, and everybody else, who does."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from actorcore.errors import CallTimeout, RequestError
from actorcore.signals import ProcessSpec
from supervisors.clients.messages import ExitMessage
from supervisors.tree.child_spec import ChildSpec
from tests.daemon_fixture import WAIT_S, WITNESS, Daemon, Desk, desk_of, send_signal

HUNG = {"killed": "unresponsive"}
BUSY_TIMEOUT_S = 1.0
"""Longer than who does get on is at one message, also where a process waits for a processor."""
TROUBLES = ("loop", "gil", "sleep", "deadlock")


def start(desk: Desk, session: str = "victim", **fields: object) -> int:
    """A permanent session whose ProcessSpec has ``fields``; its OS pid."""
    spec = ProcessSpec(WITNESS, [desk.name], name=session, **fields)  # type: ignore[arg-type]
    desk.started.append(session)
    desk.client.start_session(ChildSpec(session, spec, "permanent", intensity=1000, backoff_step_s=0.0, backoff_max_s=0.0))
    return desk.await_up(session)


def await_state(desk: Desk, state: str, session: str = "victim") -> dict[str, object]:
    """The session's row as soon as it is in ``state``."""
    while (row := desk.row(session))["state"] != state:
        desk.client.node("status", WAIT_S)
    return row


def told(desk: Desk, kind: str, session: str = "victim") -> list[object]:
    """The detail of the log's records of ``kind`` about the session."""
    records = [json.loads(line) for line in desk.daemon.log.read_text().splitlines() if line.startswith("{")]
    return [record["detail"] for record in records if record["kind"] == kind and record["detail"]["id"] == session]


def process_phase(desk: Desk, os_pid: int) -> str:
    (phase,) = [str(row["phase"]) for row in desk.client.processes() if row["os_pid"] == os_pid]
    return phase


def test_A8_a_stopped_session_is_unresponsive_and_recovers_when_it_is_continued(desk: Desk) -> None:
    before = [len(told(desk, kind)) for kind in ("session_hung", "session_recovered")]
    os_pid = start(desk)
    send_signal(os_pid, signal.SIGSTOP)
    await_state(desk, "unresponsive")
    assert process_phase(desk, os_pid) == "unresponsive"
    send_signal(os_pid, signal.SIGCONT)
    row = await_state(desk, "active")
    assert desk.client.call("victim", ["state", None]) == [os_pid, 0]
    assert (row["restarts"], process_phase(desk, os_pid)) == (0, "running")
    after = [len(told(desk, kind)) for kind in ("session_hung", "session_recovered")]
    assert after == [count + 1 for count in before]


def test_A8_a_stopped_session_is_killed_and_restarted_when_its_spec_says_so(desk: Desk) -> None:
    os_pid = start(desk, when_hung="kill")
    ref = desk.client.monitor("victim")
    send_signal(os_pid, signal.SIGSTOP)
    assert desk.client.wait_down(ref, WAIT_S).reason == HUNG
    new = desk.await_up("victim")
    assert desk.client.call("victim", ["state", None]) == [new, 0]
    row = desk.row("victim")
    assert (row["state"], row["restarts"], row["reason"]) == ("active", 1, HUNG)
    assert told(desk, "session_hung")[-1] == {"id": "victim", "why": "stopped"}


def test_A9_a_hundred_stops_and_continues_kill_nobody_though_the_spec_would(desk: Desk) -> None:
    os_pid = start(desk, when_hung="kill")
    for _ in range(100):
        send_signal(os_pid, signal.SIGSTOP)
        send_signal(os_pid, signal.SIGCONT)
    assert desk.client.call("victim", ["state", None]) == [os_pid, 0]
    row = desk.row("victim")
    assert (row["state"], row["restarts"]) == ("active", 0)


@pytest.mark.parametrize("end", ["stop", "restart"])
def test_acceptance_59_a_stopped_session_holds_up_nobody_and_can_be_ended(desk: Desk, end: str) -> None:
    os_pid = start(desk)
    send_signal(os_pid, signal.SIGSTOP)
    with pytest.raises(CallTimeout):
        desk.client.call("victim", ["state", None], 0.1)
    assert desk.untouched() == desk.before
    pid = desk.client.spawn("tests.fault.actors:idle")
    ref = desk.client.monitor(pid)
    desk.client.kill(pid)
    assert desk.client.wait_down(ref).reason == "killed"
    assert await_state(desk, "unresponsive")["restarts"] == 0
    if end == "stop":
        row = desk.client.stop_session("victim")
        assert (row["state"], row["reason"]) == ("stopped", "shutdown")
    else:
        assert desk.client.restart_session("victim")["state"] == "active"
        new = desk.await_up("victim")
        assert desk.client.call("victim", ["state", None]) == [new, 0]


def test_acceptance_60_G1_G2_sessions_that_never_end_their_message_are_found_and_replaced(desk: Desk, tmp_path: Path) -> None:
    old = {trouble: start(desk, trouble, busy_timeout_s=BUSY_TIMEOUT_S, when_hung="kill") for trouble in TROUBLES}
    refs = {trouble: desk.client.monitor(trouble) for trouble in TROUBLES}
    for trouble in TROUBLES:
        desk.hang(trouble, tmp_path / trouble, trouble)
    assert desk.untouched() == desk.before
    assert [desk.client.wait_down(ref, WAIT_S).reason for ref in refs.values()] == [HUNG] * len(TROUBLES)
    new = {trouble: desk.await_up(trouble) for trouble in TROUBLES}
    assert set(new.values()).isdisjoint(old.values())
    assert {trouble: desk.client.call(trouble, ["state", None]) for trouble in TROUBLES} == {
        trouble: [os_pid, 0] for trouble, os_pid in new.items()}  # fmt: skip
    assert [told(desk, "session_hung", trouble) for trouble in TROUBLES] == [
        [{"id": trouble, "why": "busy"}] for trouble in TROUBLES]  # fmt: skip


def test_acceptance_60_busy_sessions_answer_nobody_are_listed_and_can_be_stopped(desk: Desk, tmp_path: Path) -> None:
    for trouble in TROUBLES:
        start(desk, trouble, busy_timeout_s=BUSY_TIMEOUT_S)
    for trouble in TROUBLES:
        desk.hang(trouble, tmp_path / trouble, trouble)
        with pytest.raises(CallTimeout):
            desk.client.call(trouble, ["state", None], 0.05)
    assert desk.untouched() == desk.before
    for trouble in TROUBLES:
        assert await_state(desk, "unresponsive", trouble)["restarts"] == 0
        assert desk.client.stop_session(trouble)["state"] == "stopped"


def test_G2_without_a_timeout_a_long_message_is_no_hang(desk: Desk, tmp_path: Path) -> None:
    """A session with a bound is found beside it, so the bounds have been looked at."""
    os_pid = desk.start("patient")
    fifos = [tmp_path / "patient", tmp_path / "hasty"]
    desk.hang("patient", fifos[0], "sleep")
    start(desk, busy_timeout_s=BUSY_TIMEOUT_S)
    desk.hang("victim", fifos[1], "sleep")
    await_state(desk, "unresponsive")
    assert (desk.row("patient")["state"], process_phase(desk, os_pid)) == ("active", "running")


def test_G2_functions_that_do_not_receive_are_found_by_their_busy_timeout(desk: Desk) -> None:
    starts = ("actors:stuck", "async_actors:stuck_in_a_loop", "async_actors:stuck_in_await")
    pids = [desk.client.spawn(f"tests.fault.{start}", link=True, busy_timeout_s=BUSY_TIMEOUT_S, when_hung="kill")
            for start in starts]  # fmt: skip
    found = [desk.client.receive(WAIT_S) for _ in pids]
    assert sorted(map(repr, found)) == sorted(repr(ExitMessage(pid, HUNG)) for pid in pids)


def test_acceptance_60_async_processes_that_never_end_their_message_are_found(desk: Desk) -> None:
    refs = []
    for trouble in ("loop", "gil", "sleep", "await"):
        pid = desk.client.spawn("tests.fault.async_actors:AsyncStuck", busy_timeout_s=BUSY_TIMEOUT_S, when_hung="kill")
        refs.append(desk.client.monitor(pid))
        assert desk.client.call(pid, "hello") == "hello"
        desk.client.cast(pid, trouble)
    assert [desk.client.wait_down(ref, WAIT_S).reason for ref in refs] == [HUNG] * 4


def test_G2_a_function_that_receives_is_idle(desk: Desk) -> None:
    bound: dict[str, Any] = {"busy_timeout_s": BUSY_TIMEOUT_S, "when_hung": "kill"}
    idle = [desk.client.spawn(f"tests.fault.{module}:idle", **bound) for module in ("actors", "async_actors")]
    watching = [desk.client.monitor(pid) for pid in idle]
    stuck = desk.client.spawn("tests.fault.actors:stuck", link=True, **{**bound, "busy_timeout_s": 2 * BUSY_TIMEOUT_S})
    assert desk.client.receive(WAIT_S) == ExitMessage(stuck, HUNG)
    assert [desk.client.demonitor(ref) for ref in watching] == [True, True], "they live"
    for pid in idle:
        desk.client.exit(pid, "kill")


@pytest.mark.parametrize("trouble", TROUBLES)
def test_G2_a_hanging_init_ends_by_its_timeout(desk: Desk, trouble: str) -> None:
    spec = ProcessSpec("tests.fault.actors:HangsInInit", [trouble], name="late", init_timeout_s=0.3)
    with pytest.raises(RequestError) as caught:
        desk.client.spawn_spec(spec)
    assert (caught.value.code, desk.client.whereis("late")) == ("start_timeout", None)


def test_G2_sessions_that_wait_for_each_other_in_a_ring_end_it_by_the_timeout_of_a_call(desk: Desk) -> None:
    os_pids = {name: desk.start(name) for name in ("one", "two", "three")}
    assert desk.client.call("one", ["meet", ["two", "three", "one"]], WAIT_S) == "late"
    assert {name: desk.client.call(name, ["state", None]) for name in os_pids} == {name: [os_pids[name], 0] for name in os_pids}
    assert [desk.row(name)["restarts"] for name in os_pids] == [0, 0, 0]


def test_a_hanging_terminate_ends_by_the_busy_timeout(desk: Desk) -> None:
    start(desk, busy_timeout_s=BUSY_TIMEOUT_S, when_hung="kill")
    ref = desk.client.monitor("victim")
    desk.client.cast("victim", ["hang_in_terminate", None])
    assert desk.client.wait_down(ref, WAIT_S).reason == HUNG
    desk.await_up("victim")


def test_A15_a_hang_is_found_by_the_successor_of_the_node_that_heard_of_it(own: Daemon) -> None:
    with desk_of(own) as desk:
        os_pid = start(desk, when_hung="kill")
        ref = desk.client.monitor("victim")
        send_signal(os_pid, signal.SIGSTOP)
        while not next(row for row in desk.client.processes() if row["os_pid"] == os_pid)["stopped"]:
            os.sched_yield()
        send_signal(desk.node_os_pid(), signal.SIGKILL)
        assert desk.client.wait_down(ref, WAIT_S).reason == HUNG
        desk.await_up("victim")
