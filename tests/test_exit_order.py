"""What a process has sent comes before its death is told, also an exit signal that waits for a channel to be made."""

from __future__ import annotations

from actorcore.signals import ClientAttached, ClientDetached, Down, Exit, Introduce, Monitor, ProcessSpec, SendExit, TrapExit
from tests.table_driver import Driver, bodies


def test_an_exit_signal_that_waits_for_a_channel_comes_before_the_death_of_who_sent_it() -> None:
    node = Driver()
    c, a = node.client(), node.start()
    node.ask(c, TrapExit(True))
    node.ask(c, Monitor(2, a))
    node.do(ClientDetached(c, False))
    node.ask(a, Introduce(c))
    assert bodies(node.ask(a, SendExit(c, "first", 1)), c) == []
    node.kill(a)
    returned = bodies(node.do(ClientAttached(c, b"s", 1)), c)
    assert returned[-2:] == [Exit(a, "first", 0, 2), Down([2], a, "killed")]


def test_an_exit_signal_that_waits_at_its_senders_end_comes_before_the_senders_death() -> None:
    node = Driver()
    c, a = node.client(), node.start(ProcessSpec("m:f", trap_exit=True))
    node.ask(a, Monitor(1, c))
    node.do(ClientDetached(c, False))
    node.ask(c, Introduce(a))
    assert bodies(node.ask(c, SendExit(a, "first", 1)), a) == []
    effects = node.do(ClientDetached(c, True))
    assert bodies(effects, a) == [Exit(c, "first", 0, 2), Down([1], c, "noconnection")]
