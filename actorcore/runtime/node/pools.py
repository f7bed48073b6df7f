"""Pools: when the blanks that were used up are forked again: in a pause, for a fork costs the spawn beside it more than
it saves; a few at once as soon as few are left, so that a load without pauses seldom finds none, and a burst that is
not larger than the pool nearly none beside it.
"""

from __future__ import annotations

from actorcore.signals import Refill

PAUSE_S = 0.005
"""So long without an event is a pause."""
PATIENCE_S = 0.1
"""A pool that lacks blanks waits no longer than this for a pause."""
REST_S = 1.0
"""Without blanks, after a fork has failed: the pools must not take from the spawns what little there is."""
LOW = 2
"""So few are left, or half of a small pool: no pause is waited for. They last while a few are forked."""
BATCH = 4
"""Forks ordered at once: a spawn that comes now waits behind no more of them."""


class Pools:
    """``wanted``: how many blanks of each template are to wait."""

    def __init__(self, wanted: dict[str, int]) -> None:
        self._wanted = wanted
        self._quiet_since = 0.0
        self._resting_until = 0.0
        self._lacking_since: float | None = None
        self._is_low = False
        self._expected: dict[str, int] = {}

    def want(self, template: str, count: int) -> None:
        """So many of ``template`` from now on."""
        self._wanted[template] = count

    def disturb(self, now: float) -> None:
        """Something happened: this is no pause."""
        self._quiet_since = now
        self._expected.clear()

    def rest(self, now: float) -> None:
        """A fork has failed, or was not even tried."""
        self._resting_until = now + REST_S

    def deadline(self) -> float | None:
        """When :meth:`refills` has something to say, if nothing happens until then; None: the pools are full."""
        if self._lacking_since is None:
            return None
        pause_s = 0.0 if self._is_low else PAUSE_S
        return max(self._resting_until, min(self._quiet_since + pause_s, self._lacking_since + PATIENCE_S))

    def refills(self, blanks: dict[str, int], now: float) -> list[Refill]:
        """What to order now, ``blanks`` being those that wait or are on their way."""
        if any(blanks.get(name, 0) < count for name, count in self._expected.items()):
            self.rest(now)
        lacking = [(name, count) for name, count in self._wanted.items() if blanks.get(name, 0) < count]
        self._is_low = any(blanks.get(name, 0) <= min(LOW, count // 2) for name, count in lacking)
        if not lacking:
            self._lacking_since = None
            return []
        if self._lacking_since is None:
            self._lacking_since = now
        due = self.deadline()
        if due is None or now < due:
            return []
        self._lacking_since = now
        self._expected = {name: min(count, blanks.get(name, 0) + BATCH) for name, count in lacking}
        return [Refill(name, count) for name, count in self._expected.items()]
