"""``sessions``: stop and shutdown in every state; an answer means that the process is really dead."""

from __future__ import annotations

from typing import Any

import pytest

from actorcore.residents import EndStart, Order, SetAlarm
from actorcore.signals import Alarm, Exit
from supervisors.tree.session_words import RestartSession, Shutdown, StartSession, StopSession
from tests.sessions_world import BAD_INIT, World, spec


@pytest.fixture
def world() -> World:
    return World()


def crash_into_back_off(world: World, id: str) -> None:
    """The second death in a row has to wait."""
    for _ in range(2):
        world.die(world.serial(id), "killed")
    assert world.state(id) == "restarting"


def test_a_stop_is_answered_when_the_process_is_dead_acceptance_71(world: World) -> None:
    serial = world.start("a", "stubborn", name="anna")
    asked = world.ask(StopSession("a"))
    assert (world.state("a"), world.sent, asked in world.answers) == ("stopping", [(serial, "shutdown")], False)
    world.die(serial, "shutdown")
    assert world.answers[asked].value == {
        "id": "a", "name": "anna", "serial": 0, "state": "stopped", "uptime_s": None, "restarts": 0, "restart": "transient",
        "reason": "shutdown", "previous": serial,
    }  # fmt: skip
    assert (world.state("a"), world.alarms, world.kinds("a")) == (None, {}, ["session_started", "session_stopped"])
    assert world.error(StopSession("a")) == ("not_found", "a")


@pytest.mark.parametrize("restart", ["permanent", "transient", "temporary"])
def test_who_ignores_a_stop_is_killed_after_its_grace_time_acceptance_75(world: World, restart: Any) -> None:
    serial = world.start("a", "stubborn", restart=restart)
    asked = world.ask(StopSession("a"))
    world.advance(4.99)
    assert world.sent == [(serial, "shutdown")]
    world.advance(0.01)
    assert world.sent == [(serial, "shutdown"), (serial, "kill")]
    assert (world.answers[asked].value["reason"], world.alive) == ("killed", {})  # type: ignore[index, call-overload]


def test_brutal_kill_asks_nobody_and_infinity_waits_for_ever(world: World) -> None:
    brutal = world.start("a", "stubborn", shutdown_s="brutal_kill")
    assert world.value(StopSession("a"))["reason"] == "killed"
    assert world.sent == [(brutal, "kill")]
    patient = world.start("b", "stubborn", shutdown_s="infinity")
    asked = world.ask(StopSession("b"))
    world.advance(1e6)
    assert (world.sent[1:], asked in world.answers) == ([(patient, "shutdown")], False)
    world.die(patient, "normal")
    assert world.answers[asked].error is None


def test_of_ten_stops_of_one_session_one_succeeds_when_it_is_dead_and_nine_find_nothing_acceptance_76(world: World) -> None:
    serial = world.start("a", "stubborn")
    asked = [world.ask(StopSession("a")) for _ in range(10)]
    assert not set(asked) & set(world.answers)
    world.die(serial, "shutdown")
    assert [world.answers[number].error for number in asked] == [None] + [("not_found", "a")] * 9
    assert world.sent == [(serial, "shutdown")]


class Older(World):
    """The code before the reload asked nobody to end in his init, and did not remember whom it had asked."""

    def on_orders(self, orders: list[Order]) -> None:
        for session in self.resident._lives.sessions.values():
            if session.spawn:
                session.was_asked, session.alarm = False, ""

    def _perform(self, order: Order) -> None:
        if not isinstance(order, (EndStart, SetAlarm)) or self.alive:
            super()._perform(order)


def test_who_was_stopped_in_his_init_by_the_code_before_a_reload_is_asked_when_he_is_ready() -> None:
    world = Older()
    world.ask(StartSession(spec("a", "slow")))
    asked = world.ask(StopSession("a"))
    assert (world.state("a"), world.sent, world.ended, world.alarms) == ("stopping", [], [], {})
    world.boot("a")
    assert (world.answers[asked].value["reason"], world.alive) == ("shutdown", {})  # type: ignore[index, call-overload]


def test_a_stop_during_back_off_is_over_at_once_and_stays_so_b11(world: World) -> None:
    world.start("a")
    crash_into_back_off(world, "a")
    assert world.value(StopSession("a"))["state"] == "stopped"
    assert world.alarms == {}
    world.advance(100.0)
    assert (world.alive, world.kinds("a")[-1]) == ({}, "session_stopped")


def test_a_timer_that_rings_although_it_was_cancelled_starts_nothing_b11(world: World) -> None:
    world.start("a")
    crash_into_back_off(world, "a")
    (key,) = world.alarms
    world.ask(StopSession("a"))
    world.deliver(Alarm(key))
    assert world.alive == {}
    world.start("a")
    crash_into_back_off(world, "a")
    world.deliver(Alarm(key))  # nor does it end the back-off of a later session of that id
    assert world.state("a") == "restarting"


def test_the_name_in_a_spec_stays_reserved_while_its_session_restarts_b12(world: World) -> None:
    world.start("a", name="anna")
    crash_into_back_off(world, "a")
    assert world.error(StartSession(spec("b", name="anna"))) == ("already_registered", "anna")
    world.advance(1.0)
    assert world.row("a")["name"] == "anna"
    world.ask(StopSession("a"))
    world.start("b", name="anna")


@pytest.mark.parametrize("error", [None, BAD_INIT])
def test_a_stop_during_the_start_is_answered_after_it_is_gone_acceptance_80(world: World, error: Any) -> None:
    started = world.ask(StartSession(spec("a", "slow", name="anna")))
    stopped = world.ask(StopSession("a"))
    assert stopped not in world.answers
    world.boot("a", error)
    assert world.answers[started].error == ("start_failed", "shutdown")
    assert (world.answers[stopped].error, world.alive, world.state("a")) == (None, {}, None)
    assert world.tells == []
    world.start("b", name="anna")


@pytest.mark.parametrize("error", [None, BAD_INIT])
def test_a_stop_during_a_restart_ends_in_stopped_acceptance_80(world: World, error: Any) -> None:
    world.ask(StartSession(spec("a", "slow")))
    world.boot("a")
    world.die(world.serial("a"), "killed")
    stopped = world.ask(StopSession("a"))
    world.boot("a", error)
    world.advance(100.0)
    assert (world.answers[stopped].error, world.alive, world.booting, world.state("a")) == (None, {}, {}, None)


def test_who_does_not_come_out_of_its_init_is_killed_there_after_its_grace_time_acceptance_75(world: World) -> None:
    started = world.ask(StartSession(spec("a", "slow", shutdown_s=2.0)))
    stopped = world.ask(StopSession("a"))
    world.advance(1.99)
    assert (world.ended, stopped in world.answers) == ([(1, "shutdown")], False)
    world.advance(0.01)
    assert (world.ended, world.booting, world.alarms) == ([(1, "shutdown"), (1, "kill")], {}, {})
    assert world.answers[started].error == ("start_failed", "shutdown")
    assert world.answers[stopped].value["reason"] == "killed"  # type: ignore[index, call-overload]


@pytest.mark.parametrize(("fields", "asked"), [({}, "shutdown"), ({"shutdown_s": "brutal_kill"}, "kill")])
def test_who_traps_nothing_or_is_to_be_killed_ends_at_once_in_its_init(
    world: World, fields: dict[str, Any], asked: str
) -> None:
    world.ask(StartSession(spec("a", "quick", **fields)))
    assert world.value(StopSession("a"))["state"] == "stopped"
    assert (world.ended, world.booting, world.alarms) == ([(1, asked)], {}, {})


def test_in_a_restart_too_it_is_killed_in_its_init(world: World) -> None:
    world.ask(StartSession(spec("a", "slow", shutdown_s=2.0)))
    world.boot("a")
    world.die(world.serial("a"), "killed")
    stopped = world.ask(StopSession("a"))
    world.advance(2.0)
    assert (world.answers[stopped].error, world.booting) == (None, {})
    assert [reason for _, reason in world.ended] == ["shutdown", "kill"]


def test_a_stop_overrules_a_restart_on_demand_and_a_restart_does_not_overrule_a_stop(world: World) -> None:
    serial = world.start("a", "stubborn")
    restarted = world.ask(RestartSession("a"))
    stopped = world.ask(StopSession("a"))
    assert world.error(RestartSession("a")) == ("not_running", "it is being stopped")
    world.die(serial, "shutdown")
    assert world.answers[restarted].error == ("start_failed", "shutdown")
    assert (world.answers[stopped].error, world.alive) == (None, {})


def test_restarts_on_demand_join_the_one_that_is_under_way(world: World) -> None:
    serial = world.start("a", "stubborn")
    asked = [world.ask(RestartSession("a")) for _ in range(3)]
    world.die(serial, {"signal": "SIGSEGV"})
    assert [world.answers[number].value["serial"] for number in asked] == [serial + 1] * 3  # type: ignore[index, call-overload]
    assert world.sent == [(serial, "shutdown")]


def test_shutdown_asks_in_reverse_start_order_and_waits_once_for_all_acceptance_81(world: World) -> None:
    serials = [world.start(f"s{n}", "stubborn", shutdown_s=1.0 if n else "infinity") for n in range(5)]
    asked = world.ask(Shutdown(grace_s=3.0))
    assert world.sent == [(serial, "shutdown") for serial in reversed(serials)]
    world.die(serials[2], "shutdown")
    world.advance(2.99)
    assert (len(world.sent), asked in world.answers) == (5, False)
    world.advance(0.01)
    assert sorted(world.sent[5:]) == sorted((serial, "kill") for serial in serials if serial != serials[2])
    assert (world.answers[asked].value, world.alive, world.alarms) == ({"stopped": 5}, {}, {})


def test_an_alarm_that_is_not_that_of_the_shutdown_kills_nobody(world: World) -> None:
    serial = world.start("a", "stubborn", shutdown_s=5.0)
    world.deliver(Alarm(":closing"))  # of no shutdown
    assert world.sent == []
    world.ask(Shutdown(grace_s=3.0))
    world.deliver(Alarm("b:1"))  # of a session that is gone
    assert (world.sent, list(world.alive)) == ([(serial, "shutdown")], [serial])


def test_shutdown_kills_at_once_where_the_spec_says_so(world: World) -> None:
    serial = world.start("a", shutdown_s="brutal_kill")
    assert world.value(Shutdown()) == {"stopped": 1}
    assert world.sent == [(serial, "kill")]


def test_a_crash_during_shutdown_is_not_restarted_b13(world: World) -> None:
    dying = world.start("a", "stubborn", restart="permanent")
    world.start("b", "stubborn", restart="permanent")
    crash_into_back_off(world, "b")
    asked = world.ask(Shutdown())
    world.die(dying, {"signal": "SIGSEGV"})
    world.deliver(Exit(dying, "killed"))
    world.advance(100.0)
    assert (world.answers[asked].value, world.alive, world.booting) == ({"stopped": 2}, {}, {})
    assert world.kinds("a") == ["session_started", "session_stopped"]


def test_a_start_or_restart_during_and_after_shutdown_is_refused_b14(world: World) -> None:
    serial = world.start("a", "stubborn")
    world.ask(Shutdown())
    for request in (StartSession(spec("b")), StartSession(spec("a")), RestartSession("a")):
        assert world.error(request)[0] == "shutting_down"
    world.die(serial, "shutdown")
    assert world.error(StartSession(spec("b")))[0] == "shutting_down"
    assert world.value(Shutdown()) == {"stopped": 1}


def test_shutdown_answers_everybody_who_waits_b14(world: World) -> None:
    starting = world.ask(StartSession(spec("slow", "slow")))
    serial = world.start("a", "stubborn")
    restarting, stopping = world.ask(RestartSession("a")), world.ask(StopSession("a"))
    closing = [world.ask(Shutdown(grace_s=1.0)), world.ask(Shutdown(grace_s=99.0))]
    world.advance(1.0)
    assert serial not in world.alive
    assert (world.ended, world.booting) == ([(1, "shutdown"), (1, "kill")], {})  # in its init, too
    assert [world.answers[number].error for number in (starting, restarting)] == [("shutting_down", "shutdown")] * 2
    assert [world.answers[number].error for number in (stopping, *closing)] == [None] * 3


def test_shutdown_of_nothing_is_answered_at_once(world: World) -> None:
    assert world.value(Shutdown()) == {"stopped": 0}
    assert world.alarms == {}
