"""tractor: a subactor each, opened by one nursery of the root actor.

As its documentation has it: ``nursery.start_actor`` and ``portal.run``; messages over ``portal.open_context`` and
``Context.open_stream``, its quickest way. A death is told by the end of what was awaited from the dead one; another subactor
is started by hand. trio runs in the main thread; the measurements are taken in another, which asks it.
"""

from __future__ import annotations

import importlib.metadata
import os
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any, TypeVar

import tractor
import trio

from benchmarks.peers.contract import BODY, Peer

CAST = BODY[:-1] + b"!"
Value = TypeVar("Value")


async def os_pid() -> int:
    return os.getpid()


@tractor.context
async def echo(ctx: tractor.Context) -> None:
    await ctx.started()
    async with ctx.open_stream() as stream:
        async for body in stream:
            if body != CAST:
                await stream.send(body)


class Subactor:
    """A portal, its number, and a stream to it that is open as long as it lives."""

    def __init__(self, portal: Any, os_pid: int, stream: Any, opened: AsyncExitStack) -> None:
        self.portal = portal
        self.os_pid = os_pid
        self.stream = stream
        self.opened = opened


class Tractor(Peer[Subactor]):
    calls_each, casts_each = 50, 500
    remarks = {"told": "a stream ends", "replaced": "by hand", "storm": "by hand"}

    def version(self) -> str:
        return importlib.metadata.version("tractor")

    def run(self, measure: Callable[[], None]) -> None:
        async def main() -> None:
            async with tractor.open_nursery() as self.nursery:
                await trio.to_thread.run_sync(measure)
                await self.nursery.cancel()

        self.actors = 0
        trio.run(main)

    def open(self) -> None:
        """Its nursery is open during :meth:`run`."""

    def close(self) -> None:
        """As :meth:`open`."""

    def do(self, work: Callable[[], Awaitable[Value]]) -> Value:
        return trio.from_thread.run(work)
