"""Buffers of one process or client for its messages, kept from one large message to the next.

A fresh MiB costs 256 page faults, which is more than sending it (LIMITS.md §0, §4).
"""

from __future__ import annotations

MAX_KEPT = 2
MAX_KEPT_BYTES = 2 << 20
"""A longer buffer is not kept."""


class Buffers:
    """``encoded`` is where every message is encoded; who lets something refer to it puts another one there."""

    __slots__ = ("_kept", "encoded")

    def __init__(self) -> None:
        self.encoded = bytearray()
        self._kept: list[bytearray] = []

    def take(self, size: int) -> bytearray:
        """A buffer of ``size`` bytes or more that nothing refers to; what it contains is arbitrary."""
        for at, buffer in enumerate(self._kept):
            try:
                buffer.append(0)  # a bytearray with views of it cannot change its size
            except BufferError:
                continue
            del self._kept[at]
            if len(buffer) < size:
                buffer += bytes(size - len(buffer))
            return buffer
        return bytearray(size)

    def give(self, buffer: bytearray) -> None:
        """``buffer`` may be taken when its last view has gone."""
        if len(buffer) <= MAX_KEPT_BYTES:
            self._kept = [buffer, *self._kept][:MAX_KEPT]
