"""Channels: one per pair, made when both ends can be written to; and what happens when an end can be again."""

from __future__ import annotations

from actorcore.exit_reason import NOPROC
from actorcore.frames import failure
from actorcore.signals import Exit, NotConnected, PeerDown, SendExit
from actorcore.table.entry import Entry, Introduction, Kind, LateExit
from actorcore.table.turn import Turn
from actorcore.words import RESIDENT

MAX_WAITING = 1_024
"""Introductions that may wait for one end."""


def become_writable(turn: Turn, entry: Entry) -> None:
    """Send what waited, then make the introductions that waited for this end."""
    entry.jammed = False
    turn.flush(entry)
    waiting, entry.waiting = entry.waiting, []
    for item in waiting:
        if isinstance(item, Introduction):
            introduce(turn, item)
        else:
            _signal(turn, item)


def introduce(turn: Turn, wanted: Introduction) -> None:
    """A channel per pair, and another when its asker has lost it; it waits for the end that cannot be written to."""
    asker, peer = turn.state.alive(wanted.asker), turn.state.alive(wanted.to)
    if asker is None:
        return
    if peer is None:
        turn.refuse(wanted.asker, wanted.number, *failure(NOPROC))
    elif peer is asker:
        turn.refuse(wanted.asker, wanted.number, "calling_self")
    elif Kind.RESIDENT in (asker.kind, peer.kind):
        turn.answer(wanted.asker, wanted.number, RESIDENT)
    elif asker.channels.get(peer.serial, wanted.lost) != wanted.lost:
        turn.answer(wanted.asker, wanted.number, True)  # the peer was faster
    elif (end := _blocked_end(asker, peer)) is None:
        # A client may leave and return while its end is on its way, so it is not the one that waits to be spoken to.
        is_turned = peer.kind is Kind.CLIENT and asker.kind is not Kind.CLIENT
        turn.connect(*((peer, asker) if is_turned else (asker, peer)))
        turn.answer(wanted.asker, wanted.number, True)
    elif len(end.waiting) < MAX_WAITING:
        end.waiting.append(wanted)
    else:
        turn.refuse(wanted.asker, wanted.number, "busy")


def not_connected(turn: Turn, fact: NotConnected) -> None:
    """Both learn that what waited for the channel has failed; a later introduction starts afresh."""
    for serial, peer in ((fact.a, fact.b), (fact.b, fact.a)):
        entry = turn.state.entries.get(serial)  # of a dying end it is gone as well, though that hears nothing any more
        if entry is not None and entry.channels.pop(peer, None) is not None:
            turn.deliver(entry, PeerDown(peer, {"resource_exhausted": fact.errno_name}))


def deliver_exit(turn: Turn, asker: Entry, target: Entry, number: int, body: SendExit) -> None:
    """The exit signal as a message, behind the messages that ``asker`` has sent, also those that wait for a channel."""
    signal = Exit(asker.serial, body.reason, body.after, number)
    if body.channel == 0 and body.after:
        for end in (target, asker):
            if any(_is_between(item, asker, target) for item in end.waiting):
                end.waiting.append(LateExit(target.serial, signal))
                return
    # A count on a channel that was lost is over: its other end has read all that will ever come.
    is_current = body.channel in (0, asker.channels.get(target.serial))
    turn.deliver(target, signal if is_current else Exit(asker.serial, body.reason, 0, number))


def release_exits(turn: Turn, end: Entry, frm: int) -> None:
    """``frm`` is dead, which is told after its exit signals: those that wait at ``end`` wait no more."""
    for item in [item for item in end.waiting if isinstance(item, LateExit) and item.signal.frm == frm]:
        end.waiting.remove(item)
        _signal(turn, item)


def _signal(turn: Turn, late: LateExit) -> None:
    """Its introduction is over: it was made, waits for the other end now, or failed."""
    asker, target, signal = turn.state.alive(late.signal.frm), turn.state.alive(late.to), late.signal
    if target is None:
        return
    if asker is None:  # its messages had no channel and never come
        turn.deliver(target, Exit(signal.frm, signal.reason, 0, signal.number))
    else:
        deliver_exit(turn, asker, target, signal.number, SendExit(late.to, signal.reason, signal.after))


def _is_between(item: Introduction | LateExit, asker: Entry, peer: Entry) -> bool:
    return isinstance(item, Introduction) and (item.asker, item.to) == (asker.serial, peer.serial)


def _blocked_end(asker: Entry, peer: Entry) -> Entry | None:
    return next((end for end in (peer, asker) if not end.is_writable()), None)
