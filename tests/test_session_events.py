"""Events in virtual time: what is told to whom, in which order, and what a slow or dead subscriber costs."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from actorcore.requests import Demonitor, Monitor, SendExit
from actorcore.residents import AnswerTo, Do
from actorcore.signals import Asking
from supervisors.session.events import LIFECYCLE, MARKS, MAX_DATA_BYTES, SCHEMAS, Event, trouble_with
from supervisors.session.manager import Manager
from supervisors.session.subscriptions import HISTORY_BYTES, HISTORY_EVENTS, WINDOW, Subscription, Subscriptions
from supervisors.session.words import (
    MAX_TOKEN_BYTES,
    CreateSession,
    GetSession,
    LastTold,
    Publish,
    RestartSession,
    ResumeSession,
    Seen,
    StopSession,
    Subscribe,
    SuspendSession,
    Unsubscribe,
    WakeSession,
)
from tests.manager_world import WALL_S, ManagerWorld, Party, draft, uuid

A_TEXT = ("llm_response", {"content": "hello"})


def watching(world: ManagerWorld, request: Subscribe, party: Party | None = None) -> int:
    """The ref of a new subscription."""
    return int(world.call(request, party)["subscription"])


def created(world: ManagerWorld, number: int = 1, **fields: Any) -> int:
    """The serial of a new session's process."""
    return int(world.call(CreateSession(draft(number, **fields)))["serial"])


def said(world: ManagerWorld, serial: int, number: int, count: int = 1, text: str = "x") -> None:
    """The process of session ``number`` publishes so many events."""
    speaker = world.parties.setdefault(serial, Party(serial))
    for _ in range(count):
        answer = world.call(Publish(uuid(number), [("llm_stream_chunk", {"content": text})]), speaker)
        assert isinstance(answer, int), answer


def kinds(events: list[dict[str, Any]]) -> list[str]:
    """Types, and of a status what it became."""
    return [event["data"]["status"] if event["type"] == "session_status" else event["type"] for event in events]


def test_acceptance_155_159_a_life_is_told_in_order_with_rising_numbers_and_times() -> None:
    world = ManagerWorld()
    ref = watching(world, Subscribe())
    created(world, metadata={"m": 1})
    world.now += 2.5
    world.call(StopSession(uuid(1)))
    assert {one["subscription"] for one in world.me.mail} == {ref}
    events = world.me.events()
    assert kinds(events) == ["session_created", "active", "terminating", "terminated", "session_terminated"]
    assert [event["data"].get("previous_status") for event in events] == [None, "initializing", "active", "terminating", None]
    assert events[0] == {"number": 1, "seq": 1, "session": uuid(1), "type": "session_created", "at": WALL_S,
                         "data": {"name": "s1", "metadata": {"m": 1}}}  # fmt: skip
    assert [(event["number"], event["seq"]) for event in events] == [(n, n) for n in range(1, 6)]
    assert events[-1]["at"] == WALL_S + 2.5
    assert events[-1]["data"] == {"reason": "shutdown", "restart_count": 0, "duration_s": 2.5}


def resumed(world: ManagerWorld, number: int = 1) -> int:
    """The serial of the process of a session that was stopped."""
    assert world.call(ResumeSession(uuid(number))) is True
    return int(world.call(CreateSession(draft(number), True))["serial"])


def test_acceptance_159_the_numbers_of_a_session_go_on_when_it_is_resumed() -> None:
    world = ManagerWorld()
    watching(world, Subscribe())
    created(world)
    world.call(StopSession(uuid(1)))
    created(world, 2)
    resumed(world)
    events = [(event["seq"], kind) for event in world.me.events() for kind in kinds([event]) if event["session"] == uuid(1)]
    assert events == [
        (1, "session_created"), (2, "active"), (3, "terminating"), (4, "terminated"), (5, "session_terminated"),
        (6, "session_created"), (7, "active"), (8, "session_resumed")]  # fmt: skip


def test_acceptance_159_when_the_history_has_lost_them_they_go_on_behind_all_that_there_were() -> None:
    world = ManagerWorld()
    said(world, created(world), 1, 10)
    world.call(StopSession(uuid(1)))
    said(world, created(world, 2), 2, HISTORY_EVENTS)
    last = world.call(Subscribe())["number"]
    resumed(world)
    events = world.me.events()
    assert [(event["number"], event["seq"]) for event in events] == [(last + at, last + at) for at in (1, 2, 3)]
    created(world, 3)
    assert [event["seq"] for event in world.me.events()] == [1, 2]  # it was never here


def last_told(world: ManagerWorld, serial: int) -> Any:
    """What the process of session 1 hears of what was told before it."""
    return world.call(LastTold(uuid(1)), world.parties.setdefault(serial, Party(serial)))


def test_acceptance_159_a_process_hears_which_record_was_the_last_that_was_told_before_it() -> None:
    world = ManagerWorld()
    old = created(world)
    assert last_told(world, old) == 0
    me = world.parties[old]
    world.call(Publish(uuid(1), [A_TEXT], 5), me)
    world.call(Publish(uuid(1), [A_TEXT]), me)
    assert world.call(Publish(uuid(1), [("llm_response", {})], 6), me) == ("missing_required_fields", ["content"])
    world.kill(old, 9)
    assert last_told(world, world.call(GetSession(uuid(1)))["serial"]) == 5
    assert world.call(LastTold(uuid(1))) == ("not_permitted", None)
    assert world.call(LastTold(uuid(9))) == ("not_found", None)
    world.call(StopSession(uuid(1)))
    assert last_told(world, resumed(world)) == 5
    world.call(StopSession(uuid(1)))
    assert last_told(world, created(world)) == 0  # another one under the same id


def test_acceptance_159_when_the_history_has_lost_it_nobody_knows_what_was_told() -> None:
    world = ManagerWorld()
    created(world)
    world.call(StopSession(uuid(1)))
    said(world, created(world, 2), 2, HISTORY_EVENTS)
    assert last_told(world, resumed(world)) is None
    fresh = ManagerWorld()  # another daemon
    assert last_told(fresh, resumed(fresh)) is None


def test_acceptance_49_163_a_death_is_one_crash_and_a_restart_with_both_pids_counts_and_durations() -> None:
    world = ManagerWorld()
    old = created(world)
    watching(world, Subscribe(uuid(1)))
    world.now += 7.0
    world.kill(old, 11)
    new = world.call(GetSession(uuid(1)))["serial"]
    events = world.me.events()
    assert kinds(events) == ["failed", "session_crashed", "restarting", "active", "session_restarted"]
    assert events[1]["data"] == {"reason": {"signal": "SIGSEGV"}, "pid": old, "duration_s": 7.0, "restart_count": 0}
    assert events[4]["data"] == {"old_pid": old, "new_pid": new, "restart_count": 1, "duration_s": 0.0}


def test_acceptance_48_what_is_told_of_a_restart_that_waits_is_restarting_and_no_pid() -> None:
    world = ManagerWorld()
    old = created(world, policy={"backoff_initial_s": 0.5})
    world.kill(old)
    row = world.call(GetSession(uuid(1)))
    assert (row["status"], row["serial"], row["reason"]) == ("restarting", 0, "killed")
    world.pass_time(0.5)
    assert world.call(GetSession(uuid(1)))["status"] == "active"


def test_a_session_that_is_given_up_suspended_woken_or_restarted_says_so() -> None:
    world = ManagerWorld()
    created(world)
    watching(world, Subscribe(uuid(1)))
    world.call(RestartSession(uuid(1)))
    assert kinds(world.me.events()) == ["restarting", "active", "session_restarted"]
    world.call(SuspendSession(uuid(1)))
    world.call(WakeSession(uuid(1)))
    assert kinds(world.me.events()) == ["suspended", "restarting", "active"]
    serial = created(world, 2, policy={"intensity": 0})
    watching(world, Subscribe(uuid(2)))
    world.kill(serial)
    assert kinds(world.me.events()) == ["failed", "session_crashed", "gave_up", "session_gave_up"]


def test_a_session_that_works_on_or_rests_on_says_so_once() -> None:
    world = ManagerWorld()
    serial = created(world, policy={"idle_timeout_s": 40.0})
    watching(world, Subscribe(uuid(1)))
    for handled in (1, 2, 2, 2, 3, 4):
        world.handled[serial] = (0.0, handled)
        world.pass_time(10.0)
    assert kinds(world.me.events()) == ["idle", "active"]


def test_a_session_that_ends_by_itself_is_terminated_without_a_crash() -> None:
    world = ManagerWorld()
    serial = created(world)
    watching(world, Subscribe(uuid(1)))
    world.kill(serial, 15)
    assert kinds(world.me.events()) == ["terminating", "terminated", "session_terminated"]


def test_a_temporary_session_that_is_killed_has_failed_and_is_no_more() -> None:
    world = ManagerWorld()
    serial = created(world, policy={"restart": "temporary"})
    watching(world, Subscribe(uuid(1)))
    world.kill(serial)
    assert kinds(world.me.events()) == ["failed", "session_crashed", "terminated", "session_terminated"]


def test_a_session_that_crashes_as_it_is_stopped_is_stopped_and_no_crash() -> None:
    world = ManagerWorld()
    serial = created(world, module="m:stubborn")
    watching(world, Subscribe(uuid(1)))
    world.ask(StopSession(uuid(1)))
    world.kill(serial, 11)
    assert kinds(world.me.events()) == ["terminating", "terminated", "session_terminated"]


def test_a_start_that_fails_is_told_to_its_end() -> None:
    world = ManagerWorld()
    watching(world, Subscribe())
    world.call(CreateSession(draft(1, module="m:bad")))
    events = world.me.events()
    assert kinds(events) == ["session_created", "failed", "terminated", "session_terminated"]
    assert events[-1]["data"]["reason"] == {"error": {"type": "Bad", "text": ""}}


def test_acceptance_156_158_of_one_session_all_events_of_all_sessions_the_lifecycle() -> None:
    world = ManagerWorld()
    one, all_, chunks = world.client(), world.client(), world.client()
    first, second = created(world, 1), created(world, 2)
    watching(world, Subscribe(uuid(1)), one)
    watching(world, Subscribe(), all_)
    watching(world, Subscribe(types=["llm_stream_chunk"]), chunks)
    said(world, first, 1)
    said(world, second, 2)
    world.call(StopSession(uuid(2)))
    world.call(StopSession(uuid(1)))
    assert [(event["session"], event["type"]) for event in one.events()] == [
        (uuid(1), type_) for type_ in ("llm_stream_chunk", "session_status", "session_status", "session_terminated")]  # fmt: skip
    assert [event["session"] for event in all_.events()] == [uuid(2)] * 3 + [uuid(1)] * 3
    assert [(event["session"], event["type"]) for event in chunks.events()] == [
        (uuid(1), "llm_stream_chunk"), (uuid(2), "llm_stream_chunk")]  # fmt: skip


def test_acceptance_157_after_the_session_s_end_and_after_unsubscribing_nothing_comes() -> None:
    world = ManagerWorld()
    created(world)
    of_one, of_all = watching(world, Subscribe(uuid(1))), watching(world, Subscribe())
    other = world.client()
    assert world.call(Unsubscribe(of_all), other) is False
    world.call(StopSession(uuid(1)))
    assert kinds(world.me.events())[-1] == "session_terminated"
    assert world.call(Seen(of_one, 1)) is False
    assert (world.call(Unsubscribe(of_all)), world.call(Unsubscribe(of_all))) == (True, False)
    created(world)
    assert world.me.events() == []
    assert world.call(Subscribe(uuid(9))) == ("not_found", None)
    assert world.call(Subscribe(types=["noise"])) == ("unknown_event_type", None)


def filled(*groups: tuple[str, int]) -> Subscriptions:
    """A history with so many events of these types, all of one session."""
    subscriptions = Subscriptions()
    tell(subscriptions, *groups)
    return subscriptions


def tell(subscriptions: Subscriptions, *groups: tuple[str, int]) -> None:
    for type_, count in groups:
        for _ in range(count):
            number = subscriptions.number + 1
            subscriptions.publish(Event(number, number, "s", type_, 0.0, {}))


def sent(subscriptions: Subscriptions, one: Subscription) -> list[Any]:
    """The numbers of the events that are due to it, and the counts of those that were dropped as text."""
    events = [msgspec.msgpack.decode(body)["event"] for body in subscriptions.due(one)]
    return [str(event["data"]["count"]) if event["type"] == "events_dropped" else event["number"] for event in events]


def test_acceptance_160_who_does_not_look_is_sent_a_window_and_then_told_how_much_was_dropped() -> None:
    subscriptions = filled()
    slow, quick = subscriptions.add(1, "s", [], None), subscriptions.add(2, "s", [], None)
    got: dict[int, list[Any]] = {slow.ref: [], quick.ref: []}
    for _ in range(HISTORY_EVENTS + WINDOW + 50):
        tell(subscriptions, ("context_updated", 1))
        got[slow.ref] += sent(subscriptions, slow)
        got[quick.ref] += sent(subscriptions, quick)
        quick.seen = quick.sent
    assert got[slow.ref] == list(range(1, WINDOW + 1))
    assert got[quick.ref] == list(range(1, subscriptions.number + 1))
    rest: list[Any] = []
    while True:
        slow.seen = slow.sent
        more = sent(subscriptions, slow)
        assert len(more) <= WINDOW
        if not more:
            break
        rest += more
    assert rest == ["50", *range(WINDOW + 51, subscriptions.number + 1)]


def test_what_was_dropped_is_told_with_the_number_of_the_last_of_it() -> None:
    subscriptions = filled()
    one = subscriptions.add(1, "s", [], None, b"known to us")
    tell(subscriptions, ("context_updated", HISTORY_EVENTS + 3))
    bodies = [msgspec.msgpack.decode(body) for body in subscriptions.due(one)]
    assert (bodies[0], bodies[1]["event"]["number"]) == (
        {"subscription": 1, "token": b"known to us", "event": {
            "number": 3, "seq": 0, "session": "s", "type": "events_dropped", "at": 0.0, "data": {"count": 3}}}, 4)  # fmt: skip


def test_only_what_a_subscriber_would_have_been_told_counts_as_dropped() -> None:
    subscriptions = filled()
    one = subscriptions.add(1, "", [], None)
    tell(subscriptions, ("session_hung", WINDOW + 5), ("context_updated", HISTORY_EVENTS + 10))
    assert sent(subscriptions, one) == ["133"]  # all of the lifecycle, and nothing else
    tell(subscriptions, ("session_hung", 1))
    assert sent(subscriptions, one) == [subscriptions.number]


def test_the_history_is_bounded_in_bytes_too() -> None:
    world = ManagerWorld()
    serial = created(world)
    said(world, serial, 1, 200, "x" * (MAX_DATA_BYTES - 100))
    world.call(Subscribe(after=1))
    (gap,) = [event for event in world.me.events() if event["type"] == "events_gap"]
    assert gap["data"]["after"] == 1
    assert 200 - gap["data"]["oldest"] < HISTORY_BYTES / (MAX_DATA_BYTES - 100)


def test_a_late_subscriber_gets_what_the_history_has_and_is_told_where_it_begins() -> None:
    world = ManagerWorld()
    serial = created(world)
    said(world, serial, 1, 5)
    watching(world, Subscribe(uuid(1), after=4))
    assert [event["number"] for event in world.me.events()] == [5, 6, 7]
    watching(world, Subscribe(uuid(1), after=7))
    assert world.me.events() == []
    watching(world, Subscribe(uuid(1), after=99))  # of another daemon's numbers
    events = world.me.events()
    assert (events[0]["type"], events[0]["data"]) == ("events_gap", {"after": 99, "oldest": 1})
    assert [event["number"] for event in events[1:]] == [1, 2, 3, 4, 5, 6, 7]


def test_where_a_history_begins_nothing_is_missing_and_before_it_the_gap_is_told_with_the_event_that_is_there() -> None:
    subscriptions = filled(("context_updated", HISTORY_EVENTS + 5))
    assert (subscriptions.first, [subscriptions.add(1, "s", [], after).gap for after in (4, 5, 6)]) == (6, [4, None, None])
    bodies = [msgspec.msgpack.decode(body) for body in subscriptions.due(subscriptions.add(1, "s", [], 4))]
    assert (bodies[0], bodies[1]["event"]["number"]) == (
        {"subscription": 4, "token": b"", "event": {
            "number": 5, "seq": 0, "session": "s", "type": "events_gap", "at": 0.0,
            "data": {"after": 4, "oldest": 6}}}, 6)  # fmt: skip


def test_a_token_is_as_long_as_it_may_be_or_refused() -> None:
    world = ManagerWorld()
    watching(world, Subscribe(token=bytes(MAX_TOKEN_BYTES)))
    assert world.call(Subscribe(token=bytes(MAX_TOKEN_BYTES + 1)))[0] == "invalid_message"
    created(world)
    assert {one["token"] for one in world.me.mail} == {bytes(MAX_TOKEN_BYTES)}


def test_a_history_that_is_exactly_full_has_lost_nothing_and_who_is_not_there_is_no_subscriber(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    subscriptions = filled(("context_updated", 2))
    monkeypatch.setattr("supervisors.session.subscriptions.HISTORY_BYTES", subscriptions.size_bytes * 3 // 2)
    tell(subscriptions, ("context_updated", 1))
    assert (subscriptions.first, subscriptions.number) == (1, 3)
    tell(subscriptions, ("context_updated", 1))
    assert (subscriptions.first, subscriptions.number) == (2, 4)
    subscriptions.remove(9)
    assert subscriptions.all() == []


def test_there_are_so_many_subscriptions_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("supervisors.session.manager.MAX_SUBSCRIPTIONS", 2)
    world = ManagerWorld()
    told = [world.call(Subscribe()) for _ in range(3)]
    assert told == [{"subscription": 1, "number": 0}, {"subscription": 2, "number": 0}, ("resource_exhausted", "2 subscriptions")]
    assert world.call(Unsubscribe(1)) is True
    assert world.call(Subscribe()) == {"subscription": 3, "number": 0}


def test_who_has_seen_some_is_sent_as_many_more_and_no_other_can_say_so_for_it() -> None:
    world = ManagerWorld()
    serial = created(world)
    ref = watching(world, Subscribe(uuid(1)))
    said(world, serial, 1, WINDOW + 5)
    assert len(world.me.events()) == WINDOW
    assert (world.call(Seen(ref, 3), world.client()), world.me.events()) == (False, [])
    assert world.call(Seen(ref, 3)) is True
    first = world.me.events()
    assert (len(first), world.call(Seen(ref, 10_000)), len(world.me.events()), world.call(Seen(99, 1))) == (3, True, 2, False)


def test_acceptance_161_a_dead_subscriber_is_forgotten_and_publishing_goes_on() -> None:
    world = ManagerWorld()
    serial = created(world)
    dead = world.client()
    ref, alive = watching(world, Subscribe(uuid(1)), dead), watching(world, Subscribe(uuid(1)))
    world.request(SendExit(dead.serial, "kill"))
    said(world, serial, 1)
    assert kinds(world.me.events()) == ["llm_stream_chunk"]
    assert (world.call(Unsubscribe(alive)), ref < alive) == (True, True)
    assert dead.events() == []


def test_a_subscription_goes_on_when_the_manager_was_killed() -> None:
    world = ManagerWorld()
    serial = created(world)
    other = world.client()
    watching(world, Subscribe(uuid(1)))
    ref = watching(world, Subscribe(uuid(1)), other)
    world.request(SendExit(world.kernel.table.published()["system:manager"], "kill"))
    said(world, serial, 1)
    assert (kinds(world.me.events()), kinds(other.events())) == (["llm_stream_chunk"], ["llm_stream_chunk"])
    world.request(SendExit(other.serial, "kill"))
    assert world.call(Seen(ref, 1), other) is None  # it is dead, and said nothing
    manager = world.kernel._residents.own["manager"]
    assert isinstance(manager, Manager)
    assert list(manager._life.memory.subscriptions.where.values()) == [uuid(1)]  # that of the living
    said(world, serial, 1)
    assert kinds(world.me.events()) == ["llm_stream_chunk"]


def test_a_killed_manager_is_a_service_that_crashed_and_was_restarted() -> None:
    world = ManagerWorld()
    watching(world, Subscribe())
    before = world.kernel.table.published()["system:manager"]
    world.request(SendExit(before, "kill"))
    after = world.kernel.table.published()["system:manager"]
    about = {"name": "manager", "duration_s": 0.0}
    assert [(event["session"], event["type"], event["data"]) for event in world.me.events()] == [
        ("", "service_crashed", {**about, "pid": before, "reason": "killed", "restart_count": 0}),
        ("", "service_restarted", {**about, "old_pid": before, "new_pid": after, "restart_count": 1}),
    ]
    assert after != before


def test_who_unsubscribes_is_watched_no_longer() -> None:
    manager = Manager()

    def asked(number: int, request: object) -> object:
        return manager.handle(Asking(5, number, msgspec.Raw(msgspec.msgpack.encode(request))), 0.0)

    assert asked(1, Subscribe()) == [Do(1, Monitor(1, 5)), AnswerTo(5, 1, {"subscription": 1, "number": 0})]
    assert asked(2, Unsubscribe(1)) == [Do(2, Demonitor(1)), AnswerTo(5, 2, True)]
    assert asked(3, Unsubscribe(1)) == [AnswerTo(5, 3, False)]


def test_only_the_process_of_a_session_speaks_for_it() -> None:
    world = ManagerWorld()
    first, second = created(world, 1), created(world, 2)
    world.parties[second] = Party(second)
    assert world.call(Publish(uuid(1), [A_TEXT]), world.parties[second]) == ("not_permitted", None)
    assert world.call(Publish(uuid(1), [A_TEXT])) == ("not_permitted", None)
    assert world.call(Publish(uuid(9), [A_TEXT])) == ("not_found", None)
    said(world, first, 1)


def test_acceptance_162_one_wrong_event_of_several_publishes_none() -> None:
    world = ManagerWorld()
    serial = created(world)
    world.parties[serial] = Party(serial)
    watching(world, Subscribe(uuid(1)))
    wrong: list[tuple[str, dict[str, Any]]] = [A_TEXT, ("llm_response", {})]
    assert world.call(Publish(uuid(1), wrong), world.parties[serial]) == ("missing_required_fields", ["content"])
    assert world.me.events() == []


@pytest.mark.parametrize(
    ("type_", "data", "refusal"),
    [("noise", {}, ("unknown_event_type", "noise")), ("events_dropped", {"count": 1}, ("unknown_event_type", "events_dropped")),
     ("tool_call", {"tool_name": "t"}, ("missing_required_fields", ["tool_id", "parameters"])),
     ("tool_call", {"tool_name": 1, "tool_id": "i", "parameters": []}, ("invalid_types", ["tool_name", "parameters"])),
     ("analysis_complete", {"files_analyzed": True, "issues_found": 0}, ("invalid_types", ["files_analyzed"])),
     ("llm_response", {"content": "x" * MAX_DATA_BYTES}, ("value_too_long", f"8204 bytes, at most {MAX_DATA_BYTES}")),
     ("llm_response", {"content": "x", "extra": {1: 2}}, ("invalid_types", "a key that is no text")),
     ("llm_response", {"content": "x", "extra": [1]}, None), ("context_updated", {}, None)],
)  # fmt: skip
def test_acceptance_162_each_mistake_has_its_code(type_: str, data: dict[str, Any], refusal: object) -> None:
    assert trouble_with(type_, data) == refusal


@pytest.mark.parametrize("type_", sorted(SCHEMAS.keys() - MARKS.keys()))
def test_acceptance_162_every_type_has_fields_that_can_be_filled(type_: str) -> None:
    samples: dict[type, Any] = {str: "x", int: 1, float: 1.0, dict: {}, list: [], bool: True, type(None): None}
    required = SCHEMAS[type_].required
    assert trouble_with(type_, {name: samples[kinds[0]] for name, kinds in required.items()}) is None
    if required:
        assert trouble_with(type_, {}) == ("missing_required_fields", list(required))


def test_every_lifecycle_event_is_a_session_s_a_service_s_or_a_save_s() -> None:
    assert {name.partition("_")[0] for name in LIFECYCLE} == {"session", "service", "save", "resume", "rate"}
