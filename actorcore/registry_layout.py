"""Names → serials in shared memory: one writer, readers that never wait and never see half a batch.

A header page, then slots of 256 bytes, probed linearly by crc32. A slot holds two copies of its entry, each with the number
of the batch that wrote it. A batch writes idle copies with the number ``committed + 1``; then one aligned 8-byte store of
``committed`` makes all of it visible. A reader believes, in each slot, the newer copy whose number is ≤ ``committed``.

Why a reader is never wrong: copies visible at ``committed`` are not written before ``committed`` has moved, so what was
read is true if ``committed`` is the same afterwards; else it reads again, at most ``READ_ATTEMPTS`` times.
Why a dead writer does no harm: what it left has a number > ``committed``. The next batch would use that same number, so a
successor first takes those copies back (:meth:`RegistryWriter.recover`).
A removal leaves no tombstone: later entries of the chain move up in the same batch, and so become visible together.

Stores need the order of x86-64 (TSO); ARM would need fences. ``struct.pack_into`` zeroes first and so tears (LIMITS §5).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from struct import Struct
from typing import TypeVar
from zlib import crc32

from actorcore.errors import ProtocolError, RequestError

_Read = TypeVar("_Read")
MAGIC = 0x3147_4552_5243_5441
"""``ATCRREG1``, little-endian."""
LAYOUT_VERSION = 1
SLOTS = 65_536
HEADER_BYTES = 4096
SLOT_BYTES = 256
KEY_BYTES = 80
READ_ATTEMPTS = 1000
"""Of a lookup, before ``busy``: each fails only if a batch was committed while it ran."""
WHOLE_ATTEMPTS = 10
"""Of :meth:`RegistryReader.entries`, which takes some 15 ms."""
CACHED_NAMES = 8192
"""A reader's cache is emptied when it holds as many."""

# Words (8 bytes) of the header; ``committed`` has a cache line of its own.
_MAGIC, _VERSION, _INSTANCE, _SLOTS, _COMMITTED, _COUNT = 0, 1, 2, 3, 8, 16
# Words of a slot: (number, serial, crc32 << 8 | key length) of each copy, two spare, then ten of key for each copy, four spare.
_FIRST, _SLOT, _SECOND = HEADER_BYTES // 8, SLOT_BYTES // 8, 3
_KEY_1, _KEY_2 = 64, 64 + KEY_BYTES  # Bytes into the slot.
_ATTEMPTS = range(READ_ATTEMPTS)
_read_slot = Struct("6Q").unpack_from  # Reads each word by one load, as a memoryview does, in a third of the time.


def registry_bytes(slots: int = SLOTS) -> int:
    """Size in bytes of a registry of ``slots`` (a power of two)."""
    if slots < 8 or slots & (slots - 1):
        raise ValueError(f"{slots} slots: not a power of two from 8")
    return HEADER_BYTES + slots * SLOT_BYTES


def max_entries(slots: int = SLOTS) -> int:
    """How many names fit: an eighth of the slots stays free, so that the chain of a missing name ends soon."""
    return slots - slots // 8


def format_registry(memory: memoryview, instance: int) -> None:
    """Make zeroed ``memory`` an empty registry of guardian start ``instance``."""
    slots = (len(memory) - HEADER_BYTES) // SLOT_BYTES
    if len(memory) != registry_bytes(slots):
        raise ValueError(f"{len(memory)} bytes are no registry")
    with memory.cast("Q") as words:
        words[_VERSION], words[_INSTANCE], words[_SLOTS] = LAYOUT_VERSION, instance, slots
        words[_MAGIC] = MAGIC


def encode_key(name: str) -> bytes:
    """The bytes of ``name``; ``invalid_key`` unless they are 1 to :data:`KEY_BYTES` of UTF-8."""
    try:
        key = name.encode()
    except UnicodeEncodeError:
        raise RequestError("invalid_key", "not text") from None
    if not 0 < len(key) <= KEY_BYTES:
        raise RequestError("invalid_key", f"{len(key)} bytes, not 1 to {KEY_BYTES}")
    return key


class _Table:
    """What writer and reader share: the words, and which copy is visible."""

    __slots__ = ("_bytes", "_end", "_mask", "_words", "instance", "slots")

    def __init__(self, memory: memoryview) -> None:
        """:raises ProtocolError: ``memory`` holds no registry of this layout."""
        self._bytes, self._words = memory.cast("B"), memory.cast("Q")
        words = self._words
        if len(words) <= _FIRST or words[_MAGIC] != MAGIC or words[_VERSION] != LAYOUT_VERSION:
            raise ProtocolError("not a registry of this layout")
        self.slots, self.instance = words[_SLOTS], words[_INSTANCE]
        if len(memory) != registry_bytes(self.slots):
            raise ProtocolError("registry of another size")
        self._mask, self._end = self.slots - 1, len(memory)

    @property
    def committed(self) -> int:
        """Number of the last batch; rises by one with each."""
        return self._words[_COMMITTED]

    def close(self) -> None:
        """Let go of the memory; must precede its unmapping. Any later use raises ValueError."""
        self._bytes.release()
        self._words.release()

    def _newer(self, one: int, other: int, committed: int) -> int:
        """Which of two copies is visible. If neither was ever committed: ``other``, still zeroed as ``one`` is written first."""
        first, second = self._words[one], self._words[other]
        return one if second > committed or second < first <= committed else other

    def _numbers(self) -> tuple[list[int], list[int]]:
        return self._words[_FIRST::_SLOT].tolist(), self._words[_FIRST + _SECOND :: _SLOT].tolist()

    def _visible(self, committed: int) -> list[tuple[int, bytes, int]]:
        """(slot, key, serial) of each slot in use at batch ``committed``."""
        return self._used(*self._numbers(), committed)

    def _used(self, firsts: list[int], seconds: list[int], committed: int) -> list[tuple[int, bytes, int]]:
        used = []
        for slot, first in enumerate(firsts):
            second = seconds[slot]
            if first or second:
                at = HEADER_BYTES + slot * SLOT_BYTES
                _, serial, tag, _, other_serial, other_tag = _read_slot(self._bytes, at)
                at += _KEY_1
                if not (second > committed or second < first <= committed):
                    serial, tag, at = other_serial, other_tag, at + _KEY_2 - _KEY_1
                if serial:
                    used.append((slot, bytes(self._bytes[at : at + (tag & 0xFF)]), serial))
        return used


class RegistryReader(_Table):
    """Looks names up; any number of them, in any process. Made for one thread."""

    __slots__ = ("_cache",)

    def __init__(self, memory: memoryview) -> None:
        super().__init__(memory)
        # name → (word of the slot's idle number, that number, serial): true as long as no batch has written the slot.
        self._cache: dict[str, tuple[int, int, int]] = {}

    def lookup(self, name: str) -> int | None:
        """The serial that ``name`` stands for now, or None.

        :raises RequestError: ``busy``, batches came faster than this process could read: ask the node.
        """
        hit = self._cache.get(name)
        if hit is not None:
            if self._words[hit[0]] == hit[1]:
                return hit[2]
            del self._cache[name]
        return self.lookup_uncached(name)

    def lookup_uncached(self, name: str) -> int | None:
        """:meth:`lookup` by the table alone."""
        try:
            key = name.encode()
        except UnicodeEncodeError:
            return None
        serial: int
        crc, size_bytes, words, memory = crc32(key), len(key), self._words, self._bytes
        tag, start = crc << 8 | size_bytes, HEADER_BYTES + (crc & self._mask) * SLOT_BYTES
        for _ in _ATTEMPTS:
            committed, at, end = words[_COMMITTED], start, self._end
            while True:
                first, serial, found, second, other_serial, other_found = _read_slot(memory, at)
                # _newer, written out: a call costs as much as the slot.
                if second > committed or second < first <= committed:
                    key_at = at + _KEY_1
                else:
                    serial, found, key_at = other_serial, other_found, at + _KEY_2
                if not serial:
                    break
                if found == tag and memory[key_at : key_at + size_bytes] == key:
                    if words[_COMMITTED] != committed:
                        break
                    # An idle number > committed is a batch under way: rolled back, its number would come again with
                    # another content, and the cache would believe it.
                    is_first = key_at == at + _KEY_1
                    number = second if is_first else first
                    if number <= committed:
                        if len(self._cache) >= CACHED_NAMES:
                            self._cache.clear()
                        self._cache[name] = ((at >> 3) + _SECOND if is_first else at >> 3, number, serial)
                    return serial
                at += SLOT_BYTES
                if at >= end:
                    if end <= start:  # Round once: no table that was ever committed is so full.
                        break
                    at, end = HEADER_BYTES, start
            if words[_COMMITTED] == committed:
                return None
        raise RequestError("busy", "the registry changes too fast to be read")

    def lookup_many(self, names: Iterable[str]) -> list[int | None]:
        """Serials of several names at one instant: all before a batch, or all after it. Raises like :meth:`lookup`."""
        asked = list(names)
        return self._settled(lambda committed: [self.lookup(name) for name in asked])

    def entries(self) -> dict[str, int]:
        """All names at one instant; takes milliseconds, so a busy writer makes it raise ``busy`` sooner than a lookup."""
        return {key.decode(): serial for _, key, serial in self._settled(self._visible, WHOLE_ATTEMPTS)}

    def count(self) -> int:
        """How many names there are. Raises like :meth:`lookup`."""
        return self._settled(lambda committed: self._words[self._newer(_COUNT, _COUNT + 2, committed) + 1])

    def _settled(self, read: Callable[[int], _Read], attempts: int = READ_ATTEMPTS) -> _Read:
        """What ``read`` saw, once no batch was committed meanwhile."""
        for _ in range(attempts):
            committed = self._words[_COMMITTED]
            seen = read(committed)
            if self._words[_COMMITTED] == committed:
                return seen
        raise RequestError("busy", "the registry changes too fast to be read")


class RegistryWriter(_Table):
    """The only writer; two at a time would destroy the table. Makes good what a dead predecessor left."""

    __slots__ = ("_content", "_is_open", "_where")

    def __init__(self, memory: memoryview) -> None:
        super().__init__(memory)
        self._is_open = False
        self.recover()

    def publish(self, name: str, serial: int) -> None:
        """Let ``name`` stand for ``serial`` (> 0) from now on; raises like :meth:`apply`."""
        if serial == 0:
            raise ValueError("serial 0 is no process")
        self.apply([(name, serial)])

    def retract(self, name: str) -> None:
        """Let ``name`` stand for nothing; nothing happens if it does already."""
        self.apply([(name, 0)])

    def apply(self, changes: Iterable[tuple[str, int]]) -> None:
        """Publish (serial > 0) and retract (serial 0) in order, visible all at once.

        :raises RequestError: ``invalid_key``, ``registry_full``; nothing has changed then.
        :raises ValueError: a serial outside 0 … 2⁶⁴ − 1; nothing has changed.
        """
        if self._is_open:
            self.recover()
        wanted: dict[bytes, int] = {}
        for name, serial in changes:
            if not 0 <= serial < 1 << 64:
                raise ValueError(f"serial {serial} is not 64 bits")
            wanted[encode_key(name)] = serial
        count = len(self._where) + sum(bool(serial) - (key in self._where) for key, serial in wanted.items())
        if count > max_entries(self.slots):
            raise RequestError("registry_full", f"{len(self._where)} names")
        self._is_open = True
        touched: set[int] = set()
        # Retractions first, so that a batch that replaces names in a full table always finds room on its way.
        for key in [key for key, serial in wanted.items() if not serial]:
            touched |= self._unplace(key)
        for key, serial in wanted.items():
            if serial:
                touched |= self._place(key, serial)
        if touched:
            self._write(touched, count)
        self._is_open = False

    def entries(self) -> dict[str, int]:
        """All names."""
        return {key.decode(): self._content[slot][1] for key, slot in self._where.items()}

    def recover(self) -> None:
        """Take back the batch that was never committed, and learn what was. May itself be killed, and repeated."""
        self._is_open = True
        words, committed = self._words, self._words[_COMMITTED]
        firsts, seconds = self._numbers()
        for word, numbers in ((_FIRST, firsts), (_FIRST + _SECOND, seconds)):
            if max(numbers) > committed:
                for slot in [slot for slot, number in enumerate(numbers) if number > committed]:
                    words[word + slot * _SLOT] = 0
        for word in (_COUNT, _COUNT + 2):
            if words[word] > committed:
                words[word] = 0
        # The numbers read before serve again: those taken back count no more than the zeroes now in their place.
        self._content = {slot: (key, serial) for slot, key, serial in self._used(firsts, seconds, committed)}
        self._where = {key: slot for slot, (key, _) in self._content.items()}
        self._is_open = False

    def _place(self, key: bytes, serial: int) -> set[int]:
        slot = self._where.get(key)
        if slot is None:
            slot = crc32(key) & self._mask
            while slot in self._content:
                slot = (slot + 1) & self._mask
        elif self._content[slot][1] == serial:
            return set()
        self._content[slot], self._where[key] = (key, serial), slot
        return {slot}

    def _unplace(self, key: bytes) -> set[int]:
        """Free the key's slot; later entries whose chain ran over it move up, so that no chain is cut."""
        hole = self._where.pop(key, None)
        if hole is None:
            return set()
        del self._content[hole]
        touched, slot = {hole}, (hole + 1) & self._mask
        while slot in self._content:
            moving, _ = self._content[slot]
            if (slot - crc32(moving)) & self._mask >= (slot - hole) & self._mask:
                self._content[hole], self._where[moving] = self._content.pop(slot), hole
                hole = slot
                touched.add(hole)
            slot = (slot + 1) & self._mask
        return touched

    def _write(self, touched: set[int], count: int) -> None:
        words, batch = self._words, self._words[_COMMITTED] + 1
        for slot in touched:
            at = _FIRST + slot * _SLOT
            copy, key_at = (at, at * 8 + _KEY_1) if words[at] <= words[at + _SECOND] else (at + _SECOND, at * 8 + _KEY_2)
            key, serial = self._content.get(slot, (b"", 0))
            words[copy + 1] = serial
            words[copy + 2] = crc32(key) << 8 | len(key)
            self._bytes[key_at : key_at + len(key)] = key
            words[copy] = batch
        copy = _COUNT if words[_COUNT] <= words[_COUNT + 2] else _COUNT + 2
        words[copy + 1] = count
        words[copy] = batch
        words[_COMMITTED] = batch  # The commit: one store makes every copy above visible.
