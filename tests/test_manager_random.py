"""The manager under whatever people and signals do, in virtual time: its word, its supervisor's and the processes agree."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest

from actorcore.effects import Effect
from actorcore.requests import Ask, SendExit
from actorcore.signals import Booted, Event
from supervisors.session.words import (
    CreateSession,
    ListSessions,
    RestartSession,
    StopSession,
    SuspendSession,
    WakeSession,
)
from tests.manager_world import ManagerWorld, draft, uuid

SESSIONS = 3
STEPS = 40
ASKS = (StopSession, SuspendSession, SuspendSession, WakeSession, WakeSession, RestartSession)


class Random(ManagerWorld):
    """``slow`` sessions are booted when chance says so. The copies are made in test_manager already."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        super().__init__()

    def _handled(self, event: Event) -> list[Effect]:
        effects = self.kernel.handle(event, self.now)
        self.kernel.table.check_invariants()
        return effects

    def booting(self) -> list[int]:
        """Who is in init."""
        rows = {serial: self.kernel.table.row(serial) for serial in sorted(self.alive)}
        return [serial for serial, row in rows.items() if row is not None and row.phase == "booting" and serial in self.specs]

    def step(self) -> None:
        """One thing happens."""
        number = self.chance.randint(1, SESSIONS)
        match self.chance.choice("create create ask ask ask ask boot boot boot boot kill manager time".split()):
            case "create":
                self.ask(CreateSession(draft(number, module="m:slow")))
            case "ask":
                self.ask(self.chance.choice(ASKS)(uuid(number)))
            case "boot" if self.booting():
                self.do(Booted(self.chance.choice(self.booting())))
            case "kill" if self.alive:
                self.kill(self.chance.choice(sorted(self.alive)))
            case "manager":
                self.request(SendExit(self.kernel.table.published()["system:manager"], "kill"))
            case "time":
                self.pass_time(self.chance.choice((0.05, 1.0, 6.0)))

    def settle(self) -> None:
        """Whoever is in init gets ready, and every pause is over."""
        for _ in range(20):
            for serial in self.booting():
                self.do(Booted(serial))
            self.pass_time(2.0)

    def supervised(self) -> dict[str, int]:
        """What the supervisor of the sessions says: id to serial."""
        supervisor = self.kernel.table.published()["system:sessions"]
        answer: Any = self.answer(self.request(Ask(supervisor, msgspec.Raw(msgspec.msgpack.encode(["list_sessions"])))))
        return {row["id"]: row["serial"] for row in answer["sessions"]}


@pytest.mark.parametrize("seed", range(150))
def test_acceptance_48_52_whatever_happens_the_manager_its_supervisor_and_the_processes_agree_in_the_end(seed: int) -> None:
    world = Random(seed)
    for _ in range(STEPS):
        world.step()
    world.settle()
    rows = {row["id"]: row for row in world.call(ListSessions())["sessions"]}
    statuses = {id: row["status"] for id, row in rows.items()}
    assert set(statuses.values()) <= {"active", "idle", "suspended", "gave_up"}, (seed, statuses)
    serials = {id: row["serial"] for id, row in rows.items() if row["status"] != "suspended"}
    assert (world.supervised(), world.alive) == (serials, {serial for serial in serials.values() if serial}), (seed, statuses)
    for id in rows:
        assert world.call(StopSession(id))["status"] == "terminated", seed
    assert (world.supervised(), world.alive) == ({}, set()), seed
