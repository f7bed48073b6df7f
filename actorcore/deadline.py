"""How long a wait takes that is said in seconds."""

from __future__ import annotations

import math

from actorcore.errors import RequestError


def deadline_of(timeout_s: float | None, now_s: float) -> float | None:
    """When ``timeout_s`` from ``now_s`` is over; None, never, for None and infinity.

    0 and less are over at once: what is there already is taken, and nothing is waited for.

    :raises RequestError: ``invalid_field``, nan.
    """
    if timeout_s is None or timeout_s == math.inf:
        return None
    if timeout_s != timeout_s:
        raise RequestError("invalid_field", "timeout_s: nan is no time")
    return now_s + timeout_s
