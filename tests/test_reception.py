"""Clients whose connection died with a node: they are waited for while their processes live."""

from __future__ import annotations

import errno
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable

import pytest

from actorcore.frames import PROTOCOL_VERSION, Hello, Welcome
from actorcore.process_table import ProcessTable
from actorcore.runtime import evidence
from actorcore.runtime.node.reception import Reception
from actorcore.runtime.node.sources import Sources
from actorcore.signals import ClientAttached, ClientDetached, Event, Received
from tests.daemon_fixture import watched


class Played(Sources):
    """Remembers in ``watching`` by descriptor who is called when it can be read."""

    def __init__(self) -> None:
        self.watching: dict[int, Callable[[int], None]] = {}

    def add(self, fd: int, handler: Callable[[int], None]) -> None:
        self.watching[fd] = handler

    def remove(self, fd: int) -> None:
        del self.watching[fd]


class Desk:
    """A reception with one client, of serial ``client``; ``watching``: by descriptor who is called when it can be read."""

    def __init__(self, guardian: int = os.getpid()) -> None:  # of which this process is no descendant
        self.table = ProcessTable(1)
        self.events: list[Event] = []
        sources = Played()
        self.watching = sources.watching
        self.reception = Reception(1, self.table, sources, guardian, self.commit)
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


# ---- S5: whose process it is ------------------------------------------------------------------------------------------


def told(os_pid: int, guardian: int) -> str:
    """With which code a newcomer is refused; ``welcome``."""
    desk = Desk(guardian)
    return told_by(desk, Hello(PROTOCOL_VERSION), os_pid)


def told_by(desk: Desk, hello: Hello, os_pid: int) -> str:
    farewell = desk.reception.greet(hello, os_pid, lambda welcome: None)
    return "welcome" if farewell is None else farewell.code


def test_S5_who_descends_from_the_guardian_is_no_client_and_neither_is_who_is_gone() -> None:
    with subprocess.Popen(["sh", "-c", "sleep 1000 & echo $!; wait"], stdout=subprocess.PIPE, text=True) as shell:
        assert shell.stdout is not None
        below = int(shell.stdout.readline())
        with watched([below]) as (death,):
            assert [told(os_pid, os.getpid()) for os_pid in (shell.pid, below)] == ["not_permitted"] * 2
            assert [told(os_pid, shell.pid) for os_pid in (shell.pid, os.getpid())] == ["welcome"] * 2
            assert told(below, shell.pid) == "not_permitted"
            os.kill(below, signal.SIGKILL)
            select.select([death], [], [])
    assert told(below, shell.pid) == "not_permitted"


def test_S5_who_is_of_another_pid_namespace_is_none_of_ours() -> None:
    assert told(0, os.getpid()) == "welcome"


PARENTS = {b"5": b"4", b"4": b"3", b"3": b"2", b"2": b"1", b"1": b"0"}


def test_S5_a_parent_that_dies_while_one_looks_is_passed_over_and_one_that_is_hidden_is_none_of_ours(
    monkeypatch: pytest.MonkeyPatch
) -> None:
    parents = dict(PARENTS)
    missing: list[bytes] = []

    def read_proc(path: str) -> bytes:
        os_pid = path.partition("/")[0].encode()
        if os_pid in missing:
            if os_pid in deaths:
                parents[b"5"] = b"3"
            raise FileNotFoundError
        return b"1 (a) b) S " + parents[os_pid] + b" 1 1"

    monkeypatch.setattr(evidence.syscalls, "read_proc", read_proc)
    deaths: set[bytes] = set()
    assert [evidence.descends_from(5, ancestor) for ancestor in (4, 2, 1, 7)] == [True, True, True, False]
    missing.append(b"4")
    assert [evidence.descends_from(5, ancestor) for ancestor in (4, 2)] == [True, False], "hidden"
    deaths.add(b"4")
    assert evidence.descends_from(5, 2), "dead"
    missing[:] = [b"5"]
    with pytest.raises(FileNotFoundError):
        evidence.descends_from(5, 2)


def test_S5_without_a_descriptor_to_look_a_newcomer_is_refused_and_who_returns_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk()

    def read_proc(path: str) -> bytes:
        raise OSError(errno.EMFILE, "")

    monkeypatch.setattr(evidence.syscalls, "read_proc", read_proc)
    assert told_by(desk, Hello(PROTOCOL_VERSION), os.getpid()) == "resource_exhausted"
    assert told_by(desk, Hello(PROTOCOL_VERSION, desk.client, desk.welcomes[0].secret, 0), os.getpid()) == "welcome"
