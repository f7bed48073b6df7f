"""Back-off: how long a restart waits, and whether the waiting still lets the restart intensity be reached (F14).

The first restart of a streak waits ``initial_s``, the n-th ``step_s · 2^(n-2)``, never less than ``initial_s`` nor more
than ``max_s``. A process that stayed up for a whole restart period ends the streak; waiting itself never does.
"""

from __future__ import annotations

from fractions import Fraction

MIN_STEP_S = 0.001
MAX_DELAY_S = 3600.0
_MAX_DOUBLINGS = 40
"""Enough for the smallest step to pass the longest delay; beyond it a power of two would overflow a float."""


def delay_s(nth: int, initial_s: float, step_s: float, max_s: float) -> float:
    """Seconds between the death and the ``nth`` restart (from 1) of a streak; never falls as ``nth`` rises."""
    if nth <= 1:
        return initial_s
    doubled: float = step_s * 2.0 ** min(nth - 2, _MAX_DOUBLINGS)
    return min(max_s, max(initial_s, doubled))


def shortest_time_to_limit_s(intensity: int, initial_s: float, step_s: float, max_s: float) -> Fraction:
    """Exact seconds from the first to the last of the ``intensity`` + 1 deaths of a process that dies as it starts.

    Delays never fall within a streak, so the first deaths are the closest ones: no later window is shorter.
    """
    delays = (Fraction(delay_s(nth, initial_s, step_s, max_s)) for nth in range(1, intensity + 1))
    return sum(delays, Fraction(0))


def is_limit_reachable(intensity: int, period_s: float, initial_s: float, step_s: float, max_s: float) -> bool:
    """Whether a process that dies as it starts is ever given up.

    Delays that fill the period exactly count as unreachable: every real start takes time.
    """
    return shortest_time_to_limit_s(intensity, initial_s, step_s, max_s) < Fraction(period_s)
