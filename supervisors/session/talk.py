"""Talk: what becomes of each change that a session is asked for: its records and its answer. Pure.

``decide`` changes nothing that is kept. Who calls it writes the records to the journal, then ``apply``s them, then gives the
answer: what was acknowledged is kept, and what could not be kept has not happened.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

import msgspec

from actorcore.errors import RequestError
from actorcore.exit_reason import Term
from supervisors.session import requests
from supervisors.session.caps import Caps
from supervisors.session.checks import ended_status, facts_of, name_of, path_of, plain, role_of, text_of, todo_of, utf8_bytes
from supervisors.session.memory import State
from supervisors.session.records import (
    FileAdded,
    FileIndexed,
    FileOperation,
    FileRemoved,
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
    Role,
    SessionChanged,
    TodosSet,
    ToolCall,
    ToolCalled,
    ToolEnded,
    Usage,
    Used,
    WorkingDeleted,
    WorkingPut,
)
from supervisors.session.requests import Change

MAX_RECORD_BYTES = 48 << 10
"""Of the session's own record."""


class Moment(msgspec.Struct, frozen=True):
    """``at``: seconds since 1970; ``new_id`` makes an id that there was never before."""

    at: float
    new_id: Callable[[], str]


class Accepted(msgspec.Struct, frozen=True):
    """``records`` are to be kept before ``answer`` is given; without records nothing has changed."""

    answer: Term
    records: list[Record] = []


class Streaming(msgspec.Struct):
    """A message on its way; ``size_bytes`` counts what came, ``chunks`` has it as long as it is not too long."""

    id: str
    role: Role
    chunks: list[str] = []
    size_bytes: int = 0


class Talk:
    """``state`` is kept; ``streaming`` goes with the process."""

    def __init__(self, caps: Caps, state: State | None = None) -> None:
        self.caps = caps
        self.state = State() if state is None else state
        self.streaming: Streaming | None = None

    def apply(self, records: list[Record]) -> None:
        """They are kept: remember what they say."""
        self.state.apply(records, self.caps)
        for record in records:
            if isinstance(record, MessageAdded) and self.streaming is not None and record.message.id == self.streaming.id:
                self.streaming = None

    def chunk(self, text: str) -> None:
        """A piece of what is streamed. ``invalid_message``: it is no text."""
        streaming = self.streaming
        if streaming is None:
            return
        streaming.size_bytes += utf8_bytes(text)
        if streaming.size_bytes <= self.caps.streamed_bytes:
            streaming.chunks.append(text)
        else:
            streaming.chunks.clear()

    def decide(self, request: Change, moment: Moment) -> Accepted:
        """What becomes of ``request``.

        :raises RequestError: the refusals that are listed at the word.
        """
        at, talk, caps = moment.at, self.state.conversation, self.caps
        match request:
            case requests.SendMessage():
                return self._send(request, moment)
            case requests.ClearMessages():
                return Accepted(True, [MessagesCleared(at)])
            case requests.StartStreaming(role, id):
                self.streaming = Streaming(name_of(id or moment.new_id(), "id"), role_of(role))
                return Accepted(self.streaming.id)
            case requests.EndStreaming(usage):
                return self._end_streaming(usage, moment)
            case requests.SetTodos(todos):
                if len(todos) > caps.todos:
                    raise RequestError("value_too_long", f"at most {caps.todos} todos")
                return Accepted(True, [TodosSet([todo_of(todo, caps.message_bytes) for todo in todos], at)])
            case requests.AddReasoning(text):
                return Accepted(True, [ReasoningAdded(ReasoningStep(text_of(text, caps.message_bytes), at))])
            case requests.ClearReasoning():
                return Accepted(True, [ReasoningCleared(at)])
            case requests.BeginTool(name, parameters, id):
                if talk.tool_call(id) is not None:
                    raise RequestError("already_exists", "id")
                id = name_of(id or moment.new_id(), "id")
                return Accepted(id, [ToolCalled(ToolCall(id, name_of(name, "name"), facts_of(parameters, caps.tool_bytes), at))])
            case requests.EndTool(id, status, result):
                if talk.tool_call(id) is None:
                    raise RequestError("not_found", "no such tool call")
                return Accepted(True, [ToolEnded(id, ended_status(status), plain(result, caps.tool_bytes), at)])
            case requests.AddPrompt(text):
                is_news = bool(text.strip()) and text not in talk.prompts[:1]
                return Accepted(True, [PromptAdded(text_of(text, caps.message_bytes), at)] if is_news else [])
            case requests.SetPrompts(texts):
                return Accepted(True, [PromptsSet([text_of(text, caps.message_bytes) for text in texts[: caps.prompts]], at)])
            case requests.TouchFile(path, kind):
                if kind not in ("read", "write"):
                    raise RequestError("invalid_field", "kind: read or write")
                return Accepted(True, [FileTouched(FileOperation(path_of(path), "read" if kind == "read" else "write", at))])
            case requests.AddUsage(input_tokens, output_tokens, cost):
                if min(input_tokens, output_tokens) < 0 or not 0 <= cost < float("inf"):
                    raise RequestError("invalid_field", "nobody can use less than nothing")
                return Accepted(True, [Used(Usage(input_tokens, output_tokens, cost), at)])
            case requests.ChangeSession(session):
                return Accepted(True, [SessionChanged(facts_of(session, MAX_RECORD_BYTES), at)])
            case _:
                return self._decide_context(request, at)

    def _decide_context(self, request: Change, at: float) -> Accepted:
        context, max_bytes = self.state.context, self.caps.message_bytes
        match request:
            case requests.AddFile(path):
                return Accepted(True, [] if path in context.files else [FileAdded(path_of(path), at)])
            case requests.RemoveFile(path):
                is_known = path in context.files or path in context.file_index
                return Accepted(is_known, [FileRemoved(path, at)] if is_known else [])
            case requests.IndexFile(path, facts):
                facts_of({**context.file_index.get(path, {}), **facts}, max_bytes)
                return Accepted(True, [FileIndexed(path_of(path), cast(dict[str, Term], facts), at)])
            case requests.PutWorking(key, value):
                return Accepted(True, [WorkingPut(name_of(key, "key"), plain(value, max_bytes), at)])
            case requests.DeleteWorking(key):
                is_known = key in context.working
                return Accepted(is_known, [WorkingDeleted(key, at)] if is_known else [])
            case _:
                raise AssertionError(f"unknown word {request!r}")

    def decide_together(self, asked: Sequence[requests.SendMessage], moment: Moment) -> list[Accepted | RequestError]:
        """What becomes of each of several messages that come one after the other, before the first of them is applied."""
        made: list[Message] = []
        decided: list[Accepted | RequestError] = []
        for request in asked:
            try:
                accepted = self._send(request, moment, made)
            except RequestError as error:
                decided.append(error)
            else:
                decided.append(accepted)
                made += [record.message for record in accepted.records if isinstance(record, MessageAdded)]
        return decided

    def _send(self, request: requests.SendMessage, moment: Moment, before: Sequence[Message] = ()) -> Accepted:
        role, content = role_of(request.role), text_of(request.content, self.caps.message_bytes)
        if request.id:
            known = next((message for message in before if message.id == request.id), None)
            known = known or self.state.conversation.message(request.id)
            if known is not None:
                return Accepted(_receipt(known))
        return self._accept(request.id, role, content, request.usage, moment, len(before))

    def _end_streaming(self, usage: dict[str, object], moment: Moment) -> Accepted:
        streaming = self.streaming
        if streaming is None:
            raise RequestError("not_streaming")
        if streaming.size_bytes > self.caps.streamed_bytes:
            self.streaming = None
            raise RequestError("message_too_long", f"at most {self.caps.streamed_bytes} bytes")
        content = text_of("".join(streaming.chunks), self.caps.streamed_bytes)
        return self._accept(streaming.id, streaming.role, content, usage, moment)

    def _accept(
        self, id: str, role: Role, content: str, usage: dict[str, object], moment: Moment, before: int = 0
    ) -> Accepted:  # fmt: skip
        facts = facts_of(usage, self.caps.message_bytes) if usage else {}
        seq, id = self.state.conversation.last_seq + before + 1, name_of(id or moment.new_id(), "id")
        message = Message(seq, id, role, content, moment.at, facts)
        return Accepted(_receipt(message), [MessageAdded(message)])


def _receipt(message: Message) -> Term:
    return {"seq": message.seq, "id": message.id, "at": message.at}
