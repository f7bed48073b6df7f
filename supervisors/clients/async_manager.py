"""``client.manager`` of an asyncio program; see :mod:`supervisors.clients.manager`, which documents the methods."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from types import TracebackType
from typing import Literal

from actorcore.errors import CallTimeout
from actorcore.exit_reason import Term
from actorcore.pids import Pid
from supervisors.clients import manager_steps as steps
from supervisors.clients.async_driver import AsyncDriver
from supervisors.clients.driver import DEFAULT_TIMEOUT_S
from supervisors.clients.manager import RESUME_TIMEOUT_S, STOP_TIMEOUT_S
from supervisors.clients.manager_steps import Row, SessionEvent, Subscribed
from supervisors.session import words
from supervisors.session.record import POLICY, Policy


class AsyncManagerClient:
    """As :class:`supervisors.clients.manager.ManagerClient`."""

    def __init__(self, driver: AsyncDriver) -> None:
        self._driver = driver
        self._core = driver.core

    async def create(
        self, path: object, name: str | None = None, *, module: str = "", config: Mapping[str, Term] | None = None,
        metadata: Mapping[str, Term] | None = None, limits: Mapping[str, int] | None = None, policy: Policy = POLICY,
        group: Mapping[str, Term] | None = None, durability: Literal["message", "checkpoint", "none"] = "message",
        id: str | None = None,
    ) -> Row:  # fmt: skip
        work = steps.create(self._core, path, name, module, config, metadata, limits, policy, group, durability, id)
        return await self._driver.run(work, policy.start_timeout_s + DEFAULT_TIMEOUT_S)

    async def resume(self, id: str, timeout_s: float = RESUME_TIMEOUT_S) -> Row:
        return await self._driver.run(steps.resume(self._core, id), timeout_s)

    async def stop(self, id: str, timeout_s: float = STOP_TIMEOUT_S) -> Row:
        return await self._ask(words.StopSession(id), timeout_s)

    async def restart(self, id: str, timeout_s: float = STOP_TIMEOUT_S) -> Row:
        return await self._ask(words.RestartSession(id), timeout_s)

    async def suspend(self, id: str, timeout_s: float = STOP_TIMEOUT_S) -> Row:
        return await self._ask(words.SuspendSession(id), timeout_s)

    async def wake(self, id: str, timeout_s: float = STOP_TIMEOUT_S) -> Row:
        return await self._ask(words.WakeSession(id), timeout_s)

    async def info(self, id: str) -> Row:
        return await self._ask(words.GetSession(id))

    async def find(self, by: Literal["id", "path", "name"], value: str) -> Row:
        return await self._driver.run(steps.find(self._core, by, value))

    async def resolve(self, target: str) -> Row:
        return await self._ask(words.ResolveTarget(target))

    async def list(self) -> AsyncIterator[Row]:
        after: tuple[float, int] | None = (0.0, 0)
        while after is not None:
            rows, after = await self._driver.run(steps.page(self._core, after))
            for row in rows:
                yield row

    async def ids(self) -> Sequence[str]:
        return await self._driver.run(steps.ids(self._core))

    async def pids(self) -> Sequence[Pid]:
        return [self._core.pid(serial) for serial in await self._driver.run(steps.serials(self._core))]

    async def count(self) -> Row:
        return await self._ask(words.CountSessions())

    async def rename(self, id: str, name: str) -> Row:
        return await self._ask(words.RenameSession(id, name))

    async def update(self, id: str, config: Mapping[str, Term] | None = None, metadata: Mapping[str, Term] | None = None) -> Row:
        return await self._ask(words.UpdateSession(id, dict(config or {}), dict(metadata or {})))

    async def default(self) -> Row:
        return await self._ask(words.GetDefault())

    async def set_default(self, id: str) -> None:
        await self._ask(words.SetDefault(id))

    async def counters(self, reset: bool = False) -> Row:
        return await self._ask(words.GetCounters(reset))

    async def subscribe(self, session: str = "", types: Sequence[str] = (), after: int | None = None) -> AsyncSubscription:
        return AsyncSubscription(self._driver, await self._driver.run(steps.subscribe(self._core, session, types, after)))

    async def _ask(self, request: words.ManagerRequest, timeout_s: float = DEFAULT_TIMEOUT_S) -> Row:
        return await self._driver.run(steps.of_row(self._core, request), timeout_s)


class AsyncSubscription:
    """As :class:`supervisors.clients.manager.Subscription`."""

    def __init__(self, driver: AsyncDriver, subscribed: Subscribed) -> None:
        self._driver = driver
        self._subscribed = subscribed

    @property
    def number(self) -> int:
        return self._subscribed.number

    async def next(self, timeout_s: float | None = DEFAULT_TIMEOUT_S) -> SessionEvent:
        return await self._driver.run(steps.next_event(self._driver.core, self._subscribed), timeout_s)

    async def __aiter__(self) -> AsyncIterator[SessionEvent]:
        try:
            while True:
                yield await self.next(0)
        except CallTimeout:
            return

    async def close(self) -> None:
        await self._driver.run(steps.unsubscribe(self._driver.core, self._subscribed))

    async def __aenter__(self) -> AsyncSubscription:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()
