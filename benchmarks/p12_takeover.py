"""P12: the node is SIGKILLed under 1,000 processes: when it owns them again, and when each has had an answer of the new one.

Owned again: from the kill until a client, which has lost its connection too, is answered by the successor; that answers
nobody before it holds every process's socket and pidfd. All answering: from the kill until each of the processes, told to
over channels that need no node, has asked the node something and has been answered. Floors: the same with a node that
lives. Not pinned. ``python -m benchmarks.p12_takeover [--json]``
"""

from __future__ import annotations

import os
import signal
import time
from statistics import median

from actorcore.pids import Pid
from benchmarks.daemons import PRELOADED, await_pool, daemon, pause, templates, touch
from benchmarks.rows import Row, command, few, measured
from supervisors.client import Client

PROCESSES = few(1000, 50)
POOL = 8
OWNED_MS, ANSWERING_MS = 20.0, 100.0
WAIT_S = 60.0


def run() -> list[Row]:
    """Milliseconds."""
    touch(PROCESSES * 2 << 20)
    pings, owned, answered, answering = list[float](), list[float](), list[float](), list[float]()
    with daemon(templates(POOL)) as (client, _):
        me = client.pid.serial
        processes = [client.spawn("benchmarks.actors:asker", me, template=PRELOADED) for _ in range(PROCESSES)]
        await_pool(client, 2 * POOL)
        all_answered(client, processes, None)  # warm, and introduced
        for _ in range(few(9, 3)):
            pings.append(client_answered(client, None))
            owned.append(client_answered(client, node_of(client)))
            answered.append(all_answered(client, processes, None))
            answering.append(all_answered(client, processes, node_of(client)))
    return [
        measured("P12", f"node killed under {PROCESSES:,} processes, owned again", "ms", owned, median(pings),
                 goal=f"≤ {OWNED_MS:g} ms", at_most=OWNED_MS, note="floor: a request to a node that lives"),
        measured("P12", "… all have been answered by the next", "ms", answering, median(answered),
                 goal=f"≤ {ANSWERING_MS:g} ms", at_most=ANSWERING_MS, note="floor: the same with a node that lives"),
    ]  # fmt: skip


def node_of(client: Client) -> int:
    """A pidfd of the node, which has had a spare for a while; the caller closes it."""
    pause(client, 0.5)
    os_pid = client.node("status")["node_os_pid"]
    assert isinstance(os_pid, int)
    return os.pidfd_open(os_pid)


def kill(node: int | None) -> float:
    """The time at which it is killed, if it is."""
    began = time.perf_counter()
    if node is not None:
        signal.pidfd_send_signal(node, signal.SIGKILL)
        os.close(node)
    return began


def client_answered(client: Client, node: int | None) -> float:
    began = kill(node)
    client.node("status", WAIT_S)
    return (time.perf_counter() - began) * 1e3


def all_answered(client: Client, processes: list[Pid], node: int | None) -> float:
    began = kill(node)
    for pid in processes:
        client.cast(pid, None)
    for _ in processes:
        client.receive(WAIT_S)
    return (time.perf_counter() - began) * 1e3


if __name__ == "__main__":
    command(run)
