"""Journal: where the records of one session are kept. The session's own process is the only one that uses it.

The order of use is ``load``, then ``append`` before every acknowledgement, ``checkpoint`` from time to time, ``close`` at an
orderly end. Whoever implements it says what "durable" is; for the session it is what the answer to its client means.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

from actorcore.errors import RequestError
from supervisors.session.records import Record


class JournalError(RequestError):
    """It was not written: nothing of it is there, and the session may go on. ``code`` is one of errors.CODES."""


class Kept(msgspec.Struct, frozen=True):
    """``state``: of the last checkpoint (None: there was none); ``records`` have been appended since, oldest first. ``crowd``: of
    a new one, how many are kept with it and how many may be, if that is nearly all. ``number``: of the last record; they are
    counted from 1 on, and no number is given again.
    """

    state: bytes | None = None
    records: list[Record] = []
    crowd: tuple[int, int] | None = None
    number: int = 0


class Journal(Protocol):
    """See the module."""

    def load(self) -> Kept:
        """Everything that was kept.

        :raises RequestError: it cannot be read, or cannot be trusted; the session must not start.
        """

    def append(self, records: Sequence[Record]) -> None:
        """All of them, in this order, or none: they are durable when this returns.

        :raises JournalError: none of them was written.
        """

    def checkpoint(self, state: bytes) -> None:
        """``state`` stands for all records so far, and is durable when this returns.

        :raises JournalError: what was kept before is still kept.
        """

    def close(self) -> None:
        """The session ends in order; nothing is called after this."""


class MemoryJournal:
    """For sessions that need not outlive their process (``durability = "none"``)."""

    def __init__(self, kept: Kept | None = None) -> None:
        self.state = None if kept is None else kept.state
        self.records: list[Record] = [] if kept is None else list(kept.records)
        self.number = 0 if kept is None else kept.number

    def load(self) -> Kept:
        """As :class:`Journal`; all of these."""
        return Kept(self.state, list(self.records), number=self.number)

    def append(self, records: Sequence[Record]) -> None:
        self.records += records
        self.number += len(records)

    def checkpoint(self, state: bytes) -> None:
        self.state, self.records = state, []

    def close(self) -> None:
        pass
