"""Blanks: processes forked in advance, which become one of a spec at once, with a channel to who will talk to them."""

from __future__ import annotations

from actorcore.effects import Connect, Deliver, Forget, Fork, Report
from actorcore.signals import (
    Asked,
    Begin,
    Booted,
    Born,
    Down,
    Introduce,
    IsAlive,
    Monitor,
    ProcessSpec,
    Refill,
    SendExit,
    Spawn,
    TemplateTold,
)  # fmt: skip
from tests.table_driver import Driver, bodies, without_reports

SPEC = ProcessSpec("m:f")


def test_a_warm_blank_begins_at_once() -> None:
    node = Driver()
    assert node.do(Refill("lean", 2)) == [Fork(2, "lean", 0, True), Fork(3, "lean", 1, True)]
    assert node.do(Refill("lean", 2)) == []
    node.do(Born(3, 1))
    assert without_reports(node.ask(node.root, Spawn(SPEC))) == ["Begin"]
    assert node.do(Refill("lean", 2)) == [Fork(4, "lean", 2, True)]


def test_a_blank_on_its_way_is_nearer_than_another_fork() -> None:
    node = Driver()
    client = node.client()
    node.do(Refill("lean", 2))
    assert node.ask(client, Spawn(SPEC)) == []
    assert node.do(Born(4, 1)) == []
    assert node.do(Born(3, 2)) == [Deliver(3, 1, Begin(3, 9, 0, SPEC, 3))]
    assert without_reports(node.do(Booted(3))) == ["Answer"]
    assert without_reports(node.ask(client, Spawn(SPEC))) == ["Begin"]
    assert node.ask(client, Spawn(SPEC)) == [Fork(5, "lean", 2)]


def test_a_warm_blank_begins_with_a_channel_to_who_will_talk_to_it() -> None:
    node = Driver()
    client = node.client()
    node.do(Refill("lean", 1))
    node.do(Born(3, 1))
    wanted = Spawn(SPEC, introduce=True)
    assert node.ask(client, wanted) == [Deliver(3, 1, Begin(3, 9, 0, SPEC, 3)), Connect(client, 1, 3, 2)]
    assert node.value(client, Introduce(3)) is True
    assert without_reports(node.exit(3))[:2] == ["PeerDown", "Answer"]


def test_a_channel_at_birth_is_not_worth_a_wait() -> None:
    node = Driver()
    client = node.client()
    assert node.ask(client, Spawn(SPEC, introduce=True)) == [Fork(3, "lean", 0)]
    assert without_reports(node.do(Born(3, 1))) == ["Begin"]


def test_the_death_of_a_blank_is_nobodys_business() -> None:
    node = Driver()
    node.do(Refill("lean", 1))
    node.do(Born(2, 1))
    assert node.table.blanks() == {"lean": 1}
    assert node.exit(2, "boom") == [Forget(2, 0)]
    assert node.table.blanks() == {}
    assert node.do(Refill("lean", 1)) == [Fork(3, "lean", 0, True)]


def test_a_blank_can_be_neither_signalled_nor_monitored() -> None:
    node = Driver()
    node.do(Refill("lean", 1))
    node.do(TemplateTold("other"))
    a = node.start(ProcessSpec("m:f", template="other"))
    assert node.value(a, SendExit(2, "kill")) is False
    assert bodies(node.ask(a, Monitor(1, 2)), a)[1] == Down([1], 2, "noproc")
    assert node.do(Asked(2, 1, IsAlive(2)))[0] == Report("unknown_sender", 2)
