"""P14: many live processes on one machine; the medians of a call and of a spawn beside those among a hundred.

Plain processes, each with a status page, a control socket and a pidfd in guardian and node; the sessions resident allows
1,000. Their module is preloaded, as whoever wants thousands of one kind configures it: each is 0.7 MB smaller then. Rungs
beyond what descriptors or memory allow are left out, and that is said. Memory is touched before the first rung, for a
guest's first use of a page is slow. ``python -m benchmarks.p14_many [--json]``
"""

from __future__ import annotations

import resource
import time
from pathlib import Path

from actorcore.pids import Pid
from benchmarks.daemons import ECHO, PRELOADED, daemon, templates, touch
from benchmarks.rows import Row, command, few, measured
from supervisors.client import Client

POOL = 8
"""The default of the lean template."""
RUNGS = (100, 1_000, 3_000, 6_000, 9_000)
FDS_EACH = 2
"""In the guardian, and in the node: a control socket and a pidfd."""
FDS_BESIDE = 200
SHARE_OF_MEMORY = 0.8
"""Of what is available, the ladder takes no more."""
SAMPLES = 60
CALLS = 1_000


def run() -> list[Row]:
    most_fds = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    reachable = [rung for rung in RUNGS if rung * FDS_EACH + FDS_BESIDE <= most_fds][: few(len(RUNGS), 2)]
    before = available_bytes()
    touch(int(before * SHARE_OF_MEMORY))
    note = f"module preloaded; memory touched before; {most_fds} fds"
    with daemon(templates(POOL)) as (client, _):
        idle = [spawn(client) for _ in range(10)]
        count, figures = len(idle), list[tuple[int, list[float], list[float]]]()
        for rung in reachable:
            each_bytes = (before - available_bytes()) / count
            if figures and rung * each_bytes > before * SHARE_OF_MEMORY:
                note += f"; {each_bytes / 1e6:.1f} MB each, so {rung:,} do not fit into the memory"
                break
            count += fill(client, rung - count)
            figures.append((rung, calls_us(client, idle), spawns_us(client)))
        live = sum(row["kind"] == "process" and row["phase"] == "running" for row in client.processes())
    _, first_calls, first_spawns = figures[0]
    floor_call, floor_spawn = middle(first_calls), middle(first_spawns)
    rows = []
    for rung, calls, spawns in figures:
        is_last, said = rung == RUNGS[-1], note if rung == figures[-1][0] else ""
        rows.append(measured("P14", f"call among {rung:,}", "µs", calls, floor_call, goal="≤ 2 × at 100",
                             at_most=2 * floor_call if is_last else None, note=said))  # fmt: skip
        rows.append(measured("P14", f"spawn → ready among {rung:,}", "µs", spawns, floor_spawn, goal="≤ 3 × at 100",
                             at_most=3 * floor_spawn if is_last else None))  # fmt: skip
    is_short = len(reachable) < len(RUNGS)
    return [*rows, Row(number="P14", what="live processes at the end", unit="", figure=live, goal=f"≥ {RUNGS[-1]:,}",
                       met=None if is_short else live >= RUNGS[-1])]  # fmt: skip


def available_bytes() -> int:
    """What the machine could give without taking it from anybody."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))


def spawn(client: Client) -> Pid:
    return client.spawn(ECHO, template=PRELOADED)


def fill(client: Client, count: int) -> int:
    """Spawn so many processes more."""
    for _ in range(count):
        spawn(client)
    return count


def calls_us(client: Client, idle: list[Pid]) -> list[float]:
    """Calls to a few of all, one after the other."""
    times = []
    for at in range(CALLS):
        started = time.perf_counter_ns()
        client.call(idle[at % len(idle)], "add")
        times.append((time.perf_counter_ns() - started) / 1e3)
    return times


def spawns_us(client: Client) -> list[float]:
    """Spawns at the pace of the pool's refill; what was spawned is ended."""
    times = []
    for _ in range(SAMPLES):
        started = time.perf_counter_ns()
        pid = spawn(client)
        times.append((time.perf_counter_ns() - started) / 1e3)
        ref = client.monitor(pid)
        client.exit(pid, "kill")
        client.wait_down(ref)
    return times


def middle(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


if __name__ == "__main__":
    command(run)
