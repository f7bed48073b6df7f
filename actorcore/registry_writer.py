"""Writing the shared registry (layout: :mod:`actorcore.registry_layout`).

The table in shared memory is the only one: nothing is kept beside it but what :meth:`RegistryWriter.recover` finds in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from struct import Struct
from types import MappingProxyType
from zlib import crc32

from actorcore.errors import RequestError
from actorcore.registry_layout import (
    BLOCK_BYTES,
    BLOCKS_1,
    BLOCKS_2,
    COMMITTED,
    COUNT,
    HEADER_BYTES,
    KEY_1,
    KEY_2,
    KEY_BYTES,
    NUMBER,
    SECOND,
    SERIAL,
    SIZE,
    SLOT_BYTES,
    VALUE_BYTES,
    WRAPPED,
    Table,
    blocks_of,
    heap_blocks,
    max_entries,
)

_NO_VALUES: Mapping[str, bytes] = MappingProxyType({})
_BLOCK = Struct("H")
_NO_BLOCKS = b""
_LENGTHS = [bytes((length,)) for length in range(KEY_BYTES + 1)]


class RegistryWriter(Table):
    """The only writer; two at a time would destroy the table. Makes good what a dead predecessor left.

    Blocks that no visible entry names are those from ``_fresh`` on and ``_free``; ``_freed`` are those that this batch frees:
    they are used again only after its commit, so that no value changes under a reader that still sees it.
    """

    __slots__ = ("_count", "_emptied", "_free", "_freed", "_fresh", "_is_open", "_told")

    def __init__(self, memory: memoryview) -> None:
        super().__init__(memory)
        self.recover()

    # ---- changes ----------------------------------------------------------------------------------------------------

    def publish(self, name: str, serial: int, value: bytes = b"") -> None:
        """Let ``name`` stand for ``serial`` (> 0) with ``value`` from now on; raises like :meth:`apply`."""
        if serial == 0:
            raise ValueError("serial 0 is no process")
        key = self._checked(name, serial, value)
        batch = self._words[COMMITTED] + 1
        at, copy, old = self._probe(key, batch)
        if old == serial and self._value(at, copy) == value:
            return
        if value or not old:
            self._require_room(not old, blocks_of(len(value)))
        self._is_open = True
        self._place(at, copy, old, key, serial, value, batch)
        self._commit(batch)

    def retract(self, name: str) -> None:
        """Let ``name`` stand for nothing; nothing happens if it does already."""
        key = self._checked(name, 0, b"")
        batch = self._words[COMMITTED] + 1
        at, copy, old = self._probe(key, batch)
        if old:
            self._is_open = True
            self._unplace(at, copy, batch)
            self._commit(batch)

    def apply(self, changes: Iterable[tuple[str, int]], values: Mapping[str, bytes] = _NO_VALUES) -> None:
        """Publish (serial > 0, with the name's value in ``values``) and retract (serial 0) in order, visible all at once.

        :raises RequestError: ``invalid_key``, ``value_too_long``, ``registry_full``; nothing has changed then.
        :raises ValueError: a serial outside 0 … 2⁶⁴ − 1; nothing has changed.
        """
        wanted: dict[bytes, tuple[int, bytes]] = {}
        for name, serial in changes:
            value = values.get(name, b"") if serial else b""
            wanted[self._checked(name, serial, value)] = serial, value
        batch, names, blocks = self._words[COMMITTED] + 1, 0, 0
        for key, (serial, value) in list(wanted.items()):
            at, copy, old = self._probe(key, batch)
            if old == serial and (not serial or self._value(at, copy) == value):
                del wanted[key]
                continue
            names += bool(serial) - bool(old)
            blocks += blocks_of(len(value))
        if not wanted:
            return
        self._require_room(names, blocks)
        self._is_open = True
        # Retractions first, so that a batch that replaces names in a full table always finds room on its way.
        for key, (serial, value) in sorted(wanted.items(), key=lambda change: change[1][0] > 0):
            at, copy, old = self._probe(key, batch)
            if serial:
                self._place(at, copy, old, key, serial, value, batch)
            else:
                self._unplace(at, copy, batch)
        self._commit(batch)

    def reconcile(self, names: Mapping[str, int], values: Mapping[str, bytes] = _NO_VALUES) -> int:
        """Make the table ``names`` with ``values``; how many were different. Raises like :meth:`apply`.

        What is wrong goes in one batch, what is right comes in the next: it may need the room of what has gone.
        """
        known = self._entries()
        wanted = {name: (serial, values.get(name, b"")) for name, serial in names.items()}
        wrong = [name for name, entry in known.items() if wanted.get(name) != entry]
        missing = [name for name, entry in wanted.items() if known.get(name) != entry]
        self.apply((name, 0) for name in wrong)
        self.apply(((name, names[name]) for name in missing), values)
        return len({*wrong, *missing})

    def entries(self) -> dict[str, int]:
        """All names."""
        return {name: serial for name, (serial, _) in self._entries().items()}

    # ---- what a dead writer left ------------------------------------------------------------------------------------

    def recover(self) -> None:
        """Take back the batch that was never committed, and learn what was. May itself be killed, and repeated."""
        self._is_open = True
        words, committed = self._words, self._words[COMMITTED]
        batch, is_torn = committed + 1, False
        self._count, self._emptied = 0, []
        self._freed: list[int] = []
        taken: set[int] = set()
        for slot in self._used():
            at = self._slots_at + slot * SLOT_BYTES
            copy, serial, _ = self._read(at, committed)
            if words[(at >> 3) + SECOND - copy] == batch:
                self._copy(at, copy)
                is_torn = True
            if serial:
                self._count += 1
                taken.update(self._blocks(at, copy))
            else:
                self._emptied.append(slot)
        for mine, other in ((COUNT, COUNT + 2), (COUNT + 2, COUNT)):
            if words[mine] == batch:
                words[mine + 1] = words[other + 1]
                is_torn = True
        self._fresh = max(taken, default=-1) + 1
        self._free = [block for block in range(self._fresh) if block not in taken]
        self._told = words[self._count_copy(committed) + 1]
        # The dead batch becomes one that changed nothing. Were its number free again, a word could come back to a number
        # at which a reader has seen another entry, and the reader's cache would believe that.
        if is_torn:
            words[COMMITTED] = batch
        self._tidy()
        self._is_open = False
        if self._told != self._count:
            self._commit(self._words[COMMITTED] + 1)

    # ---- inside -----------------------------------------------------------------------------------------------------

    def _checked(self, name: str, serial: int, value: bytes) -> bytes:
        """The key, if all of it can be written; then the table is ready for a batch."""
        try:
            key = name.encode()
        except UnicodeEncodeError:
            raise RequestError("invalid_key", "not text") from None
        if not 0 < len(key) <= KEY_BYTES:
            raise RequestError("invalid_key", f"{len(key)} bytes, not 1 to {KEY_BYTES}")
        if len(value) > VALUE_BYTES:
            raise RequestError("value_too_long", f"{len(value)} bytes, not 0 to {VALUE_BYTES}")
        if not 0 <= serial < 1 << 64:
            raise ValueError(f"serial {serial} is not 64 bits")
        if self._is_open:
            self.recover()
        return key

    def _require_room(self, names: int, blocks: int) -> None:
        if self._count + names > max_entries(self.slots):
            raise RequestError("registry_full", f"{self._count} names")
        free = len(self._free) + heap_blocks(self.slots) - self._fresh
        if blocks > free:
            raise RequestError("registry_full", f"{free} blocks of values are free")

    def _entries(self) -> dict[str, tuple[int, bytes]]:
        if self._is_open:
            self.recover()
        found, committed = {}, self._words[COMMITTED]
        for slot in self._used():
            at = self._slots_at + slot * SLOT_BYTES
            copy, serial, key = self._read(at, committed)
            if serial:
                found[key.decode()] = serial, self._value(at, copy)
        return found

    def _place(self, at: int, copy: int, old: int, key: bytes, serial: int, value: bytes, batch: int) -> None:
        """Write the entry where :meth:`_probe` has found its ``old`` one, or a free slot (``old`` 0)."""
        if not old:
            self._bytes[HEADER_BYTES + (at - self._slots_at) // SLOT_BYTES] = 1
            self._count += 1
        elif self._words[(at >> 3) + copy + SIZE]:
            self._freed += self._blocks(at, copy)
        blocks = _NO_BLOCKS
        if value:
            for begin in range(0, len(value), BLOCK_BYTES):
                block, part = self._take_block(), value[begin : begin + BLOCK_BYTES]
                to = self._heap_at + block * BLOCK_BYTES
                self._bytes[to : to + len(part)] = part
                blocks += _BLOCK.pack(block)
        self._write(at, key, serial, len(value), blocks, batch)

    def _take_block(self) -> int:
        if self._free:
            return self._free.pop()
        self._fresh += 1
        return self._fresh - 1

    def _unplace(self, at: int, copy: int, batch: int) -> None:
        """Free the slot; later entries whose chain ran over it move up, so that no chain is cut."""
        self._freed += self._blocks(at, copy)
        hole = slot = (at - self._slots_at) // SLOT_BYTES
        while True:
            slot = (slot + 1) & self._mask
            at = self._slots_at + slot * SLOT_BYTES
            copy, serial, key = self._read(at, batch)
            if not serial:
                break
            if (slot - crc32(key)) & self._mask >= (slot - hole) & self._mask:
                if slot < hole:
                    self._words[WRAPPED] = batch
                blocks_at = at + (BLOCKS_2 if copy else BLOCKS_1)
                blocks = bytes(self._bytes[blocks_at : blocks_at + BLOCKS_2 - BLOCKS_1])
                size_bytes = self._words[(at >> 3) + copy + SIZE]
                self._write(self._slots_at + hole * SLOT_BYTES, key, serial, size_bytes, blocks, batch)
                hole = slot
        self._write(self._slots_at + hole * SLOT_BYTES, b"", 0, 0, _NO_BLOCKS, batch)
        self._emptied.append(hole)
        self._count -= 1

    def _write(self, at: int, key: bytes, serial: int, size_bytes: int, blocks: bytes, batch: int) -> None:
        """Write the copy that nobody sees yet: this batch's own, else the older one."""
        words, word, memory = self._words, at >> 3, self._bytes
        first, second = words[word], words[word + SECOND]
        if second == batch or batch != first > second:
            word, key_at, blocks_at = word + SECOND, at + KEY_2, at + BLOCKS_2
        else:
            key_at, blocks_at = at + KEY_1, at + BLOCKS_1
        words[word + SERIAL] = serial
        words[word + SIZE] = size_bytes
        memory[key_at : key_at + len(key) + 1] = _LENGTHS[len(key)] + key
        if blocks:
            memory[blocks_at : blocks_at + len(blocks)] = blocks
        words[word + NUMBER] = batch

    def _copy(self, at: int, visible: int) -> None:
        """Make the other copy of the slot say what the visible one says; its number stays."""
        words, word, memory = self._words, at >> 3, self._bytes
        for part in (SERIAL, SIZE):
            words[word + SECOND - visible + part] = words[word + visible + part]
        for first, second, size_bytes in ((KEY_1, KEY_2, KEY_BYTES + 1), (BLOCKS_1, BLOCKS_2, BLOCKS_2 - BLOCKS_1)):
            frm, to = (at + second, at + first) if visible else (at + first, at + second)
            memory[to : to + size_bytes] = memory[frm : frm + size_bytes]

    def _commit(self, batch: int) -> None:
        words = self._words
        if self._count != self._told:
            word = COUNT if words[COUNT] <= words[COUNT + 2] else COUNT + 2
            words[word + 1] = self._told = self._count
            words[word] = batch
        words[COMMITTED] = batch  # The commit: one store makes every copy above visible.
        if self._freed or self._emptied:
            self._tidy()
        self._is_open = False

    def _tidy(self) -> None:
        """After a commit: what nobody sees any more can be used again."""
        self._free += self._freed
        self._freed = []
        committed = self._words[COMMITTED]
        for slot in self._emptied:
            if not self._read(self._slots_at + slot * SLOT_BYTES, committed)[1]:
                self._bytes[HEADER_BYTES + slot] = 0
        self._emptied = []
