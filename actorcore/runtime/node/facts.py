"""What a node has to tell its kernel of itself: the wall clock that it sees, lines of its log that were lost, and whether its
state is so large that the ledger could not hold much more."""

from __future__ import annotations

from actorcore.runtime import clock, log
from actorcore.signals import ClockSet, Crowded, Event, LogDropped

CLOCK_GRAIN_S = 0.01
"""A wall clock that goes so much unlike the monotonic one has been set, or the machine was asleep."""
CROWDED_BYTES = 12 << 20
"""Of a half of the ledger, 32 MiB: 12 more are for what clients are owed, the rest for what comes until the next snapshot."""


class NodeFacts:
    """Of one node, since it took over."""

    def __init__(self) -> None:
        self._offset_s = 0.0
        self._dropped = 0
        self._due_s = 0.0
        self._crowded: bool | None = None
        self._told_crowded: bool | None = None

    def snapshot_taken(self, size_bytes: int) -> None:
        """The state without what clients are owed, which has a bound of its own, was so large just now."""
        self._crowded = size_bytes > CROWDED_BYTES

    def new(self, now: float) -> list[Event]:
        """What has changed since it was asked last; lost lines at most once a second."""
        found: list[Event] = []
        offset_s = clock.wall_offset_s()
        if abs(offset_s - self._offset_s) > CLOCK_GRAIN_S:
            self._offset_s = offset_s
            found.append(ClockSet(offset_s))
        if log.dropped() != self._dropped and now >= self._due_s:
            self._dropped, self._due_s = log.dropped(), now + log.SELDOM_S
            found.append(LogDropped(self._dropped))
        if self._crowded != self._told_crowded:
            self._told_crowded = self._crowded
            found.append(Crowded(bool(self._crowded)))
        return found
