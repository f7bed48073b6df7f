"""Requests: what a process, client or resident asks of the node, each answered exactly once.

Signals take effect before they are answered: who signals itself dies unanswered.
"""

from __future__ import annotations

import msgspec

from actorcore.exit_reason import NOPROC
from actorcore.frames import failure
from actorcore.signals import (
    EVERYTHING,
    NOBODY,
    Ask,
    Asking,
    Demonitor,
    Down,
    Exit,
    Introduce,
    IsAlive,
    Link,
    Lookup,
    Monitor,
    Processes,
    Register,
    RegisterMany,
    Release,
    Request,
    SendExit,
    Spawn,
    TrapExit,
    Unlink,
    Unregister,
    Whereis,
)
from actorcore.table import births, channels, deaths, naming
from actorcore.table.entry import Entry, Introduction, Kind
from actorcore.table.turn import Turn

MAX_ASKS = 4096
"""Of one asker without an answer: residents answer some of them after a long time, and keep them until then."""
MAX_ROWS = 250
"""Rows of one Processes answer: they must fit into one datagram."""


def answer_request(turn: Turn, asker: Entry, number: int, body: Request) -> None:
    """Handle the request; the asker is alive and has not made it before."""
    state, me = turn.state, asker.serial
    match body:
        case Spawn():
            births.spawn(turn, asker, number, body)
        case SendExit():
            turn.answer(me, number, deaths.send_exit(turn, asker, number, body))
        case Link(to):
            _link(turn, asker, number, to)
        case Unlink(to):
            state.links.remove(me, to)
            turn.answer(me, number, True)
        case Monitor():
            _monitor(turn, asker, number, body)
        case Demonitor(ref):
            turn.answer(me, number, state.monitors.remove(me, ref))
        case TrapExit(on):
            before, asker.trap_exit = asker.traps(), on
            turn.answer(me, number, before)
        case Register():
            naming.register(turn, asker, number, body)
        case RegisterMany():
            naming.register_many(turn, asker, number, body)
        case Release(name):
            turn.answer(me, number, state.names.give_up(me, name))
        case Unregister(name):
            naming.unregister(turn, asker, number, name)
        case Whereis(name):
            turn.answer(me, number, state.names.whereis(name))
        case Lookup(name):
            turn.answer(me, number, naming.lookup(turn, name))
        case IsAlive(who):
            turn.answer(me, number, state.alive(who) is not None)
        case Introduce(to, lost):
            channels.introduce(turn, Introduction(me, number, to, lost))
        case Ask(to, raw):
            _ask(turn, asker, number, to, raw)
        case Processes(after, limit):
            rows = state.rows(after, max(0, min(limit, MAX_ROWS)))
            turn.answer(me, number, [msgspec.to_builtins(row) for row in rows])
        case _:
            raise TypeError(f"not a request: {body!r}")


def _link(turn: Turn, asker: Entry, number: int, to: int) -> None:
    """link/1: to the dead it is an error, or an EXIT ``noproc`` to a caller that traps exits (erts 13)."""
    if turn.state.alive(to) is not None:
        turn.state.links.add(asker.serial, to)
        turn.answer(asker.serial, number, True)
    elif asker.traps():
        turn.answer(asker.serial, number, True)
        turn.deliver(asker, Exit(to, NOPROC, EVERYTHING))
    else:
        turn.refuse(asker.serial, number, *failure(NOPROC))


def _monitor(turn: Turn, asker: Entry, number: int, body: Monitor) -> None:
    """monitor/2: of the dead, of a stranger, of a name that nobody has, it fires at once, with ``noproc``. So it does of one
    whose end is decided, but when it is really dead: who waits for that may use what the other had.
    """
    to = (turn.state.names.whereis(body.name) or NOBODY) if body.name else body.to
    if turn.state.monitors.has(asker.serial, body.ref):
        return turn.refuse(asker.serial, number, "already_exists", "ref")
    target = turn.state.entries.get(to)
    if target is not None and target.is_blank():
        target = None
    if target is not None:
        turn.state.monitors.add(asker.serial, body.ref, target.serial, is_late=not target.is_alive())
    turn.answer(asker.serial, number, True)
    if target is None:
        turn.deliver(asker, Down([body.ref], to, NOPROC))
    return None


def _ask(turn: Turn, asker: Entry, number: int, to: int, body: msgspec.Raw) -> None:
    resident = turn.state.alive(to)
    if resident is None:
        return turn.refuse(asker.serial, number, *failure(NOPROC))
    if resident.kind is not Kind.RESIDENT:
        return turn.refuse(asker.serial, number, "unsupported", "only residents are asked")
    if len(turn.state.asks.targets.get(asker.serial, ())) >= MAX_ASKS:
        return turn.refuse(asker.serial, number, "too_many_requests", f"{MAX_ASKS} without an answer")
    turn.state.asks.add(asker.serial, number, to)
    return turn.deliver(resident, Asking(asker.serial, number, body))
