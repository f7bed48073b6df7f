"""Ending: what the guardian makes of the signals that it is sent. Pure; signal numbers are POSIX's."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

HUP, INT, QUIT, TERM = 1, 2, 3, 15
GRACE_S = 15.0
"""From the first TERM or INT to the end of everything, if the node does not finish by itself."""
FORCING_TERMS = 3

Told: TypeAlias = Literal["nothing", "reload", "end", "force"]


class Ending(msgspec.Struct):
    """TERM or INT begins an orderly end and the third forces it, the second changes nothing; QUIT forces it at once; HUP
    reloads until the end has begun. ``due_s``: monotonic seconds at which it is forced.
    """

    due_s: float | None = None
    terms: int = 0

    def on_signal(self, number: int, now_s: float) -> Told:
        """What it asks for."""
        if number == HUP:
            return "reload" if self.due_s is None else "nothing"
        if number == QUIT:
            return "force"
        if number not in (INT, TERM):
            return "nothing"
        self.terms += 1
        if self.terms >= FORCING_TERMS:
            return "force"
        if self.due_s is not None:
            return "nothing"
        self.due_s = now_s + GRACE_S
        return "end"

    def is_over(self, now_s: float) -> bool:
        """Whether the grace time has passed."""
        return self.due_s is not None and now_s >= self.due_s
