"""The daemon's own services: started when they are first wanted, and what is told of them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from actorcore.frames import term_decoder
from actorcore.residents import Order, Send
from supervisors.own_names import MANAGER
from supervisors.persistence.retention import Limits
from supervisors.services.services import SERVICES, Ensure, Services, services_with
from supervisors.services.told import ServiceReborn, ServiceTold, tell_life, tell_manager, tell_reborn
from supervisors.tree.session_words import GetSession
from supervisors.tree.sessions import Sessions
from tests.sessions_world import BAD_INIT, World, spec


class Started(World):
    """Services ``db`` and ``slow``, of which the second takes its time."""

    def new_resident(self) -> Sessions:
        return Services({"db": spec("db", name="system:db", restart="permanent"), "slow": spec("slow", "slow")})

    def _perform(self, order: Order) -> None:
        if isinstance(order, Send):  # to the manager
            self.events = [*getattr(self, "events", []), said(order)[1]]
        else:
            super()._perform(order)

    def ensure(self, name: str) -> int:
        return self.ask(msgspec.msgpack.encode(Ensure(name)))

    def answer(self, number: int) -> Any:
        """The serial of the row that is the answer, or the error; None: there is none yet."""
        answer = self.answers.get(number)
        if answer is None:
            return None
        return answer.value["serial"] if isinstance(answer.value, dict) else answer.error


def test_a_service_is_started_once_by_whoever_wants_it_first() -> None:
    world = Started()
    first, again = world.ensure("db"), world.ensure("db")
    assert [world.answer(first), world.answer(again)] == [world.serial("db")] * 2
    assert [process.id for process in world.alive.values()] == ["db"]


def test_who_wants_a_service_that_is_not_ready_waits_with_the_first() -> None:
    world = Started()
    numbers = [world.ensure("slow"), world.ensure("slow")]
    assert [world.answer(number) for number in numbers] == [None, None]
    world.boot("slow")
    assert [world.answer(number) for number in numbers] == [world.serial("slow")] * 2


def test_who_waits_for_a_service_that_cannot_be_had_is_told_why_and_the_next_one_tries_again() -> None:
    world = Started()
    world.failing.add("db")
    assert world.answer(world.ensure("db")) == ("start_failed", BAD_INIT)
    world.failing.clear()
    assert world.answer(world.ensure("db")) == world.serial("db")


def test_a_service_that_has_died_is_there_again_for_who_wants_it() -> None:
    world = Started()
    before = world.answer(world.ensure("db"))
    world.die(before, "killed")
    after = world.answer(world.ensure("db"))
    assert (after == world.serial("db"), after != before) == (True, True)
    assert world.events == ["service_started", "service_crashed", "service_restarted"]


def test_there_are_no_other_services_and_the_rest_is_asked_as_sessions_are() -> None:
    world = Started()
    assert world.answer(world.ensure("x" * 100)) == ("not_found", "x" * 64)
    world.ensure("db")
    assert world.value(GetSession("db"))["state"] == "active"


def test_the_daemon_has_a_store_which_is_never_given_up_and_knows_its_limits() -> None:
    store = services_with(Limits(max_saved=7))["store"]
    assert (list(SERVICES), store.restart, store.give_up, store.process.name) == (["store"], "permanent", "never", "system:store")
    assert store.process.args == [{"max_saved": 7, "warn_saved": 0.8, "auto_clean": False, "max_age_days": 30}]


# ---- what is told of them -------------------------------------------------------------------------------------------


def said(order: Send) -> Any:
    assert order.to == MANAGER
    return term_decoder.decode(order.body)


@pytest.mark.parametrize(
    ("kind", "serial", "detail", "told"),
    [
        ("session_started", 5, {"id": "db", "restarts": 0}, ("service_started", {"restart_count": 0, "pid": 5})),
        ("session_crashed", 0, {"id": "db", "reason": "x"}, ("service_crashed", {"reason": "x", "pid": None})),
        ("session_restarted", 6, {"old": 5, "new": 6, "count": 9}, ("service_restarted", {"old_pid": 5, "new_pid": 6})),
        ("session_gave_up", 0, {"reason": "x"}, ("service_gave_up", {"reason": "x"})),
    ],
)
def test_the_life_of_a_service_is_told_as_that_of_a_session_is(kind: str, serial: int, detail: Any, told: Any) -> None:
    type_, data = told
    order = tell_life(kind, "db", serial, detail)
    assert (order, said(order)) == (tell_manager(type_, name="db", **data), ["service_told", type_, {"name": "db", **data}])


def test_a_resident_that_was_killed_is_told_as_a_crash_and_a_restart() -> None:
    assert said(tell_reborn("limiter", 3)) == ["service_reborn", "limiter", 3]
    about = {"name": "limiter", "duration_s": 0.0}
    assert ServiceReborn("limiter", 3).events(9, 4) == [
        ServiceTold("service_crashed", {**about, "restart_count": 3, "reason": "killed", "pid": 3}),
        ServiceTold("service_restarted", {**about, "restart_count": 4, "old_pid": 3, "new_pid": 9}),
    ]
