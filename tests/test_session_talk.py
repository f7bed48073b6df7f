"""What a session remembers, without a process: every answer, every cap, and that its records say all there is."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings, strategies as st

from actorcore.errors import RequestError
from actorcore.exit_reason import Term
from actorcore.pids import Pid
from supervisors.session import requests as ask
from supervisors.session.caps import Caps, trouble_with
from supervisors.session.looks import look
from supervisors.session.memory import State, decode_state, encode_state
from supervisors.session.news import MAX_CONTENT_BYTES, News, news_of
from supervisors.session.records import FileAdded, Message, MessageAdded, Record, decode_record, encode_record
from supervisors.session.requests import Change, Look
from supervisors.session.server import SessionServer
from supervisors.session.talk import Accepted, Moment, Talk

CAPS = Caps()


class Session:
    """A session whose state is also made from its records alone, from a checkpoint and what came later, after each step."""

    def __init__(self, caps: Caps = CAPS) -> None:
        self.talk = Talk(caps)
        self.records: list[Record] = []
        self.checkpoint = encode_state(State())
        self.since: list[Record] = []
        self.news: list[News] = []
        self.at = 100.0
        self.ids = 0

    def new_id(self) -> str:
        self.ids += 1
        return f"id-{self.ids}"

    def do(self, request: Change) -> Term:
        self.at += 1
        before = encode_state(self.talk.state)
        accepted = self.talk.decide(request, Moment(self.at, self.new_id))
        assert encode_state(self.talk.state) == before, "decide changes nothing"
        records = [decode_record(encode_record(record)) for record in accepted.records]
        assert records == accepted.records
        self.talk.apply(records)
        self.news += [news for record in records if (news := news_of(record, self.talk.state)) is not None]
        self.records += records
        self.since += records
        return accepted.answer

    def ask(self, request: Look) -> Any:
        return look(self.talk.state, self.talk.caps, request)

    def check(self) -> None:
        from_the_start = State()
        from_the_start.apply(self.records, self.talk.caps)
        from_checkpoint = decode_state(self.checkpoint)
        from_checkpoint.apply(self.since, self.talk.caps)
        assert encode_state(from_the_start) == encode_state(from_checkpoint) == encode_state(self.talk.state)
        assert from_the_start == from_checkpoint == self.talk.state
        one, other = decode_state(encode_state(self.talk.state)).context, self.talk.state.context
        # Equal maps may differ in who is oldest.
        assert [list(one.working), list(one.file_index)] == [list(other.working), list(other.file_index)]
        self.checkpoint, self.since = encode_state(self.talk.state), []

    def contents(self) -> list[str]:
        return [message["content"] for message in self.ask(ask.GetMessages())["items"]]

    def refused(self, request: Change | Look) -> str:
        """The code; nothing has changed."""
        before = encode_state(self.talk.state)
        with pytest.raises(RequestError) as error:
            if isinstance(request, Look.__args__):  # type: ignore[attr-defined]
                self.ask(request)
            else:
                self.do(request)
        assert encode_state(self.talk.state) == before
        return error.value.code


def said(session: Session, *texts: str, role: str = "user") -> None:
    for text in texts:
        session.do(ask.SendMessage(role, text))


# ---- messages -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", ["user", "assistant", "system", "tool"])
def test_acceptance_87_a_message_has_role_content_and_time(role: str) -> None:
    session = Session()
    assert session.do(ask.SendMessage(role, "hello", usage={"tokens": 3})) == {"seq": 1, "id": "id-1", "at": 101.0}
    message = {"seq": 1, "id": "id-1", "role": role, "content": "hello", "at": 101.0, "usage": {"tokens": 3}}
    assert session.ask(ask.GetMessages())["items"] == [message]
    assert session.news == [("conversation_added", {"role": role, "content": "hello", "message": 1, "truncated": False})]
    session.check()


@pytest.mark.parametrize(("request_", "code"), [
    (ask.SendMessage("robot", "x"), "unknown_role"), (ask.SendMessage("user", ""), "empty_message"),
    (ask.SendMessage("user", "é" * 5001), "message_too_long"), (ask.SendMessage("user", "x", id="i" * 257), "invalid_key"),
    (ask.SendMessage("user", "x", usage={"pid": Pid(1, 2)}), "invalid_message"),
])  # fmt: skip
def test_acceptance_87_what_is_no_message_is_refused_with_its_code(request_: ask.SendMessage, code: str) -> None:
    assert Session().refused(request_) == code


def test_a_message_of_exactly_the_limit_is_one() -> None:
    session = Session()
    said(session, "é" * 5000)
    assert session.contents() == ["é" * 5000]


def test_a_message_sent_again_under_its_id_is_there_once() -> None:
    session = Session()
    first = session.do(ask.SendMessage("user", "once", id="mine"))
    said(session, "later")
    assert session.do(ask.SendMessage("user", "once", id="mine")) == first
    assert (session.contents(), len(session.records)) == (["once", "later"], 2)


WORDS = st.builds(
    ask.SendMessage, st.sampled_from(["user", "assistant", "robot"]), st.sampled_from(["", "a", "b", "é" * 5001]),
    st.sampled_from(["", "", "one", "two"]),
)  # fmt: skip


@given(st.lists(WORDS, max_size=6), st.lists(WORDS, max_size=12))
def test_messages_that_are_decided_together_become_what_they_become_one_by_one(
    before: list[ask.SendMessage], asked: list[ask.SendMessage]
) -> None:
    def outcome(session: Session, request: ask.SendMessage) -> object:
        try:
            return session.do(request)
        except RequestError as error:
            return error.code

    one, other = Session(), Session()
    for session in (one, other):
        for request in before:
            outcome(session, request)
        session.at = 1000.0
    expected = []
    for request in asked:
        one.at = 1000.0
        expected.append(outcome(one, request))
    state = encode_state(other.talk.state)
    decided = other.talk.decide_together(asked, Moment(1001.0, other.new_id))
    assert encode_state(other.talk.state) == state, "decide changes nothing"
    assert [each.code if isinstance(each, RequestError) else each.answer for each in decided] == expected
    other.talk.apply([record for each in decided if isinstance(each, Accepted) for record in each.records])
    assert other.talk.state == one.talk.state


def test_acceptance_90_at_1001_messages_the_oldest_is_gone_and_the_streamed_ones_count() -> None:
    session = Session()
    said(session, *(str(n) for n in range(1000)))
    for n in range(1000, 1003):
        session.do(ask.StartStreaming())
        session.talk.chunk(str(n))
        session.do(ask.EndStreaming())
    assert session.contents() == [str(n) for n in range(3, 1003)]
    assert [message["seq"] for message in session.ask(ask.GetMessages(0, 2))["items"]] == [4, 5]
    session.check()


def test_all_messages_together_have_a_size_and_the_newest_always_stays() -> None:
    session = Session(Caps(conversation_bytes=1000))
    said(session, *("x" * 300 for _ in range(5)))
    assert len(session.contents()) == 2
    said(session, "y" * 2000)
    assert session.contents() == ["y" * 2000]
    session.check()


def test_order_and_numbers_go_on_beyond_a_clearing() -> None:
    session = Session()
    said(session, "a", "b")
    session.do(ask.ClearMessages())
    said(session, "c")
    assert [(m["seq"], m["content"]) for m in session.ask(ask.GetMessages())["items"]] == [(3, "c")]
    assert [kind for kind, _ in session.news] == ["conversation_added"] * 2 + ["conversation_cleared", "conversation_added"]
    session.check()


@pytest.mark.parametrize(("offset", "limit", "expected", "has_more"), [
    (0, None, "0123456789", False), (0, 3, "012", True), (3, 3, "345", True), (7, 3, "789", False), (9, 3, "9", False),
    (10, 3, "", False), (99, None, "", False), (0, 1, "0", True), (0, 10, "0123456789", False), (0, 11, "0123456789", False),
    (4, 0, "", True),
])  # fmt: skip
def test_acceptance_91_a_page_is_the_right_slice(offset: int, limit: int | None, expected: str, has_more: bool) -> None:
    session = Session()
    said(session, *"0123456789")
    page = session.ask(ask.GetMessages(offset, limit))
    assert "".join(message["content"] for message in page.pop("items")) == expected
    assert page == {"total": 10, "offset": offset, "returned": len(expected), "has_more": has_more}


def test_acceptance_91_an_empty_history_and_a_page_that_cannot_be() -> None:
    session = Session()
    assert session.ask(ask.GetMessages()) == {"items": [], "total": 0, "offset": 0, "returned": 0, "has_more": False}
    assert [session.refused(ask.GetMessages(-1)), session.refused(ask.GetMessages(0, -1))] == ["invalid_field"] * 2


def test_a_page_ends_before_it_is_too_large_and_says_that_there_is_more() -> None:
    session = Session()
    said(session, *("x" * 10_000 for _ in range(300)))
    seen, offset = 0, 0
    while (page := session.ask(ask.GetMessages(offset)))["has_more"]:
        assert len(msgspec.msgpack.encode(page)) < (1 << 20) + 20_000
        seen += page["returned"]
        offset += page["returned"]
    assert (seen + page["returned"], page["returned"] < 300) == (300, True)


# ---- streaming ------------------------------------------------------------------------------------------------------


def test_acceptance_92_chunks_in_order_are_one_message() -> None:
    session = Session()
    assert session.do(ask.StartStreaming(id="s")) == "s"
    for piece in ("Hel", "lo ", "wörld"):
        session.talk.chunk(piece)
        assert session.contents() == []
    assert session.do(ask.EndStreaming({"tokens": 2})) == {"seq": 1, "id": "s", "at": 102.0}
    (message,) = session.ask(ask.GetMessages())["items"]
    assert (message["role"], message["content"], message["usage"]) == ("assistant", "Hello wörld", {"tokens": 2})
    assert session.refused(ask.EndStreaming()) == "not_streaming"
    session.check()


def test_acceptance_92_a_chunk_without_a_start_is_ignored_and_an_end_without_one_refused() -> None:
    session = Session()
    session.talk.chunk("lost")
    assert (session.refused(ask.EndStreaming()), session.contents()) == ("not_streaming", [])
    session.do(ask.StartStreaming())
    assert session.refused(ask.EndStreaming()) == "empty_message"


def test_acceptance_92_what_was_streamed_and_not_ended_is_not_there_after_a_death() -> None:
    session = Session()
    said(session, "before")
    session.do(ask.StartStreaming())
    session.talk.chunk("half a mess")
    again = State()
    again.apply(session.records, CAPS)
    assert [message.content for message in again.conversation.messages.items] == ["before"]


def test_a_second_start_drops_what_the_first_has_streamed() -> None:
    session = Session()
    session.do(ask.StartStreaming())
    session.talk.chunk("dropped")
    session.do(ask.StartStreaming("tool"))
    session.talk.chunk("kept")
    session.do(ask.EndStreaming())
    assert session.contents() == ["kept"]


def test_what_is_streamed_has_a_limit_too_and_holds_no_memory_beyond_it() -> None:
    session = Session(Caps(streamed_bytes=100))
    session.do(ask.StartStreaming())
    for _ in range(20):
        session.talk.chunk("x" * 10)
    streaming = session.talk.streaming
    assert streaming is not None and streaming.chunks == []
    assert (session.refused(ask.EndStreaming()), session.talk.streaming) == ("message_too_long", None)
    session.do(ask.StartStreaming())
    session.talk.chunk("x" * 99)
    session.talk.chunk("y")
    session.do(ask.EndStreaming())
    assert session.contents() == ["x" * 99 + "y"]


def test_a_stream_whose_end_was_not_kept_can_be_ended_again() -> None:
    session = Session()
    session.do(ask.StartStreaming(id="s"))
    session.talk.chunk("text")
    session.talk.decide(ask.EndStreaming(), Moment(1.0, session.new_id))  # and the journal failed
    session.do(ask.EndStreaming())
    assert session.contents() == ["text"]


# ---- todos, reasoning, tools, prompts, files, usage -----------------------------------------------------------------


def test_acceptance_93_todos_replace_as_a_whole() -> None:
    session = Session()
    session.do(ask.SetTodos([{"content": "a"}, {"content": "b", "status": "in_progress", "active_form": "doing b"}]))
    session.do(ask.SetTodos([{"content": "c", "status": "completed"}]))
    assert session.ask(ask.GetTodos()) == [{"content": "c", "status": "completed", "active_form": "c"}]
    assert session.news == [("todos_updated", {"count": 2}), ("todos_updated", {"count": 1})]
    session.check()


@pytest.mark.parametrize(("todo", "code"), [
    ({"content": "x", "status": "someday"}, "unknown_status"), ({"content": " "}, "invalid_todo"), ({}, "invalid_todo"),
    ("x", "invalid_todo"), ({"content": 5}, "invalid_todo"), ({"content": "x", "status": 5}, "invalid_todo"),
    ({"content": "x", "more": 1}, "invalid_todo"), ({"content": "x" * 10_001}, "message_too_long"),
])  # fmt: skip
def test_acceptance_93_one_bad_todo_changes_nothing(todo: object, code: str) -> None:
    session = Session()
    session.do(ask.SetTodos([{"content": "stays"}]))
    assert session.refused(ask.SetTodos([{"content": "fine"}, todo])) == code


@pytest.mark.parametrize(("fill", "get", "most", "field"), [
    (lambda n: ask.AddReasoning(str(n)), ask.GetReasoning(), 100, "text"),
    (lambda n: ask.BeginTool(str(n)), ask.GetToolCalls(), 500, "name"),
    (lambda n: ask.TouchFile(str(n), "read"), ask.GetFileOperations(), 1000, "path"),
])  # fmt: skip
def test_acceptance_93_lists_keep_their_newest(fill: Any, get: Look, most: int, field: str) -> None:
    session = Session()
    for n in range(most + 3):
        session.do(fill(n))
    page = session.ask(get)
    assert (page["total"], [row[field] for row in page["items"]]) == (most, [str(n) for n in range(3, most + 3)])
    session.check()


def test_acceptance_93_prompts_are_newest_first_without_blanks_and_repeats() -> None:
    session = Session()
    for text in [*(str(n) for n in range(101)), "", "  \n", "100"]:
        session.do(ask.AddPrompt(text))
    assert session.ask(ask.GetPrompts()) == [str(n) for n in range(100, 0, -1)]
    session.do(ask.SetPrompts([str(n) for n in range(200)]))
    assert session.ask(ask.GetPrompts()) == [str(n) for n in range(100)]
    session.check()


def test_what_else_happens_meanwhile_does_not_end_what_is_streamed() -> None:
    session = Session()
    session.do(ask.StartStreaming(id="s"))
    session.talk.chunk("one ")
    session.do(ask.AddReasoning("because"))
    said(session, "another")
    session.talk.chunk("message")
    session.do(ask.EndStreaming())
    assert session.contents() == ["another", "one message"]
    session.check()


def test_as_many_todos_as_may_be_are_kept_and_cleared_reasoning_is_gone() -> None:
    session = Session()
    session.do(ask.SetTodos([{"content": "x"}] * 500))
    session.do(ask.AddReasoning("because"))
    assert session.do(ask.ClearReasoning()) is True
    assert (len(session.ask(ask.GetTodos())), session.ask(ask.GetReasoning())["items"]) == (500, [])
    session.check()


def test_a_tool_call_has_its_result_and_time() -> None:
    session = Session()
    id = session.do(ask.BeginTool("grep", {"for": "x"}))
    session.do(ask.BeginTool("later"))
    assert session.refused(ask.BeginTool("grep", id=str(id))) == "already_exists"
    session.do(ask.EndTool(str(id), "error", {"exit": 1}))
    assert session.ask(ask.GetToolCalls())["items"] == [{
        "id": "id-1", "name": "grep", "parameters": {"for": "x"}, "at": 101.0, "status": "error", "result": {"exit": 1},
        "ended_at": 104.0,
    }, {
        "id": "id-2", "name": "later", "parameters": {}, "at": 102.0, "status": "running", "result": None, "ended_at": None,
    }]  # fmt: skip
    assert session.news == [
        ("tool_call", {"tool_name": "grep", "tool_id": "id-1", "parameters": {"for": "x"}, "truncated": False}),
        ("tool_call", {"tool_name": "later", "tool_id": "id-2", "parameters": {}, "truncated": False}),
        ("tool_result", {"tool_id": "id-1", "tool_name": "grep", "status": "error"}),
    ]
    session.check()


@pytest.mark.parametrize(("request_", "code"), [
    (ask.EndTool("nobody"), "not_found"), (ask.EndTool("t", "running"), "unknown_status"),
    (ask.EndTool("t", "ok", "x" * 70_000), "value_too_long"), (ask.BeginTool("x", {"a": "x" * 70_000}), "value_too_long"),
    (ask.BeginTool(""), "invalid_key"), (ask.TouchFile("a", "eat"), "invalid_field"),
    (ask.TouchFile("", "read"), "invalid_field"), (ask.TouchFile("x" * 4097, "read"), "path_too_long"),
    (ask.AddUsage(-1), "invalid_field"), (ask.AddUsage(cost=float("nan")), "invalid_field"),
    (ask.AddFile("a\0b"), "invalid_field"), (ask.PutWorking("", 1), "invalid_key"),
    (ask.PutWorking("k", "x" * 10_001), "value_too_long"), (ask.PutWorking("k", Pid(1, 2)), "invalid_message"),
    (ask.GetWorking("nobody"), "not_found"), (ask.BuildContext(["codebase"]), "invalid_field"),
    (ask.BuildContext([], max_tokens=-1), "invalid_field"), (ask.StartStreaming("robot"), "unknown_role"),
    (ask.IndexFile("a", {"x": "y" * 10_001}), "value_too_long"), (ask.SetTodos([{"content": "x"}] * 501), "value_too_long"),
    (ask.ChangeSession({"name": "x" * 50_000}), "value_too_long"), (ask.AddReasoning(""), "empty_message"),
])  # fmt: skip
def test_what_cannot_be_is_refused_with_its_code(request_: Change | Look, code: str) -> None:
    session = Session()
    session.do(ask.BeginTool("t", id="t"))
    assert session.refused(request_) == code


HALF = "a\ud83d"  # half a surrogate pair: what a model says in JSON may be that


@pytest.mark.parametrize("request_", [
    ask.SendMessage("user", HALF), ask.SendMessage("user", "x", id=HALF), ask.SendMessage("user", "x", usage={HALF: 1}),
    ask.SetTodos([{"content": HALF}]), ask.SetTodos([{"content": "x", "active_form": HALF}]), ask.AddReasoning(HALF),
    ask.BeginTool(HALF), ask.BeginTool("x", {"a": [HALF]}), ask.BeginTool("x", {"a": 1 << 64}), ask.EndTool("t", "ok", HALF),
    ask.EndTool("t", "ok", -(1 << 64)), ask.AddPrompt(HALF), ask.SetPrompts([HALF]), ask.TouchFile(HALF, "read"),
    ask.AddFile(HALF), ask.IndexFile(HALF, {}), ask.IndexFile("a", {"x": HALF}), ask.PutWorking(HALF, 1),
    ask.PutWorking("k", HALF), ask.StartStreaming(id=HALF), ask.ChangeSession({"name": HALF}),
])  # fmt: skip
def test_acceptance_87_what_cannot_be_kept_is_refused_and_kills_no_session(request_: Change) -> None:
    session = Session()
    session.do(ask.BeginTool("t", id="t"))
    assert session.refused(request_) == "invalid_message"


def test_acceptance_92_a_piece_that_is_no_text_is_refused_and_the_message_goes_on() -> None:
    session = Session()
    session.do(ask.StartStreaming())
    session.talk.chunk("on")
    with pytest.raises(RequestError, match=r"^invalid_message"):
        session.talk.chunk(HALF)
    session.talk.chunk("e")
    session.do(ask.EndStreaming())
    assert session.contents() == ["one"]


def test_usage_is_the_sum_and_the_last_touch_of_a_file_is_known() -> None:
    session = Session()
    session.do(ask.AddUsage(10, 5, 0.5))
    session.do(ask.AddUsage(1, 1, 0.25))
    session.do(ask.TouchFile("a", "read"))
    session.do(ask.TouchFile("a", "write"))
    assert session.ask(ask.GetUsage()) == {"input_tokens": 11, "output_tokens": 6, "cost": 0.75}
    touched = [session.ask(ask.LastTouched(path, kind)) for path, kind in (("a", "read"), ("a", "write"), ("b", "read"))]
    assert touched == [103.0, 104.0, None]
    session.check()


# ---- context --------------------------------------------------------------------------------------------------------


def test_acceptance_95_a_file_is_there_once_the_51st_evicts_the_first_and_takes_its_facts_with_it() -> None:
    session = Session()
    session.do(ask.AddFile("f0"))
    session.do(ask.AddFile("f0"))
    assert (session.ask(ask.GetFiles()), session.news) == (["f0"], [("file_added", {"file_path": "f0"})])
    session.do(ask.IndexFile("f0", {"lines": 3}))
    for n in range(1, 51):
        session.do(ask.AddFile(f"f{n}"))
    assert session.ask(ask.GetFiles()) == [f"f{n}" for n in range(1, 51)]
    assert session.ask(ask.GetFileIndex()) == {}
    session.check()


def test_a_record_of_a_file_that_is_there_already_adds_none() -> None:
    state = State()
    state.apply([FileAdded("f", 1.0), FileAdded("f", 2.0)], CAPS)
    assert state.context.files == ["f"]


def test_acceptance_95_removing_a_file_drops_what_is_known_of_it() -> None:
    session = Session()
    session.do(ask.AddFile("a"))
    session.do(ask.IndexFile("a", {"lines": 3}))
    session.do(ask.IndexFile("a", {"language": "python"}))
    assert session.ask(ask.GetFileIndex("a")) == {"lines": 3, "language": "python", "last_accessed": 103.0}
    assert [session.do(ask.RemoveFile("a")), session.do(ask.RemoveFile("a"))] == [True, False]
    assert (session.ask(ask.GetFiles()), session.ask(ask.GetFileIndex())) == ([], {})
    assert [kind for kind, _ in session.news] == ["file_added", "context_updated", "context_updated", "file_removed"]
    session.check()


def test_what_was_done_or_is_so_already_is_answered_with_true_and_what_was_not_there_with_false() -> None:
    session = Session()
    steps: list[tuple[Change, Term]] = [
        (ask.SetTodos([]), True), (ask.ClearReasoning(), True), (ask.SetPrompts([]), True),
        (ask.AddFile("a"), True), (ask.AddFile("a"), True), (ask.IndexFile("b", {"x": 1}), True), (ask.RemoveFile("b"), True),
        (ask.RemoveFile("b"), False), (ask.PutWorking("k", 1), True), (ask.DeleteWorking("k"), True),
        (ask.DeleteWorking("k"), False), (ask.ClearMessages(), True), (ask.AddReasoning("x"), True), (ask.AddPrompt("x"), True),
        (ask.AddPrompt("x"), True), (ask.SetPrompts(["x"]), True), (ask.TouchFile("a", "read"), True), (ask.AddUsage(), True),
        (ask.BeginTool("t", id="t"), "t"), (ask.EndTool("t"), True), (ask.ChangeSession({}), True),
        (ask.StartStreaming(id="s"), "s"),
    ]  # fmt: skip
    assert [session.do(request) for request, _ in steps] == [answer for _, answer in steps]
    session.check()


def test_acceptance_98_working_values_and_the_index_are_bounded_and_the_oldest_go() -> None:
    session = Session(Caps(working_items=3, file_index=2))
    for key in ("a", "b", "c", "a", "d"):
        session.do(ask.PutWorking(key, key))
        session.do(ask.IndexFile(key, {}))
    assert session.ask(ask.GetWorkingKeys()) == ["c", "a", "d"]
    assert list(session.ask(ask.GetFileIndex())) == ["a", "d"]
    assert session.ask(ask.GetWorking("a")) == "a"
    assert [session.do(ask.DeleteWorking("a")), session.do(ask.DeleteWorking("a"))] == [True, False]
    session.check()


def filled() -> Session:
    session = Session()
    said(session, *(f"message {n}" for n in range(5)))
    for path in ("a.py", "b.py", "c.py"):
        session.do(ask.AddFile(path))
        session.do(ask.IndexFile(path, {"lines": 1}))
    session.do(ask.PutWorking("goal", "ship"))
    return session


@pytest.mark.parametrize("parts", [[], ["conversation"], ["files", "working_context"], ["file_index", "files", "conversation"]])
def test_acceptance_96_context_has_exactly_the_parts_that_were_asked_for(parts: list[str]) -> None:
    assert list(filled().ask(ask.BuildContext(parts))["parts"]) == parts


def test_acceptance_96_context_has_no_more_than_was_asked_for_the_newest_oldest_first() -> None:
    parts = ["conversation", "files", "file_index", "working_context"]
    built = filled().ask(ask.BuildContext(parts, max_messages=2, max_files=1))
    assert built["parts"] == {
        "conversation": [{"role": "user", "content": "message 3"}, {"role": "user", "content": "message 4"}],
        "files": ["c.py"], "file_index": {"c.py": {"lines": 1, "last_accessed": 111.0}}, "working_context": {"goal": "ship"},
    }  # fmt: skip
    nothing = filled().ask(ask.BuildContext(["conversation", "files"], max_messages=0, max_files=0))
    assert nothing == {"parts": {"conversation": [], "files": []}, "tokens": 0, "omitted": 0}


def test_acceptance_96_a_budget_of_tokens_keeps_the_newest_and_says_how_many_had_no_room() -> None:
    session = filled()
    built = session.ask(ask.BuildContext(["conversation"], max_tokens=9))
    assert built == {  # each costs 1 for "user" and 3 for its text
        "parts": {"conversation": [{"role": "user", "content": f"message {n}"} for n in (3, 4)]}, "tokens": 8, "omitted": 3,
    }  # fmt: skip
    first_come = session.ask(ask.BuildContext(["working_context", "conversation"], max_tokens=6))
    assert (first_come["parts"]["working_context"], len(first_come["parts"]["conversation"])) == ({"goal": "ship"}, 1)


# ---- all of it ------------------------------------------------------------------------------------------------------


def test_acceptance_89_two_sessions_have_nothing_in_common() -> None:
    one, two = filled(), Session()
    before = encode_state(two.talk.state)
    for request in (ask.SetTodos([{"content": "x"}]), ask.AddPrompt("p"), ask.AddReasoning("r"), ask.BeginTool("t")):
        one.do(request)
    assert encode_state(two.talk.state) == before == encode_state(State())


def test_the_records_of_a_session_s_own_record_are_its_last_one() -> None:
    session = Session()
    session.do(ask.ChangeSession({"name": "a"}))
    session.do(ask.ChangeSession({"name": "b"}))
    assert session.ask(ask.GetRecord()) == {"name": "b"}
    session.check()


def test_an_event_has_no_more_of_a_text_than_fits() -> None:
    session = Session(Caps(message_bytes=100_000))
    said(session, "é" * 20_000)
    session.do(ask.BeginTool("t", {"x": "y" * 10_000}))
    (_, added), (_, called) = session.news
    assert (len(str(added["content"]).encode()), added["truncated"]) == (MAX_CONTENT_BYTES, True)
    assert (called["parameters"], called["truncated"]) == ({}, True)


@pytest.mark.parametrize("name", Caps.__struct_fields__)
def test_a_cap_of_nothing_is_named(name: str) -> None:
    assert trouble_with(msgspec.structs.replace(CAPS, **{name: 0})) == f"{name}: must be 1 or more"


def test_a_state_of_later_code_is_not_guessed_at() -> None:
    with pytest.raises(msgspec.ValidationError, match="version 2"):
        decode_state(encode_state(State(version=2)))


def test_a_session_with_a_coroutine_in_it_is_refused_where_it_is_written() -> None:
    with pytest.raises(TypeError, match="belongs into another process"):

        class Waiting(SessionServer):
            async def handle_message(self, message: Message) -> None:  # type: ignore[override]
                pass


SMALL = Caps(
    messages=3, reasoning_steps=2, tool_calls=2, prompts=2, file_operations=2, files=2, file_index=2, working_items=2,
    conversation_bytes=200, list_bytes=150,
)  # fmt: skip
TEXT = st.sampled_from(["", "a", "bb", "é" * 40])
NAME = st.sampled_from(["x", "y", "z"])
CHANGES: st.SearchStrategy[Change] = st.one_of(
    st.builds(ask.SendMessage, st.sampled_from(["user", "tool", "robot"]), TEXT, st.sampled_from(["", "x", "y"])),
    st.builds(ask.ClearMessages), st.builds(ask.StartStreaming), st.builds(ask.EndStreaming),
    st.builds(ask.SetTodos, st.lists(st.fixed_dictionaries({"content": TEXT}), max_size=3)),
    st.builds(ask.AddReasoning, TEXT), st.builds(ask.ClearReasoning),
    st.builds(ask.BeginTool, NAME, id=st.sampled_from(["", "x", "y"])), st.builds(ask.EndTool, NAME, result=TEXT),
    st.builds(ask.AddPrompt, TEXT), st.builds(ask.SetPrompts, st.lists(TEXT, max_size=3)),
    st.builds(ask.TouchFile, NAME, st.sampled_from(["read", "write"])), st.builds(ask.AddUsage, st.integers(-1, 5)),
    st.builds(ask.AddFile, NAME), st.builds(ask.RemoveFile, NAME), st.builds(ask.IndexFile, NAME, st.just({"a": 1})),
    st.builds(ask.PutWorking, NAME, TEXT), st.builds(ask.DeleteWorking, NAME),
    st.builds(ask.ChangeSession, st.just({"name": "n"})),
)  # fmt: skip


@settings(max_examples=150)
@given(st.lists(CHANGES, max_size=40))
def test_whatever_is_asked_the_records_say_all_and_no_cap_is_passed(changes: list[Change]) -> None:
    session = Session(SMALL)
    for change in changes:
        session.talk.chunk("c")
        try:
            session.do(change)
        except RequestError:
            pass
    session.check()
    talk, context = session.talk.state.conversation, session.talk.state.context
    sizes = [len(talk.messages.items), len(talk.reasoning.items), len(talk.tool_calls.items), len(talk.prompts),
             len(talk.file_operations.items), len(context.files), len(context.file_index), len(context.working)]  # fmt: skip
    assert all(size <= most for size, most in zip(sizes, (3, 2, 2, 2, 2, 2, 2, 2), strict=True)), sizes
    numbers = [record.message.seq for record in session.records if isinstance(record, MessageAdded)]
    assert numbers == list(range(1, len(numbers) + 1))
    held: list[Message] = talk.messages.items
    assert [message.seq for message in held] == numbers[len(numbers) - len(held) :]
