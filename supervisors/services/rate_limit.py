"""Rate limits: how many attempts there may be within a sliding window, per key and over all keys of an operation. Pure.

An attempt is checked and counted in one step, whatever comes of it afterwards; one that is refused does not count, so
``retry_after_s`` falls while one waits. Time is monotonic: the wall clock does not matter.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from typing import TypeAlias

import msgspec


class Rate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """At most ``limit`` attempts in any ``window_s`` seconds."""

    limit: int
    window_s: float = 60.0


class Rates(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """By operation: for each key, and ``overall`` for all keys together; an operation without a rate has ``default`` per key."""

    per_key: dict[str, Rate] = {}
    overall: dict[str, Rate] = {}
    default: Rate = Rate(10)


RESUME = "resume"
RATES = Rates(per_key={RESUME: Rate(5)}, overall={RESUME: Rate(20)})
MAX_KEYS = 4096
"""Of all operations, each with an attempt within its window. Above it new keys are refused: whoever could make us forget
one would have a fresh budget."""

Snapshot: TypeAlias = tuple[list[tuple[str, str, list[float]]], dict[str, list[float]]]
"""Operation, key and times of attempts; times over all keys by operation."""


def trouble_with(rates: Rates) -> str | None:
    """Which rate cannot be so; None for rates that one can live with."""
    named = {**{f"per_key.{name}": rate for name, rate in rates.per_key.items()}, "default": rates.default}
    for name, rate in (named | {f"overall.{name}": rate for name, rate in rates.overall.items()}).items():
        if rate.limit < 1:
            return f"{name}.limit: must be 1 or more"
        if not 0 < rate.window_s < math.inf:
            return f"{name}.window_s: must be more than 0"
    return None


class RateLimit:
    """The windows of all operations: one per operation and key, one per operation over all keys."""

    def __init__(self, rates: Rates = RATES, max_keys: int = MAX_KEYS) -> None:
        self.rates = rates
        self._max_keys = max_keys
        self._by_key: dict[tuple[str, str], deque[float]] = {}
        self._overall: dict[str, deque[float]] = {}
        self._due: list[tuple[float, str, str]] = []
        """A heap: when to look whether nothing of a key counts any more, once per key."""

    def attempt(self, operation: str, key: str, now: float) -> int | None:
        """Count one attempt and return None, or how many seconds (1 or more) to wait when there is no room for it."""
        self._forget(now)
        wait_s = max(self._wait_s(operation, key, now), self._overall_wait_s(operation, now))
        if wait_s > 0:
            return math.ceil(wait_s)
        if (operation, key) not in self._by_key:
            self._by_key[operation, key] = deque()
            heapq.heappush(self._due, (now + self._rate(operation).window_s, operation, key))
        self._by_key[operation, key].append(now)
        if operation in self.rates.overall:
            self._overall.setdefault(operation, deque()).append(now)
        return None

    def reset(self, operation: str, key: str) -> None:
        """The attempts of this one key count no more; those over all keys stay counted."""
        if (times := self._by_key.get((operation, key))) is not None:
            times.clear()

    def keys(self) -> int:
        """How many keys are remembered."""
        return len(self._by_key)

    def snapshot(self) -> Snapshot:
        """All that counts, as plain data."""
        by_key = [(operation, key, list(times)) for (operation, key), times in self._by_key.items()]
        return by_key, {operation: list(times) for operation, times in self._overall.items()}

    def restore(self, state: Snapshot) -> None:
        """Become what :meth:`snapshot` described."""
        by_key, overall = state
        self._by_key = {(operation, key): deque(times) for operation, key, times in by_key}
        self._overall = {operation: deque(times) for operation, times in overall.items()}
        self._due = [(self._until(operation, times), operation, key) for operation, key, times in by_key]
        heapq.heapify(self._due)

    def _rate(self, operation: str) -> Rate:
        return self.rates.per_key.get(operation, self.rates.default)

    def _wait_s(self, operation: str, key: str, now: float) -> float:
        times = self._by_key.get((operation, key))
        if times is None:
            return 0.0 if len(self._by_key) < self._max_keys else self._rate(operation).window_s
        return _wait_s(times, self._rate(operation), now)

    def _overall_wait_s(self, operation: str, now: float) -> float:
        rate, times = self.rates.overall.get(operation), self._overall.get(operation)
        return 0.0 if rate is None or times is None else _wait_s(times, rate, now)

    def _forget(self, now: float) -> None:
        """Drop the keys of which nothing is in its window any more."""
        while self._due and self._due[0][0] <= now:
            _, operation, key = heapq.heappop(self._due)
            until = self._until(operation, list(self._by_key[operation, key]))
            if until > now:
                heapq.heappush(self._due, (until, operation, key))
            else:
                del self._by_key[operation, key]

    def _until(self, operation: str, times: list[float]) -> float:
        """When the last of ``times`` leaves its window."""
        return times[-1] + self._rate(operation).window_s if times else 0.0


def _wait_s(times: deque[float], rate: Rate, now: float) -> float:
    """How long until there is room; drops what is out of the window."""
    while times and times[0] + rate.window_s <= now:
        times.popleft()
    return 0.0 if len(times) < rate.limit else times[0] + rate.window_s - now
