"""Channels: one per pair, made when both ends can be written to; and what happens when an end can be again."""

from __future__ import annotations

from actorcore.exit_reason import NOPROC
from actorcore.frames import failure
from actorcore.signals import NotConnected, PeerDown
from actorcore.table.entry import Entry, Introduction, Kind
from actorcore.table.turn import Turn

MAX_WAITING = 1_024
"""Introductions that may wait for one end."""


def become_writable(turn: Turn, entry: Entry) -> None:
    """Send what waited, then make the introductions that waited for this end."""
    entry.jammed = False
    turn.flush(entry)
    waiting, entry.introductions = entry.introductions, []
    for introduction in waiting:
        introduce(turn, introduction)


def introduce(turn: Turn, wanted: Introduction) -> None:
    """A channel per pair, once; it waits for the end that cannot be written to."""
    asker, peer = turn.state.alive(wanted.asker), turn.state.alive(wanted.to)
    if asker is None:
        return
    if peer is None:
        turn.refuse(wanted.asker, wanted.number, *failure(NOPROC))
    elif peer is asker:
        turn.refuse(wanted.asker, wanted.number, "calling_self")
    elif Kind.RESIDENT in (asker.kind, peer.kind):
        turn.refuse(wanted.asker, wanted.number, "unsupported", "a resident is asked")
    elif peer.serial in asker.channels:
        turn.answer(wanted.asker, wanted.number, True)
    elif not peer.is_writable():
        _wait_for(turn, peer, wanted)
    elif not asker.is_writable():
        _wait_for(turn, asker, wanted)
    else:
        turn.connect(asker, peer)
        turn.answer(wanted.asker, wanted.number, True)


def not_connected(turn: Turn, fact: NotConnected) -> None:
    """Both learn that what waited for the channel has failed; a later introduction starts afresh."""
    for serial, peer in ((fact.a, fact.b), (fact.b, fact.a)):
        entry = turn.state.alive(serial)
        if entry is not None and entry.channels.pop(peer, None) is not None:
            turn.deliver(entry, PeerDown(peer, {"resource_exhausted": fact.errno_name}))


def _wait_for(turn: Turn, end: Entry, wanted: Introduction) -> None:
    if len(end.introductions) >= MAX_WAITING:
        turn.refuse(wanted.asker, wanted.number, "busy")
    else:
        end.introductions.append(wanted)
