"""The kernel of the daemon with virtual processes and time: sessions without an operating system.

Before every event the kernel is copied through its snapshot, and the copy must have the same effects and end in the same
state: so every test here also shows that the death of the node at that point loses nothing.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import msgspec

from actorcore.effects import Deliver, Effect, Fork, Inspect, Kill
from actorcore.kernel import Kernel
from actorcore.requests import Ask, Demonitor, Request, TrapExit
from actorcore.signals import (
    Answer,
    Asked,
    Begin,
    Booted,
    Born,
    ClientAttached,
    ClockSet,
    Event,
    Exit,
    Exited,
    Inspected,
    Refused,
    Sent,
    TemplateTold,
    Ticked,
)
from actorcore.words import LEAN
from supervisors.node_entry import kernel_of
from supervisors.services.limiter import Limiter
from supervisors.session.manager import Manager
from supervisors.session.record import SESSION
from supervisors.session.settings import SessionSettings
from supervisors.session.words import ManagerRequest
from supervisors.tree.sessions import Sessions

WALL_S = 1_700_000_000.0
NOW_S = 100.0


def uuid(number: int) -> str:
    """The ``number``-th id: a UUID of version 4."""
    return str(UUID(int=number, version=4))


def draft(number: int = 1, **fields: Any) -> dict[str, Any]:
    """A session that can be created: module ``m:ok``, ``m:slow`` (its test boots it), ``m:stubborn`` (ignores exit signals),
    ``m:bad`` (its init raises), ``m:stuck`` (as m:slow, and when it is killed it hangs in the kernel)."""
    project = {"path": f"/p/{number}", "dev": 1, "inode": number, "uid": 0, "gid": 0, "mode": 0o40755}
    return {"id": uuid(number), "name": f"s{number}", "project": project, "module": "m:ok", **fields}


@dataclass
class Party:
    """A client, what it is told, and the numbers of its requests."""

    serial: int
    numbers: int = 0
    answers: dict[int, Answer] = field(default_factory=dict)
    mail: list[dict[str, Any]] = field(default_factory=list)
    seqs: list[int] = field(default_factory=list)
    serial_of_mail: list[int] = field(default_factory=list)

    def events(self) -> list[dict[str, Any]]:
        """The events among its mail, which it forgets."""
        mail, self.mail = self.mail, []
        return [one["event"] for one in mail]


class ManagerWorld:
    """See the module. ``starts``: which modules were begun; ``stuck``: who is killed and not dead yet."""

    def __init__(self, settings: SessionSettings | None = None, resumes: bool = False) -> None:
        self.settings, self.resumes = settings, resumes
        self.kernel = self._fresh()
        self.now = NOW_S
        self.specs: dict[int, Begin] = {}
        self.alive: set[int] = set()
        self.stuck: list[int] = []
        self.handled: dict[int, tuple[float, int]] = {}
        self.starts: list[str] = []
        self.got: dict[int, list[Any]] = {}
        self.parties: dict[int, Party] = {}
        self._todo: deque[Event] = deque()
        self.do(TemplateTold(SESSION))
        self.do(TemplateTold(LEAN))
        self.do(ClockSet(WALL_S - NOW_S))
        self.me = self.client()

    def _fresh(self) -> Kernel:
        return kernel_of(7, {"sessions": Sessions(2000), "limiter": Limiter(), "manager": Manager(self.settings, self.resumes)})

    # ---- events and their effects -----------------------------------------------------------------------------------

    def do(self, event: Event) -> None:
        """This event, and what the world makes of its effects."""
        self._todo.append(event)
        while self._todo:
            for effect in self._handled(self._todo.popleft()):
                self._perform(effect)

    def _handled(self, event: Event) -> list[Effect]:
        copy = self._fresh()
        copy.restore(self.kernel.snapshot())
        effects = self.kernel.handle(event, self.now)
        assert copy.handle(event, self.now) == effects
        assert copy.snapshot() == self.kernel.snapshot()
        self.kernel.table.check_invariants()
        return effects

    def _perform(self, effect: Effect) -> None:
        match effect:
            case Fork(serial):
                self.alive.add(serial)
                self._todo.append(Born(serial, 10_000 + serial))
            case Deliver(serial, _, Begin() as begin):
                self.specs[serial] = begin
                self.starts.append(begin.spec.start)
                if begin.spec.start == "m:bad":
                    self._todo.append(Refused(serial, {"error": {"type": "Bad", "text": ""}}))
                    self._exited(Exited(serial, 1, 1))
                elif begin.spec.start not in ("m:slow", "m:stuck"):
                    self._todo.append(Booted(serial))
            case Deliver(serial, _, Exit(_, reason)) if serial in self.specs:
                if self.specs[serial].spec.start != "m:stubborn":
                    self._exited(Exited(serial, 1, 0, reason))
            case Deliver(serial, seq, Answer() as answer) if serial in self.parties:
                self.parties[serial].answers[answer.number] = answer
                self.parties[serial].seqs.append(seq)
            case Deliver(serial, _, Sent(_, body)) if serial in self.parties:
                self.parties[serial].mail.append(msgspec.msgpack.decode(body))
            case Deliver(serial, _, Sent(_, body)):
                self.got.setdefault(serial, []).append(msgspec.msgpack.decode(body))
            case Kill(serial):
                if self.specs[serial].spec.start == "m:stuck":
                    self.stuck.append(serial)
                else:
                    self._exited(Exited(serial, 2, 9))
            case Inspect(by, pages):
                self._todo.append(Inspected(by, {serial: self.handled.get(serial, (0.0, 0)) for serial in pages}))
            case _:
                pass

    def _exited(self, fact: Exited) -> None:
        if fact.serial in self.alive:
            self.alive.remove(fact.serial)
            self._todo.append(fact)

    # ---- what tests do ----------------------------------------------------------------------------------------------

    def client(self) -> Party:
        self.do(ClientAttached(0, b"s", 1))
        party = Party(self.kernel.table.last_client)
        self.parties[party.serial] = party
        self.request(TrapExit(True), party)
        return party

    def request(self, body: Request, party: Party | None = None) -> int:
        """Its number."""
        one = party or self.me
        one.numbers += 1
        self.do(Asked(one.serial, one.numbers, body))
        return one.numbers

    def ask(self, request: ManagerRequest, party: Party | None = None) -> int:
        """The number of a request to the manager."""
        manager = self.kernel.table.published()["system:manager"]
        return self.request(Ask(manager, msgspec.Raw(msgspec.msgpack.encode(request))), party)

    def answer(self, number: int, party: Party | None = None) -> Any:
        """The value of an answer, or its error as a tuple; None when there is none yet."""
        answer = (party or self.me).answers.get(number)
        if answer is None:
            return None
        return answer.value if answer.error is None else answer.error

    def call(self, request: ManagerRequest, party: Party | None = None) -> Any:
        """Ask and answer."""
        return self.answer(self.ask(request, party), party)

    def kill(self, serial: int, signum: int = 9) -> None:
        """The process dies of a signal from outside."""
        self._exited(Exited(serial, 2, signum))
        self.do(ClockSet(WALL_S - NOW_S))

    def pass_time(self, seconds: float) -> None:
        """Every alarm rings at its time."""
        until = self.now + seconds
        while (due := self.kernel.next_deadline()) is not None and due <= until:
            self.now = max(self.now, due)
            self.do(Ticked())
        self.now = until

    def demonitor(self, ref: int) -> None:
        self.request(Demonitor(ref))
