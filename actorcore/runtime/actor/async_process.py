"""The asyncio process: the API of whoever runs inside a loop, with waits that are awaited.

The loop watches the sockets; what the lean process has as blocking waits are futures here, and every task of the loop may
wait at the same time.
"""

from __future__ import annotations

import asyncio
import select
from _thread import get_ident
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, NoReturn

import msgspec

from actorcore import frames
from actorcore.errors import CallFailed, CallTimeout, RequestError
from actorcore.exit_reason import NOPROC, Reason, Term
from actorcore.frames import Call, Cast, Info, Message, Reply, System
from actorcore.mailbox import DownMessage, Event, From, Item, Raw, invalid_message
from actorcore.names import NO_VALUES
from actorcore.pids import Pid
from actorcore.runtime.actor.intake import FINISH_S, ExitSelf, Intake, running
from actorcore.runtime.actor.loop_poller import LoopPoller
from actorcore.runtime.actor.loop_waits import AwaitedCall, Deadlines, let_others_run, wake_all
from actorcore.runtime.actor.messaging import QUEUE_WAIT_S, Batch, ask_of, deadline_of, failed_call, is_resident, value_of
from actorcore.runtime.actor.node_requests import REQUEST_WAIT_S, spec_of, value_of_answer
from actorcore.runtime.clock import monotonic_ns, monotonic_s
from actorcore.runtime.status_page import fitting
from actorcore.signals import (
    Answer,
    Demonitor,
    IsAlive,
    Link,
    Lookup,
    Monitor,
    ProcessSpec,
    Request,
    Spawn,
    TrapExit,
    Unlink,
    Unregister,
    Whereis,
)  # fmt: skip
from actorcore.system_words import SystemRequest

EAGER_ITEMS = 64
"""Messages handled in a row before the other tasks of the loop get a turn."""


class AsyncProcess(Intake):
    """The running process; every method belongs to the thread of its loop.

    Meaning, bounds and errors are those of the methods of the same names of :class:`actorcore.runtime.actor.process.Process`.
    """

    _poller: LoopPoller

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

    def _new_poller(self) -> LoopPoller:
        return LoopPoller()

    def _on_ready(self, fd: int, mask: int) -> None:
        try:
            if fd == self._control_fd:
                self.on_control(mask)
            else:
                self._peers.ready(fd, mask & select.EPOLLIN, mask & select.EPOLLOUT)
        except ExitSelf as end:
            self.doom(end.reason)
        if self._for_room:
            wake_all(self._for_room)
        if self.mailbox.items:
            if self.mailbox.is_full():
                self._reconsider()
            wake_all(self._for_item)

    def _reconsider(self) -> None:
        """Whom a full mailbox keeps from being read may have changed."""
        self.restrict(self.mailbox.oldest_awaited())

    def _answered(self, answer: Answer) -> None:
        asked = self._asked.get(answer.number)
        if asked is not None and not asked.done():
            asked.set_result(answer)

    def _wait(self, future: asyncio.Future[Any], deadline_s: float | None) -> Coroutine[Any, Any, None]:
        """Until ``future`` is done or the deadline has passed."""
        if self._batching:
            self._peers.flush_all()
        return self._deadlines.wait(future, deadline_s)

    async def _wait_among(self, waiting: list[asyncio.Future[None]], deadline_s: float | None) -> None:
        future = self._loop.create_future()
        waiting.append(future)
        try:
            await self._wait(future, deadline_s)
        finally:
            if future in waiting:
                waiting.remove(future)

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
            return await self._next_event(deadline_of(timeout_s))
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
        deadline_s = deadline_of(timeout_s)
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
        if is_resident(call.outcome):
            try:
                return await self.request(ask_of(peer, body, kind), REQUEST_WAIT_S if timeout_s is None else timeout_s)
            except RequestError as error:
                raise failed_call(error) from None
        return value_of(call.outcome)

    async def cast(self, to: Pid | str, request: object) -> None:
        await self._post_to(to, Cast(request))  # type: ignore[arg-type]

    async def send(self, to: Pid | str, message: object) -> None:
        await self._post_to(to, Info(message))  # type: ignore[arg-type]

    async def reply(self, frm: From, value: object) -> None:
        await self._post(frm.pid.serial, Reply(frm.number, value))  # type: ignore[arg-type]

    async def reply_error(self, frm: From, code: str, detail: Term = "") -> None:
        await self._post(frm.pid.serial, Reply(frm.number, error=(code, detail)))

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
            body = msgspec.Raw(frames.encoder.encode(message.body))
            self._push(Raw(peer, type(message)(body)))
        elif peer is not None:
            await self._post(peer, message)

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

    def _push(self, item: Item) -> None:
        self.mailbox.push(item)
        wake_all(self._for_item)

    # ---- the node ---------------------------------------------------------------------------------------------------

    async def request(self, body: Request, timeout_s: float = REQUEST_WAIT_S) -> Term:
        future: asyncio.Future[Answer | None] = self._loop.create_future()
        number = self._say(body)
        self._asked[number] = future
        try:
            await self._wait(future, monotonic_s() + timeout_s)
        finally:
            del self._asked[number]
        if (answer := future.result()) is None:
            raise RequestError("timeout", type(body).__name__)
        return value_of_answer(answer)

    async def _resolve(self, to: Pid | str) -> int | None:
        if isinstance(to, Pid):
            return to.serial if to.instance == self.self_pid.instance else None
        if self._registry is not None:
            try:
                return self._registry.lookup(to)
            except RequestError:  # busy: it changes faster than it can be read
                pass
        serial = await self.request(Whereis(to))
        return serial if isinstance(serial, int) else None

    async def spawn(
        self, start: str | ProcessSpec, args: Sequence[object] = (), link: bool = False, wait_init: bool = True, **spec: Any
    ) -> Pid | None:
        return await self._spawn(spec_of(start, args, spec), link, 0, wait_init)

    async def spawn_link(self, start: str | ProcessSpec, args: Sequence[object] = (), **spec: Any) -> Pid | None:
        return await self._spawn(spec_of(start, args, spec), True, 0, True)

    async def spawn_monitor(self, start: str | ProcessSpec, args: Sequence[object] = (), **spec: Any) -> tuple[Pid, int]:
        ref = self._next_ref()
        pid = await self._spawn(spec_of(start, args, spec), False, ref, False)
        if pid is None:
            raise RequestError("internal_error", "a spawn without a pid")
        return pid, ref

    async def _spawn(self, spec: ProcessSpec, link: bool, monitor: int, wait_init: bool) -> Pid | None:
        return self._pid(await self.request(Spawn(spec, link, monitor, wait_init), spec.init_timeout_s + REQUEST_WAIT_S))

    async def exit(self, to: Pid, reason: Reason) -> None:
        if to.instance == self.self_pid.instance:
            await self.request(self._exit_signal(to, reason))

    async def link(self, to: Pid) -> None:
        await self.request(Link(self._serial_of(to)))

    async def unlink(self, to: Pid) -> None:
        await self.request(Unlink(self._serial_of(to)))

    async def monitor(self, to: Pid | str) -> int:
        ref = self._next_ref()
        if isinstance(to, str):
            await self.request(Monitor(ref, name=to))
        elif to.instance == self.self_pid.instance:
            await self.request(Monitor(ref, to.serial))
        else:
            self._push(DownMessage(ref, to, NOPROC))
        return ref

    async def demonitor(self, ref: int, flush: bool = True) -> bool:
        existed = bool(await self.request(Demonitor(ref)))
        if flush:
            self.mailbox.take_down(ref)
        return existed

    async def trap_exit(self, on: bool) -> bool:
        return bool(await self.request(TrapExit(on)))

    async def register(self, name: str, who: Pid | None = None, value: Term = None) -> None:
        await self.request(self._registration(name, who, value))

    async def register_many(self, names: Mapping[str, Pid], values: Mapping[str, Term] = NO_VALUES) -> None:
        await self.request(self._registrations(names, values))

    async def unregister(self, name: str) -> None:
        await self.request(Unregister(name))

    async def whereis(self, name: str) -> Pid | None:
        return self._pid(await self._resolve(name))

    async def lookup(self, name: str) -> tuple[Pid, Term] | None:
        found = self._read_value(name)
        return self._found(await self.request(Lookup(name)) if found is False else found)

    async def is_alive(self, pid: Pid) -> bool:
        return pid.instance == self.self_pid.instance and bool(await self.request(IsAlive(pid.serial)))

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
