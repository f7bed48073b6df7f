"""The process table's rules of clients: who returns, who is waited for, who has ended."""

from __future__ import annotations

from actorcore.effects import Connect, Deliver, Forget, Report
from actorcore.signals import (
    EVERYTHING,
    Answer,
    Asked,
    ClientAttached,
    ClientDetached,
    Down,
    Exit,
    Introduce,
    IsAlive,
    Link,
    Monitor,
    PeerDown,
    Received,
    Ticked,
)
from tests.table_driver import Driver, bodies, deliveries, without_reports


def test_a_returning_client_gets_again_what_it_has_not_acknowledged() -> None:
    node = Driver()
    c, a = node.client(b"secret"), node.start()
    node.ask(c, Monitor(1, a))
    node.ask(c, Introduce(a))
    node.do(Received(c, 1))
    node.do(ClientDetached(c, False))
    assert bodies(node.kill(a), c) == []
    assert node.table.client_known(c, b"secret")
    assert not node.table.client_known(c, b"other")
    assert without_reports(node.do(ClientAttached(c, b"other", 1))) == []
    effects = [e for e in node.do(ClientAttached(c, b"secret", 1)) if not isinstance(e, Report)]
    assert effects == [
        Deliver(c, 3, Answer(2, True)), Deliver(c, 4, Down([1], a, "killed")), Deliver(c, 5, PeerDown(a, "killed")),
    ]  # fmt: skip


def test_an_unreceived_channel_is_connected_again() -> None:
    node = Driver()
    c, a = node.client(), node.start()
    assert node.ask(c, Introduce(a))[0] == Connect(c, 1, a, 2)
    node.do(ClientDetached(c, False))
    assert Connect(c, 1, a, 2) in node.do(ClientAttached(c, b"s", 1))


def test_a_client_that_does_not_return_has_ended() -> None:
    node = Driver()
    c = node.client()
    node.ask(node.root, Monitor(1, c))
    node.do(ClientDetached(c, False))
    assert node.table.next_deadline() == 105.0
    node.now = 105.0
    effects = node.do(Ticked())
    assert deliveries(effects, node.root, Down) == [Down([1], c, "noconnection")]
    assert effects[-1] == Forget(c, -1)


def test_a_client_that_was_lost_with_a_node_may_return_for_as_long_as_its_process_lives() -> None:
    """Who waits for nothing notices nothing, for hours: that it comes back late is no fault of its own."""
    node = Driver()
    c, a = node.client(b"secret"), node.start()
    node.ask(c, Monitor(1, a))
    node.do(Received(c, 1))
    node.do(ClientDetached(c, False, lost=True))
    assert node.table.next_deadline() is None
    node.do(ClientDetached(c, False))  # the next node cannot see its process
    assert node.table.next_deadline() == 105.0
    node.do(ClientAttached(c, b"secret", 1))
    node.do(ClientDetached(c, False, lost=True))
    assert node.table.next_deadline() is None
    node.kill(a)
    assert Deliver(c, 2, Down([1], a, "killed")) in node.do(ClientAttached(c, b"secret", 1))
    node.ask(node.root, Monitor(1, c))
    node.do(ClientDetached(c, False, lost=True))
    assert deliveries(node.do(ClientDetached(c, True)), node.root, Down) == [Down([1], c, "noconnection")]


def test_a_client_that_left_before_the_node_was_lost_has_no_longer_for_that() -> None:
    node = Driver()
    c = node.client()
    node.do(ClientDetached(c, False))
    node.do(ClientDetached(c, False, lost=True))
    assert node.table.next_deadline() == 105.0


def test_a_dead_client_ends_at_once() -> None:
    node = Driver()
    c = node.client()
    node.ask(node.root, Link(c))
    assert deliveries(node.do(ClientDetached(c, True)), node.root, Exit) == [Exit(c, "noconnection", EVERYTHING)]


def test_a_client_that_does_not_trap_is_told_and_ended_by_a_link() -> None:
    node = Driver()
    c, a = node.client(), node.start()
    node.ask(c, Link(a))
    assert without_reports(node.exit(a, "boom")) == ["Exit", "Forget", "Forget"]


def test_a_request_sent_again_has_no_effect() -> None:
    node = Driver()
    c = node.client()
    assert node.do(Asked(c, 4, IsAlive(c))) != []
    assert node.do(Asked(c, 4, IsAlive(c))) == []
    assert node.do(Asked(c, 3, IsAlive(c))) == []
