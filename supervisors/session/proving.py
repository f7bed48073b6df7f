"""Proving: requests that only one process may make, answered when the process table has said who the asker is.

The store alone takes the endings of sessions, and says which are deleted. Who speaks for a group is the child of the group's
own supervisor that has the session's id as its name; while that supervisor is being started nobody knows it yet, so its child
is believed for now.
"""

from __future__ import annotations

import msgspec

from actorcore.exit_reason import Term
from actorcore.residents import AnswerTo
from actorcore.signals import Answer, Processes
from supervisors.own_names import STORE
from supervisors.session.admissions import Asker
from supervisors.session.lifecycle import Lifecycle
from supervisors.session.words import Attach, ForgetSaved, Later, TakeEnded


class _Row(msgspec.Struct):
    """Of the process table, as far as it is of concern here."""

    serial: int
    name: str | None
    parent: int


def look_up(life: Lifecycle, asker: Asker, request: Attach | TakeEnded | ForgetSaved) -> Later:
    """Ask who that is; it is answered then."""
    life.memory.unproved[life.do(Processes(asker[0] - 1, 1))] = (asker, request)
    return Later()


def on_answer(life: Lifecycle, answer: Answer) -> bool:
    """Whether this says who somebody is; then he has his answer."""
    if answer.number not in life.memory.unproved:
        return False
    asker, request = life.memory.unproved.pop(answer.number)
    rows = msgspec.convert(answer.value, list[_Row])
    is_allowed, value = False, None
    if rows and rows[0].serial == asker[0]:  # else it is dead
        is_allowed, value = _serve(life, rows[0], request)
    life.orders.append(AnswerTo(*asker, value, None if is_allowed else ("not_permitted", None)))
    return True


def _serve(life: Lifecycle, row: _Row, request: Attach | TakeEnded | ForgetSaved) -> tuple[bool, Term]:
    if not isinstance(request, Attach) and row.name != STORE:
        return False, None
    if isinstance(request, TakeEnded):
        return True, {**life.memory.endings.take(request.done)}
    if isinstance(request, ForgetSaved):
        if request.id in life.slots:
            return True, False
        life.memory.admissions.forget(request.id)
        return True, True
    slot = life.slots.get(request.session)
    is_its = slot is not None and row.name == request.session and life.attach(slot, row.serial, row.parent)
    return is_its, is_its
