"""The manager in virtual time: who resumes what, what a killed manager forgets, and the end of the daemon."""

from __future__ import annotations

import msgspec

from actorcore.requests import SendExit
from actorcore.residents import AnswerTo, Order
from actorcore.signals import Answer, Asking, Booted, ClockSet, Reborn, Refused, Sent
from supervisors.session.admissions import ADMITTED_S
from supervisors.session.events import trouble_with
from supervisors.session.manager import Manager
from supervisors.session.settings import SessionSettings
from supervisors.session.words import (
    CreateSession,
    FailResume,
    GetCounters,
    GetSession,
    ListIds,
    RestartSession,
    ResumeSession,
    Subscribe,
    SuspendSession,
    WakeSession,
)
from supervisors.tree.session_words import SessionTold
from tests.manager_world import WALL_S, ManagerWorld, Party, draft, uuid


def test_acceptance_146_148_who_was_not_admitted_resumes_nothing_and_the_sixth_is_not_admitted() -> None:
    world = ManagerWorld()
    again = CreateSession(draft(1, created_at=5.0), True)
    assert world.call(again) == ("not_permitted", "ask to resume it first")
    assert [world.call(ResumeSession(uuid(1))) for _ in range(6)] == [True] * 5 + [("rate_limit_exceeded", 60)]
    assert world.call(again)["created_at"] == 5.0
    for _ in range(4):  # each of the others admits one, and has been counted
        assert world.call(again)[0] == "session_exists"
    assert world.call(again) == ("not_permitted", "ask to resume it first")


def test_acceptance_146_an_admission_is_for_one_id_and_for_a_minute() -> None:
    world = ManagerWorld()
    assert world.call(ResumeSession(uuid(1)))
    assert world.call(CreateSession(draft(2), True))[0] == "not_permitted"
    world.pass_time(ADMITTED_S)
    assert world.call(CreateSession(draft(1), True))[0] == "not_permitted"
    assert world.call(ResumeSession("no id")) == ("invalid_id", None)


def test_acceptance_149_twenty_resumes_of_many_ids_are_admitted_and_no_more() -> None:
    world = ManagerWorld()
    told = [world.call(ResumeSession(uuid(number))) for number in range(1, 26)]
    assert told == [True] * 20 + [("rate_limit_exceeded", 60)] * 5


def test_a_session_is_not_made_older_by_whoever_asks_for_it() -> None:
    world = ManagerWorld()
    assert world.call(CreateSession(draft(1, created_at=5.0)))["created_at"] == WALL_S


def test_acceptance_154_what_the_limiter_refuses_is_an_event_of_the_session_or_of_none() -> None:
    world = ManagerWorld()
    world.call(CreateSession(draft(1)))
    watcher = world.client()
    world.call(Subscribe(types=["rate_limited"]), watcher)
    for number in (1, 2):
        for _ in range(6):
            world.call(ResumeSession(uuid(number)))
    events = watcher.events()
    assert [(event["session"], event["type"], event["data"]) for event in events] == [
        (uuid(1), "rate_limited", {"operation": "resume", "key": uuid(1), "retry_after": 60}),
        ("", "rate_limited", {"operation": "resume", "key": uuid(2), "retry_after": 60}),
    ]
    assert [trouble_with(event["type"], event["data"]) for event in events] == [None, None]
    assert world.call(GetCounters())["rate_limited"] == 2


def test_who_waits_for_the_limiter_when_the_manager_is_killed_is_told_and_the_next_attempt_counts() -> None:
    world = ManagerWorld()
    assert [world.call(ResumeSession(uuid(1))) for _ in range(3)] == [True] * 3
    world.request(SendExit(world.kernel.table.published()["system:manager"], "kill"))
    assert [world.call(ResumeSession(uuid(1))) for _ in range(3)] == [True, True, ("rate_limit_exceeded", 60)]
    assert world.call(CreateSession(draft(1), True))["status"] == "active"


def test_acceptance_127_a_resume_that_fails_is_told_once_by_who_was_admitted() -> None:
    world = ManagerWorld(SessionSettings(max_sessions=1))
    watcher = world.client()
    world.call(Subscribe(types=["resume_failed"]), watcher)
    fail = FailResume(uuid(1), "signature_verification_failed")
    assert world.call(fail) == ("not_permitted", "ask to resume it first")
    assert world.call(ResumeSession(uuid(1)))
    assert world.call(FailResume(uuid(1), "no code of ours"))[0] == "invalid_message"
    assert (world.call(fail), world.call(fail)[0]) == (True, "not_permitted")
    assert world.call(CreateSession(draft(1), True))[0] == "not_permitted"
    world.call(CreateSession(draft(2)))
    for number in (1, 2):
        assert world.call(ResumeSession(uuid(number)))
        assert world.call(CreateSession(draft(number), True))[0] == "session_limit_reached"
    events = watcher.events()
    assert [(event["session"], event["seq"] > 0, event["data"]) for event in events] == [
        ("", True, {"id": uuid(1), "code": "signature_verification_failed"}),
        ("", True, {"id": uuid(1), "code": "session_limit_reached"}),
        (uuid(2), True, {"id": uuid(2), "code": "session_limit_reached"}),
    ]
    assert [trouble_with(event["type"], event["data"]) for event in events] == [None] * 3


def test_what_the_daemon_before_has_left_is_resumed_however_much_it_is_and_counted_against_nobody() -> None:
    world = ManagerWorld(resumes=True)
    world.do(ClockSet(WALL_S))  # it is set again and again
    (serial,) = world.alive
    resumer = world.parties.setdefault(serial, Party(serial))
    assert [world.call(ResumeSession(uuid(number)), resumer) for number in range(1, 31)] == [True] * 30
    assert {world.call(CreateSession(draft(number), True), resumer)["status"] for number in range(1, 31)} == {"active"}
    told = [world.call(ResumeSession(uuid(number))) for number in range(31, 52)]
    assert told == [True] * 20 + [("rate_limit_exceeded", 60)]


def test_who_waited_for_the_limiter_or_the_supervisor_is_answered_by_no_later_life_of_the_manager() -> None:
    manager = Manager()
    for number, request in ((1, ResumeSession(uuid(1))), (2, CreateSession(draft(2)))):
        manager.handle(Asking(5, number, msgspec.Raw(msgspec.msgpack.encode(request))), 0.0)
    manager.handle(Reborn(3, 4), 0.0)
    assert [manager.handle(Answer(number, True), 0.0) for number in (1, 2)] == [[], []]
    assert manager.handle(Answer(2, None, ("max_children", None)), 0.0) == []


def test_acceptance_127_who_was_resumed_says_so_once_and_how_long_it_took() -> None:
    world = ManagerWorld()
    world.call(Subscribe(types=["session_resumed"]))
    world.call(ResumeSession(uuid(1)))
    world.ask(CreateSession(draft(1, module="m:slow"), True))
    world.now += 2.5
    world.do(Booted(max(world.alive)))
    world.ask(RestartSession(uuid(1)))
    world.do(Booted(max(world.alive)))
    assert [(event["session"], event["data"]) for event in world.me.events()] == [(uuid(1), {"duration_s": 2.5})]


def test_who_does_not_want_to_run_is_no_session() -> None:
    world = ManagerWorld()
    asked = world.ask(CreateSession(draft(1, module="m:slow")))
    (serial,) = world.alive
    world.do(Refused(serial, None))
    world.kill(serial)
    assert (world.answer(asked), world.call(ListIds())) == (("start_failed", "ignore"), [])


def test_a_session_that_the_supervisor_refuses_without_a_process_is_gone_at_once() -> None:
    manager = Manager()

    def asked(number: int, request: object) -> list[Order]:
        return manager.handle(Asking(5, number, msgspec.Raw(msgspec.msgpack.encode(request))), 0.0)

    asked(1, CreateSession(draft(1)))
    answers = [order for order in manager.handle(Answer(1, None, ("max_children", "1")), 0.0) if isinstance(order, AnswerTo)]
    assert answers == [AnswerTo(5, 1, None, ("max_children", "1"))]
    assert asked(2, ListIds()) == [AnswerTo(5, 2, [])]


def test_a_restart_that_is_asked_while_it_wakes_of_a_manager_that_was_killed_fails_with_its_process() -> None:
    world = ManagerWorld()
    world.ask(CreateSession(draft(1, module="m:slow")))
    world.do(Booted(max(world.alive)))
    world.call(SuspendSession(uuid(1)))
    world.ask(WakeSession(uuid(1)))
    world.request(SendExit(world.kernel.table.published()["system:manager"], "kill"))
    asked = world.ask(RestartSession(uuid(1)))
    assert (world.answer(asked), world.call(GetSession(uuid(1)))["status"]) == (None, "restarting")
    world.kill(max(world.alive))
    assert (world.answer(asked), world.call(GetSession(uuid(1)))["status"]) == (("start_failed", "killed"), "suspended")


def test_a_session_that_hangs_is_unresponsive_until_it_has_recovered() -> None:
    world = ManagerWorld()
    serial = world.call(CreateSession(draft(1)))["serial"]
    manager = world.kernel._residents.own["manager"]
    assert isinstance(manager, Manager)
    statuses = []
    for kind, detail in (("session_hung", {"why": "busy"}), ("session_recovered", {})):
        told = SessionTold(kind, uuid(1), serial, detail)  # type: ignore[arg-type]
        manager.handle(Sent(2, msgspec.Raw(msgspec.msgpack.encode(told))), world.now)
        statuses.append(world.call(GetSession(uuid(1)))["status"])
    assert statuses == ["unresponsive", "active"]
