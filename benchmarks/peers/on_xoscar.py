"""xoscar: a sub-pool, which is a process, for each actor.

As its documentation has it: ``create_actor_pool`` and ``append_sub_pool`` make processes, ``create_actor(address=…)`` puts an
actor into one, ``await ref.method(…)`` is a call and ``ref.method.tell(…)`` is not answered; ``auto_recover="actor"``, the
default, starts a dead process again with its actors, and ``wait_actor_pool_recovered`` waits for that. Death is told to
nobody: a pending call fails with ServerClosed. Its loop runs all the time, in a thread of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
import os
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import uvloop
import xoscar

from benchmarks.peers.contract import BODY, Peer

Value = TypeVar("Value")


class Echo(xoscar.StatelessActor):
    async def echo(self, body: bytes) -> bytes:
        return body

    async def count(self, body: bytes) -> None:
        pass

    async def os_pid(self) -> int:
        return os.getpid()

    async def hang(self) -> None:
        await asyncio.Event().wait()


class Xoscar(Peer[Any]):
    remarks = {"told": "a pending call fails", "replaced": "auto_recover, looked at every 0.5 s", "storm": "auto_recover"}

    def version(self) -> str:
        return importlib.metadata.version("xoscar")

    def open(self) -> None:
        self.loop = uvloop.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.actors = 0
        self.pool = self.do(xoscar.create_actor_pool("127.0.0.1", n_process=1))

    def close(self) -> None:
        self.do(self.pool.stop())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()

    def do(self, work: Coroutine[Any, Any, Value]) -> Value:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result()

    def spawn(self) -> Any:
        self.actors += 1
        return self.do(self.spawning(f"echo-{self.actors}"))

    def spawn_many(self, count: int) -> list[Any]:
        async def all_spawning() -> list[Any]:
            uids = [f"echo-{self.actors + each}" for each in range(1, count + 1)]
            self.actors += count
            return await asyncio.gather(*map(self.spawning, uids))

        return self.do(all_spawning())

    def supervise_many(self, count: int) -> list[Any]:
        return self.spawn_many(count)

    async def spawning(self, uid: str) -> Any:
        actor = await xoscar.create_actor(Echo, uid=uid, address=await self.pool.append_sub_pool())
        await actor.echo(BODY)
        return actor

    def end(self, actor: Any) -> None:
        self.do(self.pool.remove_sub_pool(actor.address))

    def calls(self, actor: Any, count: int) -> None:
        async def calling() -> None:
            for _ in range(count):
                await actor.echo(BODY)

        self.do(calling())

    def casts(self, actor: Any, count: int) -> None:
        async def casting() -> None:
            for _ in range(count):
                await actor.count.tell(BODY)
            await actor.echo(BODY)

        self.do(casting())

    def os_pid(self, actor: Any) -> int:
        async def asking() -> int:
            return int(await actor.os_pid())

        return self.do(asking())

    def watch(self, actor: Any) -> Callable[[], object]:
        async def hanging() -> None:
            with contextlib.suppress(xoscar.ServerClosed):
                await actor.hang()
                raise AssertionError("it hangs for ever")

        pending = asyncio.run_coroutine_threadsafe(hanging(), self.loop)
        return pending.result

    def await_replacement(self, actor: Any) -> None:
        self.do(self.recovering(actor))

    def await_replacements(self, actors: list[Any]) -> None:
        async def all_recovering() -> None:
            await asyncio.gather(*map(self.recovering, actors))

        self.do(all_recovering())

    async def recovering(self, actor: Any) -> None:
        """It is said to be recovered as long as its death has not been seen: then the call fails, and is tried again."""
        while True:
            await xoscar.wait_actor_pool_recovered(actor.address, self.pool.external_address)
            with contextlib.suppress(xoscar.ServerClosed, ConnectionError):
                await actor.echo(BODY)
                return


PEERS = {"": Xoscar}
