"""``sessions``: restart, budget and stop of sessions, each rule under the number that asked for it."""

from __future__ import annotations

import pytest

from actorcore.exit_reason import Reason
from actorcore.residents import Leave
from actorcore.signals import Answer, Down, Exit, Hung, Started
from supervisors.tree.child_spec import RestartType
from supervisors.tree.session_words import (
    RemoveSession,
    RestartSession,
    StartSession,
    StopSession,
)
from tests.sessions_world import BAD_INIT, World, spec
from tests.test_restart_intensity import REASONS

SEGV: Reason = {"signal": "SIGSEGV"}


@pytest.fixture
def world() -> World:
    return World()


def crash_until_given_up(world: World, id: str) -> int:
    """Kill every incarnation at once; how many there were."""
    for count in range(1, 100):
        world.die(world.serial(id), "killed")
        world.advance(1.0)  # the longest back-off
        if world.state(id) == "gave_up":
            return count
    raise AssertionError("never given up")


def test_a_start_is_answered_with_the_row_when_it_is_ready_acceptance_1(world: World) -> None:
    asked = world.ask(StartSession(spec("a", "slow", name="anna")))
    assert asked not in world.answers
    assert world.row("a") == {
        "id": "a", "name": "anna", "serial": 0, "state": "starting", "uptime_s": None, "restarts": 0, "restart": "transient",
        "reason": None, "previous": 0,
    }  # fmt: skip
    world.boot("a")
    assert world.answers[asked].value == {
        "id": "a", "name": "anna", "serial": 41, "state": "active", "uptime_s": 0.0, "restarts": 0, "restart": "transient",
        "reason": None, "previous": 0,
    }  # fmt: skip


def test_a_row_tells_how_long_its_process_is_up_and_which_one_died_before(world: World) -> None:
    first = world.start("a", intensity=1, backoff_initial_s=0.0, backoff_step_s=0.0, restart="permanent")
    world.advance(7.0)
    assert (world.row("a")["uptime_s"], world.row("a")["previous"]) == (7.0, 0)
    world.die(first, "killed")
    second = world.serial("a")
    world.advance(0.5)
    row = world.row("a")
    assert (row["uptime_s"], row["previous"], row["reason"]) == (0.5, first, "killed")
    world.die(second, {"exit": 3})
    row = world.row("a")
    assert (row["state"], row["uptime_s"], row["previous"], row["reason"]) == ("gave_up", None, second, {"exit": 3})


def test_a_hanging_start_delays_no_other_acceptance_18(world: World) -> None:
    asked = world.ask(StartSession(spec("slow", "slow")))
    serial = world.start("a")
    assert world.value(StopSession("a"))["reason"] == "shutdown"
    assert serial not in world.alive
    assert asked not in world.answers


@pytest.mark.parametrize("restart", ["permanent", "transient", "temporary"])
def test_a_failed_first_start_leaves_nothing_acceptance_15(world: World, restart: RestartType) -> None:
    world.failing = {"a"}
    assert world.error(StartSession(spec("a", name="anna", restart=restart))) == ("start_failed", BAD_INIT)
    assert world.state("a") is None
    assert world.tells == []
    world.failing = set()
    world.start("a", name="anna")


def test_a_start_whose_init_says_ignore_is_answered_none_and_absent(world: World) -> None:
    asked = world.ask(StartSession(spec("a", "slow", name="anna")))
    world.boot("a", ignored=True)
    assert (world.answers[asked].value, world.answers[asked].error, world.state("a")) == (None, None, None)


@pytest.mark.parametrize(("reason", "is_abnormal"), REASONS)
@pytest.mark.parametrize("restart", ["permanent", "transient", "temporary"])
def test_who_is_restarted_after_what_acceptance_44_45_46_47_48_49(
    world: World, restart: RestartType, reason: Reason, is_abnormal: bool
) -> None:
    serial = world.start("a", name="anna", restart=restart)
    world.die(serial, reason)
    crashed, restarted, stopped = "session_crashed", "session_restarted", "session_stopped"
    if restart == "permanent" or (restart == "transient" and is_abnormal):
        assert world.kinds("a") == ["session_started", crashed, restarted]
        assert world.tells[1].serial == serial
        assert world.tells[1].detail == {"id": "a", "reason": reason, "restarts": 0, "duration_s": 0.0}
        assert world.tells[2].detail == {
            "id": "a", "old": serial, "new": serial + 1, "count": 1, "restarts": 1, "duration_s": 0.0}  # fmt: skip
        assert (world.row("a")["serial"], world.row("a")["state"], world.row("a")["reason"]) == (serial + 1, "active", reason)
    else:
        assert world.kinds("a") == ["session_started", *([crashed] if is_abnormal else []), stopped]
        assert world.state("a") is None
        world.start("b", name="anna")  # the name is free, and so is the slot


def test_while_it_waits_it_is_restarting_without_a_process_acceptance_48(world: World) -> None:
    world.die(world.start("a"), SEGV)
    world.die(world.serial("a"), SEGV)
    assert (world.row("a")["state"], world.row("a")["serial"], world.alive) == ("restarting", 0, {})
    world.advance(0.05)
    assert (world.row("a")["state"], world.row("a")["restarts"]) == ("active", 2)


def test_over_its_budget_it_is_given_up_and_its_siblings_stay_acceptance_50_68(world: World) -> None:
    sibling = world.start("b")
    world.start("a", name="anna")
    assert crash_until_given_up(world, "a") == 4
    assert world.kinds("a")[-2:] == ["session_crashed", "session_gave_up"]
    assert world.kinds("a").count("session_restarted") == 3
    assert world.row("b")["serial"] == sibling
    world.advance(1000.0)
    assert (world.state("a"), world.row("a")["serial"], world.row("a")["reason"]) == ("gave_up", 0, "killed")


def test_a_crash_loop_uses_up_nobody_elses_budget_acceptance_51(world: World) -> None:
    world.start("a")
    world.start("b")
    for _ in range(3):
        for id in ("a", "b"):
            world.die(world.serial(id), "killed")
        world.advance(0.5)
    world.die(world.serial("a"), "killed")
    assert (world.state("a"), world.state("b")) == ("gave_up", "active")


def test_a_session_that_never_gives_up_crashes_at_the_pace_of_its_back_off_acceptance_51(world: World) -> None:
    world.start("a", give_up="never")
    world.failing = {"a"}
    world.die(world.serial("a"), SEGV)
    world.advance(60.0)
    crashes = world.kinds("a").count("session_crashed")
    assert crashes == 65  # 6 within the first 0.75 s, 1 each second from then on
    assert world.state("a") == "restarting"


def test_a_quiet_period_ends_the_streak_of_the_back_off(world: World) -> None:
    world.die(world.start("a"), SEGV)
    world.advance(4.99)
    world.die(world.serial("a"), SEGV)
    assert world.state("a") == "restarting"
    world.advance(0.05 + 5.0)
    world.die(world.serial("a"), SEGV)
    assert world.state("a") == "active"


def test_two_kills_of_one_incarnation_are_one_restart_acceptance_62(world: World) -> None:
    serial = world.start("a")
    world.die(serial, "killed")
    world.deliver(Exit(serial, "killed"))
    assert world.row("a")["restarts"] == 1
    assert world.kinds("a") == ["session_started", "session_crashed", "session_restarted"]


def test_an_init_that_fails_in_a_restart_is_retried_within_the_budget_acceptance_63(world: World) -> None:
    world.start("a")
    world.failing = {"a"}
    world.die(world.serial("a"), SEGV)
    world.advance(0.05)
    assert world.state("a") == "restarting"
    world.failing = set()
    world.advance(0.1)
    assert (world.row("a")["state"], world.row("a")["restarts"]) == ("active", 3)
    world.failing = {"a"}
    world.die(world.serial("a"), SEGV)
    assert (world.row("a")["state"], world.row("a")["reason"]) == ("gave_up", SEGV)


def test_an_init_that_always_fails_in_a_restart_is_given_up_acceptance_63(world: World) -> None:
    world.start("a")
    world.failing = {"a"}
    world.die(world.serial("a"), SEGV)
    world.advance(10.0)
    assert (world.row("a")["state"], world.row("a")["reason"]) == ("gave_up", BAD_INIT)
    assert world.kinds("a") == ["session_started", *["session_crashed"] * 4, "session_gave_up"]


@pytest.mark.parametrize("reason", ["normal", "shutdown", "kill", "killed", SEGV])
def test_signals_of_strangers_change_nothing_acceptance_67(world: World, reason: Reason) -> None:
    world.start("a")
    before = world.resident.snapshot()
    for body in (Exit(9999, reason), Down([1], 41, reason), Started(77, 9999), Answer(77, 5)):
        assert world.resident.handle(body, world.now) == []
    assert world.resident.snapshot() == before


def test_a_late_exit_of_an_earlier_incarnation_is_dropped_d6(world: World) -> None:
    first = world.start("a")
    world.die(first, SEGV)
    second = world.serial("a")
    world.deliver(Exit(first, "normal"))
    assert (world.row("a")["serial"], world.row("a")["restarts"]) == (second, 1)


def test_a_restart_on_demand_keeps_the_id_and_costs_no_budget(world: World) -> None:
    old = world.start("a", name="anna")
    for _ in range(10):
        row = world.value(RestartSession("a"))
        assert (row["id"], row["state"], row["restarts"], row["serial"] in world.alive) == ("a", "active", 0, True)
    assert world.tells[1].detail == {"id": "a", "old": old, "new": old + 1, "count": 0, "restarts": 0, "duration_s": 0.0}
    assert "session_crashed" not in world.kinds("a")
    assert crash_until_given_up(world, "a") == 4


def test_a_restart_on_demand_gives_a_session_that_was_given_up_a_fresh_budget(world: World) -> None:
    world.start("a")
    crash_until_given_up(world, "a")
    assert world.value(RestartSession("a"))["state"] == "active"
    assert crash_until_given_up(world, "a") == 4


def test_a_restart_on_demand_cancels_the_back_off_and_does_not_start_twice(world: World) -> None:
    world.start("a")
    world.die(world.serial("a"), SEGV)
    world.die(world.serial("a"), SEGV)
    assert world.value(RestartSession("a"))["state"] == "active"
    assert world.alarms == {}
    world.advance(10.0)
    assert world.kinds("a").count("session_restarted") == 2


def test_a_restart_on_demand_whose_init_fails_says_so_and_is_retried_acceptance_63(world: World) -> None:
    world.start("a")
    world.start("t", restart="temporary")
    world.failing = {"a", "t"}
    assert world.error(RestartSession("a")) == ("start_failed", BAD_INIT)
    assert world.error(RestartSession("t")) == ("start_failed", BAD_INIT)
    world.failing = set()
    world.advance(1.0)
    assert (world.state("a"), world.state("t")) == ("active", None)


def test_only_what_was_given_up_can_be_removed(world: World) -> None:
    world.start("a")
    assert world.error(RemoveSession("a")) == ("running", "active")
    world.die(world.serial("a"), SEGV)
    world.die(world.serial("a"), SEGV)
    assert world.error(RemoveSession("a")) == ("restarting", "restarting")
    world.advance(0.05)
    crash_until_given_up(world, "a")
    assert world.value(RemoveSession("a"))["state"] == "stopped"
    assert (world.state("a"), world.kinds("a")[-1]) == (None, "session_stopped")


def test_told_to_end_by_its_parent_it_stops_all_sessions_and_leaves(world: World) -> None:
    """As a supervisor's own EXIT from its parent; the node's kernel says it as nobody."""
    world.start("a")
    assert Leave("shutdown") not in world.resident.handle(Exit(0, "shutdown"), world.now)
    serial = world.serial("a")
    assert Leave("shutdown") in world.resident.handle(Exit(serial, "shutdown"), world.now)


def test_a_session_that_hangs_is_listed_so_until_it_goes_on_acceptance_59(world: World) -> None:
    serial = world.start("a")
    world.deliver(Hung(serial, "stopped"))
    assert (world.state("a"), world.tells[-1].detail) == ("unresponsive", {"id": "a", "why": "stopped"})
    world.deliver(Hung(serial, ""))
    assert (world.state("a"), world.kinds("a")) == ("active", ["session_started", "session_hung", "session_recovered"])


def test_a_hanging_session_is_restarted_on_demand_acceptance_59(world: World) -> None:
    serial = world.start("a")
    world.deliver(Hung(serial, "busy"))
    row = world.value(RestartSession("a"))
    assert (row["state"], row["restarts"]) == ("active", 0)
    assert row["serial"] != serial


def test_a_hanging_session_that_ignores_the_end_is_killed_in_its_time_acceptance_59(world: World) -> None:
    serial = world.start("a", "stubborn", shutdown_s=2.0)
    world.deliver(Hung(serial, "stopped"))
    asked = world.ask(StopSession("a"))
    assert world.state("a") == "stopping"
    world.advance(2.0)
    answer = world.answers[asked].value
    assert isinstance(answer, dict)
    assert (answer["state"], answer["reason"]) == ("stopped", "killed")


def test_a_session_that_dies_of_its_hang_is_restarted_within_its_budget(world: World) -> None:
    serial = world.start("a", backoff_step_s=0.0)
    world.deliver(Hung(serial, "busy"))
    world.die(serial, {"killed": "unresponsive"})
    assert (world.state("a"), world.row("a")["restarts"]) == ("active", 1)
    assert world.kinds("a") == ["session_started", "session_hung", "session_crashed", "session_restarted"]


def test_a_hang_of_a_former_process_or_in_a_stop_changes_nothing(world: World) -> None:
    old = world.start("a", "stubborn", backoff_step_s=0.0)
    world.die(old, SEGV)
    told = len(world.tells)
    world.deliver(Hung(old, "busy"))
    world.ask(StopSession("a"))
    world.deliver(Hung(world.serial("a"), "busy"))
    assert (world.state("a"), world.tells[told:]) == ("stopping", [])


def test_C11_a_restart_for_which_the_machine_has_no_process_waits_and_costs_no_budget() -> None:
    world = World()
    serial = world.start("a", intensity=1, period_s=1000.0)
    world.failing.add("a")
    world.why = {"resource_exhausted": "eagain"}
    world.die(serial, "killed")
    at = world.now
    for wait_s in (0.1, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0):
        assert (world.state("a"), world.alarms) == ("restarting", {next(iter(world.alarms)): pytest.approx(world.now + wait_s)})
        world.advance(wait_s)
    assert world.now > at + 16
    world.failing.clear()
    world.advance(5.0)
    assert (world.state("a"), world.row("a")["restarts"], world.kinds("a")) == (
        "active", 1, ["session_started", "session_crashed", "session_restarted"],
    )  # fmt: skip
    world.die(world.serial("a"), "killed")
    assert world.state("a") == "gave_up"


def test_C11_a_first_start_without_a_process_is_refused_and_leaves_nothing() -> None:
    world = World()
    world.failing.add("a")
    world.why = {"resource_exhausted": "enomem"}
    assert world.error(StartSession(spec("a", name="anna"))) == ("start_failed", {"resource_exhausted": "enomem"})
    assert (world.state("a"), world.alarms, world.kinds("a")) == (None, {}, [])
