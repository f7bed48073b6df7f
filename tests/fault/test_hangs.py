"""RELIABILITY A8, A9, G1, G2, acceptance 59 and 60: sessions that do not get on, and everybody else, who does."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from actorcore.errors import CallTimeout, RequestError
from actorcore.signals import ProcessSpec
from supervisors.tree.child_spec import ChildSpec
from tests.daemon_fixture import WAIT_S, WITNESS, Daemon, Desk, desk_of, send_signal

HUNG = {"killed": "unresponsive"}
BUSY_TIMEOUT_S = 0.4


def start(desk: Desk, **fields: object) -> int:
    """A permanent session ``victim`` whose ProcessSpec has ``fields``; its OS pid."""
    spec = ProcessSpec(WITNESS, [desk.name], name="victim", **fields)  # type: ignore[arg-type]
    desk.started.append("victim")
    desk.client.start_session(ChildSpec("victim", spec, "permanent", intensity=1000, backoff_step_s=0.0, backoff_max_s=0.0))
    return desk.await_up("victim")


def await_state(desk: Desk, state: str) -> dict[str, object]:
    """The session's row as soon as it is in ``state``."""
    while (row := desk.row("victim"))["state"] != state:
        desk.client.node("status", WAIT_S)
    return row


def told(desk: Desk, kind: str) -> list[object]:
    """The detail of the log's records of ``kind`` about the victim's session."""
    records = [json.loads(line) for line in desk.daemon.log.read_text().splitlines() if line.startswith("{")]
    return [record["detail"] for record in records if record["kind"] == kind and record["detail"]["id"] == "victim"]


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


@pytest.mark.parametrize("trouble", ["loop", "gil", "sleep", "deadlock"])
def test_acceptance_60_G1_G2_a_session_that_never_ends_its_message_is_found_and_replaced(
    desk: Desk, tmp_path: Path, trouble: str
) -> None:
    os_pid = start(desk, busy_timeout_s=BUSY_TIMEOUT_S, when_hung="kill")
    ref = desk.client.monitor("victim")
    desk.hang("victim", tmp_path / "fifo", trouble)
    with pytest.raises(CallTimeout):
        desk.client.call("victim", ["state", None], 0.05)
    assert desk.untouched() == desk.before
    assert desk.client.wait_down(ref, WAIT_S).reason == HUNG
    new = desk.await_up("victim")
    assert new != os_pid
    assert desk.client.call("victim", ["state", None]) == [new, 0]
    assert told(desk, "session_hung")[-1] == {"id": "victim", "why": "busy"}


def test_acceptance_60_a_busy_session_can_be_stopped_and_is_listed_before(desk: Desk, tmp_path: Path) -> None:
    start(desk, busy_timeout_s=BUSY_TIMEOUT_S)
    desk.hang("victim", tmp_path / "fifo", "gil")
    await_state(desk, "unresponsive")
    assert desk.client.stop_session("victim")["state"] == "stopped"


def test_G2_without_a_timeout_a_long_message_is_no_hang(desk: Desk, tmp_path: Path) -> None:
    """A session with a bound is found beside it, so the bounds have been looked at."""
    os_pid = desk.start("patient")
    fifos = [tmp_path / "patient", tmp_path / "hasty"]
    desk.hang("patient", fifos[0], "sleep")
    start(desk, busy_timeout_s=BUSY_TIMEOUT_S)
    desk.hang("victim", fifos[1], "sleep")
    await_state(desk, "unresponsive")
    assert (desk.row("patient")["state"], process_phase(desk, os_pid)) == ("active", "running")


@pytest.mark.parametrize("start", ["actors:stuck", "async_actors:stuck_in_a_loop", "async_actors:stuck_in_await"])
def test_G2_a_function_that_does_not_receive_is_found_by_its_busy_timeout(desk: Desk, start: str) -> None:
    pid = desk.client.spawn(f"tests.fault.{start}", busy_timeout_s=BUSY_TIMEOUT_S, when_hung="kill")
    assert desk.client.wait_down(desk.client.monitor(pid), WAIT_S).reason == HUNG


@pytest.mark.parametrize("trouble", ["loop", "gil", "sleep", "await"])
def test_acceptance_60_an_async_process_that_never_ends_its_message_is_found(desk: Desk, trouble: str) -> None:
    pid = desk.client.spawn("tests.fault.async_actors:AsyncStuck", busy_timeout_s=BUSY_TIMEOUT_S, when_hung="kill")
    ref = desk.client.monitor(pid)
    assert desk.client.call(pid, "hello") == "hello"
    desk.client.cast(pid, trouble)
    assert desk.client.wait_down(ref, WAIT_S).reason == HUNG


@pytest.mark.parametrize("start", ["actors:idle", "async_actors:idle"])
def test_G2_a_function_that_receives_is_idle(desk: Desk, start: str) -> None:
    idle = desk.client.spawn(f"tests.fault.{start}", busy_timeout_s=BUSY_TIMEOUT_S, when_hung="kill")
    watching = desk.client.monitor(idle)
    stuck = desk.client.spawn("tests.fault.actors:stuck", busy_timeout_s=2 * BUSY_TIMEOUT_S, when_hung="kill")
    ref = desk.client.monitor(stuck)
    assert desk.client.wait_down(ref, WAIT_S).reason == HUNG
    assert desk.client.demonitor(watching), "it lives"
    desk.client.exit(idle, "kill")


@pytest.mark.parametrize("trouble", ["loop", "gil", "sleep", "deadlock"])
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
