"""What a session tells its watchers, and what they are told of others: at the edges."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from actorcore.exit_reason import Term
from actorcore.frames import encoder
from supervisors.session import events
from supervisors.session.events import MAX_DATA_BYTES, Event
from supervisors.session.journal import Kept, MemoryJournal
from supervisors.session.memory import State
from supervisors.session.news import MAX_CONTENT_BYTES, News, cut, news_of
from supervisors.session.records import (
    FileAdded,
    FileIndexed,
    FileRemoved,
    Message,
    MessageAdded,
    MessagesCleared,
    Record,
    TodosSet,
    ToolCall,
    ToolCalled,
    ToolEnded,
    Usage,
    Used,
    WorkingDeleted,
    WorkingPut,
)
from supervisors.session.subscriptions import Subscriptions
from supervisors.session.untold import Untold

LONGEST = "x" * MAX_CONTENT_BYTES
FITS: dict[str, Term] = {"a": "x" * (MAX_CONTENT_BYTES - 6)}
"""Six more bytes are the map, the key and the two lengths."""


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("", ""), (LONGEST, LONGEST), (f"{LONGEST}x", LONGEST), ("ä" * (MAX_CONTENT_BYTES // 2), "ä" * (MAX_CONTENT_BYTES // 2)),
        ("x" + "ä" * (MAX_CONTENT_BYTES // 2), "x" + "ä" * (MAX_CONTENT_BYTES // 2 - 1)),
    ],
)  # fmt: skip
def test_a_text_is_cut_to_whole_characters_of_so_many_bytes(text: str, left: str) -> None:
    assert cut(text) == left


@pytest.mark.parametrize(
    ("record", "news"),
    [
        (MessageAdded(Message(3, "m", "user", LONGEST, 1.0)),
         ("conversation_added", {"role": "user", "content": LONGEST, "message": 3, "truncated": False})),
        (MessageAdded(Message(3, "m", "user", f"{LONGEST}x", 1.0)),
         ("conversation_added", {"role": "user", "content": LONGEST, "message": 3, "truncated": True})),
        (MessagesCleared(1.0), ("conversation_cleared", {})),
        (TodosSet([], 1.0), ("todos_updated", {"count": 0})),
        (ToolCalled(ToolCall("t", "grep", FITS, 1.0)),
         ("tool_call", {"tool_name": "grep", "tool_id": "t", "parameters": FITS, "truncated": False})),
        (ToolCalled(ToolCall("t", "grep", {"a": f"{FITS['a']}x"}, 1.0)),
         ("tool_call", {"tool_name": "grep", "tool_id": "t", "parameters": {}, "truncated": True})),
        (ToolEnded("t", "completed", None, 1.0), ("tool_result", {"tool_id": "t", "tool_name": "", "status": "completed"})),
        (FileAdded("f", 1.0), ("file_added", {"file_path": "f"})), (FileRemoved("f", 1.0), ("file_removed", {"file_path": "f"})),
        (FileIndexed("f", {}, 1.0), ("context_updated", {})),
        (WorkingPut("k", 1, 1.0), ("working_context_updated", {"key": "k"})),
        (WorkingDeleted("k", 1.0), ("working_context_updated", {"key": "k"})), (Used(Usage(1), 1.0), None),
    ],
)  # fmt: skip
def test_what_watchers_are_told_of_a_record(record: Record, news: Any) -> None:
    assert len(encoder.encode(FITS)) == MAX_CONTENT_BYTES
    assert news_of(record, State()) == news


def test_an_event_has_so_many_bytes_and_an_unknown_type_is_named_in_short() -> None:
    empty = len(encoder.encode({"message": "x" * 256}))
    data: dict[str, Term] = {"message": "x" * (256 + MAX_DATA_BYTES - empty)}
    assert events.trouble_with("context_updated", data) is None
    assert events.trouble_with("context_updated", {"message": f"{data['message']}x"}) == (
        "value_too_long", f"{MAX_DATA_BYTES + 1} bytes, at most {MAX_DATA_BYTES}",
    )  # fmt: skip
    assert events.trouble_with("y" * 64, {}) == ("unknown_event_type", "y" * 64)
    assert events.trouble_with("y" * 65, {}) == ("unknown_event_type", "y" * 64 + "… truncated")


def test_the_end_of_another_session_ends_no_subscription() -> None:
    subscriptions = Subscriptions()
    one = subscriptions.add(1, "mine", [], None)
    told = [("mine", "context_updated"), ("other", "session_terminated")]
    for number, (session, type_) in enumerate(told, 1):
        subscriptions.publish(Event(number, number, session, type_, 0.0, {}))
    assert [msgspec.msgpack.decode(body)["event"]["number"] for body in subscriptions.due(one)] == [1]
    assert not one.over
    subscriptions.publish(Event(3, 3, "mine", "session_terminated", 0.0, {}))
    assert ([msgspec.msgpack.decode(body)["event"]["number"] for body in subscriptions.due(one)], one.over) == ([3], True)


def test_a_journal_in_memory_has_what_it_was_given_until_a_checkpoint_stands_for_it() -> None:
    first, second = MessagesCleared(1.0), MessagesCleared(2.0)
    assert MemoryJournal().load() == Kept(None, [])
    journal = MemoryJournal(Kept(b"state", [first], number=7))
    journal.append([second])
    assert journal.load() == Kept(b"state", [first, second], number=8)
    journal.checkpoint(b"later")
    assert journal.load() == Kept(b"later", [], number=8)


# ---- what is not told yet -------------------------------------------------------------------------------------------

KEPT = Kept(b"state", [FileAdded("a", 1.0), Used(Usage(1), 2.0), FileAdded("b", 3.0), MessagesCleared(4.0)], number=7)
"""Records 4 to 7; of the use of tokens nobody is told."""
A, B, CLEARED = ("file_added", {"file_path": "a"}), ("file_added", {"file_path": "b"}), ("conversation_cleared", {})


@pytest.mark.parametrize(("told", "again"), [
    (None, []), (3, [A, B, CLEARED]), (4, [B, CLEARED]), (5, [B, CLEARED]), (6, [CLEARED]), (7, []), (9, []),
])  # fmt: skip
def test_acceptance_159_what_was_kept_and_not_told_is_told_by_the_next_process_and_before_what_is_new(
    told: int | None, again: list[News]
) -> None:
    untold = Untold(KEPT)
    untold.add(("save_limit_near", {"count": 1, "limit": 1}))
    assert len(untold) == 5
    untold.recall(told, State())
    assert (untold.take(), len(untold)) == (([*again, ("save_limit_near", {"count": 1, "limit": 1})], 7), 0)


def test_what_is_told_at_once_is_bounded_and_says_which_record_was_the_last_of_it() -> None:
    untold, text = Untold(), "x" * MAX_CONTENT_BYTES
    for number in range(1, 11):
        untold.number = number
        untold.add(("llm_response", {"content": text}))
    batches = []
    while untold:
        events, number = untold.take()
        batches.append((len(events), number))
    assert batches == [(4, 4), (4, 8), (2, 10)]
