"""Survivors: the children of a session's supervisor that was killed, as long as they end.

By their links they have its exit signal. Who traps it saves what it has first, and keeps its name meanwhile: the supervisor that
is started next is refused, and its reason says by whom. OTP counts that as any failed restart; for a session see session_lives.
"""

from __future__ import annotations

import msgspec

from actorcore.exit_reason import Reason, Term
from actorcore.signals import NOBODY, ProcessSpec
from actorcore.words import RESIDENT
from supervisors.tree.child_spec import Shutdown_s
from supervisors.tree.spec import SupervisorSpec


class Survivor(msgspec.Struct):
    """One of them. ``shutdown_s``: how long its supervisor would have waited for it. ``number``: of the Do by which the table
    is asked whose child it is, or, when it ``is_ours``, of its monitor."""

    serial: int
    shutdown_s: Shutdown_s
    number: int = 0
    is_ours: bool = False


class _Row(msgspec.Struct):
    """Of the process table, as far as it is of concern here."""

    serial: int
    parent: int


def survivor_in(spec: ProcessSpec, reason: Reason) -> Survivor | None:
    """Who holds a name that a supervisor of ``spec`` needs, by the reason of its failed start; None: that says something else.

    Whether it is a survivor at all, its parent tells.
    """
    if (spec.start, spec.template) != ("supervisor", RESIDENT):
        return None
    match reason:
        case {"shutdown": {"failed_to_start_child": [str(id), {"already_registered": int(serial)}]}} if serial != NOBODY:
            children = msgspec.convert(spec.args[0], SupervisorSpec).children
            return next((Survivor(serial, child.grace()) for child in children if child.id == id), None)
    return None


def parent_in(rows: Term, serial: int) -> int | None:
    """Who started ``serial``, by the table's ``rows`` from there on; None: it has ended."""
    found = msgspec.convert(rows, list[_Row])
    return found[0].parent if found and found[0].serial == serial else None
