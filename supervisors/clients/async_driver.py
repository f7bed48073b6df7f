"""The asyncio driver of a client: readers and writers on the core's sockets, a future per awaited number."""

from __future__ import annotations

import asyncio
import functools
import socket
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
from supervisors.clients.driver import DEFAULT_TIMEOUT_S, GOODBYE_S
from supervisors.clients.steps import Steps

T = TypeVar("T")
R = TypeVar("R")


class AsyncDriver:
    """One client's core in one event loop; also the core's Watcher."""

    def __init__(self, directory: Path, loop: asyncio.AbstractEventLoop) -> None:
        self._directory = directory
        self._loop = loop
        self._writing: set[int] = set()
        self._futures: dict[int, asyncio.Future[None]] = {}
        self._changed: set[asyncio.Future[None]] = set()
        self._dialing: asyncio.Task[None] | None = None
        self._hope: asyncio.TimerHandle | None = None
        self._is_idle_due = False
        self.core = ClientCore(self)

    # ---- the core's Watcher -----------------------------------------------------------------------------------------

    def watch(self, fd: int, read: bool, write: bool) -> None:
        if read:
            self._loop.add_reader(fd, self._on_ready, fd, True, False)
        else:
            self._loop.remove_reader(fd)
        if write:
            self._loop.add_writer(fd, self._on_ready, fd, False, True)
            self._writing.add(fd)
        elif fd in self._writing:
            self._loop.remove_writer(fd)
            self._writing.discard(fd)

    def unwatch(self, fd: int) -> None:
        self._loop.remove_reader(fd)
        if fd in self._writing:
            self._loop.remove_writer(fd)
            self._writing.discard(fd)

    def concluded(self, number: int) -> None:
        if (future := self._futures.get(number)) is not None and not future.done():
            future.set_result(None)

    def _on_ready(self, fd: int, readable: bool, writable: bool) -> None:
        self.core.on_ready(fd, readable, writable)
        self._settle()

    def _settle(self) -> None:
        """After anything that may have changed the core."""
        if self._changed:
            changed, self._changed = self._changed, set()
            for waiter in changed:
                if not waiter.done():
                    waiter.set_result(None)
        if self.core.connection.state == "lost" and self._dialing is None:
            self._dialing = self._loop.create_task(self._dial())
        if not self._is_idle_due:  # behind the tasks that were woken: their requests take the acknowledgement along
            self._is_idle_due = True
            self._loop.call_soon(self._idle)

    def _idle(self) -> None:
        self._is_idle_due = False
        self.core.connection.acknowledge()
        self.core.watch_control()

    # ---- connecting -------------------------------------------------------------------------------------------------

    async def open(self, timeout_s: float) -> None:
        """Wait until the node has welcomed us; errors as of Driver.open."""
        core = self.core
        self._settle()
        try:
            async with asyncio.timeout(timeout_s):
                while core.connection.state not in ("open", "closed"):
                    await self._change()
        except TimeoutError:
            raise CallTimeout("the daemon does not answer") from None
        if core.connection.state == "closed":
            raise core.connection.farewell or core.no_connection()
        core.connection.submit(TrapExit(True))  # its exit signals are messages; nobody waits for the answer
        core.watch_control()

    async def close(self) -> None:
        """Send what is queued, say goodbye, close every socket. To the next node, if ours has died unnoticed."""
        if self.core.connection.serial and self.core.connection.state != "closed":
            try:
                async with asyncio.timeout(GOODBYE_S):
                    for _ in range(2):  # turns of the loop: what has come is seen in one, and read in the next
                        turned = self._loop.create_future()
                        self._loop.call_soon(turned.set_result, None)
                        await turned
                    while not self.core.may_leave():
                        await self._change()
            except TimeoutError:
                pass
            self.core.say_goodbye()
        if self._hope is not None:
            self._hope.cancel()
        self.core.give_up()
        if self._dialing is not None:
            self._dialing.cancel()
            await asyncio.gather(self._dialing, return_exceptions=True)
        self._settle()

    async def _change(self) -> None:
        waiter = self._loop.create_future()
        self._changed.add(waiter)
        try:
            await waiter
        finally:
            self._changed.discard(waiter)

    async def _dial(self) -> None:
        left_s = max(0.0, self.core.connection.lost_at + RETURN_WITHIN_S - clock.monotonic_s())
        # A connect waits while the backlog is full, so it has a thread; a result that nobody wants is closed.
        dialed = self._loop.run_in_executor(None, paths.dial, self._directory, left_s)
        try:
            sock = await asyncio.shield(dialed)
        except RequestError as error:
            self.core.give_up(error)
        except OSError:  # no socket, nobody listens, or the time is over
            self.core.give_up()
        except asyncio.CancelledError:
            dialed.add_done_callback(_discard)
            raise
        else:
            self.core.attach(sock)
            if self._hope is not None:
                self._hope.cancel()
            self._hope = self._loop.call_later(left_s, self._check_hope)
        finally:
            self._dialing = None
        self._settle()

    def _check_hope(self) -> None:
        self.core.check_hope(clock.monotonic_s())
        self._settle()

    # ---- waiting ----------------------------------------------------------------------------------------------------

    async def run(self, work: Steps[T], timeout_s: float | None = DEFAULT_TIMEOUT_S) -> T:
        """Drive ``work`` to its result; ``timeout_s`` as in :func:`~actorcore.deadline.deadline_of`."""
        deadline = deadline_of(timeout_s, self._loop.time())
        advance: Callable[[], int] = functools.partial(next, work)
        while True:
            try:
                number = advance()
            except StopIteration as end:
                result: T = end.value
                return result
            finally:
                self._settle()
            try:
                outcome = await self._wait(number, deadline)
            except BaseException:
                work.close()  # nobody waits any more: it ends what it has begun
                raise
            if isinstance(outcome, ActorError):
                advance = functools.partial(work.throw, outcome)
            else:
                advance = functools.partial(work.send, outcome)

    async def run_phases(self, phases: Generator[Steps[T], T, R], timeout_s: float) -> R:
        """Drive each of ``phases`` within ``timeout_s``; their result."""
        advance: Callable[[], Steps[T]] = functools.partial(next, phases)
        while True:
            try:
                work = advance()
            except StopIteration as end:
                result: R = end.value
                return result
            try:
                advance = functools.partial(phases.send, await self.run(work, timeout_s))
            except BaseException as error:  # also of who gives up: the phases that clear away follow
                advance = functools.partial(phases.throw, error)

    async def _wait(self, number: int, deadline: float | None) -> Term | ActorError:
        core = self.core
        try:
            if number not in core.outcomes:
                await self._outcome(number, deadline)
            return core.outcomes[number] if number in core.outcomes else CallTimeout("no answer in time")
        finally:
            self._futures.pop(number, None)
            core.forget(number)


    async def _outcome(self, number: int, deadline: float | None) -> None:
        """Until there is one, or the deadline has passed; a timer by itself costs half of an asyncio.timeout_at."""
        future = self._futures[number] = self._loop.create_future()
        timer = None if deadline is None else self._loop.call_at(deadline, _wake, future)
        try:
            await future
        finally:
            if timer is not None:
                timer.cancel()


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _discard(dialed: asyncio.Future[socket.socket]) -> None:
    """Close the socket of a dial that came too late."""
    if not dialed.cancelled() and dialed.exception() is None:
        dialed.result().close()
