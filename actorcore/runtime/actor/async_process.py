"""The asyncio process: the API of whoever runs inside a loop, with waits that are awaited.

The loop watches the sockets; what the lean process has as blocking waits are futures here, and every task of the loop may
wait at the same time.
"""

from __future__ import annotations

import asyncio
import select
from _thread import get_ident
from collections.abc import Coroutine
from typing import Any, NoReturn

import msgspec

from actorcore import frames
from actorcore.deadline import deadline_of
from actorcore.errors import CallFailed, CallTimeout, ProtocolError, RequestError
from actorcore.exit_reason import NOPROC, NORMAL, Reason, Term
from actorcore.frames import Call, Cast, Info, Message, Reply, System
from actorcore.mailbox import Arrivals, DownMessage, Event, From, Item, Raw, invalid_message
from actorcore.pids import Pid
from actorcore.runtime.actor.async_requests import AsyncRequests
from actorcore.runtime.actor.intake import FINISH_S, ExitSelf, running
from actorcore.runtime.actor.lean import crash
from actorcore.runtime.actor.loop_waits import AwaitedCall, Deadlines, let_others_run, wake_all
from actorcore.runtime.actor.messaging import (
    QUEUE_WAIT_S,
    Batch,
    ask_of,
    asker_of,
    callee_of,
    check_lost,
    failed_call,
    is_resident,
    refusing,
    value_of,
)
from actorcore.runtime.clock import monotonic_ns, monotonic_s
from actorcore.runtime.status_page import fitting
from actorcore.signals import Answer, Demonitor, Monitor
from actorcore.system_words import SystemRequest, Terminate
from actorcore.targets import checked_pid

EAGER_ITEMS = 64
"""Messages handled in a row before the other tasks of the loop get a turn."""


class AsyncProcess(AsyncRequests):
    """The running process; every method belongs to the thread of its loop.

    Meaning, bounds and errors are those of the methods of the same names of :class:`actorcore.runtime.actor.process.Process`.
    """

    def attach(self, main: asyncio.Task[Reason]) -> None:
        """Begin to read; ``main`` is the task whose result is the exit reason."""
        self._loop = main.get_loop()
        self._main: asyncio.Task[Reason] | None = main
        self._doom: Reason | None = None
        self._asked: dict[int, asyncio.Future[Answer | None]] = {}
        self._for_item: list[asyncio.Future[None]] = []
        self._for_room: list[asyncio.Future[None]] = []
        self._deadlines = Deadlines(self._loop)
        self._eager = 0
        self._poller.attach(self._loop, self._on_ready)

    # ---- reading and waiting ----------------------------------------------------------------------------------------

    def _on_ready(self, fd: int, mask: int) -> None:
        try:
            if fd == self._control_fd:
                self.on_control(mask)
            else:
                self._peers.ready(fd, mask & select.EPOLLIN, mask & select.EPOLLOUT)
        except (ExitSelf, ProtocolError) as end:  # the loop would log it and go on, without what is lost
            self.doom(crash(end))
        if self._for_room:
            wake_all(self._for_room)
        if self.mailbox.items:
            if self.mailbox.is_full():
                self._reconsider()
            wake_all(self._for_item)

    def _reconsider(self) -> None:
        """Whom a full mailbox keeps from being read may have changed."""
        self.restrict(self.mailbox.oldest_awaited())

    async def next_item(self, deadline_s: float | None) -> Item | None:
        """The next undecoded message, waiting until ``deadline_s``; None when it passed."""
        self._eager += 1
        if self._eager > EAGER_ITEMS:
            self._eager = 0
            await let_others_run()
        if self.mailbox.aside:
            self._reconsider()
        while not self.mailbox.items:
            if deadline_s is not None and monotonic_s() >= deadline_s:
                return None
            self._eager = 0
            until_s = self._adoption.look(monotonic_s(), True, deadline_s)  # other tasks run while this one waits
            await self._wait_among(self._for_item, until_s)
        item = self.mailbox.items.popleft()
        if self._peers.is_restricted:
            self._reconsider()
        return item

    async def wait_item(self, deadline_s: float) -> None:
        """Until another message has come, or ``deadline_s``."""
        await self._wait_among(self._for_item, deadline_s)

    async def receive(self, timeout_s: float | None = None) -> Event | None:
        """The next event of a plain function process; None after ``timeout_s``. Undecodable messages are refused."""
        self.status.idle()
        try:
            return await self._next_event(deadline_of(timeout_s, monotonic_s()))
        finally:
            self.status.busy(monotonic_ns(), len(self.mailbox.items))

    async def _next_event(self, deadline_s: float | None) -> Event | None:
        while (item := await self.next_item(deadline_s)) is not None:
            event = self.event_of(item)
            if event is not None:
                return event
            await self.refuse(item)
        return None

    # ---- messages ---------------------------------------------------------------------------------------------------

    def call(self, to: Pid | str, request: object, timeout_s: float | None = 5.0) -> Coroutine[Any, Any, object]:
        return self._exchange(to, Call, request, timeout_s)

    async def _ask_system(self, to: Pid | str, request: SystemRequest, timeout_s: float) -> object:
        return await self._exchange(to, System, request, timeout_s)

    async def _exchange(self, to: Pid | str, kind: type[Call | System], body: object, timeout_s: float | None) -> object:
        peer = to.serial if type(to) is Pid and to.instance == self._instance else await self._resolve(to)
        if peer is None or peer == self._serial:
            raise CallFailed(NOPROC if peer is None else "calling_self")
        if peer in self._residents:
            return await self._ask(peer, kind, body, timeout_s)
        deadline_s = deadline_of(timeout_s, monotonic_s())
        call = AwaitedCall(peer, done=self._loop.create_future())
        number = self.mailbox.expect(call)
        try:
            if not self.has_room(peer):
                await self.make_room(peer)
            self._post_now(peer, kind(number, body))  # type: ignore[arg-type]  # encoded in place of its Raw
            if self._peers.is_restricted:
                self._reconsider()
            await self._wait(call.done, deadline_s)
        finally:
            self.mailbox.forget(number)
            if self._peers.is_restricted:
                self._reconsider()
        if call.outcome is None:
            raise CallTimeout(f"no answer within {timeout_s} s")
        return await self._ask(peer, kind, body, timeout_s) if is_resident(call.outcome) else value_of(call.outcome)

    async def _ask(self, peer: int, kind: type[Call | System], body: object, timeout_s: float | None) -> object:
        try:
            return await self.request(ask_of(peer, body, kind), timeout_s)
        except RequestError as error:
            raise failed_call(error) from None

    async def cast(self, to: Pid | str, request: object) -> None:
        await self._post_to(to, Cast(request))  # type: ignore[arg-type]

    async def send(self, to: Pid | str, message: object) -> None:
        await self._post_to(to, Info(message))  # type: ignore[arg-type]

    async def reply(self, frm: From, value: object) -> None:
        await self._post(asker_of(frm), Reply(frm.number, value))  # type: ignore[arg-type]

    async def reply_error(self, frm: From, code: str, detail: Term = "") -> None:
        await self._post(asker_of(frm), refusing(frm, code, detail))

    async def refuse(self, item: Item) -> None:
        """Tell the sender of a call that its message does not decode; other messages are dropped."""
        reply = invalid_message(item)
        if reply is not None and isinstance(item, Raw):
            await self._post(item.frm, reply)

    def batch(self) -> Batch:
        """``with process.batch():`` messages leave together, up to 64 in one datagram, at its end or before a wait."""
        return Batch(self)

    async def make_room(self, peer: int) -> None:
        """Until a message to ``peer`` can be queued, or goes nowhere.

        :raises RequestError: ``mailbox_full`` after 5 s without room.
        """
        channel = self._peers.find(peer)
        if channel is None or not channel.is_full:
            return
        self._peers.flush(channel)
        deadline_s = monotonic_s() + QUEUE_WAIT_S
        while channel.is_full and not channel.ended:
            if monotonic_s() >= deadline_s:
                raise RequestError("mailbox_full", f"process {peer} does not read")
            await self._wait_among(self._for_room, deadline_s)

    async def _post_to(self, to: Pid | str, message: Cast | Info) -> None:
        peer = to.serial if type(to) is Pid and to.instance == self._instance else await self._resolve(to)
        if peer == self._serial:
            body = msgspec.Raw(frames.encode(message.body))
            self._push(Raw(peer, type(message)(body)))
        elif peer is not None:
            await self._post(peer, message)
        else:
            check_lost(to, message)

    async def _post(self, peer: int, message: Message) -> None:
        if not self.has_room(peer):
            await self.make_room(peer)
        self._post_now(peer, message)

    async def _post_away(self, peer: int, message: Message) -> None:
        """As :meth:`_post`, until it is on its way, if the peer is only to be introduced."""
        await self._post(peer, message)
        while (channel := self._peers.find(peer)) is not None and channel.sock is None:
            await self._wait_among(self._for_room, None)

    def _post_now(self, peer: int, message: Message) -> None:
        if get_ident() != self._home:
            self._stay_home()
        channel = self._peers.channels.get(peer) or self._peers.channel_to(peer)
        if self._batching:
            channel.post(message)
        elif not channel.send_now(message):
            self._peers.wants_room(channel)

    async def exit(self, to: Pid, reason: Reason) -> None:
        signal = self._exit_signal(checked_pid(to), reason)
        if to.instance == self._instance:
            await self.request(signal)

    async def stop(self, to: Pid | str, reason: Reason = NORMAL, timeout_s: float | None = None) -> None:
        frames.check_reason(reason)
        peer = callee_of(await self._resolve(to), self._serial)
        deadline_s, ref, arrivals = deadline_of(timeout_s, monotonic_s()), self._next_ref(), Arrivals()
        self.mailbox.divert([ref], arrivals)  # for this task, and not for the callbacks
        try:
            await self.request(Monitor(ref, peer))
            if not await self._ask_to_stop(peer, reason):
                await self._post(peer, System(0, Terminate(reason)))  # type: ignore[arg-type]  # encoded in place of its Raw
            await self._arrival(arrivals, deadline_s)
            if not arrivals.items:
                raise CallTimeout(f"not ended within {timeout_s} s")
            down = arrivals.items.popleft()
        finally:
            try:
                await self.request(Demonitor(ref))
            finally:
                arrivals.items.clear()
                self.mailbox.restore([ref])
        assert isinstance(down, DownMessage)
        if down.reason != reason:
            raise CallFailed(down.reason)

    async def _ask_to_stop(self, to: int, reason: Reason) -> bool:
        try:
            await self.request(ask_of(to, ["stop", reason]))
        except RequestError as error:
            return error.code != "unsupported"
        return True

    # ---- the end ----------------------------------------------------------------------------------------------------

    def exit_self(self, reason: Reason) -> NoReturn:
        """End this process with ``reason``, from any task: the callback under way is cancelled, ``terminate`` runs."""
        self.doom(reason)
        raise ExitSelf(fitting(reason))

    def doom(self, reason: Reason) -> None:
        """The process ends with ``reason``; the first one stands. The main task is cancelled unless it is the caller."""
        if self._doom is None:
            self._doom = fitting(reason)
            if self._main is not None and asyncio.current_task(self._loop) is not self._main:
                self._main.cancel()

    def is_doomed(self) -> bool:
        return self._doom is not None

    def doomed(self) -> Reason | None:
        """The reason of :meth:`doom`, if any; from now on the main task is not cancelled any more."""
        self._main = None
        return self._doom

    async def finish(self) -> None:
        """Before the end: cancel the other tasks, let introductions and queues leave; at most 1 s."""
        deadline_s = monotonic_s() + FINISH_S
        self._batching = False
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        if others:
            await asyncio.wait(others, timeout=FINISH_S)
        while not self.is_flushed() and monotonic_s() < deadline_s:
            self._peers.flush_all()
            await self._wait_among(self._for_room, deadline_s)


def current() -> AsyncProcess:
    """The process that this code runs in.

    :raises RuntimeError: it runs in none, or in one that blocks.
    """
    process = running()
    if not isinstance(process, AsyncProcess):
        raise RuntimeError("a process without async callbacks; see actorcore.runtime.actor.process")
    return process
