"""Readers of registries and groups, lean and in a loop, that others ask past the node."""

from __future__ import annotations

from typing import Any

from actorcore.gen_server import AsyncGenServer, GenServer, InitResult, Reply, Result
from actorcore.mailbox import From
from actorcore.runtime.actor.holders import AsyncHolders, Holders


class Reader(GenServer):
    """``["of", registry, key]``, ``["members", groups, group]``, and ``["ask", to, request]``."""

    def init(self, *args: Any) -> InitResult:
        self.holders = Holders(self.process)  # type: ignore[arg-type]
        return None

    def handle_call(self, request: Any, frm: From) -> Result:
        match request:
            case ["of", registry, key]:
                return Reply([[pid.serial, value] for pid, value in self.holders.of(registry, key)])
            case ["members", groups, group]:
                return Reply([pid.serial for pid in self.holders.members(groups, group)])
            case ["ask", to, words]:
                return Reply(self.process.call(to, words))
        raise NotImplementedError(request)


class AsyncReader(AsyncGenServer):
    """The same in a loop."""

    async def init(self, *args: Any) -> InitResult:
        self.holders = AsyncHolders(self.process)  # type: ignore[arg-type]
        return None

    async def handle_call(self, request: Any, frm: From) -> Result:
        match request:
            case ["of", registry, key]:
                return Reply([[pid.serial, value] for pid, value in await self.holders.of(registry, key)])
            case ["members", groups, group]:
                return Reply([pid.serial for pid in await self.holders.members(groups, group)])
            case ["ask", to, words]:
                return Reply(await self.process.call(to, words))
        raise NotImplementedError(request)
