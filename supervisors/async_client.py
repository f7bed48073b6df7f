"""The client for asyncio programs: the blocking client's methods as coroutines, any number of them at the same time.

>>> async with await AsyncClient.connect() as client:                    # doctest: +SKIP
...     pid = await client.spawn("mypackage.counter:Counter", 0)
...     await client.call(pid, {"add": 1})
1
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Unpack

from actorcore.exit_reason import NORMAL, Reason, Term
from actorcore.names import NO_VALUES
from actorcore.pids import Pid
from actorcore.process_spec import spec_of
from actorcore.signals import ProcessSpec, SpecFields
from actorcore.sys_face import Sys
from supervisors import paths
from supervisors.client import PAGE_ROWS
from supervisors.clients import kill, steps, tasks
from supervisors.clients.async_driver import AsyncDriver
from supervisors.clients.async_manager import AsyncManagerClient
from supervisors.clients.async_saved import AsyncSavedClient
from supervisors.clients.code import CodeChanged, change_code
from supervisors.clients.driver import DEFAULT_TIMEOUT_S
from supervisors.clients.messages import DownMessage, Mail, Ref
from supervisors.clients.steps import Target
from supervisors.own_names import NODE, SESSIONS
from supervisors.tree.child_spec import ChildSpec
from supervisors.tree.session_words import GetSession, ListSessions, RestartSession, StartSession, StopSession


class AsyncClient:
    """As :class:`supervisors.client.Client`, which documents the methods; bound to the event loop that connected it."""

    def __init__(self, directory: Path) -> None:
        """Use :meth:`connect`."""
        self._driver = AsyncDriver(directory, asyncio.get_running_loop())
        self._core = self._driver.core
        self.manager = AsyncManagerClient(self._driver)
        self.saved = AsyncSavedClient(self._driver)

    @classmethod
    async def connect(cls, directory: Path | str | None = None, timeout_s: float = DEFAULT_TIMEOUT_S) -> AsyncClient:
        """Connect to a running daemon; errors as of Client.connect."""
        client = cls(paths.default_directory() if directory is None else Path(directory).absolute())
        try:
            await client._driver.open(timeout_s)
        except BaseException:
            await client.close()
            raise
        return client

    async def close(self) -> None:
        """Send what is queued (at most a second) and hang up; calls under way fail with ``noconnection``."""
        await self._driver.close()

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()

    @property
    def pid(self) -> Pid:
        """This client's own Pid."""
        return self._core.pid(self._core.connection.serial)

    @property
    def dropped(self) -> int:
        """How many plain messages were dropped because the mailbox was full."""
        return self._core.dropped

    @property
    def sys(self) -> Sys[Awaitable[Term]]:
        """Its methods are to be awaited."""
        return Sys(lambda to, request, timeout_s: self._driver.run(steps.system(self._core, to, request), timeout_s))

    # ---- processes --------------------------------------------------------------------------------------------------

    async def spawn(self, start: str, *args: Term, link: bool = False, wait_init: bool = True, **spec: Unpack[SpecFields]) -> Pid:
        return await self.spawn_spec(spec_of(start, args, spec), link, wait_init)

    async def spawn_spec(self, spec: ProcessSpec, link: bool = False, wait_init: bool = True) -> Pid:
        timeout_s = spec.init_timeout_s + DEFAULT_TIMEOUT_S
        return await self._driver.run(steps.spawn(self._core, spec, link, wait_init), timeout_s)

    async def spawn_monitor(self, spec: ProcessSpec, wait_init: bool = True) -> tuple[Pid, Ref]:
        timeout_s = spec.init_timeout_s + DEFAULT_TIMEOUT_S
        return await self._driver.run(steps.spawn_monitor(self._core, spec, wait_init), timeout_s)

    async def call(self, to: Target, request: object, timeout_s: float | None = DEFAULT_TIMEOUT_S) -> Term:
        return await self._driver.run(steps.call(self._core, to, request), timeout_s)

    async def run_task(self, supervisor: Target, spec: ProcessSpec, timeout_s: float = DEFAULT_TIMEOUT_S) -> Term:
        return await self._driver.run(tasks.run_task(self._core, supervisor, spec), timeout_s)

    async def cast(self, to: Target, request: object) -> None:
        await self._driver.run(steps.cast(self._core, to, request))

    async def send(self, to: Target, message: object) -> None:
        await self._driver.run(steps.send(self._core, to, message))

    async def exit(self, to: Target, reason: Reason) -> None:
        await self._driver.run(steps.send_exit(self._core, to, reason))

    async def stop(self, to: Target, reason: Reason = NORMAL, timeout_s: float | None = None) -> None:
        await self._driver.run(steps.stop(self._core, to, reason), timeout_s)

    async def kill(self, to: Target, signum: int | None = None) -> None:
        await self._driver.run(kill.kill(self._core, to, signum))

    async def link(self, to: Target) -> None:
        await self._driver.run(steps.link(self._core, to))

    async def unlink(self, to: Target) -> None:
        await self._driver.run(steps.unlink(self._core, to))

    async def monitor(self, to: Target) -> Ref:
        return await self._driver.run(steps.monitor(self._core, to))

    async def demonitor(self, ref: Ref) -> bool:
        return await self._driver.run(steps.demonitor(self._core, ref))

    async def wait_down(self, ref: Ref, timeout_s: float | None = DEFAULT_TIMEOUT_S) -> DownMessage:
        return await self._driver.run(steps.wait_down(self._core, ref), timeout_s)

    async def receive(self, timeout_s: float | None = None) -> Mail:
        return await self._driver.run(steps.receive(self._core), timeout_s)

    # ---- names and tables -------------------------------------------------------------------------------------------

    async def register(self, name: str, who: Pid | None = None, value: Term = None) -> None:
        await self._driver.run(steps.register(self._core, name, who, value))

    async def register_many(self, names: Mapping[str, Pid], values: Mapping[str, Term] = NO_VALUES) -> None:
        await self._driver.run(steps.register_many(self._core, names, values))

    async def unregister(self, name: str) -> None:
        await self._driver.run(steps.unregister(self._core, name))

    async def whereis(self, name: str) -> Pid | None:
        return await self._driver.run(steps.whereis(self._core, name))

    async def lookup(self, name: str) -> tuple[Pid, Term] | None:
        return await self._driver.run(steps.lookup(self._core, name))

    async def processes(self) -> AsyncIterator[dict[str, Term]]:
        after = 0
        while rows := await self._driver.run(steps.processes(self._core, after, PAGE_ROWS)):
            for row in rows:
                yield row
            after = max(serial for row in rows if isinstance(serial := row["serial"], int))

    async def change_code(
        self, module: str, old_version: object = None, extra: object = None, timeout_s: float = DEFAULT_TIMEOUT_S
    ) -> CodeChanged:
        return await self._driver.run_phases(change_code(self._core, module, old_version, extra), timeout_s)

    # ---- sessions ---------------------------------------------------------------------------------------------------

    async def start_session(self, spec: ChildSpec) -> dict[str, Term]:
        return await self._ask(SESSIONS, StartSession(spec), spec.process.init_timeout_s + DEFAULT_TIMEOUT_S)

    async def stop_session(self, id: str, timeout_s: float = 30.0) -> dict[str, Term]:
        return await self._ask(SESSIONS, StopSession(id), timeout_s)

    async def restart_session(self, id: str, timeout_s: float = 30.0) -> dict[str, Term]:
        return await self._ask(SESSIONS, RestartSession(id), timeout_s)

    async def session(self, id: str) -> dict[str, Term]:
        return await self._ask(SESSIONS, GetSession(id))

    async def sessions(self) -> AsyncIterator[dict[str, Term]]:
        after: Term = 0
        while isinstance(after, int):
            page = await self._ask(SESSIONS, ListSessions(after, PAGE_ROWS))
            rows, after = page.get("sessions"), page.get("next")
            for row in rows if isinstance(rows, list) else []:
                if isinstance(row, dict):
                    yield row

    async def node(self, verb: str, timeout_s: float = 30.0) -> dict[str, Term]:
        return await self._ask(NODE, {"verb": verb}, timeout_s)

    async def _ask(self, name: str, request: object, timeout_s: float = DEFAULT_TIMEOUT_S) -> dict[str, Term]:
        answer = await self._driver.run(steps.ask(self._core, name, request), timeout_s)
        return answer if isinstance(answer, dict) else {}
