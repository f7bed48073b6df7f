"""Clients: entries without an OS process of ours, which outlive their connection for a while."""

from __future__ import annotations

from actorcore.exit_reason import NOCONNECTION
from actorcore.signals import ClientAttached, ClientDetached, Received
from actorcore.table import backlog
from actorcore.table.channels import become_writable
from actorcore.table.entry import Entry, Kind, Phase
from actorcore.table.state import State
from actorcore.table.turn import Turn

LINGER_S = 5.0
"""How long the entry of a client that has left waits for its return."""


def is_known(state: State, serial: int, secret: bytes) -> bool:
    """Whether a returning client may have this entry."""
    entry = state.alive(serial)
    return entry is not None and entry.kind is Kind.CLIENT and entry.secret == secret


def attached(turn: Turn, fact: ClientAttached) -> None:
    """A new client gets an entry; a returning one gets again what it has not acknowledged."""
    state = turn.state
    if fact.serial == 0:
        entry = state.add(Kind.CLIENT, Phase.RUNNING)
        entry.secret = fact.secret
        state.last_client = entry.serial
    elif is_known(state, fact.serial, fact.secret):
        entry = state.entries[fact.serial]
    else:
        return turn.report("unknown_client", fact.serial)
    entry.os_pid, entry.attached, entry.sent = fact.os_pid, True, 0
    entry.lost = False
    state.deadlines.cancel(entry.serial)
    turn.report("client_attached", entry.serial, fact.os_pid)
    return become_writable(turn, entry)


def detached(turn: Turn, entry: Entry, fact: ClientDetached) -> None:
    """It may return within LINGER_S, or at any time if it did not leave; not when its process is known to have ended."""
    was_attached, entry.attached = entry.attached, False
    turn.report("client_detached", entry.serial, fact.dead)
    if fact.dead:
        turn.doom(entry, NOCONNECTION)
    elif was_attached or entry.lost:
        entry.lost = fact.lost
        if not fact.lost:
            turn.state.deadlines.set(entry.serial, turn.now + LINGER_S)


def received(turn: Turn, entry: Entry, fact: Received) -> None:
    """The client has every delivery up to this one; they need not be kept."""
    backlog.forget(turn.state, entry, fact.seq)
