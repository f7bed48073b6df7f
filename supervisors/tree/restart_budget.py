"""The budget of restarts: how many within which time, and how long each of them waits. One rule for sessions and trees.

A spec has the five numbers of :class:`Budget`. What has happened is two values that whoever restarts keeps: the times of
the restarts that count (a supervisor's for all its children, as in OTP; a session's own) and each child's streak.
"""

from __future__ import annotations

import math
from typing import Protocol

import msgspec

from actorcore.exit_reason import Reason
from supervisors.tree.backoff import MAX_DELAY_S, MIN_STEP_S, delay_s, is_limit_reachable, shortest_time_to_limit_s
from supervisors.tree.restart_intensity import add_restart

MAX_INTENSITY = 1000
"""Each counted restart is a time in the snapshot."""


SHORTAGE = "resource_exhausted"
"""The key of the reason of a start that failed for want of processes, memory or descriptors."""
SHORTAGE_FIRST_S = 0.1
SHORTAGE_MAX_S = 5.0


class Budget(Protocol):
    """More than ``intensity`` restarts within ``period_s`` are too many; back-off: see :mod:`supervisors.tree.backoff`."""

    @property
    def intensity(self) -> int: ...
    @property
    def period_s(self) -> float: ...
    @property
    def backoff_initial_s(self) -> float: ...
    @property
    def backoff_step_s(self) -> float: ...
    @property
    def backoff_max_s(self) -> float: ...


class Verdict(msgspec.Struct, frozen=True):
    """``times`` and ``streak`` are what to keep from now on; the restart comes ``wait_s`` later, if it is allowed."""

    times: list[float]
    streak: int
    is_allowed: bool
    wait_s: float


def decide(budget: Budget, times: list[float], streak: int, ready_at: float | None, now: float) -> Verdict:
    """About a restart that is wanted at ``now`` (monotonic seconds) of what has been up since ``ready_at`` (None: never)."""
    times, is_allowed = add_restart(times, now, budget.intensity, budget.period_s)
    was_quiet = ready_at is not None and now - ready_at >= budget.period_s
    streak = 1 if was_quiet else streak + 1
    wait_s = delay_s(streak, budget.backoff_initial_s, budget.backoff_step_s, budget.backoff_max_s)
    return Verdict(times, streak, is_allowed, wait_s)


def is_shortage(reason: Reason) -> bool:
    """Whether a start failed because the machine has no process left: that is nobody's crash."""
    return isinstance(reason, dict) and SHORTAGE in reason


def shortage_wait_s(nth: int) -> float:
    """Until the next try, after ``nth`` in a row for which there was no process."""
    return delay_s(nth, SHORTAGE_FIRST_S, SHORTAGE_FIRST_S, SHORTAGE_MAX_S)


def trouble_with_numbers(budget: Budget) -> str | None:
    """The field that cannot be so, and why; None: each is possible."""
    if not 0 <= budget.intensity <= MAX_INTENSITY:
        return f"intensity: must be 0 to {MAX_INTENSITY}"
    if not 0 < budget.period_s < math.inf:
        return "period_s: must be more than 0"
    if not 0 <= budget.backoff_max_s <= MAX_DELAY_S:
        return f"backoff_max_s: must be 0 to {MAX_DELAY_S:g}"
    if not 0 <= budget.backoff_initial_s <= budget.backoff_max_s:
        return "backoff_initial_s: must be 0 to backoff_max_s"
    if budget.backoff_step_s != 0 and not MIN_STEP_S <= budget.backoff_step_s <= budget.backoff_max_s:
        return f"backoff_step_s: must be 0, or {MIN_STEP_S:g} to backoff_max_s"
    return None


def trouble_with_waits(budget: Budget) -> str | None:
    """Back-off that lets nobody ever reach the limit (F14); None: who dies as it starts is given up one day."""
    backoff = (budget.backoff_initial_s, budget.backoff_step_s, budget.backoff_max_s)
    if is_limit_reachable(budget.intensity, budget.period_s, *backoff):
        return None
    needed_s = float(shortest_time_to_limit_s(budget.intensity, *backoff))
    return (
        f"backoff: {budget.intensity + 1} deaths take {needed_s:g} s or more, so the limit of {budget.intensity} restarts in "
        f"{budget.period_s:g} s is never reached"
    )
