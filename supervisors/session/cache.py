"""Cache: values that may be forgotten, bounded in number and size, each for a time or until the oldest have to go.

Time is the monotonic clock of whoever asks. One look tells a hit from a miss from what has expired; what has expired is
known as such until its key is put, deleted or the oldest of these.
"""

from __future__ import annotations

import heapq
import math
from typing import Literal, TypeAlias

import msgspec

from actorcore.errors import RequestError

MAX_KEY_BYTES = 1024


class Look(msgspec.Struct, frozen=True):
    """What one look has found; ``value`` only with ``hit``."""

    outcome: Literal["hit", "not_found", "expired"]
    value: object = None


class CacheStatistics(msgspec.Struct, frozen=True):
    """``entries`` and ``size_bytes`` now; the others count since the beginning."""

    entries: int
    size_bytes: int
    hits: int
    not_found: int
    expired: int
    evicted: int


class _Entry(msgspec.Struct):
    """``number`` tells this put from others of the key; ``expires_at`` is monotonic, infinite for ever."""

    value: object
    size_bytes: int
    number: int
    expires_at: float


_Due: TypeAlias = tuple[float, int, str]
_NOT_FOUND, _EXPIRED = Look("not_found"), Look("expired")


class Cache:
    """At most ``max_entries`` of together ``max_bytes``; as many keys that have expired are known."""

    def __init__(self, max_entries: int, max_bytes: int) -> None:
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._entries: dict[str, _Entry] = {}
        self._gone: dict[str, None] = {}
        self._due: list[_Due] = []
        self._last_number = self._size_bytes = 0
        self._hits = self._not_found = self._expired = self._evicted = 0

    def get(self, key: str, now: float) -> Look:
        """One look."""
        self._expire(now)
        if (entry := self._entries.get(key)) is not None:
            self._hits += 1
            return Look("hit", entry.value)
        if key in self._gone:
            self._expired += 1
            return _EXPIRED
        self._not_found += 1
        return _NOT_FOUND

    def put(self, key: str, value: object, size_bytes: int, ttl_s: float | None, now: float) -> None:
        """Keep ``value``, of ``size_bytes`` with its key, for ``ttl_s`` (None: for ever); put again it is the newest.

        :raises RequestError: invalid_key, invalid_ttl or value_too_long; nothing has changed.
        """
        if not 0 < len(key.encode()) <= MAX_KEY_BYTES:
            raise RequestError("invalid_key", f"1 to {MAX_KEY_BYTES} bytes")
        if ttl_s is not None and not 0 < ttl_s < math.inf:
            raise RequestError("invalid_ttl", "ttl_s: must be more than 0")
        if size_bytes > self._max_bytes:
            raise RequestError("value_too_long", f"{size_bytes} bytes, at most {self._max_bytes}")
        self._expire(now)
        self._remove(key)
        self._last_number += 1
        entry = _Entry(value, size_bytes, self._last_number, math.inf if ttl_s is None else now + ttl_s)
        self._entries[key] = entry
        self._size_bytes += size_bytes
        if ttl_s is not None:
            self._remind(key, entry)
        while len(self._entries) > self._max_entries or self._size_bytes > self._max_bytes:
            self._remove(next(iter(self._entries)))
            self._evicted += 1

    def delete(self, key: str, now: float) -> bool:
        """Whether there was a value."""
        self._expire(now)
        existed = key in self._entries
        self._remove(key)
        return existed

    def delete_below(self, prefix: str, now: float) -> int:
        """Delete every key that begins so; how many had a value."""
        keys = [key for key in (*self._entries, *self._gone) if key.startswith(prefix)]
        return sum(self.delete(key, now) for key in keys)

    def clear(self, now: float) -> int:
        """Delete all; how many had a value."""
        return self.delete_below("", now)

    def statistics(self, now: float) -> CacheStatistics:
        self._expire(now)
        return CacheStatistics(
            len(self._entries), self._size_bytes, self._hits, self._not_found, self._expired, self._evicted
        )  # fmt: skip

    def _remove(self, key: str) -> None:
        self._gone.pop(key, None)
        if (entry := self._entries.pop(key, None)) is not None:
            self._size_bytes -= entry.size_bytes

    def _expire(self, now: float) -> None:
        while self._due and self._due[0][0] <= now:
            _, number, key = heapq.heappop(self._due)
            entry = self._entries.get(key)
            if entry is None or entry.number != number:  # put again, deleted or evicted since
                continue
            self._remove(key)
            self._gone[key] = None
            if len(self._gone) > self._max_entries:
                del self._gone[next(iter(self._gone))]

    def _remind(self, key: str, entry: _Entry) -> None:
        if len(self._due) > 2 * self._max_entries:  # most of them are of what was put again
            self._due = [(e.expires_at, e.number, k) for k, e in self._entries.items() if e.expires_at < math.inf]
            heapq.heapify(self._due)
        else:
            heapq.heappush(self._due, (entry.expires_at, entry.number, key))
