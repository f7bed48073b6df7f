"""P1, P4, P5, P12: spawn, kill -9 → DOWN, kill -9 → replacement, node killed; each beside its floor of the same run.

``python -m benchmarks.lifecycle [--rounds N] [--sessions N] [--json]``. Processes are not pinned. Floors: an idle round
trip to a session (P1), ``os.fork`` + SIGKILL + ``waitid`` of a child of this size (P4, P5), a call to a live node (P12).
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from actorcore.signals import ProcessSpec
from supervisors.child_spec import ChildSpec
from supervisors.client import Client
from supervisors.demo import private_daemon

ACTOR = "supervisors.demo_actors:Counter"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--sessions", type=int, default=100)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        private_daemon(Path(folder) / "run"),
        Client.connect(Path(folder) / "run") as client,
    ):
        rows = measure(client, arguments.rounds, arguments.sessions)
    if arguments.json:
        print(json.dumps(rows))
        return
    print(f"{'':34}{'median':>10}{'p99':>10}{'floor':>10}{'ratio':>8}   µs")
    for row in rows:
        ratio = row["median_us"] / row["floor_us"]
        figures = f"{row['median_us']:10.0f}{row['p99_us']:10.0f}{row['floor_us']:10.0f}{ratio:8.2f}"
        print(f"{row['what']:34}{figures}   {row['floor']}")


def measure(client: Client, rounds: int, sessions: int) -> list[Row]:
    idle = client.spawn(ACTOR)
    ping = timed(rounds, lambda: client.node("status"))
    round_trip = timed(rounds, lambda: client.call(idle, "add"))
    floor_kill = [fork_and_kill() for _ in range(rounds)]
    spawns = [spawn_and_call(client) for _ in range(rounds)]
    downs = [kill_and_hear(client) for _ in range(rounds)]
    backs = [kill_and_wait_back(client, number) for number in range(rounds)]
    for number in range(sessions):
        client.spawn(ACTOR, name=f"p12-{number}")
    takeovers = [kill_node(client, sessions) for _ in range(5)]
    wait = statistics.median(floor_kill)
    trip = statistics.median(round_trip)
    return [
        row("P1 spawn → first answer", spawns, statistics.median(ping) + trip, "daemon ping + idle round trip"),
        row("P4 kill -9 → DOWN", downs, wait, "fork, kill -9, waitid of a child as large as this process"),
        row("P5 kill -9 → answers again", backs, wait + trip, "the same + idle round trip"),
        row("P12 node killed → daemon answers", [owned for owned, _ in takeovers], statistics.median(ping), "daemon ping"),
        row(f"P12 … → all {sessions} answered", [done for _, done in takeovers], trip * sessions, "as many idle round trips"),
    ]


Row = dict[str, Any]


def row(what: str, values: list[float], floor_s: float, floor: str) -> Row:
    ordered = sorted(values)
    p99 = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
    median = statistics.median(ordered)
    return {"what": what, "median_us": median * 1e6, "p99_us": p99 * 1e6, "floor_us": floor_s * 1e6, "floor": floor}


def timed(rounds: int, action: Callable[[], object]) -> list[float]:
    found = []
    for _ in range(rounds):
        started = time.perf_counter()
        action()
        found.append(time.perf_counter() - started)
    return found


def fork_and_kill() -> float:
    child = os.fork()
    if child == 0:
        signal.pause()
        os._exit(0)
    descriptor = os.pidfd_open(child)
    started = time.perf_counter()
    signal.pidfd_send_signal(descriptor, signal.SIGKILL)
    os.waitid(os.P_PIDFD, descriptor, os.WEXITED)
    spent = time.perf_counter() - started
    os.close(descriptor)
    return spent


def spawn_and_call(client: Client) -> float:
    started = time.perf_counter()
    pid = client.spawn(ACTOR)
    client.call(pid, "add")
    return time.perf_counter() - started


def kill_and_hear(client: Client) -> float:
    pid = client.spawn(ACTOR)
    os_pid = client.call(pid, "os_pid")
    assert isinstance(os_pid, int)
    ref = client.monitor(pid)
    descriptor = os.pidfd_open(os_pid)
    started = time.perf_counter()
    signal.pidfd_send_signal(descriptor, signal.SIGKILL)
    client.wait_down(ref)
    spent = time.perf_counter() - started
    os.close(descriptor)
    return spent


def kill_and_wait_back(client: Client, number: int) -> float:
    name = f"p5-{number}"
    client.start_session(ChildSpec(name, ProcessSpec(ACTOR, name=name), "permanent"))
    os_pid = client.call(name, "os_pid")
    assert isinstance(os_pid, int)
    ref = client.monitor(name)
    descriptor = os.pidfd_open(os_pid)
    started = time.perf_counter()
    signal.pidfd_send_signal(descriptor, signal.SIGKILL)
    client.wait_down(ref)
    while client.whereis(name) is None:
        pass
    client.call(name, "add")
    spent = time.perf_counter() - started
    os.close(descriptor)
    client.stop_session(name)
    return spent


def kill_node(client: Client, sessions: int) -> tuple[float, float]:
    old = client.node("status")["node_os_pid"]
    assert isinstance(old, int)
    descriptor = os.pidfd_open(old)
    started = time.perf_counter()
    signal.pidfd_send_signal(descriptor, signal.SIGKILL)
    client.node("status")
    owned = time.perf_counter() - started
    for number in range(sessions):
        client.call(f"p12-{number}", "add")
    done = time.perf_counter() - started
    os.close(descriptor)
    return owned, done


if __name__ == "__main__":
    main()
