"""Backlog: the deliveries that are kept for one receiver until it can be sent them, or has acknowledged them.

They are part of every snapshot, and half of the ledger must hold one: what all of them weigh together is bounded, as is
what is kept for one. Who is owed too much does not read, and ends; when all are owed too much, it is who is owed most.
"""

from __future__ import annotations

from bisect import bisect_left

from actorcore.frames import encoder
from actorcore.signals import Answer, Delivery
from actorcore.table.entry import Entry, Kind
from actorcore.table.state import State

MAX_BACKLOG = 10_000
"""Deliveries that wait for a process whose control socket is full."""
MAX_UNACKNOWLEDGED = 65_536
"""Deliveries kept for a client that has not acknowledged them."""
MAX_OWED_BYTES = 8 << 20
"""Kept for one receiver."""
MAX_OWED_TOGETHER_BYTES = 12 << 20
"""Kept for all of them."""
_FIXED_BYTES = 64
"""Of a delivery that says little, and of any besides its content."""


def weight(body: Delivery) -> int:
    """What it costs to keep ``body``, in bytes."""
    if type(body) is Answer and body.error is None and (body.value is None or isinstance(body.value, int)):
        return _FIXED_BYTES
    return _FIXED_BYTES + len(encoder.encode(body))


def keep(state: State, entry: Entry, seq: int, body: Delivery) -> None:
    """Keep delivery ``seq`` in its place, once."""
    place = bisect_left(entry.backlog, seq, key=lambda item: item[0])
    if place == len(entry.backlog) or entry.backlog[place][0] != seq:
        entry.backlog.insert(place, (seq, body))
        _owe(state, entry, weight(body))


def forget(state: State, entry: Entry, up_to: int) -> None:
    """Deliveries up to number ``up_to`` need not be kept."""
    gone = bisect_left(entry.backlog, up_to + 1, key=lambda item: item[0])
    if gone == len(entry.backlog):
        forget_all(state, entry)
    else:
        _owe(state, entry, -sum(weight(body) for _, body in entry.backlog[:gone]))
        del entry.backlog[:gone]


def forget_all(state: State, entry: Entry) -> None:
    """Nothing needs to be kept for ``entry``."""
    entry.backlog.clear()
    _owe(state, entry, -entry.owed)


def overdrawn(state: State, entry: Entry) -> Entry | None:
    """Who must end because of what has just been kept for ``entry``: it, or whoever is owed most."""
    most = MAX_UNACKNOWLEDGED if entry.kind is Kind.CLIENT else MAX_BACKLOG
    if len(entry.backlog) > most or entry.owed > MAX_OWED_BYTES:
        return entry
    if state.owed > MAX_OWED_TOGETHER_BYTES:
        return max(state.entries.values(), key=lambda other: other.owed)
    return None


def recount(state: State) -> None:
    """Weigh everything anew: code from before the weights did not write them down."""
    for entry in state.entries.values():
        if entry.backlog or entry.owed:
            _owe(state, entry, sum(weight(body) for _, body in entry.backlog) - entry.owed)
    state.owed = sum(entry.owed for entry in state.entries.values())


def _owe(state: State, entry: Entry, more: int) -> None:
    entry.owed += more
    state.owed += more
