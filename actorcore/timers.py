"""Deadlines: one per key, earliest first, equal ones in the order in which they were set."""

from __future__ import annotations

import heapq
from typing import Generic, TypeVar

import msgspec

Key = TypeVar("Key", int, str)

_SLACK = 64


class Deadlines(msgspec.Struct, Generic[Key]):
    """A heap whose cancelled entries stay until they surface or outnumber the live ones."""

    live: dict[Key, tuple[float, int]] = {}
    heap: list[tuple[float, int, Key]] = []
    turn: int = 0

    def set(self, key: Key, at: float) -> None:
        """``key`` is due at ``at`` (seconds); an earlier deadline of the key is replaced."""
        self.turn += 1
        self.live[key] = (at, self.turn)
        heapq.heappush(self.heap, (at, self.turn, key))
        if len(self.heap) > 2 * len(self.live) + _SLACK:
            self.heap = sorted((when, turn, key) for key, (when, turn) in self.live.items())

    def cancel(self, key: Key) -> None:
        self.live.pop(key, None)

    def earliest(self) -> float | None:
        """When the next key is due."""
        self._shed()
        return self.heap[0][0] if self.heap else None

    def pop_due(self, now: float) -> list[Key]:
        """Remove and return all keys whose deadline is not after ``now``."""
        due = []
        self._shed()
        while self.heap and self.heap[0][0] <= now:
            key = heapq.heappop(self.heap)[2]
            del self.live[key]
            due.append(key)
            self._shed()
        return due

    def _shed(self) -> None:
        while self.heap and self.live.get(self.heap[0][2]) != self.heap[0][:2]:
            heapq.heappop(self.heap)
