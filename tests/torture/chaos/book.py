"""The book: who was struck by whom, so that each death has its cause and each refusal its reason. Nothing ends by itself.

Everybody writes here *before* he does what may end a process. A death that is not in the book, or for another reason than the
book has, is a bug of the product; so is a refused start that no strike explains.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass

from actorcore.exit_reason import Reason, Term
from actorcore.runtime import clock

HISTORY = 4000
"""Lines that are kept for who wants to know how it came to this."""
PATIENCE_S = 60.0
GONE = "noproc"


class Broken(AssertionError):
    """A promise was broken."""


def check(holds: bool, *what: object) -> None:
    """Raise Broken with the facts in ``what``."""
    if not holds:
        raise Broken(" ".join(map(repr, what)))


@dataclass(frozen=True)
class Hit:
    """``reason`` may be the end of ``serial``, which runs ``start`` under ``name`` ("": it has none, or none yet)."""

    serial: int
    name: str
    start: str
    reason: Reason


class Book:
    """Shared by all threads of a run."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._steps = 0
        self._at_work = 0
        self._hits: list[Hit] = []
        self._excused: Counter[str] = Counter()
        self.history: deque[str] = deque(maxlen=HISTORY)
        self.done: Counter[str] = Counter()
        self.resumes: list[str] = []
        self.unborn: list[str] = []
        """Sessions whose creation failed: the store keeps their folders until it needs the room."""

    # ---- time -------------------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """One more is at work."""
        with self._changed:
            self._at_work += 1

    def end(self) -> None:
        with self._changed:
            self._at_work -= 1
            self._changed.notify_all()

    def step(self, who: str, what: str) -> None:
        """``who`` is about to do ``what``."""
        with self._changed:
            self._steps += 1
            self.history.append(f"{self._steps} {who} {what}")
            self._changed.notify_all()

    def note(self, who: str, what: str) -> None:
        """What became of it."""
        with self._changed:
            self.history.append(f"{self._steps} {who} {what}")

    def wait_step(self, at: int) -> bool:
        """Until step ``at``; False when all have done their work."""
        with self._changed:
            self._changed.wait_for(lambda: self._steps >= at or self._at_work == 0)
            return self._at_work > 0

    @property
    def steps(self) -> int:
        return self._steps

    # ---- causes -----------------------------------------------------------------------------------------------------

    def hit(self, serial: int, name: str, start: str, reason: Reason = "killed") -> None:
        """To be written before it is done."""
        with self._changed:
            self._hits.append(Hit(serial, name, start, reason))
            self.history.append(f"{self._steps} hit {serial} {name} {start} {reason}")

    def mark(self) -> int:
        """To ask later what was hit since."""
        with self._changed:
            return len(self._hits)

    def hits(self, prefix: str, since: int = 0) -> list[int]:
        """Serials that were hit under a name that begins so, each once."""
        with self._changed:
            return list(dict.fromkeys(hit.serial for hit in self._hits[since:] if hit.name.startswith(prefix)))

    def blanks(self, since: int = 0) -> int:
        """How many were hit that had nothing to run yet: they may have been anybody's."""
        with self._changed:
            return sum(hit.start == "" for hit in self._hits[since:])

    def blanks_of(self, serials: list[int]) -> bool:
        """Whether one of these was hit while it was a blank."""
        with self._changed:
            return any(hit.start == "" and hit.serial in serials for hit in self._hits)

    def reasons(self, serial: int) -> list[Reason]:
        """The ends that ``serial`` may have."""
        with self._changed:
            return [hit.reason for hit in self._hits if hit.serial == serial]

    def check_end(self, serial: int, reason: Reason, *what: object) -> None:
        """``serial`` has ended and that is why; ``noproc``: some time ago."""
        reasons = self.reasons(serial)
        check(reason in reasons or (reason == GONE and reasons != []), *what, serial, "ended with", reason, "and was to", reasons)

    def check_failed_start(self, starts: list[str], reason: object, *what: object) -> None:
        """It was refused because something that runs one of ``starts`` was killed; each hit excuses one start."""
        check("killed" in str(reason) or reason == GONE, *what, "was refused with", reason)
        with self._changed:
            for start in [*starts, ""]:
                if sum(hit.start == start for hit in self._hits) > self._excused[start]:
                    self._excused[start] += 1
                    return
        raise Broken(f"{what} was refused with {reason!r} and nobody was hit")


def patience(*what: object) -> Iterator[None]:
    """To ask again; Broken when nothing has come of it for PATIENCE_S."""
    until = clock.monotonic_s() + PATIENCE_S
    while clock.monotonic_s() < until:
        yield
    raise Broken(f"{what}: nothing comes of it")


def text(value: Term | object) -> str:
    """For the history."""
    said = repr(value)
    return said if len(said) <= 200 else said[:197] + "..."
