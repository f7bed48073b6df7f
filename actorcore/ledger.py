"""Ledger: a write-ahead log of events in shared memory that survives the death of its writer at any instruction.

One page of header words, then two halves. A half is ``[base number, state bytes, end]`` as words, the snapshot, then the
records appended since, each a word of its length and its bytes, all padded to 8. ``end`` is the half's commit word and
``ACTIVE`` the ledger's: everything is written where nobody looks, then one aligned 8-byte store makes it count. A writer
killed before that store has changed nothing, killed after it has finished.

Events have numbers 1, 2, 3 … that survive snapshots and successors. An event is appended, begun, handled, and marked
performed when its effects are done; a successor loads and performs the rest again. One writer at a time: the caller
starts a successor only when its predecessor is dead (DESIGN §2).
"""

from __future__ import annotations

from typing import NamedTuple

from actorcore.errors import ActorError

VERSION = 1
STRIKES_TO_SKIP = 2
"""So many deaths while handling one event make it poison (DESIGN §2)."""

HEADER_BYTES = 4096
MIN_BYTES = HEADER_BYTES + 2 * 64
_MAGIC_WORD = int.from_bytes(b"actorlog", "little")

# Words of the header, as indexes into ``memory.cast("Q")``.
MAGIC, FORMAT, SIZE, ACTIVE, STAMP, SUSPECT, PERFORMED = range(7)
# Words of a half, relative to its start.
_BASE, _STATE, _END, _HALF_WORDS = range(4)
_NO_STATE = 2**64 - 1
_SKIPPED_BYTE = 7  # of a record's length word: its highest, as both supported machines are little-endian
_LENGTH_MASK = 2**56 - 1
# SUSPECT is one word so that each step is one store: event number, deaths while handling it, whether it is being handled.
_NUMBER_SHIFT, _STRIKE, _HANDLING = 8, 2, 1
_MAX_STRIKES = 127


class LedgerFull(ActorError):
    """What was to be written does not fit; nothing was changed. After an append: take a snapshot, then append again."""


class LedgerInvalid(ActorError):
    """The memory holds no ledger, one of another version or size, or one whose words contradict each other."""


class Record(NamedTuple):
    """One event; ``skipped``: it was found to be poison and must be answered with ``internal_error``, not handled."""

    number: int
    data: bytes
    skipped: bool


class Recovered(NamedTuple):
    """What a predecessor left: the snapshot (None: there is none), the events after it, the last one performed."""

    state: bytes | None
    records: list[Record]
    performed: int


class Ledger:
    """Made by :meth:`create` or :meth:`open`; a reader may open a read-only view and use the properties and load."""

    _end: int

    def __init__(self, memory: memoryview) -> None:
        """Internal: over formatted memory. Raises LedgerInvalid."""
        self._data = memory
        self._words = memory.cast("Q")
        words = self._words
        if (words[MAGIC], words[FORMAT], words[SIZE]) != (_MAGIC_WORD, VERSION, len(memory)) or words[ACTIVE] > 1:
            raise LedgerInvalid(f"no ledger of version {VERSION} and {len(memory)} bytes")
        self._enter(words[ACTIVE])
        self._last = self._base + len(self._positions())
        if words[PERFORMED] > self._last:
            raise LedgerInvalid("more events are performed than there are")

    @classmethod
    def create(cls, memory: memoryview) -> Ledger:
        """Format ``memory`` (writable bytes, a multiple of 16, at least MIN_BYTES) as an empty ledger. Raises ValueError."""
        if memory.readonly or memory.itemsize != 1 or len(memory) < MIN_BYTES or len(memory) % 16:
            raise ValueError(f"a ledger needs writable bytes, at least {MIN_BYTES}, a multiple of 16")
        with memory.cast("Q") as words:
            words[MAGIC] = 0
            for word, value in ((FORMAT, VERSION), (SIZE, len(memory)), (ACTIVE, 0), (STAMP, 0), (SUSPECT, 0), (PERFORMED, 0)):
                words[word] = value
            half = HEADER_BYTES // 8
            words[half + _BASE] = 0
            words[half + _STATE] = _NO_STATE
            words[half + _END] = HEADER_BYTES + 8 * _HALF_WORDS
            words[MAGIC] = _MAGIC_WORD
        return cls(memory)

    @classmethod
    def open(cls, memory: memoryview) -> Ledger:
        """The ledger that a predecessor left in ``memory``. Raises LedgerInvalid."""
        if memory.itemsize != 1 or len(memory) < MIN_BYTES or len(memory) % 16:
            raise LedgerInvalid("too small for a ledger, or of a wrong shape")
        return cls(memory)

    def close(self) -> None:
        """Release the views, so that the owner of ``memory`` can unmap it; the content stays."""
        self._words.release()

    # ---- events -----------------------------------------------------------------------------------------------------

    @property
    def last(self) -> int:
        """The number of the newest event, 0 before the first."""
        return self._last

    @property
    def performed(self) -> int:
        """Every event up to this number has had its effects."""
        return self._words[PERFORMED]

    def append(self, record: bytes) -> int:
        """Commit ``record`` as the next event and return its number. Raises LedgerFull."""
        start = self._end
        size = len(record)
        end = start + 8 + (size + 7 & ~7)
        if end > self._limit:
            raise LedgerFull(f"a record of {size} bytes, {self._limit - start} are free")
        words = self._words
        words[start >> 3] = size
        self._data[start + 8 : start + 8 + size] = record
        # The commit: one machine store. struct.pack_into would zero the word first and leave an empty ledger behind.
        words[self._end_word] = end
        self._end = end
        self._last += 1
        return self._last

    def mark_performed(self, number: int) -> None:
        """The effects of every event up to ``number`` are done. Raises ValueError unless performed ≤ number ≤ last."""
        if not self._words[PERFORMED] <= number <= self._last:
            raise ValueError(f"event {number} is not in {self.performed}…{self._last}")
        self._words[PERFORMED] = number

    # ---- snapshots --------------------------------------------------------------------------------------------------

    def snapshot(self, state: bytes) -> None:
        """Replace everything so far by ``state``. Raises LedgerFull; ValueError while an event is not performed."""
        if self._words[PERFORMED] != self._last:
            raise ValueError(f"events {self.performed + 1}…{self._last} are not performed")
        idle = 1 - self._active
        start = self._half_start(idle)
        begin, end = start + 8 * _HALF_WORDS, start + 8 * _HALF_WORDS + (len(state) + 7 & ~7)
        if end > start + self._half_bytes:
            raise LedgerFull(f"a snapshot of {len(state)} bytes, a half has {self._half_bytes}")
        words, half = self._words, start >> 3
        words[half + _BASE] = self._last
        words[half + _STATE] = len(state)
        words[half + _END] = end
        self._data[begin : begin + len(state)] = state
        words[ACTIVE] = idle
        self._enter(idle)

    def needs_snapshot(self, bytes_limit: int, events_limit: int) -> bool:
        """Whether the records since the snapshot take ``bytes_limit`` bytes or are ``events_limit`` events."""
        return self._end - self._records >= bytes_limit or self._last - self._base >= events_limit

    def load(self) -> Recovered:
        """The snapshot and every event after it, performed or not, copied out."""
        words, data, start = self._words, self._data, self._half_start(self._active)
        size, begin = words[(start >> 3) + _STATE], start + 8 * _HALF_WORDS
        state = None if size == _NO_STATE else bytes(data[begin : begin + size])
        records = []
        for number, (start, word) in enumerate(self._positions(), self._base + 1):
            size = word & _LENGTH_MASK
            records.append(Record(number, bytes(data[start + 8 : start + 8 + size]), word > _LENGTH_MASK))
        return Recovered(state, records, words[PERFORMED])

    def is_current(self) -> bool:
        """Whether no other writer has taken a snapshot since this object was made: what it has loaded is of one piece."""
        start = self._half_start(self._active) >> 3
        return self._words[ACTIVE] == self._active and self._words[start + _BASE] == self._base

    # ---- poison -----------------------------------------------------------------------------------------------------

    def begin(self, number: int) -> None:
        """Say that ``number`` is being handled from now on: if this process dies before it is performed, it is suspect.

        A successor that handles again what its predecessor got over says nothing of that, nor of what is skipped: the strikes
        are those of the later event that killed.
        """
        suspect = self._words[SUSPECT]
        if suspect >> _NUMBER_SHIFT > number:
            return
        strikes = suspect & 0xFE if suspect >> _NUMBER_SHIFT == number else 0
        self._words[SUSPECT] = number << _NUMBER_SHIFT | strikes | _HANDLING

    def strike(self) -> int | None:
        """Called once by a successor before it begins anything: the event that its predecessor died of handling, if any.

        Counted in the store that ends the handling: a successor that dies before it begins the event strikes nobody.
        """
        suspect = self._words[SUSPECT]
        number = suspect >> _NUMBER_SHIFT
        if not suspect & _HANDLING or not self._words[PERFORMED] < number <= self._last:
            return None
        strikes = min((suspect & 0xFE) // _STRIKE + 1, _MAX_STRIKES)
        self._words[SUSPECT] = number << _NUMBER_SHIFT | strikes * _STRIKE
        return number

    def poisoned(self) -> int | None:
        """The event to be skipped: it has STRIKES_TO_SKIP strikes, is not performed and not skipped yet."""
        suspect = self._words[SUSPECT]
        number = suspect >> _NUMBER_SHIFT
        if (suspect & 0xFE) // _STRIKE < STRIKES_TO_SKIP or not self._words[PERFORMED] < number <= self._last:
            return None
        return None if self._find(number)[1] > _LENGTH_MASK else number

    def skip(self, number: int) -> None:
        """Mark ``number`` as poison, in place. It still has to be marked performed. Raises ValueError if it is not here."""
        self._data[self._find(number)[0] + _SKIPPED_BYTE] = 1

    # ---- heartbeat --------------------------------------------------------------------------------------------------

    def stamp(self, now_ns: int) -> None:
        """Leave a sign of life: ``now_ns`` nanoseconds of the monotonic clock."""
        self._words[STAMP] = now_ns

    @property
    def stamp_ns(self) -> int:
        """The last sign of life, 0 before the first."""
        return self._words[STAMP]

    # ---- inside -----------------------------------------------------------------------------------------------------

    def _half_start(self, half: int) -> int:
        return HEADER_BYTES + half * self._half_bytes

    def _enter(self, half: int) -> None:
        self._half_bytes = (len(self._data) - HEADER_BYTES) // 2
        start = self._half_start(half)
        self._active = half
        self._limit = start + self._half_bytes
        self._end_word = (start >> 3) + _END
        self._base = self._words[(start >> 3) + _BASE]
        self._end = self._words[self._end_word]
        size = self._words[(start >> 3) + _STATE]
        self._records = start + 8 * _HALF_WORDS + (0 if size == _NO_STATE else size + 7 & ~7)
        if not self._records <= self._end <= self._limit or self._end % 8:
            raise LedgerInvalid("the end of the records is outside of their half")

    def _positions(self) -> list[tuple[int, int]]:
        words, position, end = self._words, self._records, self._end
        found = []
        while position < end:
            word = words[position >> 3]
            found.append((position, word))
            position += 8 + ((word & _LENGTH_MASK) + 7 & ~7)
        if position != end:
            raise LedgerInvalid("the last record does not end where the records end")
        return found

    def _find(self, number: int) -> tuple[int, int]:
        if not self._base < number <= self._last:
            raise ValueError(f"event {number} is not in {self._base + 1}…{self._last}")
        return self._positions()[number - self._base - 1]
