"""Actors of the fault tests with ``async def``; lean processes do not import this."""

from __future__ import annotations

import asyncio
import os

from actorcore.gen_server import AsyncGenServer, Reply
from actorcore.mailbox import From
from actorcore.runtime.actor.async_process import AsyncProcess
from actorcore.signals import SendExit
from tests.fault.actors import daemonised, stand_still


async def idle(process: AsyncProcess) -> None:
    while True:
        await process.receive()


async def stuck_in_a_loop(process: AsyncProcess) -> None:
    stand_still("loop")


async def stuck_in_await(process: AsyncProcess) -> None:
    await asyncio.Event().wait()


class AsyncParent(AsyncGenServer):
    """Answers a number with as many daemonised grandchildren, and anything else with its own OS pid."""

    async def handle_call(self, request: object, frm: From) -> Reply:
        return Reply([daemonised() for _ in range(request)] if isinstance(request, int) else os.getpid())


class AsyncStuck(AsyncGenServer):
    """Answers; a cast says how it is to stand still."""

    async def handle_call(self, request: object, frm: From) -> Reply:
        return Reply(request)

    async def handle_cast(self, request: object) -> None:
        if request == "await":
            await asyncio.Event().wait()
        stand_still(str(request))


async def many_last_words(process: AsyncProcess, listener: int, count: int) -> None:
    """With the second message it sends ``listener`` so many exit signals, and is gone before one of them is answered."""
    await process.receive()
    await process.receive()
    for number in range(count):
        process._say(SendExit(listener, {"word": number}))
    os._exit(3)
