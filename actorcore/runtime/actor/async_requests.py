"""What a process in a loop asks the node, and how its tasks wait: for an answer, for what comes, for a deadline."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, Unpack

from actorcore.deadline import deadline_of
from actorcore.errors import RequestError
from actorcore.exit_reason import NOPROC, Term
from actorcore.mailbox import Arrivals, DownMessage, Item
from actorcore.names import NO_VALUES
from actorcore.pids import Pid
from actorcore.process_spec import spec_of
from actorcore.runtime.actor.intake import Intake
from actorcore.runtime.actor.loop_poller import LoopPoller
from actorcore.runtime.actor.loop_waits import Deadlines, wake, wake_all
from actorcore.runtime.actor.node_requests import REQUEST_WAIT_S, value_of_answer
from actorcore.runtime.clock import monotonic_s
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
    SpecFields,
    TrapExit,
    Unlink,
    Unregister,
    Whereis,
)  # fmt: skip
from actorcore.targets import checked_name, checked_pid


class AsyncRequests(Intake):
    """The control half of :class:`actorcore.runtime.actor.async_process.AsyncProcess`."""

    _poller: LoopPoller
    _loop: asyncio.AbstractEventLoop
    _deadlines: Deadlines
    _asked: dict[int, asyncio.Future[Answer | None]]
    _for_item: list[asyncio.Future[None]]

    def _new_poller(self) -> LoopPoller:
        return LoopPoller()

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

    async def _arrival(self, arrivals: Arrivals, deadline_s: float | None) -> None:
        """Until something has come for who waits, or ``deadline_s``."""
        if arrivals.items:
            return
        future: asyncio.Future[None] = self._loop.create_future()
        arrivals.wake = lambda: wake(future)
        try:
            await self._wait(future, deadline_s)
        finally:
            arrivals.wake = None

    def _push(self, item: Item) -> None:
        self.mailbox.push(item)
        wake_all(self._for_item)

    async def request(self, body: Request, timeout_s: float | None = REQUEST_WAIT_S) -> Term:
        deadline_s = deadline_of(timeout_s, monotonic_s())
        future: asyncio.Future[Answer | None] = self._loop.create_future()
        number = self._say(body)
        self._asked[number] = future
        try:
            await self._wait(future, deadline_s)
        finally:
            del self._asked[number]
        if (answer := future.result()) is None:
            raise RequestError("timeout", type(body).__name__)
        return value_of_answer(answer)

    async def _resolve(self, to: Pid | str) -> int | None:
        if isinstance(to, Pid):
            return to.serial if to.instance == self.self_pid.instance else None
        checked_name(to)
        if self._registry is not None:
            try:
                return self._registry.lookup(to)
            except RequestError:  # busy: it changes faster than it can be read
                pass
        serial = await self.request(Whereis(to))
        return serial if isinstance(serial, int) else None

    async def spawn(
        self,
        start: str | ProcessSpec,
        args: Sequence[object] = (),
        link: bool = False,
        wait_init: bool = True,
        **spec: Unpack[SpecFields],
    ) -> Pid | None:
        return await self._spawn(spec_of(start, args, spec), link, 0, wait_init)

    async def spawn_link(self, start: str | ProcessSpec, args: Sequence[object] = (), **spec: Unpack[SpecFields]) -> Pid | None:
        return await self._spawn(spec_of(start, args, spec), True, 0, True)

    async def spawn_monitor(
        self, start: str | ProcessSpec, args: Sequence[object] = (), **spec: Unpack[SpecFields]
    ) -> tuple[Pid, int]:
        ref = self._next_ref()
        pid = await self._spawn(spec_of(start, args, spec), False, ref, False)
        if pid is None:
            raise RequestError("internal_error", "a spawn without a pid")
        return pid, ref

    async def _spawn(self, spec: ProcessSpec, link: bool, monitor: int, wait_init: bool) -> Pid | None:
        return self._pid(await self.request(Spawn(spec, link, monitor, wait_init), spec.init_timeout_s + REQUEST_WAIT_S))

    async def link(self, to: Pid) -> None:
        await self.request(Link(self._serial_of(to)))

    async def unlink(self, to: Pid) -> None:
        await self.request(Unlink(self._serial_of(to)))

    async def monitor(self, to: Pid | str) -> int:
        ref = self._next_ref()
        if isinstance(to, str):
            await self.request(Monitor(ref, name=to))
        elif checked_pid(to).instance == self.self_pid.instance:
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
        return checked_pid(pid).instance == self.self_pid.instance and bool(await self.request(IsAlive(pid.serial)))
