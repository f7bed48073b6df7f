"""ProcessTable: the brain of the node. One event in, its effects out; no clock, no chance, no I/O.

::

    Asked ─► requests ─► births, deaths, channels ─┐
    Born, Booted, Refused, ForkFailed ─► births ───┼─► Turn ─► [Effect, …]
    Exited, Client…, Ticked ─► deaths, clients ────┘

The same events in the same order give the same effects, also across ``restore(snapshot())``: the node's ledger depends
on it. Order of the effects of a death: Retract, then Down, Exit, PeerDown, then answers, then Forget.
"""

from __future__ import annotations

from collections.abc import Callable, Set
from typing import Any, TypeAlias

import msgspec

from actorcore.effects import Effect, Forget, Operate
from actorcore.exit_reason import KILLED, NOCONNECTION, Reason, Term, reason_of_status
from actorcore.names import key_error
from actorcore.signals import (
    NOBODY,
    Asked,
    Booted,
    Born,
    ClientAttached,
    ClientDetached,
    Continued,
    Event,
    Exited,
    ForkFailed,
    Looked,
    NotConnected,
    Received,
    Refill,
    Refused,
    SendExit,
    Sent,
    Stopped,
    TemplateTold,
    Ticked,
    Undelivered,
    Violated,
    Writable,
)
from actorcore.table import backlog, births, channels, clients, deaths, hangs, invariants, requests
from actorcore.table.entry import NO_PAGE, Entry, Kind, Phase, Row, Starter, Statistics
from actorcore.table.state import State
from actorcore.table.turn import Turn


class ProcessTable:
    """Processes, clients and residents of one guardian ``instance`` with ``pages`` status pages."""

    def __init__(self, instance: int, pages: int = 16384) -> None:
        self._state = State(instance, pages)

    @classmethod
    def restore(cls, data: bytes) -> ProcessTable:
        """The table that :meth:`snapshot` described. Raises ValueError or msgspec.MsgspecError."""
        table = cls.__new__(cls)
        table._state = State.restore(data)
        backlog.recount(table._state)
        return table

    def snapshot(self) -> bytes:
        """The whole state; equal states have equal snapshots."""
        return self._state.snapshot()

    @property
    def owed_bytes(self) -> int:
        """What the deliveries weigh that are kept."""
        return self._state.owed

    def handle(self, event: Event, now: float) -> list[Effect]:
        """What ``event`` at monotonic time ``now`` (seconds) leads to, in this order."""
        turn = Turn(self._state, now)
        if (of_one := OF_ONE.get(type(event))) is not None:
            _with_entry(turn, event, *of_one)
        elif (of_all := OF_ALL.get(type(event))) is not None:
            of_all(turn, event)
        else:
            raise TypeError(f"not an event: {event!r}")
        deaths.settle(turn)
        return turn.effects

    # ---- residents: pure machines beside the table; their shell calls these with what they order --------------------

    def add_resident(self, name: str | None) -> int:
        """The serial of a new resident. Its name is found in here at once; the caller publishes it.

        Raises ValueError for a name that is malformed or taken.
        """
        names = self._state.names
        serial = self._state.last_serial + 1
        error = None if name is None else key_error(name, resident=True) or names.error_of(name, serial)
        if error is not None:
            raise ValueError(f"{error}: {name}")
        self._state.add(Kind.RESIDENT, Phase.RUNNING)
        if name is not None:
            names.add(name, serial, serial, published=True)
        return serial

    def renew_images(self, now: float) -> list[Effect]:
        """End the blanks that have modules of the user's in them: those that follow are of newer images."""
        turn = Turn(self._state, now)
        for template in self._state.preloading:
            turn.effects.append(Operate("renew", 0, template))
            for serial in self._state.blanks.get(template, ()):
                turn.doom(self._state.entries[serial], KILLED)
        return turn.effects

    def is_alive(self, serial: int) -> bool:
        """Whether signals reach it."""
        return self._state.alive(serial) is not None

    def parent_of(self, serial: int) -> int:
        """Who spawned it; 0: nobody, or it is dead."""
        entry = self._state.entries.get(serial)
        return 0 if entry is None else entry.parent

    def may_spawn(self, serial: int) -> bool:
        """What its spec says; a client and a resident may."""
        entry = self._state.entries.get(serial)
        return entry is None or entry.spec is None or entry.spec.may_spawn

    def end_start(self, asker: int, number: int, start: int, reason: Reason, now: float) -> list[Effect]:
        """As request ``number`` of ``asker``: SendExit to whom its request ``start`` is starting."""
        starter = Starter(asker, start)
        started = next((entry.serial for entry in self._state.entries.values() if entry.starter == starter), NOBODY)
        return self.handle(Asked(asker, number, SendExit(started, reason)), now)

    def resident_exited(self, serial: int, reason: Reason, now: float) -> list[Effect]:
        """The resident has ended by itself; no effects when it is not there any more."""
        turn = Turn(self._state, now)
        entry = self._state.entries.get(serial)
        if entry is not None and entry.kind is Kind.RESIDENT:
            deaths.end(turn, entry, reason)
            deaths.settle(turn)
        return turn.effects

    def answer(self, to: int, number: int, value: Term = None, error: tuple[str, Term] | None = None) -> list[Effect]:
        """A resident answers the Asking (``to``, ``number``); no effects when that is answered or nobody waits."""
        turn = Turn(self._state, 0.0)
        if self._state.asks.remove(to, number):
            if error is None:
                turn.answer(to, number, value)
            else:
                turn.refuse(to, number, *error)
            deaths.settle(turn)
        return turn.effects

    def send(self, frm: int, to: int | str, body: msgspec.Raw) -> list[Effect]:
        """A resident says ``body`` to ``to``; to the dead, and to a name of nobody, it vanishes."""
        turn = Turn(self._state, 0.0)
        serial = self._state.names.whereis(to) if isinstance(to, str) else to
        receiver = None if serial is None else self._state.alive(serial)
        if receiver is not None:
            turn.deliver(receiver, Sent(frm, body))
            deaths.settle(turn)
        return turn.effects

    def show(self, owner: int, key: str, value: bytes) -> list[Effect]:
        """A resident shows ``value`` under ``key``; see :mod:`actorcore.shown`."""
        turn = Turn(self._state, 0.0)
        if self._state.alive(owner) is not None:
            turn.show(self._state.names.show(owner, key, value))
        return turn.effects

    def refuse(self, to: int, number: int, code: str, detail: Term) -> list[Effect]:
        """Answer request ``number`` of ``to`` with an error, without having looked at it."""
        turn = Turn(self._state, 0.0)
        asker = self._state.alive(to)
        if asker is not None and number > asker.last_number:
            asker.last_number = number
            turn.refuse(to, number, code, detail)
            deaths.settle(turn)
        return turn.effects

    # ---- questions --------------------------------------------------------------------------------------------------

    @property
    def instance(self) -> int:
        return self._state.instance

    @property
    def last_client(self) -> int:
        """The serial that the latest ClientAttached(0) was given."""
        return self._state.last_client

    def client_known(self, serial: int, secret: bytes) -> bool:
        """Whether ClientAttached(``serial``, ``secret``) would be accepted."""
        return clients.is_known(self._state, serial, secret)

    def next_deadline(self) -> float | None:
        """When Ticked is due (monotonic seconds)."""
        times = (self._state.deadlines.earliest(), self._state.hangs.earliest())
        return min((at for at in times if at is not None), default=None)

    def statistics(self) -> Statistics:
        return self._state.statistics()

    def rows(self, after: int, limit: int) -> list[Row]:
        """At most ``limit`` rows with serial > ``after``, by serial."""
        return self._state.rows(after, limit)

    def unsettled(self, halted: Set[int], without_pidfd: Set[int]) -> list[Row]:
        """Rows of clients, of what is being born or dying, of what waits to be sent something, of what is ``halted`` or goes
        on unlike the table says, and of those ``without_pidfd``."""
        return self._state.unsettled(halted, without_pidfd)

    def row(self, serial: int) -> Row | None:
        """The row of one entry, None when it is gone."""
        return self._state.row(serial)

    def published(self) -> dict[str, int]:
        """Every name that may be found now, with its holder, and what residents show."""
        names = self._state.names
        found = {name: held.holder for name, held in names.registrations.items() if held.published}
        return found | {name: owner for owner, shown in names.shown.entries.items() for name in shown}

    def values(self) -> dict[str, bytes]:
        """The value of every name that has one and may be found now."""
        names = self._state.names
        found = {name: held.value for name, held in names.registrations.items() if held.published and held.value}
        return found | {name: value for shown in names.shown.entries.values() for name, value in shown.items() if value}

    def blanks(self) -> dict[str, int]:
        """How many blanks of each template there are, those on their way counted."""
        return {template: len(serials) for template, serials in self._state.blanks.items()}

    def check_invariants(self) -> None:
        """Raises AssertionError that names the first thing in the state which must not be."""
        invariants.check(self._state)


def _asked(turn: Turn, event: Asked) -> None:
    asker = turn.state.entries.get(event.frm)
    if asker is None or asker.is_blank():
        return turn.report("unknown_sender", event.frm)
    if asker.phase is Phase.DYING or event.number <= asker.last_number:
        return None
    asker.last_number = event.number
    return requests.answer_request(turn, asker, event.number, event.body)


def _exited(turn: Turn, fact: Exited) -> None:
    entry = turn.state.entries.get(fact.serial)
    if entry is None or entry.kind is not Kind.PROCESS:
        # Reaped again after a change of nodes, or of another life: its page has a new owner by now.
        turn.effects.append(Forget(fact.serial, NO_PAGE))
    else:
        deaths.end(turn, entry, reason_of_status(fact.code, fact.status, fact.declared, entry.ordered, fact.is_oom))


def _violated(turn: Turn, fact: Violated) -> None:
    culprit = turn.state.alive(fact.serial)
    if culprit is not None:
        turn.doom(culprit, {"error": {"type": "protocol_error", "text": fact.detail}})


def _ticked(turn: Turn, _: Ticked) -> None:
    for serial in turn.state.deadlines.pop_due(turn.now):
        entry = turn.state.entries[serial]
        if entry.kind is Kind.CLIENT:
            turn.doom(entry, NOCONNECTION)
        else:
            births.overdue(turn, entry)
    hangs.due(turn)


def _undelivered(turn: Turn, entry: Entry, fact: Undelivered) -> None:
    turn.undelivered(entry, fact.seq, fact.body)


def _writable(turn: Turn, entry: Entry, _: Writable) -> None:
    # A socket that was never born cannot be writable; what waits for Born must not leave early.
    if entry.phase not in (Phase.FORKING, Phase.DYING):
        channels.become_writable(turn, entry)


Handler: TypeAlias = Callable[[Turn, Entry, Any], None]
OF_ALL: dict[type, Callable[[Turn, Any], None]] = {
    Asked: _asked, Exited: _exited, ClientAttached: clients.attached, Violated: _violated, Refill: births.refill,
    NotConnected: channels.not_connected, TemplateTold: births.template_told, Ticked: _ticked, Looked: hangs.looked,
}  # fmt: skip
OF_ONE: dict[type, tuple[str, tuple[Kind, ...], Handler]] = {
    Born: ("serial", (Kind.PROCESS,), births.born),
    Booted: ("serial", (Kind.PROCESS, Kind.RESIDENT), births.booted),
    Refused: ("serial", (Kind.PROCESS, Kind.RESIDENT), births.refused),
    ForkFailed: ("serial", (Kind.PROCESS,), births.fork_failed),
    Stopped: ("serial", (Kind.PROCESS,), hangs.stopped),
    Continued: ("serial", (Kind.PROCESS,), hangs.continued),
    ClientDetached: ("serial", (Kind.CLIENT,), clients.detached),
    Received: ("frm", (Kind.CLIENT,), clients.received),
    Undelivered: ("to", (Kind.PROCESS, Kind.CLIENT), _undelivered),
    Writable: ("to", (Kind.PROCESS, Kind.CLIENT), _writable),
}
"""Facts about one incarnation: which field names it, of which kinds it can be, who handles them."""


def _with_entry(turn: Turn, fact: Any, field: str, kinds: tuple[Kind, ...], handler: Handler) -> None:
    """Of a serial that is gone a fact is stale, whoever came after it."""
    serial: int = getattr(fact, field)
    entry = turn.state.entries.get(serial)
    if entry is None or entry.kind not in kinds:
        turn.report("stale", serial, type(fact).__name__.lower())
    else:
        handler(turn, entry, fact)
