"""``sessions``: limits, pages and refusals."""

from __future__ import annotations

import msgspec
import pytest

from actorcore.exit_reason import Reason
from actorcore.frames import encoder
from actorcore.residents import AnswerTo, Do
from actorcore.signals import Answer, Asking, Spawn, Started
from supervisors.tree.session_words import (
    MAX_REASON_BYTES,
    PAGE_BYTES,
    CountSessions,
    GetSession,
    ListSessions,
    ReplaceSpec,
    Session,
    Shutdown,
    StartSession,
    StopSession,
    page,
    short_reason,
)
from supervisors.tree.sessions import Sessions, _started_of
from tests.sessions_world import World, spec


@pytest.fixture
def world() -> World:
    return World()


def test_the_limit_comes_before_the_id_and_the_id_before_the_name_acceptance_9_10_11() -> None:
    world = World(max_sessions=2)
    world.start("a", name="anna")
    assert world.error(StartSession(spec("a", name="anna"))) == ("already_exists", "a")
    assert world.error(StartSession(spec("b", name="anna"))) == ("already_registered", "anna")
    world.start("b")
    assert world.error(StartSession(spec("a", name="anna"))) == ("resource_exhausted", "2/2 sessions")
    assert len(world.alive) == 2
    world.ask(StopSession("a"))
    world.start("c", name="anna")


def test_starting_sessions_count_towards_the_limit_acceptance_12() -> None:
    world = World(max_sessions=10)
    asked = [world.ask(StartSession(spec(f"s{n}", "slow"))) for n in range(50)]
    for n in range(10):
        world.boot(f"s{n}")
    assert [world.answers[number].error is None for number in asked] == [True] * 10 + [False] * 40


def test_pages_hold_each_session_once_though_others_come_and_go_e17(world: World) -> None:
    for n in range(10):
        world.start(f"s{n}")
    first = world.value(ListSessions(limit=4))
    world.ask(StopSession("s3"))
    world.ask(StopSession("s5"))
    world.start("s99")
    second = world.value(ListSessions(first["next"], 500))
    assert [row["id"] for row in first["sessions"]] == ["s0", "s1", "s2", "s3"]
    assert [row["id"] for row in second["sessions"]] == ["s4", "s6", "s7", "s8", "s9", "s99"]
    assert (second["next"], world.value(ListSessions(10**6))) == (None, {"sessions": [], "next": None})
    counts = {"starting": 0, "active": 9, "unresponsive": 0, "restarting": 0, "stopping": 0, "gave_up": 0, "total": 9,
              "limit": 1000}  # fmt: skip
    assert world.value(CountSessions()) == counts


def test_a_page_of_large_rows_is_shorter_and_huge_reasons_are_cut_e17(world: World) -> None:
    for n in range(40):
        world.start(f"s{n}", restart="permanent", give_up="never")
        world.die(world.serial(f"s{n}"), {"error": "x" * (100_000 if n == 0 else 2000)})
    ids: list[str] = []
    after: int | None = 0
    while after is not None:
        page = world.value(ListSessions(after, 500))
        assert len(msgspec.msgpack.encode(page)) < PAGE_BYTES + 3000
        ids += [row["id"] for row in page["sessions"]]
        after = page["next"]
    assert ids == [f"s{n}" for n in range(40)]
    assert world.row("s0")["reason"] == {"error": "truncated"}


@pytest.mark.parametrize(
    "body",
    [
        b"", b"\xc1", b"\x91" * 100_000 + b"\xc0", msgspec.msgpack.encode(["nothing"]), msgspec.msgpack.encode(["stop_session"]),
        msgspec.msgpack.encode(["stop_session", 1]), msgspec.msgpack.encode(["get_session", "a", "b"]),
        msgspec.msgpack.encode(["start_session", {"id": "a", "process": {"start": "m:ok"}, "oops": 1}]),
        msgspec.msgpack.encode(ListSessions(limit=0)), msgspec.msgpack.encode(["shutdown", float("nan")]), b"\xa2\xff\xff",
    ],
)  # fmt: skip
def test_what_is_no_request_is_refused_and_changes_nothing(world: World, body: bytes) -> None:
    before = world.resident.snapshot()
    assert world.error(body)[0] == "invalid_message"
    assert world.resident.snapshot() == before


@pytest.mark.parametrize(
    ("told", "reason"),
    [(("start_failed", "killed"), "killed"), (("busy", "x"), {"error": {"type": "busy", "text": "x"}})],
)
def test_a_spawn_that_the_kernel_refuses_fails_the_start(told: tuple[str, str], reason: Reason) -> None:
    resident = Sessions()
    body = msgspec.Raw(msgspec.msgpack.encode(StartSession(spec("a"))))
    assert resident.handle(Asking(1, 7, body), 0.0) == [Do(1, Spawn(spec("a").process, link=True, reserve=True))]
    assert resident.handle(Answer(1, error=told), 0.0) == [AnswerTo(1, 7, error=("start_failed", reason))]


def test_a_spec_is_replaced_for_the_next_process_and_the_name_stays(world: World) -> None:
    serial = world.start("a", name="anna")
    row = world.value(ReplaceSpec(spec("a", "slow", name="other", restart="temporary")))
    assert row == {"id": "a", "name": "anna", "serial": serial, "state": "active", "uptime_s": 0.0, "restarts": 0,
                   "restart": "temporary", "reason": None, "previous": 0}  # fmt: skip
    assert world.value(GetSession("a")) == row
    assert world.error(ReplaceSpec(spec("b"))) == ("not_found", "b")


def test_a_page_that_is_exactly_full_has_room_for_one_more_row() -> None:
    sessions = [Session(number, spec(f"s{number}"), reason={"error": ""}) for number in range(10, 22)]
    for one in sessions:
        one.reason = {"error": "x" * (4096 - len(encoder.encode(one.row(5.0))) - 2)}  # a longer head of the text
    assert {len(encoder.encode(one.row(5.0))) for one in sessions} == {4096}
    found = page(sessions, 500, 5.0)
    assert (found["sessions"], found["next"]) == ([one.row(5.0) for one in sessions[: PAGE_BYTES // 4096 + 1]], 18)
    assert page(sessions[:2], 1, 5.0) == {"sessions": [sessions[0].row(5.0)], "next": 10}
    assert page(sessions[:2], 2, 5.0) == {"sessions": [one.row(5.0) for one in sessions[:2]], "next": None}


def test_a_reason_is_kept_whole_as_long_as_it_may_be_and_else_its_kind_is() -> None:
    text = "x" * (MAX_REASON_BYTES // 4)
    assert (short_reason(text), short_reason(f"{text}y")) == (text, f"{text}… truncated")
    longest: Reason = {"error": "x" * (MAX_REASON_BYTES - len(encoder.encode({"error": ""})) - 2)}
    assert (len(encoder.encode(longest)), short_reason(longest)) == (MAX_REASON_BYTES, longest)
    assert short_reason({"error": f"{longest['error']}y", "more": 1}) == {"error": "truncated"}
    assert short_reason({"k" * 65: text * 4}) == {"k" * 64 + "… truncated": "truncated"}


def test_what_the_kernel_answers_to_a_spawn_is_a_start_an_ignore_or_its_failure() -> None:
    answers = [Answer(1, 55), Answer(1), Answer(1, None, ("start_failed", "boom")), Answer(1, None, ("invalid_spec", "x"))]
    assert [_started_of(answer) for answer in answers] == [
        Started(1, 55), Started(1, 0, ignored=True), Started(1, 0, error="boom"),
        Started(1, 0, error={"error": {"type": "invalid_spec", "text": "x"}}),
    ]  # fmt: skip


def test_when_all_have_stopped_in_time_no_alarm_is_left(world: World) -> None:
    world.start("a")
    world.start("b", "stubborn")
    asked = world.ask(Shutdown(60.0))
    assert (asked in world.answers, len(world.alarms)) == (False, 1)
    world.die(world.serial("b"), "done")
    assert (world.answers[asked].value, world.alarms) == ({"stopped": 2}, {})
