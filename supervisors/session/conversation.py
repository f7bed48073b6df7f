"""Conversation: what was said in a session, and everything that keeps count of it. Pure; records change it, nothing else.

Messages are in the order in which they were accepted, oldest first, for ever: ``seq`` rises by one per message, also
beyond a clearing, and the oldest go first when a cap is reached.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec

from actorcore.exit_reason import Term
from supervisors.session.caps import Caps
from supervisors.session.records import (
    FileOperation,
    FileTouched,
    Message,
    MessageAdded,
    MessagesCleared,
    PromptAdded,
    PromptsSet,
    ReasoningAdded,
    ReasoningCleared,
    ReasoningStep,
    Record,
    Todo,
    TodosSet,
    ToolCall,
    ToolCalled,
    ToolEnded,
    Usage,
    Used,
)

Item = TypeVar("Item")


class Conversation(msgspec.Struct):
    """``size_bytes`` is that of the texts in ``messages``. ``prompts``: newest first; all other lists: oldest first."""

    last_seq: int = 0
    size_bytes: int = 0
    messages: list[Message] = []
    todos: list[Todo] = []
    reasoning: list[ReasoningStep] = []
    tool_calls: list[ToolCall] = []
    prompts: list[str] = []
    file_operations: list[FileOperation] = []
    usage: Usage = Usage()

    def apply(self, record: Record, caps: Caps) -> None:
        """What ``record`` says; one of no concern to a conversation changes nothing."""
        match record:
            case MessageAdded(message):
                self._add_message(message, caps)
            case MessagesCleared():
                self.messages, self.size_bytes = [], 0
            case TodosSet(todos):
                self.todos = todos
            case ReasoningAdded(step):
                _append(self.reasoning, step, caps.reasoning_steps)
            case ReasoningCleared():
                self.reasoning = []
            case ToolCalled(call):
                _append(self.tool_calls, call, caps.tool_calls)
            case ToolEnded():
                self._end_tool(record)
            case PromptAdded(text):
                self.prompts.insert(0, text)
                del self.prompts[caps.prompts :]
            case PromptsSet(texts):
                self.prompts = texts[: caps.prompts]
            case FileTouched(operation):
                _append(self.file_operations, operation, caps.file_operations)
            case Used(usage):
                self.usage = Usage(*(a + b for a, b in zip(_numbers(self.usage), _numbers(usage), strict=True)))  # type: ignore[arg-type]

    # ---- looks ------------------------------------------------------------------------------------------------------

    def page(self, offset: int, limit: int | None, max_bytes: int) -> dict[str, Term]:
        """``limit`` messages (None: all) from the ``offset``-th oldest on, fewer when their texts pass ``max_bytes``.

        Always at least one, if there is one there; ``has_more`` says whether a later page would have any.
        """
        chosen: list[Message] = []
        size_bytes = 0
        for message in self.messages[offset : None if limit is None else offset + limit]:
            size_bytes += _size(message)
            if chosen and size_bytes > max_bytes:
                break
            chosen.append(message)
        total = len(self.messages)
        return {
            "messages": [msgspec.to_builtins(message) for message in chosen], "total": total, "offset": offset,
            "returned": len(chosen), "has_more": offset + len(chosen) < total,
        }  # fmt: skip

    def message(self, id: str) -> Message | None:
        """The message that was sent under ``id``, as long as it is remembered."""
        return next((message for message in reversed(self.messages) if message.id == id), None)

    def tool_call(self, id: str) -> ToolCall | None:
        return next((call for call in reversed(self.tool_calls) if call.id == id), None)

    def last_operation(self, path: str, kind: str) -> FileOperation | None:
        """When ``path`` was last read or written, as far as is remembered."""
        return next((done for done in reversed(self.file_operations) if (done.path, done.kind) == (path, kind)), None)

    # ---- changes ----------------------------------------------------------------------------------------------------

    def _add_message(self, message: Message, caps: Caps) -> None:
        self.last_seq = message.seq
        self.messages.append(message)
        self.size_bytes += _size(message)
        gone = max(0, len(self.messages) - caps.messages)
        self.size_bytes -= sum(map(_size, self.messages[:gone]))
        while self.size_bytes > caps.conversation_bytes and gone < len(self.messages) - 1:
            self.size_bytes -= _size(self.messages[gone])
            gone += 1
        del self.messages[:gone]

    def _end_tool(self, end: ToolEnded) -> None:
        for place, call in enumerate(self.tool_calls):
            if call.id == end.id:
                ended = msgspec.structs.replace(call, status=end.status, result=end.result, ended_at=end.at)
                self.tool_calls[place] = ended


def _append(kept: list[Item], item: Item, cap: int) -> None:
    kept.append(item)
    del kept[:-cap]


def _size(message: Message) -> int:
    return len(message.content.encode())


def _numbers(usage: Usage) -> tuple[int, int, float]:
    return usage.input_tokens, usage.output_tokens, usage.cost
