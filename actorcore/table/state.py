"""State: the whole process table as one value, so that its snapshot is its encoding."""

from __future__ import annotations

import heapq
from collections.abc import Set

import msgspec

from actorcore.frames import decode_ext, encoder
from actorcore.links import Links
from actorcore.monitors import Monitors
from actorcore.names import Names
from actorcore.table.entry import NO_PAGE, Entry, Kind, Phase, Row, Statistics
from actorcore.timers import Deadlines
from actorcore.words import LEAN


class State(msgspec.Struct):
    """All entries by serial, and the relations between them. ``blanks`` are by template, oldest first; ``hangs``: when a
    stopped process is taken to hang, or the status page of a running one is to be looked at.

    ``templates``: by name, why it cannot be used, or nothing; ``better``: the template that a ``start`` has shown to want;
    ``preloading``: those whose images have modules of the user's in them. ``owed``: bytes of all backlogs.
    """

    instance: int
    pages: int
    last_serial: int = 0
    last_client: int = 0
    pages_used: int = 0
    pages_freed: list[int] = []
    entries: dict[int, Entry] = {}
    blanks: dict[str, dict[int, None]] = {}
    links: Links = msgspec.field(default_factory=Links)
    monitors: Monitors = msgspec.field(default_factory=Monitors)
    asks: Monitors = msgspec.field(default_factory=Monitors)
    names: Names = msgspec.field(default_factory=Names)
    deadlines: Deadlines[int] = msgspec.field(default_factory=Deadlines)
    hangs: Deadlines[int] = msgspec.field(default_factory=Deadlines)
    templates: dict[str, str] = msgspec.field(default_factory=lambda: {LEAN: ""})
    better: dict[str, str] = {}
    preloading: dict[str, None] = {}
    owed: int = 0

    def alive(self, serial: int) -> Entry | None:
        """The entry that signals reach; None for the dead, the dying, blanks and strangers."""
        entry = self.entries.get(serial)
        return entry if entry is not None and entry.is_alive() else None

    def add(self, kind: Kind, phase: Phase) -> Entry:
        """A new entry under the next serial."""
        self.last_serial += 1
        entry = Entry(self.last_serial, kind, phase)
        self.entries[entry.serial] = entry
        return entry

    def add_process(self, template: str) -> Entry | None:
        """A process about to be forked, with the smallest free status page; None when there is no page."""
        if self.pages_freed:
            page = heapq.heappop(self.pages_freed)
        elif self.pages_used < self.pages:
            page = self.pages_used
            self.pages_used += 1
        else:
            return None
        entry = self.add(Kind.PROCESS, Phase.FORKING)
        entry.template, entry.page = template, page
        # Nothing can be sent before it is born; until then its deliveries wait behind its Begin.
        entry.jammed = True
        return entry

    def remove(self, entry: Entry) -> None:
        """Take the entry out of the table and free its page; the relations are the caller's."""
        del self.entries[entry.serial]
        self.owed -= entry.owed
        self.deadlines.cancel(entry.serial)
        self.hangs.cancel(entry.serial)
        if entry.page != NO_PAGE:
            heapq.heappush(self.pages_freed, entry.page)

    def discard_blank(self, entry: Entry) -> None:
        """It is no longer a blank of its template."""
        blanks = self.blanks[entry.template]
        del blanks[entry.serial]
        if not blanks:
            del self.blanks[entry.template]

    def snapshot(self) -> bytes:
        return encoder.encode(self)

    @staticmethod
    def restore(data: bytes) -> State:
        """Raises msgspec.MsgspecError for other bytes."""
        return _decoder.decode(data)

    def rows(self, after: int, limit: int) -> list[Row]:
        """At most ``limit`` rows with serial > ``after``, by serial."""
        rows: list[Row] = []
        for entry in self.entries.values():  # serials rise, so insertion order is theirs
            if len(rows) >= limit:
                break
            if entry.serial > after:
                rows.append(self._row(entry))
        return rows

    def unsettled(self, halted: Set[int], without_pidfd: Set[int]) -> list[Row]:
        """Rows of what a new node has something to do about; most processes are as the table says."""
        client, forking, dying = Kind.CLIENT, Phase.FORKING, Phase.DYING
        return [
            self._row(entry)
            for serial, entry in self.entries.items()
            if entry.kind is client
            or entry.phase is forking
            or entry.phase is dying
            or entry.backlog
            or entry.stopped != (serial in halted)
            or serial in without_pidfd
        ]

    def row(self, serial: int) -> Row | None:
        """The row of one entry, None when it is gone."""
        entry = self.entries.get(serial)
        return None if entry is None else self._row(entry)

    def statistics(self) -> Statistics:
        entries = self.entries.values()
        kinds = [entry.kind for entry in entries]
        blanks = sum(map(len, self.blanks.values()))
        return Statistics(
            processes=kinds.count(Kind.PROCESS) - blanks,
            blanks=blanks,
            clients=kinds.count(Kind.CLIENT),
            residents=kinds.count(Kind.RESIDENT),
            dying=[entry.phase for entry in entries].count(Phase.DYING),
            links=self.links.count(),
            monitors=self.monitors.count(),
            asks=self.asks.count(),
            names=len(self.names.registrations),
            channels=sum([len(entry.channels) for entry in entries]) // 2,
            deadlines=len(self.deadlines.live),
            backlog=sum([len(entry.backlog) for entry in entries]),
            owed_bytes=self.owed,
            pages_free=self.pages - self.pages_used + len(self.pages_freed),
            last_serial=self.last_serial,
            templates={name: trouble or "served" for name, trouble in self.templates.items()},
        )

    def _row(self, entry: Entry) -> Row:
        return Row(
            serial=entry.serial,
            kind=entry.kind.value,
            phase="unresponsive" if entry.hung and entry.phase is not Phase.DYING else entry.phase.value,
            os_pid=entry.os_pid,
            name=self.names.held.get(entry.serial),
            start="" if entry.spec is None else entry.spec.start,
            template=entry.template,
            parent=entry.parent,
            page=entry.page,
            links=len(self.links.partners.get(entry.serial, ())),
            backlog=len(entry.backlog),
            stopped=entry.stopped,
            isolation="fork" if entry.spec is None else entry.spec.isolation,
        )


_decoder = msgspec.msgpack.Decoder(State, ext_hook=decode_ext)
