"""Checks of what a session is told: each returns what it was given, or raises RequestError with the code of the refusal."""

from __future__ import annotations

from typing import cast

import msgspec

from actorcore import terms
from actorcore.errors import RequestError
from actorcore.exit_reason import Term
from supervisors.session.kept import size_of
from supervisors.session.records import ROLES, Role, Todo, ToolStatus

MAX_PATH_BYTES = 4096
MAX_NAME_BYTES = 256
"""Of ids, keys and names of tools."""
TODO_STATUSES = ("pending", "in_progress", "completed")


def role_of(role: str) -> Role:
    """``unknown_role``."""
    if role not in ROLES:
        raise RequestError("unknown_role", ", ".join(sorted(ROLES)))
    return cast(Role, role)


def ended_status(status: str) -> ToolStatus:
    """``unknown_status``."""
    if status not in ("ok", "error"):
        raise RequestError("unknown_status", "ok or error")
    return cast(ToolStatus, status)


def utf8_bytes(text: str) -> int:
    """How many ``text`` has. ``invalid_message``: it is none (half a surrogate pair, as JSON may bring in), nor can be kept."""
    try:
        return len(text.encode())
    except UnicodeEncodeError:
        raise RequestError("invalid_message", "no text: a lone surrogate") from None


def text_of(text: str, max_bytes: int) -> str:
    """``empty_message``, ``message_too_long``, ``invalid_message``."""
    if not text:
        raise RequestError("empty_message")
    if utf8_bytes(text) > max_bytes:
        raise RequestError("message_too_long", f"at most {max_bytes} bytes")
    return text


def name_of(name: str, field: str) -> str:
    """``invalid_key``, ``invalid_message``."""
    if not 0 < utf8_bytes(name) <= MAX_NAME_BYTES:
        raise RequestError("invalid_key", f"{field}: 1 to {MAX_NAME_BYTES} bytes")
    return name


def path_of(path: str) -> str:
    """Its form only: ``invalid_field``, ``path_too_long``, ``invalid_message``."""
    if not path or "\0" in path:
        raise RequestError("invalid_field", "path: empty, or with NUL")
    if utf8_bytes(path) > MAX_PATH_BYTES:
        raise RequestError("path_too_long", f"at most {MAX_PATH_BYTES} bytes")
    return path


def todo_of(data: object, max_bytes: int) -> Todo:
    """``invalid_todo``, ``unknown_status``, ``message_too_long``."""
    if isinstance(data, dict) and isinstance(status := data.get("status"), str) and status not in TODO_STATUSES:
        raise RequestError("unknown_status", ", ".join(TODO_STATUSES))
    try:
        todo = msgspec.convert(data, Todo)
    except msgspec.ValidationError as error:
        raise RequestError("invalid_todo", str(error)[:200]) from None
    if not todo.content.strip():
        raise RequestError("invalid_todo", "content: empty")
    form = text_of(todo.active_form or todo.content, max_bytes)
    return msgspec.structs.replace(todo, content=text_of(todo.content, max_bytes), active_form=form)


def bounds(offset: int, limit: int | None) -> tuple[int, int | None]:
    """``invalid_field``."""
    if offset < 0 or (limit is not None and limit < 0):
        raise RequestError("invalid_field", "offset, limit: must be 0 or more")
    return offset, limit


def size_bytes_of(value: object) -> int:
    """The bytes of ``value`` as msgpack. ``invalid_message``: no plain data, a text that is none, a number of more than 64 bits,
    or a Pid, which would mean nothing later."""
    if (trouble := terms.trouble_with(value)) is not None:
        raise RequestError("invalid_message", trouble)
    try:
        return size_of(value)
    except TypeError:
        raise RequestError("invalid_message", "no plain data: a Pid") from None
    except (UnicodeEncodeError, OverflowError):
        raise RequestError("invalid_message", "no plain data: a lone surrogate, or a number of more than 64 bits") from None


def plain(value: object, max_bytes: int) -> Term:
    """``invalid_message``, ``value_too_long``."""
    if size_bytes_of(value) > max_bytes:
        raise RequestError("value_too_long", f"at most {max_bytes} bytes")
    return cast(Term, value)


def facts_of(facts: dict[str, object] | dict[str, Term], max_bytes: int) -> dict[str, Term]:
    """As :func:`plain`."""
    return cast(dict[str, Term], plain(facts, max_bytes))
