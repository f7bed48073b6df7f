"""Reading the shared registry: no system call, no lock, no process is asked (layout: :mod:`actorcore.registry_layout`)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Literal, TypeVar
from zlib import crc32

from actorcore.errors import RequestError
from actorcore.registry_layout import COMMITTED, SECOND, SLOT_BYTES, WRAPPED, Table, read_slot
from actorcore.shown import entry_name

_Read = TypeVar("_Read")
READ_ATTEMPTS = 1000
"""Of one look, before ``busy``: each fails only if a batch was committed while it ran."""
CACHED_NAMES = 8192
"""A reader's cache is emptied when it holds as many."""
_ATTEMPTS = range(READ_ATTEMPTS)


class RegistryReader(Table):
    """Looks names up; any number of them, in any process. Made for one thread.

    Every method raises RequestError ``busy`` when batches came faster than this process could read: ask the node.
    """

    __slots__ = ("_cache",)

    def __init__(self, memory: memoryview) -> None:
        super().__init__(memory)
        # name → (word of the slot's idle number, that number, serial): true as long as no batch has written the slot.
        self._cache: dict[str, tuple[int, int, int]] = {}

    def lookup(self, name: str) -> int | None:
        """The serial that ``name`` stands for now, or None."""
        try:
            word, number, serial = self._cache[name]
            if self._words[word] == number:
                return serial
            del self._cache[name]
        except KeyError:
            pass
        return self.lookup_uncached(name)

    def lookup_uncached(self, name: str) -> int | None:
        """:meth:`lookup` by the table alone."""
        try:
            key = name.encode()
        except UnicodeEncodeError:
            return None
        serial: int
        words, memory, attempts = self._words, self._bytes, 0
        start = self._slots_at + (crc32(key) & self._mask) * SLOT_BYTES
        while attempts < READ_ATTEMPTS:
            committed, at = words[COMMITTED], start
            while True:
                # Table._probe and Table._read, written out: two calls cost as much as the lookup.
                first, serial, second, other_serial, found, other_key = read_slot(memory, at)
                if second > committed or second < first <= committed:
                    word, idle = (at >> 3) + SECOND, second
                else:
                    serial, found, word, idle = other_serial, other_key, at >> 3, first
                if not serial:
                    break
                if found == key:
                    if words[COMMITTED] != committed:
                        break
                    # An idle number > committed is a batch under way: once committed, it means another content.
                    if idle <= committed:
                        if len(self._cache) >= CACHED_NAMES:
                            self._cache.clear()
                        self._cache[name] = word, idle, serial
                    return serial
                at += SLOT_BYTES
                if at == self._heap_at:
                    at = self._slots_at
                if at == start:
                    break
            if words[COMMITTED] == committed:
                return None
            attempts += 1
        raise _busy()

    def lookup_many(self, names: Iterable[str]) -> list[int | None]:
        """Serials of several names at one instant: all before a batch, or all after it."""
        asked = list(names)
        return self._settled(lambda committed: [self.lookup(name) for name in asked])

    def lookup_value(self, name: str) -> tuple[int, bytes] | None:
        """The serial and the value of ``name`` at one instant, or None. A name without a value has an empty one."""
        try:
            key = name.encode()
        except UnicodeEncodeError:
            return None

        def read(committed: int) -> tuple[int, bytes] | None:
            at, copy, serial = self._probe(key, committed)
            return (serial, self._value(at, copy)) if serial else None

        return self._settled(read)

    def lookup_shown(self, owner: str, key: str) -> bytes | Literal[False] | None:
        """What the resident with the name ``owner`` shows under ``key`` (:mod:`actorcore.shown`); None: there is nothing.
        False: it must be asked.
        """

        def read(committed: int) -> bytes | Literal[False] | None:
            serial = self._probe(owner.encode(), committed)[2]
            name = entry_name(serial, key)
            if not serial or not key or name is None:
                return False
            at, copy, found = self._probe(name.encode(), committed)
            if found:
                return self._value(at, copy) or False
            return None if self._probe(f"{serial}/".encode(), committed)[2] else False

        try:
            return self._settled(read)
        except UnicodeEncodeError:
            return False

    def entries(self) -> dict[str, int]:
        """All names, each with a serial that it had while this ran.

        A name that was there all the while is listed, whatever happened to others; one that came or went meanwhile may be.
        If no batch was committed meanwhile it is the table at one instant.
        """
        # Entries move towards the first slot, so that looking from the last one on misses none; except round the end,
        # which is rare and told by WRAPPED.
        for _ in _ATTEMPTS:
            began, found = self._words[COMMITTED], {}
            for slot in self._used():
                at = self._slots_at + slot * SLOT_BYTES
                _, serial, key = self._settled(lambda committed, at=at: self._read(at, committed))  # type: ignore[misc]
                if serial:
                    found[key.decode()] = serial
            if self._words[COMMITTED] == began or self._words[WRAPPED] <= began:
                return found
        raise _busy()

    def count(self) -> int:
        """How many names there are."""
        return self._settled(lambda committed: self._words[self._count_copy(committed) + 1])

    def _settled(self, read: Callable[[int], _Read]) -> _Read:
        """What ``read`` saw, once no batch was committed meanwhile."""
        words = self._words
        for _ in _ATTEMPTS:
            committed = words[COMMITTED]
            seen = read(committed)
            if words[COMMITTED] == committed:
                return seen
        raise _busy()


def _busy() -> RequestError:
    return RequestError("busy", "the registry changes too fast to be read")
