"""P1–P3: from the request to the first answer, with a warm pool and without one; and how many per second.

Floors of the same run: a ping of the node and a call to an idle process, taken between the spawns (P1); ``os.fork`` in a
zygote of the same modules, until the child's first byte (P2, P3). Nothing is pinned; memory is touched before.
``python -m benchmarks.p1_spawn [--json]``
"""

from __future__ import annotations

import asyncio
import statistics
import time
from pathlib import Path

from actorcore.pids import Pid
from benchmarks.daemons import ECHO, PRELOADED, await_pool, daemon, fork_us, pause, templates, time_us, touch
from benchmarks.rows import Row, command, few, measured
from supervisors.async_client import AsyncClient
from supervisors.client import Client

POOL = 8
"""The default of the lean template."""
ROUNDS = few(5, 2)
BURSTS = 4
"""Pools emptied in one round."""
SUSTAINED = few(600, 100)
WINDOW = 16
"""Spawns under way at a time, when as many as possible are wanted."""


def run() -> list[Row]:
    floors = fork_us()
    fork = statistics.median(floors)
    with daemon(templates(POOL)) as (client, directory):
        rows = [*warm(client, 2 * POOL), sustained(client, directory, fork, "pool")]
    with daemon(templates(0, 0)) as (client, directory):
        rows += [*forked(client, floors), sustained(client, directory, fork, "no pool")]
    return rows


def warm(client: Client, blanks: int) -> list[Row]:
    """Bursts as long as the pool, from a full pool each; then one burst of many pools."""
    touch(256 << 20)
    await_pool(client, blanks)
    idle = client.spawn(ECHO, template=PRELOADED)
    for _ in range(POOL):
        client.call(idle, 0)
    pings, trips, ready, answered, imported, longer = (list[float]() for _ in range(6))
    for _ in range(ROUNDS):
        for _ in range(BURSTS):
            await_pool(client, blanks)
            for _ in range(POOL):
                pings.append(time_us(lambda: client.node("status")))
                trips.append(time_us(lambda: client.call(idle, 0)))
            for _ in range(POOL):
                spawn_and_call(client, PRELOADED, ready, answered)
        await_pool(client, blanks)
        for _ in range(POOL):
            spawn_and_call(client, "lean", [], imported)
        await_pool(client, blanks)
        for _ in range(BURSTS * POOL):
            spawn_and_call(client, PRELOADED, [], longer)
        end_all(client, idle)
    refills = [refill_us(client, blanks) for _ in range(ROUNDS)]
    floor = statistics.median(pings) + statistics.median(trips)
    note = f"pool of {POOL}, {len(answered)} spawns in bursts of {POOL}; not pinned; floor: node ping + call to an idle process"
    return [
        measured("P1", "warm spawn → first answer", "µs", answered, floor, goal="≤ 2 × floor and ≤ 150 µs",
                 at_most=min(2 * floor, 150), note=note),
        measured("", "… of it: request → ready", "µs", ready, floor),
        measured("", "… module not preloaded: imported by the child", "µs", imported, floor),
        measured("", f"… in a row, {BURSTS} × the pool without a pause", "µs", longer, floor),
        measured("", "… ping of the node", "µs", pings),
        measured("", "… call to an idle process", "µs", trips),
        measured("", f"{POOL} spawned in a row until the pool is full again, each", "µs", refills),
    ]  # fmt: skip


def spawn_and_call(client: Client, template: str, ready: list[float], answered: list[float]) -> None:
    started = time.perf_counter_ns()
    pid = client.spawn(ECHO, template=template)
    ready.append((time.perf_counter_ns() - started) / 1e3)
    client.call(pid, 0)
    answered.append((time.perf_counter_ns() - started) / 1e3)


def end_all(client: Client, *spared: Pid) -> None:
    """Kill every process but ``spared``, and hear of each end."""
    serials = [row["serial"] for row in client.processes() if row["kind"] == "process" and row["start"]]
    pids = [Pid(client.pid.instance, serial) for serial in serials if isinstance(serial, int)]
    refs = [client.monitor(pid) for pid in pids if pid not in spared]
    for pid in pids:
        if pid not in spared:
            client.exit(pid, "kill")
    for ref in refs:
        client.wait_down(ref)


def refill_us(client: Client, blanks: int) -> float:
    """From the first of as many spawns as the pool has blanks until it is full again, by one."""
    await_pool(client, blanks)
    started = time.perf_counter_ns()
    for _ in range(POOL):
        client.spawn(ECHO, template=PRELOADED)
    while client.node("status")["blanks"] != blanks:
        pause(client, 0.005)
    return (time.perf_counter_ns() - started) / 1e3 / POOL


def forked(client: Client, floors: list[float]) -> list[Row]:
    touch(256 << 20)
    answered: list[float] = []
    for _ in range(ROUNDS):
        for _ in range(BURSTS * POOL):
            spawn_and_call(client, PRELOADED, [], answered)
        end_all(client)
    floor = statistics.median(floors)
    return [
        measured("", "os.fork + 1 byte in that zygote", "µs", floors),
        measured("P2", "spawn without a pool → first answer", "µs", answered, floor, goal="≤ 1.3 × floor", at_most=1.3 * floor,
                 note="module preloaded; floor: os.fork + 1 byte in a zygote of the same modules"),
    ]  # fmt: skip


def sustained(client: Client, directory: Path, fork: float, which: str) -> Row:
    """Spawns per second with WINDOW under way, until all are ready."""
    touch(SUSTAINED << 20)
    rates = []
    for _ in range(ROUNDS):
        rates.append(asyncio.run(spawn_many(directory)))
        end_all(client)
    floor = 1e6 / fork
    return measured("P3", f"sustained spawns, {which}", "/s", rates, floor, goal="≥ 2,000 /s on two cores", at_least=2000,
                    note=f"{SUSTAINED} with {WINDOW} under way; floor: one os.fork after the other")  # fmt: skip


async def spawn_many(directory: Path) -> float:
    async with await AsyncClient.connect(directory) as client:
        left = SUSTAINED

        async def spawn_some() -> None:
            nonlocal left
            while left > 0:
                left -= 1
                await client.spawn(ECHO, template=PRELOADED)

        started = time.perf_counter()
        await asyncio.gather(*(spawn_some() for _ in range(WINDOW)))
        return SUSTAINED / (time.perf_counter() - started)


if __name__ == "__main__":
    command(run)
