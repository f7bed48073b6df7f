"""What residents show: entries of the shared registry that anybody reads, also while the node stands still or is dead.

The entry for ``key`` of resident ``owner`` is called ``<serial of the owner>/<key>``, which no name can be. The one with an
empty key says that all is shown: what is not found is not there. An entry without a value is there and must be asked for,
because it is too long; so must be whatever has a key too long for an entry. A resident for which the shared registry has no
room any more shows nothing at all.
"""

from __future__ import annotations

import msgspec

from actorcore.registry_layout import KEY_BYTES, VALUE_BYTES, blocks_of, heap_blocks, max_entries

MAX_ENTRIES = max_entries()
MAX_BLOCKS = heap_blocks() - blocks_of(VALUE_BYTES)
"""A value that changes needs the blocks of both for a moment."""


class Change(msgspec.Struct, frozen=True):
    """Entry ``name`` has this value from now on; None: it is gone."""

    name: str
    owner: int
    value: bytes | None


def entry_name(owner: int, key: str) -> str | None:
    """The name of the entry; None: it would be too long."""
    name = f"{owner}/{key}"
    return name if len(name.encode()) <= KEY_BYTES else None


class Shown(msgspec.Struct):
    """The values of all entries by owner and name; ``blocks`` are what they take of the registry's heap."""

    entries: dict[int, dict[str, bytes]] = {}
    count: int = 0
    blocks: int = 0

    def put(self, owner: int, key: str, value: bytes, names: int, blocks: int) -> list[Change]:
        """``owner`` shows ``value`` under ``key``, or nothing; ``names`` and ``blocks`` are taken by others."""
        name = entry_name(owner, key)
        if key and (name is None or owner not in self.entries):
            return []
        assert name is not None
        mine = self.entries.setdefault(owner, {})
        if key and not value:
            return [Change(name, owner, None)] if self._take(mine, name) else []
        was_there = self._take(mine, name)
        fits = value if len(value) <= VALUE_BYTES else b""
        self.count += 1
        self.blocks += blocks_of(len(fits))
        mine[name] = fits
        if names + self.count > MAX_ENTRIES or blocks + self.blocks > MAX_BLOCKS:
            gone = self.drop(owner)
            return [change for change in gone if change.name != name or was_there]
        return [Change(name, owner, fits)]

    def drop(self, owner: int) -> list[Change]:
        """``owner`` shows nothing any more."""
        mine = self.entries.pop(owner, {})
        return [Change(name, owner, None) for name in list(mine) if self._take(mine, name)]

    def _take(self, mine: dict[str, bytes], name: str) -> bool:
        """Take the entry out; whether it was there."""
        value = mine.pop(name, None)
        if value is None:
            return False
        self.count -= 1
        self.blocks -= blocks_of(len(value))
        return True
