"""Sessions that are no more, until the store has noted it; the end of the daemon; who speaks for a group: acceptance 71, 125."""

from __future__ import annotations

from typing import Any

import msgspec

from actorcore.residents import AnswerTo, CancelAlarm, Consult, Do, Leave, Order, SetAlarm
from actorcore.signals import NOBODY, Alarm, Answer, Asking, Exit, Processes, Reborn, Sent, ShutdownAsked
from supervisors.own_names import STORE
from supervisors.session.endings import ENDED_AT_ONCE, MAX_ENDED, NOTED_S, Endings, ring
from supervisors.session.lifecycle import FAREWELL
from supervisors.session.manager import Manager
from supervisors.session.words import (
    Attach,
    CreateSession,
    ForgetSaved,
    ListIds,
    ManagerRequest,
    Publish,
    RestartSession,
    SuspendSession,
    TakeEnded,
    WakeSession,
)
from supervisors.tree import session_words as supervisor
from supervisors.tree.session_words import SessionTold
from tests.manager_world import ManagerWorld, Party, draft, uuid

ME, HIM = 5, 6


class Alone:
    """A manager, and what it orders."""

    def __init__(self) -> None:
        self.manager = Manager()
        self.numbers = 0

    def ask(self, request: ManagerRequest, frm: int = ME) -> list[Order]:
        self.numbers += 1
        return self.manager.handle(Asking(frm, self.numbers, msgspec.Raw(msgspec.msgpack.encode(request))), 0.0)

    def tell(self, kind: str, id: str, serial: int, **detail: Any) -> list[Order]:
        told = SessionTold(kind, id, serial, detail)
        return self.manager.handle(Sent(2, msgspec.Raw(msgspec.msgpack.encode(told))), 0.0)

    def take(self, done: list[str], name: str | None = STORE, serial: int = HIM) -> Any:
        """The answer to ``serial``, which the process table knows by ``name``; a refusal is its code."""
        (looked,) = self.ask(TakeEnded(done), serial)
        assert isinstance(looked, Do) and looked.body == Processes(serial - 1, 1)
        rows: Any = [{"serial": serial, "name": name, "parent": 2}]
        (answer,) = self.manager.handle(Answer(looked.number, rows), 0.0)
        assert isinstance(answer, AnswerTo) and (answer.frm, answer.number) == (serial, self.numbers)
        return answer.value if answer.error is None else answer.error[0]


def lost(it: Alone, *numbers: int, **fields: Any) -> list[Order]:
    """Sessions that were active, and of which nobody knows anything any more; what is ordered for the last."""
    orders: list[Order] = []
    for number in numbers:
        it.ask(CreateSession(draft(number, **fields)))
        it.tell("session_started", uuid(number), 10 + number)
        orders = it.tell("session_stopped", uuid(number), 10 + number, reason="killed")
    return orders


# ---- what the store takes -------------------------------------------------------------------------------------------


def test_a_session_that_has_ended_is_remembered_until_the_store_has_noted_it() -> None:
    it = Alone()
    assert ring() in lost(it, 1, 2)
    both = {uuid(1): None, uuid(2): None}
    assert [it.take([]), it.take([]), it.take([uuid(1)])] == [both, both, {uuid(2): None}]
    successor = Manager()
    successor.restore(it.manager.snapshot())
    it.manager = successor
    assert [it.take([]), it.take([uuid(2)])] == [{uuid(2): None}, {}]


def test_only_the_store_takes_what_has_ended_and_who_dies_meanwhile_gets_nothing() -> None:
    it = Alone()
    lost(it, 1)
    assert [it.take([uuid(1)], name) for name in (None, "store", uuid(1))] == ["not_permitted"] * 3
    (looked,) = it.ask(TakeEnded([uuid(1)]), HIM)
    assert isinstance(looked, Do)
    assert it.manager.handle(Answer(looked.number, []), 0.0) == [AnswerTo(HIM, it.numbers, None, ("not_permitted", None))]
    assert it.take([]) == {uuid(1): None}


def test_F16_the_store_alone_asks_what_may_be_deleted_and_that_is_what_is_not_listed() -> None:
    it = Alone()
    it.ask(CreateSession(draft(1)))
    said: list[object] = []
    for name, number in ((STORE, 1), (STORE, 2), ("store", 2)):
        (looked,) = it.ask(ForgetSaved(uuid(number)), HIM)
        assert isinstance(looked, Do)
        rows: Any = [{"serial": HIM, "name": name, "parent": 2}]
        (answer,) = it.manager.handle(Answer(looked.number, rows), 0.0)
        assert isinstance(answer, AnswerTo)
        said.append(answer.error or answer.value)
    assert said == [False, True, ("not_permitted", None)]


def test_a_session_that_was_never_kept_and_one_that_is_there_again_are_no_endings() -> None:
    it = Alone()
    assert ring() not in lost(it, 1, durability="none")
    lost(it, 2)
    it.ask(CreateSession(draft(2)))
    assert it.take([]) == {}


def test_acceptance_15_what_a_refused_start_has_left_goes_although_another_begins_under_its_id() -> None:
    it = Alone()
    it.ask(CreateSession(draft(1)))
    it.tell("session_stopped", uuid(1), 11, reason="killed")
    ((id, refused_at),) = it.take([]).items()
    assert (id, isinstance(refused_at, float)) == (uuid(1), True)
    it.ask(CreateSession(draft(1)))
    assert it.take([]) == {uuid(1): refused_at}
    it.tell("session_started", uuid(1), 12)
    it.tell("session_stopped", uuid(1), 12, reason="killed")
    assert it.take([]) == {uuid(1): None}  # that one was there


def test_a_manager_that_was_killed_tells_the_store_again_that_there_is_something() -> None:
    it = Alone()
    assert ring() not in it.manager.handle(Reborn(3, 4), 0.0)
    lost(it, 1)
    (looked,) = it.ask(TakeEnded(), HIM)
    assert ring() in it.manager.handle(Reborn(3, 4), 0.0)
    assert isinstance(looked, Do) and it.manager.handle(Answer(looked.number, []), 0.0) == []
    assert it.take([]) == {uuid(1): None}


def test_the_store_takes_many_by_and_by_and_of_too_many_the_oldest_is_forgotten() -> None:
    endings = Endings()
    ids = [uuid(number) for number in range(MAX_ENDED + 1)]
    assert [endings.add(id) for id in ids] == [ring()] * len(ids)
    taken, done = [], []
    while done := list(endings.take(done)):
        assert len(done) <= ENDED_AT_ONCE
        taken += done
    assert taken == ids[1:]


def test_a_session_that_nobody_has_when_the_manager_was_killed_is_gone() -> None:
    it = Alone()
    it.ask(CreateSession(draft(1)))
    assert isinstance(it.manager.handle(Reborn(3, 4), 0.0)[0], Consult)
    assert it.manager.handle(Answer(2, None, ("not_found", None)), 0.0) == [CancelAlarm(uuid(1)), ring()]
    (answer,) = it.ask(ListIds())
    assert (answer, list(it.take([]))) == (AnswerTo(ME, 2, []), [uuid(1)])


# ---- the end of the daemon ------------------------------------------------------------------------------------------


def told_to_end(world: ManagerWorld) -> list[Order]:
    """What the manager of ``world`` orders when the daemon ends."""
    manager = world.kernel._residents.own["manager"]
    assert isinstance(manager, Manager)
    return manager.handle(Exit(NOBODY, "shutdown"), world.now)


def asked_to_stop(orders: list[Order]) -> list[str]:
    """The sessions that their supervisor is asked to stop."""
    bodies = [supervisor.decode_request(order.body) for order in orders if isinstance(order, Consult)]
    return [body.id for body in bodies if isinstance(body, supervisor.StopSession)]


def test_when_the_daemon_ends_nothing_is_started_and_who_sleeps_is_stopped() -> None:
    world = ManagerWorld()
    world.call(CreateSession(draft(1)))
    world.call(CreateSession(draft(2, module="m:stubborn")))
    world.call(SuspendSession(uuid(1)))
    orders = told_to_end(world)
    assert (asked_to_stop(orders), [order for order in orders if isinstance(order, Leave)]) == ([uuid(1)], [])
    told = [world.call(request) for request in (CreateSession(draft(3)), WakeSession(uuid(1)), RestartSession(uuid(2)))]
    assert told == [("shutting_down", None)] * 3
    assert told_to_end(ManagerWorld()) == [Leave("shutdown")]


def test_who_is_about_to_sleep_when_the_daemon_ends_is_stopped_when_its_process_is_gone() -> None:
    world = ManagerWorld()
    serial = world.call(CreateSession(draft(1, module="m:stubborn")))["serial"]
    world.ask(SuspendSession(uuid(1)))
    world.do(ShutdownAsked())
    assert world.call(ListIds()) == [uuid(1)]
    world.kill(serial)
    assert world.kernel.table.published() == {"system:node": 1}


def farewell() -> tuple[Alone, int]:
    """A manager that leaves, with an ending of which the store does not know; the number of its last question."""
    it = Alone()
    lost(it, 1)
    asked, alarm = it.manager.handle(Exit(NOBODY, "shutdown"), 7.0)
    assert isinstance(asked, Consult)
    assert (asked.name, msgspec.msgpack.decode(asked.body)) == ("services", ["ensure", "store"])
    assert alarm == SetAlarm(FAREWELL, 7.0 + NOTED_S)
    return it, asked.number


def test_the_manager_leaves_when_the_store_which_it_starts_for_that_has_noted_the_last_ending() -> None:
    it, number = farewell()
    assert it.manager.handle(Answer(number, {"serial": HIM}), 8.0) == [ring()]
    assert it.take([]) == {uuid(1): None}
    (looked,) = it.ask(TakeEnded([uuid(1)]), HIM)
    assert isinstance(looked, Do)
    rows: Any = [{"serial": HIM, "name": STORE, "parent": 2}]
    assert it.manager.handle(Answer(looked.number, rows), 0.0) == [AnswerTo(HIM, it.numbers, {}), Leave("shutdown")]


def test_the_manager_does_not_wait_for_a_store_that_cannot_be_had_or_does_not_come() -> None:
    it, number = farewell()
    assert it.manager.handle(Answer(number, None, ("start_failed", "x")), 8.0) == [Leave("shutdown")]
    it, _ = farewell()
    assert it.manager.handle(Alarm(FAREWELL), 9.0) == [Leave("shutdown")]


def test_a_manager_that_is_killed_while_it_waits_for_the_store_asks_again() -> None:
    it, _ = farewell()
    orders = it.manager.handle(Reborn(3, 4), 8.0)
    assert [order.name for order in orders if isinstance(order, Consult)] == ["services"]
    assert [order.at for order in orders if isinstance(order, SetAlarm)] == [8.0 + NOTED_S]


# ---- who speaks for a group -----------------------------------------------------------------------------------------


def test_the_process_that_remembers_a_group_is_sent_its_record_and_speaks_for_it() -> None:
    world = ManagerWorld()
    world.call(CreateSession(draft(1, group={"members": []}, policy={"idle_timeout_s": 40.0})))
    (state,) = world.alive
    party = world.parties.setdefault(state, Party(state))
    world.call(CreateSession(draft(2)))
    world.now += 5.0
    told = [world.call(Attach(uuid(number)), party) for number in (1, 2, 9)]
    assert (told, world.kernel.next_deadline()) == ([True, ("not_permitted", None), ("not_found", None)], world.now + 10.0)
    assert [one["record"]["id"] for one in party.mail] == [uuid(1)]
    assert isinstance(world.call(Publish(uuid(1), [("context_updated", {})]), party), int)
    assert world.call(Publish(uuid(1), [("context_updated", {})])) == ("not_permitted", None)


def test_a_stranger_does_not_speak_for_a_group() -> None:
    world = ManagerWorld()
    world.call(CreateSession(draft(1, group={"members": [{"id": "agent", "start": "m:ok"}]})))
    state, agent = sorted(world.alive)
    voices = [world.parties.setdefault(serial, Party(serial)) for serial in (state, agent)]
    told = [world.call(Attach(uuid(1)), party) for party in (world.me, voices[1], voices[0])]
    assert told == [("not_permitted", None), ("not_permitted", None), True]
    told = [world.call(Publish(uuid(1), [("context_updated", {})]), party) for party in (world.me, *voices)]
    assert [told[0], told[2], type(told[1])] == [("not_permitted", None), ("not_permitted", None), int]
