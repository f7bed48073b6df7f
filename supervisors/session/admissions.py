"""Who may resume what: the limiter has counted his attempt, and did not refuse it. Pure."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from supervisors.services.limiter import Attempt
from supervisors.services.rate_limit import RESUME

ADMITTED_S = 60.0
Asker: TypeAlias = tuple[int, int]
"""(frm, number) of an Asking that is still to be answered."""


class Admissions(msgspec.Struct):
    """``asked``: who waits for the limiter, and to resume which id, by the number of the question; ``admitted``: the ids
    that were, and when (monotonic seconds), each for one resume. ``resumer``: the process that resumes what the daemon
    before has left, and needs not wait.
    """

    asked: dict[int, tuple[Asker, str]] = {}
    admitted: list[tuple[str, float]] = []
    resumer: int = 0

    def ask(self, number: int, asker: Asker, id: str) -> Attempt:
        """What the limiter is asked under ``number``."""
        self.asked[number] = (asker, id)
        return Attempt(RESUME, id)

    def admit(self, id: str, now: float) -> None:
        """One resume of ``id`` may follow."""
        self.admitted.append((id, now))

    def forget(self, id: str) -> None:
        """Nobody may resume ``id`` who has not asked since."""
        self.admitted = [one for one in self.admitted if one[0] != id]

    def take(self, id: str, now: float) -> bool:
        """Whether there was an admission, which there is no more."""
        self.admitted = [one for one in self.admitted if now - one[1] < ADMITTED_S]
        found = next((one for one in self.admitted if one[0] == id), None)
        if found is not None:
            self.admitted.remove(found)
        return found is not None
