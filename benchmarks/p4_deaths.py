"""P4–P6: from a SIGKILL to the DOWN that a watcher decodes, to the replacement that answers under the same name, and to 200
of them.

The floor is the kernel's: such a process is killed and its pidfd becomes readable, waited for by us and by nobody else
(LIMITS §2: as fast as waitpid), in turns with what is measured. Nothing is pinned; memory is touched before.
``python -m benchmarks.p4_deaths [--json]``
"""

from __future__ import annotations

import asyncio
import os
import select
import signal
import statistics
import time
from pathlib import Path

from actorcore.pids import Pid
from actorcore.signals import ProcessSpec
from benchmarks.daemons import ECHO, PRELOADED, await_pool, daemon, fork_us, pause, templates, time_us, touch
from benchmarks.rows import Row, command, few, measured
from supervisors.async_client import AsyncClient
from supervisors.client import Client
from supervisors.tree.child_spec import ChildSpec

POOL = 8
"""The default of the lean template."""
ROUNDS = few(5, 2)
KILLS = few(20, 5)
"""In one round, of each kind."""
STORM = few(200, 20)
"""Processes that are killed at once; the pool of that daemon holds as many."""


def run() -> list[Row]:
    with daemon(templates(POOL)) as (client, _):
        rows = [*deaths(client), *restarts(client, 2 * POOL, "pool", None)]
    with daemon(templates(0, 0)) as (client, _):
        rows += restarts(client, 0, "fork", statistics.median(fork_us()))
    with daemon(templates(STORM)) as (client, directory):
        rows.append(storm(client, directory))
    return rows


def deaths(client: Client) -> list[Row]:
    touch(256 << 20)
    told, floors = list[float](), list[float]()
    for _ in range(ROUNDS * KILLS):
        floors.append(exit_us(client))
        pid, handle = start(client)
        ref = client.monitor(pid)
        pause(client)
        started = time.perf_counter_ns()
        signal.pidfd_send_signal(handle, signal.SIGKILL)
        client.wait_down(ref)
        told.append((time.perf_counter_ns() - started) / 1e3)
        os.close(handle)
    floor = statistics.median(floors)
    return [
        measured("P4", "SIGKILL → DOWN", "µs", told, floor, goal="≤ 1.15 × floor + 60 µs", at_most=1.15 * floor + 60,
                 note="floor: such a process is killed and its pidfd readable"),
        measured("", "… such a process is killed and its pidfd readable", "µs", floors),
    ]  # fmt: skip


def start(client: Client) -> tuple[Pid, int]:
    """A process of which nothing but its OS pid was asked, and a pidfd of it."""
    pid = client.spawn(ECHO, template=PRELOADED)
    (row,) = [row for row in client.processes() if row["serial"] == pid.serial]
    os_pid = row["os_pid"]
    assert isinstance(os_pid, int)
    return pid, os.pidfd_open(os_pid)


def exit_us(client: Client) -> float:
    """The floor: one process is killed and awaited."""
    _, handle = start(client)
    pause(client)
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    started = time.perf_counter_ns()
    signal.pidfd_send_signal(handle, signal.SIGKILL)
    poll.poll()
    spent = (time.perf_counter_ns() - started) / 1e3
    os.close(handle)
    return spent


def restarts(client: Client, blanks: int, which: str, fork: float | None) -> list[Row]:
    """Of sessions, each killed once: a new pid answers a call to the name. ``fork``: what a bare one costs, µs."""
    touch(256 << 20)
    back, floors, trips = list[float](), list[float](), list[float]()
    idle = client.spawn(ECHO, template=PRELOADED)
    client.call(idle, 0)
    for at in range(ROUNDS * KILLS):
        floors.append(exit_us(client))
        name = f"{which}-{at}"
        client.start_session(ChildSpec(name, ProcessSpec(ECHO, name=name, template=PRELOADED), "permanent"))
        old, handle = holder(client, name)
        await_pool(client, blanks)
        trips.append(time_us(lambda: client.call(idle, 0)))
        ref = client.monitor(old)
        started = time.perf_counter_ns()
        signal.pidfd_send_signal(handle, signal.SIGKILL)
        client.wait_down(ref)
        while (new := client.whereis(name)) is None:
            pass
        client.call(new, 0)
        back.append((time.perf_counter_ns() - started) / 1e3)
        os.close(handle)
        client.stop_session(name)
    alone = statistics.median(trips) if fork is None else fork
    floor = statistics.median(floors) + alone
    what = "an idle round trip" if fork is None else "os.fork until its child's first byte"
    return [
        measured("P5", f"SIGKILL → replacement answers under its name, {which}", "µs", back, floor, goal="≤ 1.25 × floor",
                 at_most=1.25 * floor, note=f"floor: killed, pidfd readable + {what}"),
    ]  # fmt: skip


def holder(client: Client, name: str) -> tuple[Pid, int]:
    """Who has ``name``, and a pidfd of it."""
    pid = client.whereis(name)
    assert pid is not None
    (row,) = [row for row in client.processes() if row["serial"] == pid.serial]
    os_pid = row["os_pid"]
    assert isinstance(os_pid, int)
    return pid, os.pidfd_open(os_pid)


def storm(client: Client, directory: Path) -> Row:
    """All of them at once, and until the last one answers again; against killing and reaping as many that stay dead."""
    touch(STORM * 3 << 20)
    back, floors = list[float](), list[float]()
    for round in range(ROUNDS):
        await_pool(client, STORM + POOL)
        handles = [start(client)[1] for _ in range(STORM)]
        await_pool(client, STORM + POOL)
        floors.append(time_us(lambda handles=handles: kill_all(handles)) / 1e3)  # type: ignore[misc]
        names = [f"storm-{round}-{at}" for at in range(STORM)]
        for name in names:
            client.start_session(ChildSpec(name, ProcessSpec(ECHO, name=name, template=PRELOADED), "permanent"))
        held = {name: holder(client, name) for name in names}
        await_pool(client, STORM + POOL)
        back.append(asyncio.run(all_back(directory, held)))
        for _, handle in held.values():
            os.close(handle)
        for name in names:
            client.stop_session(name)
    floor = statistics.median(floors)
    return measured("P6", f"{STORM} killed at once → all answer again", "ms", back, floor, goal="≤ 1.5 × floor",
                    at_most=1.5 * floor, note=f"pool of {STORM}; floor: {STORM} killed, all pidfds readable")  # fmt: skip


async def all_back(directory: Path, held: dict[str, tuple[Pid, int]]) -> float:
    """Milliseconds from the first kill until all names answer, each asked when its DOWN has come: not one after the other."""
    async with await AsyncClient.connect(directory) as client:
        refs = {name: await client.monitor(pid) for name, (pid, _) in held.items()}

        async def answer(name: str) -> None:
            await client.wait_down(refs[name])
            while (new := await client.whereis(name)) is None:
                pass
            await client.call(new, 0)

        started = time.perf_counter_ns()
        for _, handle in held.values():
            signal.pidfd_send_signal(handle, signal.SIGKILL)
        await asyncio.gather(*map(answer, held))
        return (time.perf_counter_ns() - started) / 1e6


def kill_all(handles: list[int]) -> None:
    """Kill them and wait for the last end."""
    for handle in handles:
        signal.pidfd_send_signal(handle, signal.SIGKILL)
    for handle in handles:
        poll = select.poll()
        poll.register(handle, select.POLLIN)
        poll.poll()
        os.close(handle)


if __name__ == "__main__":
    command(run)
