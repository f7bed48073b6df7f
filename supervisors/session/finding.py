"""Finding: what the manager answers to who only wants to know which sessions there are."""

from __future__ import annotations

from typing import TypeAlias, Union, assert_never

from actorcore.exit_reason import Term
from supervisors.session.lifecycle import Lifecycle
from supervisors.session.settings import SessionSettings
from supervisors.session.state import STATUSES
from supervisors.session.targets import Ambiguous, Named, resolve
from supervisors.session.words import (
    MAX_PAGE_ROWS,
    CountSessions,
    FindSession,
    GetDefault,
    ListIds,
    ListPids,
    ListSessions,
    Refusal,
    ResolveTarget,
    Slot,
    page,
)

Finding: TypeAlias = Union[FindSession, ResolveTarget, GetDefault, ListSessions, ListIds, ListPids, CountSessions]


def answer(life: Lifecycle, settings: SessionSettings, request: Finding) -> Term | Refusal:
    """What ``request`` asks for; refusals are listed at its word."""
    match request:
        case ListSessions(after, limit):
            if not 1 <= limit <= MAX_PAGE_ROWS:
                return ("invalid_message", f"limit: must be 1 to {MAX_PAGE_ROWS}")
            return page([slot for slot in life.listed() if slot.place() > after], limit)
        case ListIds():
            return [slot.record.id for slot in life.listed()]
        case ListPids():
            return [slot.serial for slot in life.listed() if slot.row()["serial"]]
        case CountSessions():
            statuses = [slot.status for slot in life.slots.values()]
            counts: dict[str, Term] = {status: statuses.count(status) for status in STATUSES if status in statuses}
            return {"total": len(statuses), "limit": settings.max_sessions, "status": counts}
        case GetDefault():
            found = _default(life, settings.default)
            return ("no_sessions", None) if found is None else found.row()
        case ResolveTarget(target):
            id = resolve(target, [Named(slot.record.id, slot.record.name) for slot in life.listed()])
            return ("ambiguous_target", list(id.names)) if isinstance(id, Ambiguous) else _row(life.slots.get(id or ""))
        case FindSession("id", value):
            return _row(life.slots.get(value))
        case FindSession("path", value):
            return _row(next((slot for slot in life.listed() if slot.record.project.path == value), None))
        case FindSession(_, value):
            return _row(next((slot for slot in life.listed() if slot.record.name == value), None))
        case _:
            assert_never(request)


def _row(found: Slot | None) -> Term | Refusal:
    return ("not_found", None) if found is None else found.row()


def _default(life: Lifecycle, configured: str) -> Slot | None:
    """The one that was chosen, else the one that is configured by id or name, else the oldest."""
    listed = life.listed()
    named = [slot for slot in listed if configured in (slot.record.id, slot.record.name)]
    return life.slots.get(life.memory.default) or next(iter(named or listed), None)
