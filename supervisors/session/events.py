"""Events: what is told about sessions, each of a known type with typed fields.

An event has a number (all events of this daemon, rising by one), a ``seq`` (the events of its session, rising by one) and a
time. Both numbers go on over the death of the node, and ``seq`` when the session is stopped and resumed, so whoever remembers
the last one sees what it has missed; together with the daemon's instance they name the event for ever. What a session has kept
and could not tell before it was killed is told by its next process (:mod:`supervisors.session.untold`), by this daemon.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from actorcore import terms
from actorcore.exit_reason import Term, bounded_text
from actorcore.frames import encoder

Refusal: TypeAlias = tuple[str, Term]

MAX_DATA_BYTES = 8 << 10


class Event(msgspec.Struct, frozen=True):
    """``number``, ``seq``: see the module; ``session`` is its id, empty for what concerns none of those that there are, and
    then ``seq`` counts these; ``at`` is UTC, seconds since 1970.
    """

    number: int
    seq: int
    session: str
    type: str
    at: float
    data: dict[str, Term]


Fields: TypeAlias = dict[str, tuple[type, ...]]

_TEXT, _COUNT, _NUMBER, _MAP, _BOOL = (str,), (int,), (int, float), (dict,), (bool,)
_REASON = (str, dict)
_PID = (int, type(None))


class Schema(msgspec.Struct, frozen=True):
    """The fields that an event of a type must have, and those that it may have."""

    required: Fields = {}
    optional: Fields = {}


LIFECYCLE: dict[str, Schema] = {
    "session_created": Schema({"name": _TEXT, "metadata": _MAP}),
    "session_status": Schema({"status": _TEXT, "previous_status": _TEXT}, {"duration_s": _NUMBER}),
    "session_updated": Schema({"fields": (list,)}),
    "session_crashed": Schema({"reason": _REASON, "pid": _PID, "duration_s": _NUMBER, "restart_count": _COUNT}),
    "session_restarted": Schema({"old_pid": _PID, "new_pid": _PID, "restart_count": _COUNT, "duration_s": _NUMBER}),
    "session_gave_up": Schema({"reason": _REASON, "restart_count": _COUNT}),
    "session_hung": Schema({"why": _TEXT}),
    "session_recovered": Schema(),
    "session_terminated": Schema({"reason": _REASON, "restart_count": _COUNT, "duration_s": _NUMBER}),
    "session_saved": Schema({}, {"messages": _COUNT, "duration_s": _NUMBER, "generation": _COUNT}),
    "save_failed": Schema({"code": _TEXT}),
    "save_limit_near": Schema({"count": _COUNT, "limit": _COUNT}),
    "session_resumed": Schema({}, {"messages": _COUNT, "duration_s": _NUMBER}),
    "resume_failed": Schema({"id": _TEXT, "code": _TEXT}),
    "service_started": Schema({"name": _TEXT, "pid": _PID, "restart_count": _COUNT, "duration_s": _NUMBER}),
    "service_crashed": Schema(
        {"name": _TEXT, "reason": _REASON, "pid": _PID, "restart_count": _COUNT, "duration_s": _NUMBER}
    ),
    "service_restarted": Schema(
        {"name": _TEXT, "old_pid": _PID, "new_pid": _PID, "restart_count": _COUNT, "duration_s": _NUMBER}
    ),
    "service_gave_up": Schema({"name": _TEXT, "reason": _REASON, "restart_count": _COUNT, "duration_s": _NUMBER}),
    "service_hung": Schema({"name": _TEXT, "why": _TEXT}),
    "service_recovered": Schema({"name": _TEXT}),
    "service_stopped": Schema({"name": _TEXT, "reason": _REASON}, {"restart_count": _COUNT, "duration_s": _NUMBER}),
    "service_refused": Schema({"name": _TEXT, "code": _TEXT}),
    "rate_limited": Schema({"operation": _TEXT, "key": _TEXT, "retry_after": _NUMBER}),
}
"""What subscribers to all sessions are told. A service is refused (``service_refused``) once for as long as nothing is taken."""

INSIDE: dict[str, Schema] = {
    "conversation_added": Schema({"role": _TEXT}, {"content": _TEXT, "message": _COUNT, "truncated": _BOOL}),
    "conversation_cleared": Schema({}, {"removed": _COUNT}),
    "file_added": Schema({"file_path": _TEXT}),
    "file_removed": Schema({"file_path": _TEXT}),
    "context_updated": Schema(),
    "working_context_updated": Schema({"key": _TEXT}),
    "llm_stream_chunk": Schema({"content": _TEXT}),
    "llm_response": Schema({"content": _TEXT}),
    "agent_status": Schema({"agent_name": _TEXT, "status": _TEXT}),
    "analysis_complete": Schema({"files_analyzed": _COUNT, "issues_found": _COUNT}),
    "issue_found": Schema({"severity": _TEXT, "message": _TEXT}),
    "tool_call": Schema({"tool_name": _TEXT, "tool_id": _TEXT, "parameters": _MAP}),
    "tool_result": Schema({"tool_id": _TEXT, "tool_name": _TEXT, "status": _TEXT}, {"result": (str, dict, list)}),
    "todos_updated": Schema({"count": _COUNT}),
}
"""What happens in a session, told by its own process to those who watch that session."""

MARKS: dict[str, Schema] = {
    "events_dropped": Schema({"count": _COUNT}),
    "events_gap": Schema({"after": _COUNT, "oldest": _COUNT}),
}
"""Made for one subscriber: so many of its events it was too slow for; the history that it asked for begins at ``oldest``."""

SCHEMAS: dict[str, Schema] = LIFECYCLE | INSIDE | MARKS
OWN = frozenset({*INSIDE, "session_saved", "save_failed", "save_limit_near"})
"""What a session's process may tell; all else is known to the daemon, and told by it alone."""


def trouble_with(type_: str, data: dict[str, Term]) -> Refusal | None:
    """None for an event that may be published; fields beyond those of the schema are allowed."""
    schema = SCHEMAS.get(type_)
    if schema is None or type_ in MARKS:
        return ("unknown_event_type", bounded_text(type_, 64))
    if missing := [name for name in schema.required if name not in data]:
        return ("missing_required_fields", list(missing))
    fields = schema.required | schema.optional
    if wrong := [name for name, value in data.items() if name in fields and not _is(value, fields[name])]:
        return ("invalid_types", list(wrong))
    if (trouble := terms.trouble_with(data)) is not None:
        return ("invalid_types", trouble)
    size_bytes = len(encoder.encode(data))
    return ("value_too_long", f"{size_bytes} bytes, at most {MAX_DATA_BYTES}") if size_bytes > MAX_DATA_BYTES else None


def _is(value: Term, kinds: tuple[type, ...]) -> bool:
    # True is an int in Python, and a count in no schema.
    return isinstance(value, kinds) and (not isinstance(value, bool) or bool in kinds)
