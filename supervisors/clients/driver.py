"""The blocking driver of a client: waits for the core's sockets, dials again after a takeover, runs steps to their result."""

from __future__ import annotations

import functools
import select
from collections.abc import Callable, Generator
from pathlib import Path
from typing import TypeVar

from actorcore.deadline import deadline_of
from actorcore.errors import ActorError, CallTimeout, RequestError
from actorcore.exit_reason import Term
from actorcore.runtime import clock
from actorcore.runtime.client_connection import RETURN_WITHIN_S
from actorcore.signals import TrapExit
from supervisors import paths
from supervisors.clients.core import ClientCore
from supervisors.clients.steps import Steps

DEFAULT_TIMEOUT_S = 5.0
GOODBYE_S = 1.0
"""For what is still queued when a client closes."""
T = TypeVar("T")
R = TypeVar("R")


class _Poller:
    """The core's sockets in an epoll."""

    def __init__(self) -> None:
        self.epoll = select.epoll()
        self._known: set[int] = set()

    def watch(self, fd: int, read: bool, write: bool) -> None:
        mask = (select.EPOLLIN if read else 0) | (select.EPOLLOUT if write else 0)
        if fd in self._known:
            self.epoll.modify(fd, mask)
        else:
            self.epoll.register(fd, mask)
        self._known.add(fd)

    def unwatch(self, fd: int) -> None:
        self._known.discard(fd)
        try:
            self.epoll.unregister(fd)
        except OSError:  # closed already, which ended the watch
            pass

    def concluded(self, number: int) -> None:
        """Who waits looks for itself."""


class Driver:
    """One client's core and its epoll; used by one thread at a time."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._poller = _Poller()
        self.core = ClientCore(self._poller)

    def close(self) -> None:
        """Send what is queued, say goodbye, close every descriptor. To the next node, if ours has died unnoticed."""
        try:
            if self.core.connection.serial and self.core.connection.state != "closed":
                now = clock.monotonic_s()
                self._turn(now)
                while not self.core.may_leave() and self._turn(now + GOODBYE_S):
                    pass
                self.core.say_goodbye()
        finally:
            self.core.close()
            self._poller.epoll.close()

    def open(self, deadline: float) -> None:
        """Wait until the node has welcomed us; raises its refusal, CallFailed ``noconnection`` or CallTimeout."""
        core = self.core
        while core.connection.state != "open":
            if core.connection.state == "closed":
                raise core.connection.farewell or core.no_connection()
            if not self._turn(deadline):
                raise CallTimeout("the daemon does not answer")
        core.connection.submit(TrapExit(True))  # its exit signals are messages; nobody waits for the answer
        core.watch_control()

    def run(self, work: Steps[T], timeout_s: float | None = DEFAULT_TIMEOUT_S) -> T:
        """Drive ``work`` to its result; ``timeout_s`` as in :func:`~actorcore.deadline.deadline_of`."""
        deadline = deadline_of(timeout_s, clock.monotonic_s())
        advance: Callable[[], int] = functools.partial(next, work)
        while True:
            try:
                number = advance()
            except StopIteration as end:
                result: T = end.value
                return result
            try:
                outcome = self._wait(number, deadline)
            except BaseException:
                work.close()  # nobody waits any more: it ends what it has begun
                raise
            if isinstance(outcome, ActorError):
                advance = functools.partial(work.throw, outcome)
            else:
                advance = functools.partial(work.send, outcome)

    def run_phases(self, phases: Generator[Steps[T], T, R], timeout_s: float) -> R:
        """Drive each of ``phases`` within ``timeout_s``; their result."""
        advance: Callable[[], Steps[T]] = functools.partial(next, phases)
        while True:
            try:
                work = advance()
            except StopIteration as end:
                result: R = end.value
                return result
            try:
                advance = functools.partial(phases.send, self.run(work, timeout_s))
            except BaseException as error:  # also of who gives up: the phases that clear away follow
                advance = functools.partial(phases.throw, error)

    def _wait(self, number: int, deadline: float | None) -> Term | ActorError:
        core = self.core
        try:
            while number not in core.outcomes:
                if core.connection.state == "closed":
                    return core.no_connection()
                if not self._turn(deadline) and number not in core.outcomes:
                    return CallTimeout("no answer in time")
            return core.outcomes[number]
        finally:
            core.forget(number)

    def _turn(self, deadline: float | None) -> bool:
        """Wait once for the sockets; False when the deadline has passed and nothing was ready."""
        core, now = self.core, clock.monotonic_s()
        if core.connection.state == "lost" and not self._dial(now):
            return True
        core.watch_control()
        until = deadline
        if core.connection.state == "greeting":
            hope = core.connection.lost_at + RETURN_WITHIN_S
            until = hope if deadline is None else min(deadline, hope)
        events = self._poller.epoll.poll(None if until is None else min(max(0.0, until - now), clock.LONGEST_POLL_S))
        for fd, mask in events:
            core.on_ready(fd, bool(mask & ~select.EPOLLOUT), bool(mask & select.EPOLLOUT))
        now = clock.monotonic_s()
        core.check_hope(now)
        return bool(events) or deadline is None or now < deadline

    def _dial(self, now: float) -> bool:
        """A new connection, or False: there is no daemon, and everything has failed."""
        left_s = max(0.0, self.core.connection.lost_at + RETURN_WITHIN_S - now)
        try:
            self.core.attach(paths.dial(self._directory, left_s))
        except RequestError as error:
            self.core.give_up(error)
            return False
        except OSError:  # no socket, nobody listens, or the time is over
            self.core.give_up()
            return False
        return True
