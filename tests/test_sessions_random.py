"""``sessions`` under random requests, deaths, inits and timers; test_sessions_planted shows that it notices a wrong rule.

Invariants are checked by the world after every delivery; here the budget is judged by counting crashes by hand, and
in the end everybody who ever asked must have been answered exactly once, with no process left.
"""

from __future__ import annotations

import random

import pytest

from actorcore.exit_reason import Reason
from actorcore.residents import AnswerTo, Order, Tell
from actorcore.signals import Exit
from supervisors.tree.child_spec import ChildSpec
from supervisors.tree.session_words import (
    CountSessions,
    GetSession,
    ListSessions,
    RemoveSession,
    RestartSession,
    SessionRequest,
    Shutdown,
    StartSession,
    StopSession,
)
from tests.sessions_world import BAD_INIT, World, spec

IDS = ["a", "b", "c", "d", "e"]
ABNORMAL: list[Reason] = ["killed", {"signal": "SIGSEGV"}]
REASONS: list[Reason] = ["normal", "shutdown", {"shutdown": 1}, *ABNORMAL]
SEEDS = range(60)
STEPS = 250


class Judged(World):
    """Counts each session's crashes from its telemetry and holds the budget against them."""

    def __init__(self) -> None:
        super().__init__(max_sessions=4)
        self.crashes: dict[str, list[float]] = {}
        self.dead: list[int] = []
        self.specs: dict[str, ChildSpec] = {}

    def on_orders(self, orders: list[Order]) -> None:
        tells = [order for order in orders if isinstance(order, Tell)]
        told = [(tell.kind, str(tell.detail["id"])) for tell in tells if isinstance(tell.detail, dict)]
        for kind, id in told:
            if kind == "session_crashed" and self.specs[id].restart != "temporary":
                times = self.crashes.setdefault(id, [])
                times.append(self.now)
                counting = [then for then in times if self.now <= then + self.specs[id].period_s]
                is_over = len(counting) > self.specs[id].intensity and self.specs[id].give_up != "never"
                assert (("session_gave_up", id) in told) == is_over, f"{id}: {counting}"
            if kind in ("session_stopped", "session_gave_up"):
                self.crashes.pop(id, None)
        for order in orders:
            if isinstance(order, AnswerTo) and order.error is None:
                self._check_success(self.asked[order.number], order)

    def die_and_judge(self, serial: int, reason: Reason) -> None:
        """Whether it is still listed is OTP's table of restart types, by hand."""
        id = self.alive[serial].id
        restart, was_active = self.specs[id].restart, self.state(id) == "active"
        self.dead.append(serial)
        self.die(serial, reason)
        if was_active and reason not in ABNORMAL:
            assert (self.state(id) is not None) == (restart == "permanent"), f"{restart} {id} died of {reason}"
        elif was_active and restart == "temporary":
            assert self.state(id) is None

    def _check_success(self, request: object, answer: AnswerTo) -> None:
        if isinstance(request, StopSession):
            owners = {process.id for process in (*self.alive.values(), *self.booting.values())}
            assert request.id not in owners, "stopped, and alive"
        if isinstance(request, (StartSession, RestartSession)) and isinstance(answer.value, dict):
            assert answer.value["state"] == "active"
            assert answer.value["serial"] in {*self.alive, *self.dead}, "ready, and never lived"


def random_spec(rng: random.Random) -> ChildSpec:
    return spec(
        rng.choice(IDS), rng.choice(["ok", "slow", "stubborn", "lingering"]), rng.choice([None, "anna", "bert"]),
        restart=rng.choice(["permanent", "transient", "temporary"]),
        shutdown_s=rng.choice([0.0, 1.0, 5.0, "brutal_kill", "infinity"]), intensity=rng.choice([0, 1, 3]),
        period_s=rng.choice([2.0, 5.0]), backoff_initial_s=rng.choice([0.0, 0.5, 0.9]),
        give_up=rng.choice(["after_intensity", "never"]),
    )  # fmt: skip


def random_request(rng: random.Random, world: Judged) -> None:
    id = rng.choice(IDS)
    match rng.randrange(8):
        case 0 | 1 | 2:
            wanted = random_spec(rng)
            if world.state(wanted.id) is None:
                world.specs[wanted.id] = wanted
            world.ask(StartSession(wanted))
        case 3:
            if world.state(id) == "gave_up":
                world.crashes.pop(id, None)
            world.ask(RestartSession(id))
        case _:
            page = ListSessions(rng.randrange(9), 2)
            requests: list[SessionRequest] = [StopSession(id), RemoveSession(id), GetSession(id), page, CountSessions()]
            world.ask(rng.choice(requests))


def random_step(rng: random.Random, world: Judged) -> None:
    match rng.randrange(10):
        case 0 | 1 | 2 if world.alive:
            serial = rng.choice(sorted(world.alive))
            world.die_and_judge(serial, rng.choice(REASONS))
        case 3 if world.booting:
            id = rng.choice(sorted(process.id for process in world.booting.values()))
            outcome = rng.randrange(6)
            world.boot(id, BAD_INIT if outcome == 0 else None, ignored=outcome == 1)
        case 4:
            world.advance(rng.choice([0.0, 0.05, 0.3, 1.0, 6.0]))
        case 5 if world.dead:
            world.deliver(Exit(rng.choice(world.dead), rng.choice(REASONS)))
        case 6 if world.dying:
            world.reap()
        case 7:
            world.failing ^= {rng.choice(IDS)}
        case _:
            random_request(rng, world)


def simulate(seed: int) -> World:
    rng = random.Random(seed)
    world = Judged()
    for _ in range(STEPS):
        random_step(rng, world)
    closing = world.ask(Shutdown(grace_s=2.0))
    for _ in range(rng.choice([0, 5, 20])):
        random_step(rng, world)
    for process in list(world.booting.values()):
        world.boot(process.id)
    world.advance(10.0)
    world.reap()
    unanswered = [world.asked[number] for number in world.asked if number not in world.answers]
    assert (unanswered, world.alive, world.booting, world.alarms) == ([], {}, {}, {})
    assert world.answers[closing].error is None
    return world


@pytest.mark.parametrize("seed", SEEDS)
def test_every_promise_holds_in_every_random_history(seed: int) -> None:
    simulate(seed)


def test_the_random_histories_reach_every_kind_of_event() -> None:
    worlds = [simulate(seed) for seed in range(30)]
    kinds = {tell.kind for world in worlds for tell in world.tells}
    codes = {answer.error[0] for world in worlds for answer in world.answers.values() if answer.error is not None}
    assert kinds == {"session_started", "session_crashed", "session_restarted", "session_gave_up", "session_stopped"}
    assert codes == {
        "not_found", "start_failed", "shutting_down", "already_exists", "already_registered", "resource_exhausted",
        "invalid_spec", "not_running", "running", "restarting",
    }  # fmt: skip
