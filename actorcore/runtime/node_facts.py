"""What a node has to tell its kernel of itself: the wall clock that it sees, and lines of its log that were lost."""

from __future__ import annotations

from actorcore.runtime import clock, log
from actorcore.signals import ClockSet, Event, LogDropped

CLOCK_GRAIN_S = 0.01
"""A wall clock that goes so much unlike the monotonic one has been set, or the machine was asleep."""


class NodeFacts:
    """Of one node, since it took over."""

    def __init__(self) -> None:
        self._offset_s = 0.0
        self._dropped = 0
        self._due_s = 0.0

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
        return found
