"""The invariants of the process table are no words: each one that is broken by hand is named."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from actorcore.signals import Down, Link, Monitor, ProcessSpec, Register
from actorcore.table.backlog import weight
from actorcore.table.entry import Entry, Phase
from actorcore.table.state import State
from tests.table_driver import Driver

HOLDER, OTHER, TRAPPING = 2, 3, 4


def a_node() -> Driver:
    """A process with a name and a value, one that is linked to it and watches it, one that traps exits."""
    node = Driver()
    for spec in (ProcessSpec("m:f"), ProcessSpec("m:f"), ProcessSpec("m:f", trap_exit=True)):
        node.start(spec)
    node.ask(HOLDER, Register("held", 0, b"\x01"))
    node.ask(OTHER, Link(HOLDER))
    node.ask(OTHER, Monitor(1, HOLDER))
    return node


def owe(state: State, entry: Entry) -> None:
    """Something waits for it, as it should be written down."""
    entry.seq += 1
    entry.backlog.append((entry.seq, Down([1], 9, "killed")))
    entry.owed += weight(entry.backlog[-1][1])
    state.owed += weight(entry.backlog[-1][1])


def dying_with_mail(state: State) -> None:
    entry = state.entries[HOLDER]
    entry.phase, entry.ordered, entry.jammed = Phase.DYING, "killed", True
    owe(state, entry)


def jammed_by_nothing(state: State) -> None:
    owe(state, state.entries[HOLDER])


BROKEN: dict[str, Callable[[State], object]] = {
    "nothing waits for the dying": dying_with_mail,
    "nothing waits for writable": jammed_by_nothing,
    "dies for a reason": lambda state: setattr(state.entries[HOLDER], "phase", Phase.DYING),
    "is its key": lambda state: setattr(state.entries[HOLDER], "serial", 77),
    "is owed its backlog": lambda state: setattr(state.entries[HOLDER], "owed", 1),
    "all are owed what each is owed": lambda state: setattr(state, "owed", state.owed + 1),
    "each page has one owner": lambda state: setattr(state.entries[HOLDER], "page", state.entries[OTHER].page),
    "is symmetric": lambda state: state.links.partners[HOLDER].clear() or state.links.partners.pop(HOLDER),
    "both sides of a monitor agree": lambda state: state.monitors.refs.clear(),
    "one name per process": lambda state: state.names.held.clear(),
    "values have room": lambda state: setattr(state.names, "blocks", state.names.blocks + 1),
    "what is shown is counted": lambda state: setattr(state.names.shown, "count", 1),
    "the blocks of what is shown are counted": lambda state: setattr(state.names.shown, "blocks", 1),
    "is found when ready": lambda state: setattr(state.names.registrations["held"], "published", False),
    "deadlines are of those who wait": lambda state: state.deadlines.set(HOLDER, 1.0),
    "hangs are looked for where they can be": lambda state: state.hangs.set(HOLDER, 1.0),
}


@pytest.mark.parametrize("named", BROKEN)
def test_an_invariant_that_does_not_hold_is_named(named: str) -> None:
    node = a_node()
    node.table.check_invariants()
    BROKEN[named](node.table._state)
    with pytest.raises(AssertionError, match=named):
        node.table.check_invariants()
