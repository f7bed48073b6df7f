"""Conversation: what was said in a session, and everything that keeps count of it. Pure; records change it, nothing else.

Messages are in the order in which they were accepted, oldest first, for ever: ``seq`` rises by one per message, also
beyond a clearing, and the oldest go first when a cap is reached.
"""

from __future__ import annotations

import msgspec

from supervisors.session.caps import Caps
from supervisors.session.kept import Kept
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


class Conversation(msgspec.Struct):
    """``last_seq``: of the last message that was ever accepted. ``prompts``: newest first; all else: oldest first."""

    last_seq: int = 0
    messages: Kept[Message] = msgspec.field(default_factory=Kept[Message])
    todos: list[Todo] = []
    reasoning: Kept[ReasoningStep] = msgspec.field(default_factory=Kept[ReasoningStep])
    tool_calls: Kept[ToolCall] = msgspec.field(default_factory=Kept[ToolCall])
    prompts: list[str] = []
    file_operations: Kept[FileOperation] = msgspec.field(default_factory=Kept[FileOperation])
    usage: Usage = Usage()

    def apply(self, record: Record, caps: Caps) -> None:
        """What ``record`` says; one of no concern to a conversation changes nothing."""
        match record:
            case MessageAdded(message):
                self.last_seq = message.seq
                self.messages.add(message, caps.messages, caps.conversation_bytes)
            case MessagesCleared():
                self.messages.clear()
            case TodosSet(todos):
                self.todos = todos
            case ReasoningAdded(step):
                self.reasoning.add(step, caps.reasoning_steps, caps.list_bytes)
            case ReasoningCleared():
                self.reasoning.clear()
            case ToolCalled(call):
                self.tool_calls.add(call, caps.tool_calls, caps.list_bytes)
            case ToolEnded():
                self._end_tool(record)
            case PromptAdded(text):
                self.prompts.insert(0, text)
                del self.prompts[caps.prompts :]
            case PromptsSet(texts):
                self.prompts = texts[: caps.prompts]
            case FileTouched(operation):
                self.file_operations.add(operation, caps.file_operations, caps.list_bytes)
            case Used(more):
                used = self.usage
                self.usage = Usage(
                    used.input_tokens + more.input_tokens, used.output_tokens + more.output_tokens, used.cost + more.cost
                )  # fmt: skip

    def message(self, id: str) -> Message | None:
        """The message that was sent under ``id``, as long as it is remembered."""
        return next((message for message in reversed(self.messages.items) if message.id == id), None)

    def tool_call(self, id: str) -> ToolCall | None:
        """The call that began under ``id``, as long as it is remembered."""
        return next((call for call in reversed(self.tool_calls.items) if call.id == id), None)

    def last_operation(self, path: str, kind: str) -> FileOperation | None:
        """When ``path`` was last read or written, as far as is remembered."""
        return next((done for done in reversed(self.file_operations.items) if (done.path, done.kind) == (path, kind)), None)

    def _end_tool(self, end: ToolEnded) -> None:
        for place, call in enumerate(self.tool_calls.items):
            if call.id == end.id:
                ended = msgspec.structs.replace(call, status=end.status, result=end.result, ended_at=end.at)
                self.tool_calls.replace(place, ended)
