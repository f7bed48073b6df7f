"""Driver: events into a process table, each checked: invariants, and the same effects from a restored twin."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from actorcore.effects import Deliver, Effect, Fork
from actorcore.exit_reason import Reason, Term
from actorcore.process_table import ProcessTable
from actorcore.signals import Answer, Asked, Booted, Born, ClientAttached, Delivery, Event, Exited, ProcessSpec, Request, Spawn

D = TypeVar("D")
EXITED, KILLED, SIGKILL = 1, 2, 9


class Driver:
    def __init__(self, pages: int = 64, check: bool = True) -> None:
        self.table = ProcessTable(9, pages)
        self.check = check
        self.now = 100.0
        self.numbers: dict[int, int] = {}
        self.root = self.table.add_resident("system:root")

    def do(self, event: Event) -> list[Effect]:
        return self._twice(lambda table: table.handle(event, self.now))

    def resident_exited(self, serial: int, reason: Reason) -> list[Effect]:
        return self._twice(lambda table: table.resident_exited(serial, reason, self.now))

    def resident_answers(self, to: int, number: int, value: Term) -> list[Effect]:
        return self._twice(lambda table: table.answer(to, number, value))

    def ask(self, frm: int, body: Request) -> list[Effect]:
        self.numbers[frm] = self.numbers.get(frm, 0) + 1
        return self.do(Asked(frm, self.numbers[frm], body))

    def value(self, frm: int, body: Request) -> Term:
        """What ``frm`` is answered; an AssertionError when it is refused."""
        [answer] = deliveries(self.ask(frm, body), frm, Answer)
        assert answer.error is None, answer
        return answer.value

    def error(self, frm: int, body: Request) -> tuple[str, Term]:
        [answer] = deliveries(self.ask(frm, body), frm, Answer)
        assert answer.error is not None, answer
        return answer.error

    def fork(self, spec: ProcessSpec | None = None, **options: bool | int) -> int:
        """The serial of a process that root has ordered and that is not born yet."""
        wanted = Spawn(spec or ProcessSpec("m:f"), **options)  # type: ignore[arg-type]
        return next(effect.serial for effect in self.ask(self.root, wanted) if isinstance(effect, Fork))

    def start(self, spec: ProcessSpec | None = None, **options: bool | int) -> int:
        """The serial of a process that is ready."""
        serial = self.fork(spec, **options)
        self.do(Born(serial, 1000 + serial))
        self.do(Booted(serial))
        return serial

    def client(self, secret: bytes = b"s") -> int:
        self.do(ClientAttached(0, secret, 77))
        return self.table.last_client

    def exit(self, serial: int, reason: Reason | None = None) -> list[Effect]:
        return self.do(Exited(serial, EXITED, 0 if reason is None else 1, reason))

    def kill(self, serial: int) -> list[Effect]:
        """Reap a process that SIGKILL has ended."""
        return self.do(Exited(serial, KILLED, SIGKILL))

    def _twice(self, step: Callable[[ProcessTable], list[Effect]]) -> list[Effect]:
        if not self.check:
            return step(self.table)
        twin = ProcessTable.restore(self.table.snapshot())
        effects = step(self.table)
        assert step(twin) == effects
        assert twin.snapshot() == self.table.snapshot()
        self.table.check_invariants()
        return effects


def deliveries(effects: list[Effect], to: int, kind: type[D]) -> list[D]:
    """Bodies of one kind delivered to one receiver."""
    return [e.body for e in effects if isinstance(e, Deliver) and e.to == to and isinstance(e.body, kind)]


def bodies(effects: list[Effect], to: int) -> list[Delivery]:
    return [effect.body for effect in effects if isinstance(effect, Deliver) and effect.to == to]


def without_reports(effects: list[Effect]) -> list[str]:
    """Types of the effects in order, telemetry left out."""
    names = (type(e.body).__name__ if isinstance(e, Deliver) else type(e).__name__ for e in effects)
    return [name for name in names if name != "Report"]
