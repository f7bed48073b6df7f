"""Records: every change that a session accepts is one of these, and its memory is what they say, in order.

A record says all there is to say: ids and times are in it, so that applying it again gives the same memory. It is written
to the session's journal before anybody is told that the change was accepted.
"""

from __future__ import annotations

from typing import Literal, TypeAlias, Union, get_args

import msgspec

from actorcore.exit_reason import Term

Role: TypeAlias = Literal["user", "assistant", "system", "tool"]
ROLES: frozenset[str] = frozenset(get_args(Role))
TodoStatus: TypeAlias = Literal["pending", "in_progress", "completed"]
ToolStatus: TypeAlias = Literal["running", "ok", "error"]
FileOperationKind: TypeAlias = Literal["read", "write"]

# ---- what a session remembers ---------------------------------------------------------------------------------------


class Message(msgspec.Struct, frozen=True, omit_defaults=True):
    """One message. ``seq`` rises by one per message of the session and is never used again; ``at``: seconds since 1970 UTC.

    ``usage`` is what making it has cost, as the model tells it.
    """

    seq: int
    id: str
    role: Role
    content: str
    at: float
    usage: dict[str, Term] = {}


class Todo(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One thing to do; ``active_form`` is how to call it while it is done, by default as its ``content``."""

    content: str
    status: TodoStatus = "pending"
    active_form: str = ""


class ReasoningStep(msgspec.Struct, frozen=True):
    text: str
    at: float


class ToolCall(msgspec.Struct, frozen=True):
    """A tool that was called at ``at``; ``result`` is there when ``status`` is no longer ``running``, since ``ended_at``."""

    id: str
    name: str
    parameters: dict[str, Term]
    at: float
    status: ToolStatus = "running"
    result: Term = None
    ended_at: float | None = None


class FileOperation(msgspec.Struct, frozen=True):
    """``path`` is relative to the project."""

    path: str
    kind: FileOperationKind
    at: float


class Usage(msgspec.Struct, frozen=True):
    """What the model has cost so far: tokens, and money in the unit of whoever reports it."""

    input_tokens: int = 0
    output_tokens: int = 0
    cost: float = 0.0


# ---- records --------------------------------------------------------------------------------------------------------


class _Record(msgspec.Struct, frozen=True, tag_field="kind", forbid_unknown_fields=True):
    """A map; ``kind`` names the type."""


class MessageAdded(_Record, frozen=True, tag="message_added"):
    message: Message


class MessagesCleared(_Record, frozen=True, tag="messages_cleared"):
    at: float


class TodosSet(_Record, frozen=True, tag="todos_set"):
    """They replace the former ones as a whole."""

    todos: list[Todo]
    at: float


class ReasoningAdded(_Record, frozen=True, tag="reasoning_added"):
    step: ReasoningStep


class ReasoningCleared(_Record, frozen=True, tag="reasoning_cleared"):
    at: float


class ToolCalled(_Record, frozen=True, tag="tool_called"):
    call: ToolCall


class ToolEnded(_Record, frozen=True, tag="tool_ended"):
    id: str
    status: ToolStatus
    result: Term
    at: float


class PromptAdded(_Record, frozen=True, tag="prompt_added"):
    text: str
    at: float


class PromptsSet(_Record, frozen=True, tag="prompts_set"):
    """Newest first; they replace the former ones."""

    texts: list[str]
    at: float


class FileTouched(_Record, frozen=True, tag="file_touched"):
    operation: FileOperation


class Used(_Record, frozen=True, tag="used"):
    """So much more was used."""

    usage: Usage
    at: float


class FileAdded(_Record, frozen=True, tag="file_added"):
    """``path`` is one of the active files now."""

    path: str
    at: float


class FileRemoved(_Record, frozen=True, tag="file_removed"):
    """It is neither active nor in the index any more."""

    path: str
    at: float


class FileIndexed(_Record, frozen=True, tag="file_indexed"):
    """``facts`` are merged into what the index says about ``path``."""

    path: str
    facts: dict[str, Term]
    at: float


class WorkingPut(_Record, frozen=True, tag="working_put"):
    key: str
    value: Term
    at: float


class WorkingDeleted(_Record, frozen=True, tag="working_deleted"):
    key: str
    at: float


class SessionChanged(_Record, frozen=True, tag="session_changed"):
    """The session's own record (:mod:`supervisors.session.record`) as a map: its first one, a new name, a new configuration."""

    session: dict[str, Term]
    at: float


Record: TypeAlias = Union[
    MessageAdded, MessagesCleared, TodosSet, ReasoningAdded, ReasoningCleared, ToolCalled, ToolEnded, PromptAdded, PromptsSet,
    FileTouched, Used, FileAdded, FileRemoved, FileIndexed, WorkingPut, WorkingDeleted, SessionChanged,
]  # fmt: skip

_decoder: msgspec.msgpack.Decoder[Record] = msgspec.msgpack.Decoder(Record)
_encoder = msgspec.msgpack.Encoder()


def encode_record(record: Record) -> bytes:
    """Its msgpack."""
    return _encoder.encode(record)


def decode_record(data: bytes) -> Record:
    """The record that :func:`encode_record` encoded.

    :raises DECODE_ERRORS: of actorcore.frames; it is none.
    """
    return _decoder.decode(data)
