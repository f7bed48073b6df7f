"""Clients whose connection died with a node: they are waited for while their processes live."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable

from actorcore.frames import PROTOCOL_VERSION, Hello, Welcome
from actorcore.process_table import ProcessTable
from actorcore.runtime.node.reception import Reception
from actorcore.signals import ClientAttached, ClientDetached, Event, Received
from tests.daemon_fixture import watched


class Desk:
    """A reception with one client, of serial ``client``; ``watching``: by descriptor who is called when it can be read."""

    def __init__(self) -> None:
        self.table = ProcessTable(1)
        self.events: list[Event] = []
        self.watching: dict[int, Callable[[int], None]] = {}
        self.reception = Reception(1, self.table, self.commit, self.watching.__setitem__, self.watching.__delitem__)
        self.welcomes: list[Welcome] = []
        assert self.reception.greet(Hello(PROTOCOL_VERSION, 0, b"", 0), os.getpid(), self.welcomes.append) is None
        self.client = self.welcomes[0].serial
        self.events.clear()

    def commit(self, event: Event) -> None:
        self.events.append(event)
        self.table.handle(event, 100.0)


def test_it_is_waited_for_without_an_end_and_the_wait_ends_when_it_returns() -> None:
    desk = Desk()
    desk.reception.expect(desk.client, os.getpid())
    assert desk.events == [ClientDetached(desk.client, False, lost=True)]
    ((pidfd, _),) = desk.watching.items()
    hello = Hello(PROTOCOL_VERSION, desk.client, desk.welcomes[0].secret, 0)
    assert desk.reception.greet(hello, os.getpid(), desk.welcomes.append) is None
    assert desk.events[1:] == [Received(desk.client, 0), ClientAttached(desk.client, hello.secret, os.getpid())]
    assert desk.watching == {}
    assert not os.path.exists(f"/proc/self/fd/{pidfd}")


def test_it_ends_when_its_process_does() -> None:
    desk = Desk()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as client, watched([client.pid]) as (death,):
        desk.reception.expect(desk.client, client.pid)
        ((_, dead),) = desk.watching.items()
        client.send_signal(signal.SIGKILL)
        os.waitid(os.P_PIDFD, death, os.WEXITED | os.WNOWAIT)
        dead(0)
    assert desk.events == [ClientDetached(desk.client, False, lost=True), ClientDetached(desk.client, True)]
    assert desk.watching == {}
    assert not desk.table.client_known(desk.client, desk.welcomes[0].secret)
    desk.reception.forget(desk.client)


def test_one_that_is_dead_already_is_not_waited_for() -> None:
    desk = Desk()
    with subprocess.Popen([sys.executable, "-c", ""]) as client:
        pass
    desk.reception.expect(desk.client, client.pid)
    assert (desk.events, desk.watching) == ([ClientDetached(desk.client, True)], {})


def test_one_whose_process_is_not_to_be_seen_from_here_has_the_time_of_one_that_left() -> None:
    desk = Desk()
    desk.reception.expect(desk.client, 0)  # what SO_PEERCRED says of a process of another pid namespace
    assert (desk.events, desk.watching) == ([ClientDetached(desk.client, False)], {})
    assert desk.table.next_deadline() == 105.0
