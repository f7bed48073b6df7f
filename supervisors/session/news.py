"""News: what a session tells its watchers when a record was kept.

Types and fields are those of :mod:`supervisors.session.events`.
"""

from __future__ import annotations

from typing import TypeAlias

from actorcore.exit_reason import Term
from supervisors.session.checks import size_bytes_of
from supervisors.session.memory import State
from supervisors.session.records import (
    FileAdded,
    FileIndexed,
    FileRemoved,
    MessageAdded,
    MessagesCleared,
    Record,
    TodosSet,
    ToolCalled,
    ToolEnded,
    WorkingDeleted,
    WorkingPut,
)

News: TypeAlias = tuple[str, dict[str, Term]]

MAX_CONTENT_BYTES = 6 << 10
"""Of a text or value in an event; who wants the whole of it asks the session."""


def news_of(record: Record, state: State) -> News | None:
    """The event of ``record``, which ``state`` remembers already; None: nobody is told."""
    match record:
        case MessageAdded(message):
            content = cut(message.content)
            data: dict[str, Term] = {"role": message.role, "content": content, "message": message.seq}
            return "conversation_added", data | {"truncated": len(content) < len(message.content)}
        case MessagesCleared():
            return "conversation_cleared", {}
        case TodosSet(todos):
            return "todos_updated", {"count": len(todos)}
        case ToolCalled(call):
            fits = size_bytes_of(call.parameters) <= MAX_CONTENT_BYTES
            parameters = call.parameters if fits else {}
            return "tool_call", {"tool_name": call.name, "tool_id": call.id, "parameters": parameters, "truncated": not fits}
        case ToolEnded(id, status):
            ended = state.conversation.tool_call(id)
            return "tool_result", {"tool_id": id, "tool_name": "" if ended is None else ended.name, "status": status}
        case FileAdded(path):
            return "file_added", {"file_path": path}
        case FileRemoved(path):
            return "file_removed", {"file_path": path}
        case FileIndexed():
            return "context_updated", {}
        case WorkingPut(key) | WorkingDeleted(key):
            return "working_context_updated", {"key": key}
        case _:
            return None


def cut(text: str) -> str:
    """As much of ``text`` as an event may have."""
    return text.encode()[:MAX_CONTENT_BYTES].decode(errors="ignore")
