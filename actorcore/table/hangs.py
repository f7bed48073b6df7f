"""Hangs: who has been stopped for too long, or busy with one message for longer than its spec allows.

That a process is stopped is told by the guardian. That it is busy stands in its status page, which only processes with
a ``busy_timeout_s`` have looked at, at the earliest moment at which they can have exceeded it: Ticked → Look → Looked.
"""

from __future__ import annotations

from actorcore.effects import Look
from actorcore.exit_reason import KILLED, Reason
from actorcore.signals import Continued, Hung, Looked, Stopped
from actorcore.table.entry import Entry, Kind, Phase
from actorcore.table.turn import Turn

STOPPED_LIMIT_S = 1.5
LATE_S = 1.0
GRAIN_S = 0.1
"""Looks fall on multiples of this: those at many processes cost one event, and short timeouts no more than long ones."""
UNRESPONSIVE: Reason = {"killed": "unresponsive"}


def busy_timeout_s(entry: Entry) -> float | None:
    """For how long one message of the process may take now; None: without bound."""
    return None if entry.spec is None or entry.phase is not Phase.RUNNING else entry.spec.busy_timeout_s


def watch(turn: Turn, entry: Entry) -> None:
    """The process runs from now on."""
    if not entry.stopped:
        _look_later(turn, entry, turn.now)


def stopped(turn: Turn, entry: Entry, _: Stopped) -> None:
    """By job control; told again without an end in between, it ran for a moment that was too short to be seen."""
    entry.stopped = True
    turn.report("process_stopped", entry.serial)
    if entry.is_blank():  # it would get a spec and sit on it
        turn.doom(entry, KILLED)
    elif entry.phase is not Phase.DYING and entry.hung != "stopped":
        turn.state.hangs.set(entry.serial, turn.now + STOPPED_LIMIT_S)


def continued(turn: Turn, entry: Entry, _: Continued) -> None:
    """It goes on, with the message that it had."""
    entry.stopped = False
    turn.report("process_continued", entry.serial)
    turn.state.hangs.cancel(entry.serial)
    if entry.hung == "stopped" and entry.phase is not Phase.DYING:
        _recover(turn, entry)
    if busy_timeout_s(entry) is not None:
        turn.state.hangs.set(entry.serial, turn.now)


def due(turn: Turn) -> None:
    """Time has passed. Who judges LATE_S too late did not run himself, and whoever was frozen with him has his time again."""
    hangs, pages = turn.state.hangs, dict[int, int]()
    while (at_s := hangs.earliest()) is not None and at_s <= turn.now:
        is_late = turn.now - at_s > LATE_S
        for serial in hangs.pop_due(at_s):
            entry = turn.state.entries[serial]
            if not entry.stopped:
                _look_later(turn, entry, turn.now)
                if not is_late:
                    pages[serial] = entry.page
            elif is_late:
                hangs.set(serial, turn.now + STOPPED_LIMIT_S)
            else:
                _hang(turn, entry, "stopped")
    if pages:
        turn.effects.append(Look(pages))


def looked(turn: Turn, fact: Looked) -> None:
    """What the status pages claim: a time in the future is as good as none."""
    for serial, since_s in fact.busy.items():
        entry = turn.state.alive(serial)
        timeout_s = None if entry is None else busy_timeout_s(entry)
        if entry is None or timeout_s is None or entry.stopped:
            continue
        if since_s and turn.now - since_s >= timeout_s:
            _look_later(turn, entry, turn.now)
            _hang(turn, entry, "busy")
        else:
            _look_later(turn, entry, min(since_s or turn.now, turn.now))
            _recover(turn, entry)


def _look_later(turn: Turn, entry: Entry, since_s: float) -> None:
    """When one message that is handled since ``since_s`` takes too long."""
    timeout_s = busy_timeout_s(entry)
    if timeout_s is not None:
        at = max(since_s + timeout_s, turn.now + GRAIN_S / 2)  # what rounding takes away is less
        turn.state.hangs.set(entry.serial, at + GRAIN_S - at % GRAIN_S)


def _hang(turn: Turn, entry: Entry, why: str) -> None:
    was, entry.hung = entry.hung, why
    if was:
        return
    turn.report("process_hung", entry.serial, why)
    _tell_parent(turn, entry)
    if entry.spec is not None and entry.spec.when_hung == "kill":
        turn.doom(entry, UNRESPONSIVE)


def _recover(turn: Turn, entry: Entry) -> None:
    if entry.hung:
        entry.hung = ""
        turn.report("process_recovered", entry.serial)
        _tell_parent(turn, entry)


def _tell_parent(turn: Turn, entry: Entry) -> None:
    parent = turn.state.alive(entry.parent)
    if parent is not None and parent.kind is Kind.RESIDENT:
        turn.deliver(parent, Hung(entry.serial, entry.hung))
