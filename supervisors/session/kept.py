"""Kept: a list of which the oldest goes when there are too many, or when they are too large together."""

from __future__ import annotations

from typing import Generic, TypeVar

import msgspec

from actorcore.exit_reason import Term

Item = TypeVar("Item")
_encoder = msgspec.msgpack.Encoder()
PAGE_BYTES = 1 << 20
"""A page ends before the item that would pass this size."""


class Kept(msgspec.Struct, Generic[Item]):
    """``items``: oldest first. ``size_bytes``: of their msgpack."""

    items: list[Item] = []
    size_bytes: int = 0

    def add(self, item: Item, most: int, max_bytes: int) -> None:
        """Append ``item``; afterwards there are at most ``most`` of together ``max_bytes``, but at least ``item``."""
        self.items.append(item)
        self.size_bytes += size_of(item)
        gone = max(0, len(self.items) - most)
        self.size_bytes -= sum(map(size_of, self.items[:gone]))
        while self.size_bytes > max_bytes and gone < len(self.items) - 1:
            self.size_bytes -= size_of(self.items[gone])
            gone += 1
        del self.items[:gone]

    def replace(self, place: int, item: Item) -> None:
        self.size_bytes += size_of(item) - size_of(self.items[place])
        self.items[place] = item

    def clear(self) -> None:
        self.items, self.size_bytes = [], 0

    def page(self, offset: int, limit: int | None, max_bytes: int = PAGE_BYTES) -> dict[str, Term]:
        """``limit`` items (None: all) from the ``offset``-th oldest on, fewer when they pass ``max_bytes``.

        At least one, if there is one; ``has_more`` says whether there are later ones.
        """
        chosen: list[Term] = []
        size_bytes = 0
        for item in self.items[offset : None if limit is None else offset + limit]:
            size_bytes += size_of(item)
            if chosen and size_bytes > max_bytes:
                break
            chosen.append(msgspec.to_builtins(item))
        total = len(self.items)
        has_more = offset + len(chosen) < total
        return {"items": chosen, "total": total, "offset": offset, "returned": len(chosen), "has_more": has_more}


def size_of(item: object) -> int:
    """The bytes of its msgpack.

    :raises TypeError: it is no plain data.
    """
    return len(_encoder.encode(item))
