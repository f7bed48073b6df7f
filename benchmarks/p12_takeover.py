"""P12: the node is killed under many sessions: until it is served again, and until every session has answered.

Floors: a ping of the living node; as many calls to a living session. Nothing is pinned.
``python -m benchmarks.p12_takeover [--json]``
"""

from __future__ import annotations

import os
import signal
import statistics
import time

from benchmarks.daemons import ECHO, PRELOADED, await_pool, daemon, pause, templates, time_us, touch
from benchmarks.rows import Row, command, few, measured
from supervisors.client import Client

SESSIONS = few(1000, 50)
KILLS = 5
POOL = 8


def run() -> list[Row]:
    touch(SESSIONS * 2 << 20)
    with daemon(templates(POOL)) as (client, _):
        names = [f"p12-{number}" for number in range(SESSIONS)]
        for name in names:
            client.call(client.spawn(ECHO, template=PRELOADED, name=name), 0)
        await_pool(client, 2 * POOL)
        pings = [time_us(lambda: client.node("status")) / 1e3 for _ in range(50)]
        trips = [time_us(lambda: client.call(names[0], 0)) / 1e3 for _ in range(50)]
        found = [kill_node(client, names) for _ in range(KILLS)]
    ping, calls = statistics.median(pings), statistics.median(trips) * SESSIONS
    return [
        measured("P12", f"node killed under {SESSIONS:,} sessions → owned again", "ms", [owned for owned, _ in found], ping,
                 goal="≤ 20 ms", at_most=20, note="floor: ping of a living node"),
        measured("P12", "… → all have answered", "ms", [done for _, done in found], calls,
                 goal="≤ 100 ms", at_most=100, note="by name, one call after the other; floor: as many calls to a session"),
    ]  # fmt: skip


def kill_node(client: Client, names: list[str]) -> tuple[float, float]:
    pause(client, 0.5)  # the next spare is made
    old = client.node("status")["node_os_pid"]
    assert isinstance(old, int)
    handle = os.pidfd_open(old)
    started = time.perf_counter_ns()
    signal.pidfd_send_signal(handle, signal.SIGKILL)
    client.node("status")
    owned = (time.perf_counter_ns() - started) / 1e6
    for name in names:
        client.call(name, 0)
    done = (time.perf_counter_ns() - started) / 1e6
    os.close(handle)
    return owned, done


if __name__ == "__main__":
    command(run)
