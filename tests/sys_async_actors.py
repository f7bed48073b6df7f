"""The processes of sys_actors in a loop."""

from __future__ import annotations

from actorcore.exit_reason import Reason
from actorcore.gen_server import Result
from actorcore.mailbox import From
from actorcore.pids import Pid
from actorcore.runtime.actor.async_process import AsyncProcess
from tests import sys_actors
from tests.sys_actors import INSTANCE, TESTER


class Counter(sys_actors.Counter):
    async def handle_call(self, request: object, frm: From) -> Result:  # type: ignore[override]
        return sys_actors.Counter.handle_call(self, request, frm)

    async def handle_continue(self, term: object) -> Result:  # type: ignore[override]
        await self.process.reply(term, "late")  # type: ignore[func-returns-value, arg-type, misc]
        return None

    async def terminate(self, reason: Reason) -> None:  # type: ignore[override]
        await self.process.send(Pid(INSTANCE, TESTER), ["terminate", reason])  # type: ignore[func-returns-value, misc]


class Private(Counter):
    is_private = True


class Slotted(sys_actors.Slotted):
    __slots__ = ()

    async def init(self, *args: object) -> None:  # type: ignore[override]
        sys_actors.Slotted.init(self)


async def function(process: AsyncProcess) -> None:
    while await process.receive() is not None:
        pass
