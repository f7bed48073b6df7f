"""Names → serials and values in shared memory: one writer, readers that never wait and never see half a batch.

::

    header page │ one byte per slot: in use │ slots of 256 bytes │ heap of values, blocks of 256 bytes

Slots are probed linearly by crc32. A slot holds two copies of its entry, each with the number of the batch that wrote it. A
batch writes idle copies with the number ``committed + 1``; then one aligned 8-byte store of ``committed`` makes all of it
visible. A reader believes, in each slot, the newer copy whose number is ≤ ``committed``.

Why a reader is never wrong: copies visible at ``committed``, and the blocks they name, are not written before ``committed``
has moved, so what was read is true if ``committed`` is the same afterwards; else it reads again.
Why a dead writer does no harm: what it left has the number ``committed + 1``. A successor fills those copies with what is
visible and commits that number (:meth:`actorcore.registry_writer.RegistryWriter.recover`), so no number ever comes twice.
A removal leaves no tombstone: later entries of the chain move up in the same batch, and so become visible together.

The byte of a slot is 1 at least as long as the slot is in use: whoever looks at all names looks at these slots only.
Stores need the order of x86-64 (TSO); ARM would need fences. ``struct.pack_into`` zeroes first and so tears (LIMITS §5).
"""

from __future__ import annotations

from struct import Struct
from zlib import crc32

from actorcore.errors import ProtocolError

MAGIC = 0x3147_4552_5243_5441
"""``ATCRREG1``, little-endian."""
LAYOUT_VERSION = 2
SLOTS = 65_536
HEADER_BYTES = 4096
SLOT_BYTES = 256
BLOCK_BYTES = 256
KEY_BYTES = 80
VALUE_BYTES = 2048

# Words (8 bytes) of the header; ``committed`` has a cache line of its own. WRAPPED: the last batch that moved an entry from
# the first slots to the last. COUNT: twice (number, names), like the copies of a slot.
MAGIC_WORD, VERSION_WORD, INSTANCE_WORD, SLOTS_WORD, COMMITTED, COUNT, WRAPPED = 0, 1, 2, 3, 8, 16, 24
# Words of a slot: (number, serial, bytes of the value) of each copy.
NUMBER, SERIAL, SIZE, SECOND = 0, 1, 2, 3
# Bytes into a slot, of the first and the second copy: the key after its length, the blocks of the value in 16 bits each.
KEY_1, KEY_2, BLOCKS_1, BLOCKS_2 = 48, 136, 224, 240

read_slot = Struct("QQ8xQQ8x81p7x81p").unpack_from
"""(number, serial, number, serial, key, key) of the copies; it reads each word by one load."""
_BLOCKS = Struct("8H")


def heap_blocks(slots: int = SLOTS) -> int:
    """How many blocks the values of a registry share."""
    return max(8, slots // 4)


def blocks_of(size_bytes: int) -> int:
    """How many blocks a value takes."""
    return -(-size_bytes // BLOCK_BYTES)


def registry_bytes(slots: int = SLOTS) -> int:
    """Size in bytes of a registry of ``slots`` (a power of two)."""
    if slots < 8 or slots & (slots - 1):
        raise ValueError(f"{slots} slots: not a power of two from 8")
    return _slots_at(slots) + slots * SLOT_BYTES + heap_blocks(slots) * BLOCK_BYTES


def max_entries(slots: int = SLOTS) -> int:
    """How many names fit: an eighth of the slots stays free, so that the chain of a missing name ends soon."""
    return slots - slots // 8


def format_registry(memory: memoryview, instance: int, slots: int) -> None:
    """Make zeroed ``memory`` an empty registry of guardian start ``instance``."""
    if len(memory) != registry_bytes(slots):
        raise ValueError(f"{len(memory)} bytes are no registry of {slots} slots")
    with memory.cast("Q") as words:
        words[VERSION_WORD], words[INSTANCE_WORD], words[SLOTS_WORD] = LAYOUT_VERSION, instance, slots
        words[MAGIC_WORD] = MAGIC


def _slots_at(slots: int) -> int:
    return HEADER_BYTES + max(HEADER_BYTES, slots)


class Table:
    """What writer and reader share: the memory, and which copy of a slot is visible."""

    __slots__ = ("_bytes", "_heap_at", "_mask", "_slots_at", "_words", "instance", "slots")

    def __init__(self, memory: memoryview) -> None:
        """:raises ProtocolError: ``memory`` holds no registry of this layout."""
        self._bytes, self._words = memory.cast("B"), memory.cast("Q")
        words = self._words
        if len(memory) < HEADER_BYTES or words[MAGIC_WORD] != MAGIC or words[VERSION_WORD] != LAYOUT_VERSION:
            raise ProtocolError("not a registry of this layout")
        self.slots, self.instance = words[SLOTS_WORD], words[INSTANCE_WORD]
        if len(memory) != registry_bytes(self.slots):
            raise ProtocolError("registry of another size")
        self._mask, self._slots_at = self.slots - 1, _slots_at(self.slots)
        self._heap_at = self._slots_at + self.slots * SLOT_BYTES

    @property
    def committed(self) -> int:
        """Number of the last batch; rises by one with each."""
        return self._words[COMMITTED]

    def close(self) -> None:
        """Let go of the memory; must precede its unmapping. Any later use raises ValueError."""
        self._bytes.release()
        self._words.release()

    def _probe(self, key: bytes, committed: int) -> tuple[int, int, int]:
        """(byte of the slot, words to its visible copy, serial); serial 0: ``key`` is not there, this slot ends its chain."""
        memory = self._bytes
        start = at = self._slots_at + (crc32(key) & self._mask) * SLOT_BYTES
        while True:
            # _read, written out: half of the cost of a lookup would be the call.
            first, serial, second, other_serial, found, other_key = read_slot(memory, at)
            copy = 0
            if not (second > committed or second < first <= committed):
                copy, serial, found = SECOND, other_serial, other_key
            if not serial or found == key:
                return at, copy, serial
            at += SLOT_BYTES
            if at == self._heap_at:
                at = self._slots_at
            if at == start:  # Round once: no table that was ever committed is so full.
                return at, copy, 0

    def _read(self, at: int, committed: int) -> tuple[int, int, bytes]:
        """(words to the visible copy of the slot, its serial, its key). If neither was ever committed: the second, zeroed."""
        first, serial, second, other_serial, key, other_key = read_slot(self._bytes, at)
        if second > committed or second < first <= committed:
            return 0, serial, key
        return SECOND, other_serial, other_key

    def _blocks(self, at: int, copy: int) -> tuple[int, ...]:
        """The blocks of a copy's value."""
        size_bytes = self._words[(at >> 3) + copy + SIZE]
        if not size_bytes:
            return ()
        return _BLOCKS.unpack_from(self._bytes, at + (BLOCKS_2 if copy else BLOCKS_1))[: blocks_of(size_bytes)]

    def _value(self, at: int, copy: int) -> bytes:
        """The value of a copy."""
        parts = []
        for block in self._blocks(at, copy):
            begin = self._heap_at + block * BLOCK_BYTES
            parts.append(self._bytes[begin : begin + BLOCK_BYTES])
        return b"".join(parts)[: self._words[(at >> 3) + copy + SIZE]]

    def _used(self) -> list[int]:
        """The slots that may be in use, the last one first."""
        flags, found = bytes(self._bytes[HEADER_BYTES : HEADER_BYTES + self.slots]), []
        slot = flags.rfind(1)
        while slot >= 0:
            found.append(slot)
            slot = flags.rfind(1, 0, slot)
        return found

    def _count_copy(self, committed: int) -> int:
        """The header's word of the visible count, less one."""
        first, second = self._words[COUNT], self._words[COUNT + 2]
        return COUNT if second > committed or second < first <= committed else COUNT + 2
