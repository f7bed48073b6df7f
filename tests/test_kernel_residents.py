"""Residents among themselves: they send, they ask each other, and one of the node's own that is killed goes on."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from actorcore.effects import Deliver, Effect, Operate, Publish, Report, Retract
from actorcore.kernel import Kernel
from actorcore.requests import Ask, SendExit
from actorcore.residents import AnswerTo, Consult, Leave, Order, Send, SetAlarm, Tell
from actorcore.signals import (
    NOBODY,
    Alarm,
    Answer,
    Asked,
    Asking,
    ClientAttached,
    ClockSet,
    Delivery,
    Event,
    Exit,
    Reborn,
    Sent,
    ShutdownAsked,
    Ticked,
)


def packed(term: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.msgpack.encode(term))


@dataclass
class Parrot:
    """Obeys the orders that it is given for a delivery of some type, and remembers what came."""

    orders: dict[type, list[Order]] = field(default_factory=dict)
    heard: list[Delivery] = field(default_factory=list)

    def handle(self, body: Delivery, now: float) -> list[Order]:
        self.heard.append(body)
        if isinstance(body, Asking):
            return [AnswerTo(body.frm, body.number, "yes"), *self.orders.get(Asking, [])]
        return self.orders.get(type(body), [])

    def snapshot(self) -> bytes:
        return msgspec.msgpack.encode(len(self.heard))

    def restore(self, state: bytes) -> None:
        pass


class Pair:
    """A kernel with two of them and a client."""

    def __init__(self) -> None:
        self.polly, self.jack = Parrot(), Parrot()
        self.kernel = Kernel(1, {"polly": self.polly, "jack": self.jack})
        self.names = self.kernel.table.published()
        self.do(ClientAttached(0, b"", 1))
        self.client = self.kernel.table.last_client
        self.numbers = 0

    def do(self, event: Event, now: float = 0.0) -> list[Effect]:
        return self.kernel.handle(event, now)

    def request(self, body: Ask | SendExit) -> list[Effect]:
        self.numbers += 1
        return self.do(Asked(self.client, self.numbers, body))


def test_a_resident_sends_to_a_client_and_to_a_resident_and_to_the_dead_nothing_comes() -> None:
    it = Pair()
    polly, jack = it.names["system:polly"], it.names["system:jack"]
    it.polly.orders[Asking] = [Send(it.client, packed("hello")), Send(jack, packed("you")), Send(99, packed("who"))]
    effects = it.request(Ask(polly, packed(None)))
    assert [effect.body for effect in effects if isinstance(effect, Deliver)] == [
        Answer(1, "yes"), Sent(polly, packed("hello"))]  # fmt: skip
    assert it.jack.heard == [Sent(polly, packed("you"))]


def test_a_resident_asks_another_by_its_name() -> None:
    it = Pair()
    it.polly.orders[Asking] = [Consult(1, "jack", packed("question")), Consult(2, "nobody", packed("question"))]
    it.request(Ask(it.names["system:polly"], packed(None)))
    assert it.jack.heard == [Asking(it.names["system:polly"], 1, packed("question"))]
    assert it.polly.heard[1:] == [Answer(2, None, ("process_not_alive", "noproc")), Answer(1, "yes")]


def test_what_a_resident_tells_is_reported_and_only_the_words_of_the_node_s_desk_do_something() -> None:
    it = Pair()
    it.polly.orders[Asking] = [Tell("sung", 7, {"how": "loud"}), Tell("reload", 8, None)]
    effects = it.request(Ask(it.names["system:polly"], packed(None)))
    told = [effect for effect in effects if not isinstance(effect, Deliver)]
    assert (Report("sung", 7, {"how": "loud"}) in told, Operate("reload", 8) in told) == (True, True)
    assert [effect for effect in told if isinstance(effect, Operate)] == [Operate("reload", 8)]


def test_the_clock_is_told_to_the_node_s_own_residents() -> None:
    it = Pair()
    it.do(ClockSet(7.5))
    assert (it.polly.heard, it.jack.heard) == ([ClockSet(7.5)], [ClockSet(7.5)])


def test_a_killed_resident_goes_on_under_a_new_pid_with_its_name_and_its_alarms() -> None:
    it = Pair()
    before = it.names["system:polly"]
    it.polly.orders[Asking] = [SetAlarm("soon", 5.0)]
    it.request(Ask(before, packed(None)))
    effects = it.request(SendExit(before, "kill"))
    after = it.kernel.table.published()["system:polly"]
    assert [effect for effect in effects if isinstance(effect, (Publish, Retract))] == [
        Retract("system:polly"), Publish("system:polly", after)]  # fmt: skip
    assert after > it.client > before
    it.do(Ticked(), 5.0)
    assert it.polly.heard[1:] == [Reborn(before, after), Alarm("soon")]
    it.request(Ask(after, packed(None)))
    assert it.polly.heard[-1] == Asking(it.client, it.numbers, packed(None))
    it.do(ShutdownAsked())
    assert it.polly.heard[-1] == Exit(NOBODY, "shutdown")


def test_in_a_shutdown_the_last_resident_is_told_to_leave_after_all_others_and_the_daemon_halts_after_it() -> None:
    polly, jack = Parrot(), Parrot({Exit: [Leave("shutdown")]})
    kernel = Kernel(1, {"polly": polly, "jack": jack}, last="jack")
    assert (kernel.handle(ShutdownAsked(), 0.0), jack.heard) == ([], [])
    successor = Kernel(1, {"polly": Parrot({Alarm: [Leave("shutdown")]}), "jack": jack}, last="jack")
    polly.orders[Asking] = [SetAlarm("bye", 5.0)]
    kernel.handle(ClientAttached(0, b"", 1), 0.0)
    kernel.handle(Asked(kernel.table.last_client, 1, Ask(kernel.table.published()["system:polly"], packed(None))), 0.0)
    successor.restore(kernel.snapshot())
    effects = successor.handle(Ticked(), 5.0)
    assert (jack.heard, [effect for effect in effects if isinstance(effect, Operate)]) == (
        [Exit(NOBODY, "shutdown")], [Operate("halt")])  # fmt: skip


def test_code_that_has_more_residents_than_the_code_before_begins_with_them() -> None:
    before = Kernel(1, {"polly": Parrot()})
    after = Kernel(1, {"polly": Parrot(), "jack": Parrot()})
    after.restore(before.snapshot())
    again = Kernel(1, {"polly": Parrot(), "jack": Parrot()})
    again.restore(after.snapshot())
    names = after.table.published()
    assert names == {**before.table.published(), "system:jack": names["system:jack"]}
    assert again.snapshot() == after.snapshot()
