"""Deaths: exit signals (OTP's exit/2 and links), and what everybody is told when one has ended."""

from __future__ import annotations

from actorcore.effects import Forget
from actorcore.exit_reason import KILL, KILLED, NOPROC, NORMAL, Reason, Term
from actorcore.frames import failure
from actorcore.signals import EVERYTHING, MAX_REFS, Down, Exit, PeerDown, SendExit
from actorcore.table import channels
from actorcore.table.entry import Entry, Introduction, Kind, Phase
from actorcore.table.turn import Turn


def send_exit(turn: Turn, asker: Entry, number: int, body: SendExit) -> bool:
    """exit/2: ``kill`` cannot be trapped and is told as ``killed``; ``normal`` ends nobody but oneself.

    Whether the target traps it.
    """
    target = turn.state.alive(body.to)
    if target is None:
        return False
    if body.reason != KILL and target.traps():
        channels.deliver_exit(turn, asker, target, number, body)
        return True
    if body.reason == KILL:
        turn.doom(target, KILLED)
    elif body.reason != NORMAL or target is asker:
        _end_by_signal(turn, target, Exit(asker.serial, body.reason, 0, number))
    return False


def end(turn: Turn, entry: Entry, reason: Reason, refusal: tuple[str, Term] | None = None) -> None:
    """``entry`` is dead; ``refusal`` is what its starter is told instead of the reason.

    Each line here costs what this one process had, never what others have.
    """
    state, serial = turn.state, entry.serial
    state.remove(entry)
    if entry.is_blank():
        state.discard_blank(entry)
        turn.effects.append(Forget(serial, entry.page))
        return
    turn.report(f"{entry.kind.value}_exited", serial, reason)
    # Retract before telling: who hears of the death must no longer find the name.
    turn.unpublish(serial)
    turn.show(state.names.shown.drop(serial))
    state.names.end_owner(serial)
    state.monitors.drop(serial)
    state.asks.drop(serial)
    channels.release_exits(turn, entry, serial)
    for watcher, refs in state.monitors.fire(serial):
        channels.release_exits(turn, state.entries[watcher], serial)
        late = state.monitors.take_late(watcher, refs)
        early = [ref for ref in refs if ref not in late] if late else refs
        for some, why in ((early, reason), (late, NOPROC)):
            for at in range(0, len(some), MAX_REFS):
                turn.deliver(state.entries[watcher], Down(some[at : at + MAX_REFS], serial, why))
    for partner in state.links.drop(serial):
        _signal_by_link(turn, state.entries[partner], serial, reason)
    for peer_serial in entry.channels:
        peer = state.entries[peer_serial]
        del peer.channels[serial]
        turn.deliver(peer, PeerDown(serial, reason))
    for asker, numbers in state.asks.fire(serial):
        for number in numbers:
            turn.refuse(asker, number, *failure(reason))
    for item in entry.waiting:
        if isinstance(item, Introduction):
            turn.refuse(item.asker, item.number, *failure(reason))
    if entry.starter is not None:
        turn.fail_start(entry.starter, *(refusal or ("start_failed", reason)), serial)
    turn.effects.append(Forget(serial, entry.page))


def settle(turn: Turn) -> None:
    """End the clients and residents that this turn has doomed; each may doom more. A queue, not recursion."""
    while turn.ending:
        entry = turn.ending.popleft()
        if turn.state.entries.get(entry.serial) is entry:
            end(turn, entry, KILLED if entry.ordered is None else entry.ordered)


def _signal_by_link(turn: Turn, partner: Entry, frm: int, reason: Reason) -> None:
    """Over a link ``kill`` is a reason like any other, and ``normal`` ends nobody."""
    if partner.traps():
        channels.release_exits(turn, partner, frm)
        turn.deliver(partner, Exit(frm, reason, EVERYTHING))
    elif reason != NORMAL:
        _end_by_signal(turn, partner, Exit(frm, reason, EVERYTHING))


def _end_by_signal(turn: Turn, target: Entry, signal: Exit) -> None:
    if target.phase is Phase.REFUSED:  # it is ending already, with the reason that its starter was told
        return
    if target.kind is Kind.CLIENT:
        turn.deliver(target, signal)
    turn.doom(target, signal.reason)
