"""Pools: when the blanks that were used up are forked again: in a pause, for a fork costs the spawn beside it more than
it saves; under a load without pauses in batches, so that a pool is never empty for long.
"""

from __future__ import annotations

from actorcore.signals import Refill

PAUSE_S = 0.005
"""So long without an event is a pause."""
PATIENCE_S = 0.1
"""A pool that lacks blanks waits no longer than this for a pause."""
REST_S = 1.0
"""Without blanks, after a fork has failed: the pools must not take from the spawns what little there is."""
BATCH = 4
"""Forks ordered at once: a spawn that comes now waits behind no more of them."""


class Pools:
    """``wanted``: how many blanks of each template are to wait."""

    def __init__(self, wanted: dict[str, int]) -> None:
        self._wanted = wanted
        self._quiet_since = 0.0
        self._resting_until = 0.0
        self._lacking_since: float | None = None

    def want(self, template: str, count: int) -> None:
        """So many of ``template`` from now on."""
        self._wanted[template] = count

    def disturb(self, now: float) -> None:
        """Something happened: this is no pause."""
        self._quiet_since = now

    def rest(self, now: float) -> None:
        """A fork has failed."""
        self._resting_until = now + REST_S

    def deadline(self) -> float | None:
        """When :meth:`refills` has something to say, if nothing happens until then; None: the pools are full."""
        if self._lacking_since is None:
            return None
        return max(self._resting_until, min(self._quiet_since + PAUSE_S, self._lacking_since + PATIENCE_S))

    def refills(self, blanks: dict[str, int], now: float) -> list[Refill]:
        """What to order now, ``blanks`` being those that wait or are on their way."""
        lacking = [(name, count) for name, count in self._wanted.items() if blanks.get(name, 0) < count]
        if not lacking:
            self._lacking_since = None
            return []
        if self._lacking_since is None:
            self._lacking_since = now
        due = self.deadline()
        if due is None or now < due:
            return []
        self._lacking_since = now
        return [Refill(name, min(count, blanks.get(name, 0) + BATCH)) for name, count in lacking]
