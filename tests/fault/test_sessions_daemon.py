"""Acceptance 42–65 over a real daemon: policies, budgets, links and monitors of real OS processes."""

from __future__ import annotations

import signal

import pytest

from actorcore.errors import CallFailed, CallTimeout, RequestError
from actorcore.signals import ProcessSpec
from supervisors.clients.messages import DownMessage, ExitMessage
from supervisors.tree.child_spec import ChildSpec
from tests.daemon_fixture import WAIT_S, Daemon, Desk, await_deaths, descendants, descriptors_beyond, send_signal, watched
from tests.fault.conftest import desk_of

ERROR = {"error": {"type": "ValueError", "text": "flawed"}}


def listed(desk: Desk) -> list[str]:
    """Ids that are on the list beside the bystanders, after all that was told so far."""
    return [str(row["id"]) for row in desk.client.sessions() if row["id"] not in desk.before]


@pytest.mark.parametrize(
    ("order", "reason"),
    [(["exit", 0], "normal"), (["exit", 3], {"exit": 3}), (["stop", "normal"], "normal"), (["stop", "bored"], "bored"),
     (["raise", "oops"], {"error": {"type": "RuntimeError", "text": "oops"}})],
)  # fmt: skip
def test_acceptance_44_the_reason_is_the_exit_code_or_what_was_declared(desk: Desk, order, reason) -> None:
    desk.start("victim", restart="temporary")
    ref = desk.client.monitor("victim")
    desk.client.cast("victim", order)
    assert desk.client.wait_down(ref).reason == reason


def test_acceptance_45_a_permanent_session_is_back_under_its_id_and_name(desk: Desk) -> None:
    old_row, old = desk.start("victim"), desk.client.whereis("victim")
    desk.signal("victim", old_row, signal.SIGKILL)
    os_pid = desk.await_up("victim")
    new = desk.client.whereis("victim")
    assert new is not None
    row = next(row for row in desk.client.processes() if row["serial"] == new.serial)
    assert (row["os_pid"], row["name"], desk.row("victim")["serial"]) == (os_pid, "victim", new.serial)
    with pytest.raises(CallFailed):
        desk.client.call(old, ["state", None])


@pytest.mark.parametrize(("order", "back"), [(["exit", 0], False), (["exit", 1], True), (["stop", "shutdown"], False)])
def test_acceptance_47_transient_is_back_after_an_abnormal_end_only(desk: Desk, order, back: bool) -> None:
    desk.start("victim", restart="transient")
    ref = desk.client.monitor("victim")
    desk.client.cast("victim", order)
    desk.client.wait_down(ref)
    if back:
        desk.await_up("victim")
    assert listed(desk) == (["victim"] if back else [])


@pytest.mark.parametrize(("number", "back"), [(signal.SIGKILL, True), (signal.SIGSEGV, True), (signal.SIGTERM, False)])
def test_acceptance_47_transient_is_back_after_any_signal_but_term(desk: Desk, number: signal.Signals, back: bool) -> None:
    desk.signal("victim", desk.start("victim", restart="transient"), number)
    if back:
        desk.await_up("victim")
    assert listed(desk) == (["victim"] if back else [])


def test_acceptance_50_over_its_budget_a_session_is_given_up_and_a_sibling_lives(desk: Desk) -> None:
    sibling = desk.start("sibling")
    os_pid = desk.start("victim", intensity=2, period_s=60.0)
    for _ in range(2):
        desk.signal("victim", os_pid, signal.SIGKILL)
        os_pid = desk.await_up("victim")
    desk.signal("victim", os_pid, signal.SIGKILL)
    row = desk.row("victim")
    assert (row["state"], row["restarts"], row["reason"]) == ("gave_up", 2, "killed")
    assert desk.client.call("sibling", ["state", None]) == [sibling, 0]


def test_acceptance_51_a_crash_loop_uses_nobody_elses_budget(desk: Desk) -> None:
    other = desk.start("other", intensity=1, period_s=60.0)
    looping = desk.start("looping", intensity=30, period_s=60.0)
    for _ in range(30):
        desk.signal("looping", looping, signal.SIGKILL)
        looping = desk.await_up("looping")
    desk.signal("other", other, signal.SIGKILL)
    desk.await_up("other")
    assert [(desk.row(name)["state"], desk.row(name)["restarts"]) for name in ("looping", "other")] == [
        ("active", 30), ("active", 1)]  # fmt: skip


def test_acceptance_53_after_the_node_died_every_name_is_there_again(own: Daemon) -> None:
    with desk_of(own) as desk:
        names = {row["name"]: row["serial"] for row in desk.client.processes() if row["name"]}
        for _ in range(3):
            send_signal(desk.node_os_pid(), signal.SIGKILL)
            assert {row["name"]: row["serial"] for row in desk.client.processes() if row["name"]} == names


def test_acceptance_54_A17_kill_of_the_guardian_leaves_nobody_and_a_new_one_starts_clean(own: Daemon) -> None:
    below = list(descendants(own.guardian_pid))
    with watched([own.guardian_pid, *below]) as handles:
        send_signal(own.guardian_pid, signal.SIGKILL)
        assert await_deaths(handles)
    assert own.process.wait() == -signal.SIGKILL
    own.start()
    with desk_of(own) as desk:
        assert (listed(desk), desk.before) == ([], {})
        desk.start("ada2")


def test_acceptance_56_quick_kills_of_the_node_end_no_session(own: Daemon) -> None:
    with desk_of(own) as desk:
        generation = desk.client.node("status")["generation"]
        for _ in range(6):
            send_signal(desk.node_os_pid(), signal.SIGKILL)
        assert desk.client.node("status")["generation"] == generation + 6


def test_acceptance_59_a_stopped_session_times_out_alone_and_can_be_restarted_and_stopped(desk: Desk) -> None:
    os_pid = desk.start("victim", shutdown_s=0.1)
    send_signal(os_pid, signal.SIGSTOP)
    with pytest.raises(CallTimeout):
        desk.client.call("victim", ["state", None], 0.05)
    assert desk.client.restart_session("victim")["state"] == "active"
    new = desk.await_up("victim")
    send_signal(new, signal.SIGSTOP)
    assert desk.client.stop_session("victim")["state"] == "stopped"


def test_acceptance_60_an_endless_handler_harms_nobody_and_can_be_stopped(desk: Desk, tmp_path) -> None:
    desk.start("victim", trap_exit=True, shutdown_s=0.1)
    desk.loop("victim", tmp_path / "fifo")
    with pytest.raises(CallTimeout):
        desk.client.call("victim", ["state", None], 0.05)
    assert desk.client.restart_session("victim")["state"] == "active"
    new = desk.await_up("victim")
    assert desk.client.call("victim", ["state", None]) == [new, 0]


def test_acceptance_61_sixty_kills_and_restarts_leave_no_zombie_and_no_descriptor(own: Daemon) -> None:
    with desk_of(own) as desk:
        os_pid = desk.start("victim")
        desk.client.call("victim", ["state", None])
        before = descriptors_beyond(desk)
        for _ in range(60):
            desk.signal("victim", os_pid, signal.SIGKILL)
            os_pid = desk.await_up("victim")
        assert descriptors_beyond(desk) == before
        assert desk.row("victim")["restarts"] == 60


def test_acceptance_62_two_kills_in_one_instant_are_one_restart(desk: Desk) -> None:
    os_pid = desk.start("victim")
    ref = desk.client.monitor("victim")
    with watched([os_pid]) as (handle,):
        signal.pidfd_send_signal(handle, signal.SIGKILL)
        try:
            signal.pidfd_send_signal(handle, signal.SIGKILL)
        except ProcessLookupError:  # reaped already
            pass
    assert desk.client.wait_down(ref).reason == "killed"
    desk.await_up("victim")
    rows = [row for row in desk.client.processes() if row["name"] == "victim"]
    assert (len(rows), desk.row("victim")["restarts"]) == (1, 1)


PRODUCTION = {field: getattr(ChildSpec("any", ProcessSpec("m:f")), field)
              for field in ("intensity", "period_s", "backoff_initial_s", "backoff_step_s", "backoff_max_s")}  # fmt: skip
"""What a desk's victims have more of: they are killed by the dozen."""


def test_acceptance_63_68_B3_an_init_that_crashes_at_the_restart_uses_up_the_budget_of_production(desk: Desk, tmp_path) -> None:
    flaw = tmp_path / "flaw"
    os_pid = desk.start("victim", str(flaw), **PRODUCTION)
    flaw.touch()
    desk.signal("victim", os_pid, signal.SIGKILL)
    # A start under way is joined by a restart; each answer is a failed start until the budget is gone.
    while desk.row("victim")["state"] != "gave_up":
        desk.client.node("status")
    row = desk.row("victim")
    assert (row["restarts"], row["reason"], row["serial"], desk.client.whereis("victim")) == (3, ERROR, 0, None)
    flaw.unlink()
    assert desk.client.restart_session("victim")["state"] == "active"
    desk.await_up("victim")


def test_B3_a_start_whose_init_crashes_leaves_nothing(desk: Desk, tmp_path) -> None:
    flaw = tmp_path / "flaw"
    flaw.touch()
    with pytest.raises(RequestError) as caught:
        desk.client.start_session(ChildSpec(id="victim", process=ProcessSpec(
            "tests.fault.actors:Witness", [desk.name, str(flaw)], name="victim")))  # fmt: skip
    assert (caught.value.code, listed(desk), desk.client.whereis("victim")) == ("start_failed", [], None)


def test_acceptance_64_a_link_shares_the_reason_unless_exits_are_trapped(desk: Desk) -> None:
    policy = {"restart": "temporary"}
    first = desk.start("first", **policy)
    desk.start("linked", **policy)
    desk.start("trapping", trap_exit=True, **policy)
    serial = desk.client.whereis("first").serial
    for name in ("linked", "trapping"):
        desk.client.call(name, ["link", "first"])
    ref = desk.client.monitor("linked")
    reason = {"signal": "SIGSEGV"}
    assert desk.signal("first", first, signal.SIGSEGV).reason == reason
    assert desk.client.wait_down(ref).reason == reason
    while not (exits := desk.client.call("trapping", ["exits", None])):  # one death is told to two processes in no order
        pass
    assert exits == [[serial, reason]]


def test_acceptance_64_a_normal_exit_kills_nobody(desk: Desk) -> None:
    desk.start("first", restart="temporary")
    linked = desk.start("linked")
    desk.client.call("linked", ["link", "first"])
    ref = desk.client.monitor("first")
    desk.client.cast("first", ["stop", "normal"])
    assert desk.client.wait_down(ref).reason == "normal"
    assert desk.client.call("linked", ["state", None]) == [linked, 0]


def test_acceptance_64_a_client_traps_the_exit_of_what_it_is_linked_to(desk: Desk) -> None:
    pid = desk.client.spawn("tests.fault.actors:idle", link=True)
    desk.client.kill(pid, signal.SIGABRT)
    assert desk.client.receive(WAIT_S) == ExitMessage(pid, {"signal": "SIGABRT"})


def test_acceptance_65_one_down_per_monitor(desk: Desk) -> None:
    pid = desk.client.spawn("tests.fault.actors:idle")
    refs = [desk.client.monitor(pid) for _ in range(3)]
    desk.client.kill(pid, signal.SIGKILL)
    downs = [desk.client.receive(WAIT_S) for _ in refs]
    assert downs == [DownMessage(ref, pid, "killed") for ref in refs]
    dead, unknown = desk.client.monitor(pid), desk.client.monitor("nobody")
    assert [desk.client.wait_down(dead), desk.client.wait_down(unknown)] == [
        DownMessage(dead, pid, "noproc"), DownMessage(unknown, None, "noproc")]  # fmt: skip


def test_acceptance_65_demonitor_takes_out_a_down_that_has_come(desk: Desk) -> None:
    pid = desk.client.spawn("tests.fault.actors:idle")
    early, late = desk.client.monitor(pid), desk.client.monitor(pid)
    desk.client.kill(pid, signal.SIGKILL)
    assert desk.client.wait_down(late).reason == "killed"
    assert desk.client.demonitor(early) is False
    with pytest.raises(CallTimeout):
        desk.client.receive(0)
