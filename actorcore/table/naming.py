"""Naming: register, register_many, unregister; a supervisor's names for its children (B12)."""

from __future__ import annotations

from actorcore.exit_reason import NOPROC, Term
from actorcore.frames import failure
from actorcore.names import key_error
from actorcore.signals import NOBODY, Register, RegisterMany
from actorcore.table.entry import Entry, Kind
from actorcore.table.turn import Turn


def register(turn: Turn, asker: Entry, number: int, body: Register) -> None:
    """Reserved and found at once: whom a name is given to need not be ready."""
    error = _add(turn, asker, body)
    if error is not None:
        return turn.refuse(asker.serial, number, *error)
    turn.publish([_holder(asker, body)])
    return turn.answer(asker.serial, number, True)


def register_many(turn: Turn, asker: Entry, number: int, body: RegisterMany) -> None:
    """All or none: what was added before the first refusal is taken back unseen."""
    added: list[int] = []
    for one in body.entries:
        error = _add(turn, asker, one)
        if error is not None:
            for holder in added:
                turn.state.names.release(holder)
            code, detail = error
            return turn.refuse(asker.serial, number, code, {one.name: detail})
        added.append(_holder(asker, one))
    turn.publish(added)
    return turn.answer(asker.serial, number, True)


def unregister(turn: Turn, asker: Entry, number: int, name: str) -> None:
    error = turn.state.names.unregister_error(name, asker.serial)
    if error is not None:
        return turn.refuse(asker.serial, number, error, name)
    turn.unpublish(turn.state.names.registrations[name].holder)
    return turn.answer(asker.serial, number, True)


def lookup(turn: Turn, name: str) -> Term:
    """What Lookup answers."""
    found = turn.state.names.found(name)
    return None if found is None else [found.holder, found.value]


def _holder(asker: Entry, body: Register) -> int:
    return asker.serial if body.who == NOBODY else body.who


def _add(turn: Turn, asker: Entry, body: Register) -> tuple[str, Term] | None:
    """Add the name, or say why not."""
    names, name = turn.state.names, body.name
    holder = turn.state.alive(_holder(asker, body))
    is_resident = asker.kind is Kind.RESIDENT and (holder is None or holder.kind is Kind.RESIDENT)
    error = key_error(name, is_resident)
    if error is not None:
        return error, name
    if holder is None:
        return failure(NOPROC)
    turn.free(name)
    # A name that a supervisor keeps is for the child in whose spec it is, not for its siblings.
    is_its_own = holder.spec is not None and holder.spec.name == name
    parent = holder.parent if is_its_own else NOBODY
    error = names.error_of(name, holder.serial, parent, body.value)
    if error == "value_too_long":
        return error, len(body.value)
    if error is not None:
        return error, names.held.get(holder.serial) or names.holder_of(name)
    names.add(name, holder.serial, asker.serial, published=False, parent=parent, value=body.value)
    return None
