"""P12: the node is SIGKILLed under 1,000 processes: when it owns them again, and when each has had an answer of the new one.

Owned again: from the kill until a client, which has lost its connection too, is answered by the successor; that answers
nobody before it holds every process's socket and pidfd. All answering: the node is stopped, each process asks it something,
then it is killed; until the last process has been answered, and has said so. Floors: a request to a node that lives; a
stopped node that goes on. Not pinned. ``python -m benchmarks.p12_takeover [--json]``
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
        for pid in processes:
            client.cast(pid, None)  # introduced, and warm
        for _ in range(2 * PROCESSES):
            client.receive(WAIT_S)
        for _ in range(few(9, 3)):
            pings.append(client_answered(client, None))
            owned.append(client_answered(client, node_of(client)))
            answered.append(all_answered(client, processes, signal.SIGCONT))
            answering.append(all_answered(client, processes, signal.SIGKILL))
    return [
        measured("P12", f"node killed under {PROCESSES:,} processes, owned again", "ms", owned, median(pings),
                 goal=f"≤ {OWNED_MS:g} ms", at_most=OWNED_MS, note="floor: a request to a node that lives"),
        measured("P12", "… all have been answered by the next", "ms", answering, median(answered),
                 goal=f"≤ {ANSWERING_MS:g} ms", at_most=ANSWERING_MS, note="floor: the stopped node goes on"),
    ]  # fmt: skip


def node_of(client: Client) -> int:
    """A pidfd of the node, which has had a spare for a while; the caller closes it."""
    pause(client, 0.5)
    os_pid = client.node("status")["node_os_pid"]
    assert isinstance(os_pid, int)
    return os.pidfd_open(os_pid)


def client_answered(client: Client, node: int | None) -> float:
    """From a kill, if there is a ``node`` to kill."""
    began = time.perf_counter()
    if node is not None:
        signal.pidfd_send_signal(node, signal.SIGKILL)
        os.close(node)
    client.node("status", WAIT_S)
    return (time.perf_counter() - began) * 1e3


def all_answered(client: Client, processes: list[Pid], number: signal.Signals) -> float:
    """From the signal that ends the standstill of the node that all have asked."""
    node = node_of(client)
    signal.pidfd_send_signal(node, signal.SIGSTOP)
    for pid in processes:
        client.cast(pid, None)
    for _ in processes:
        client.receive(WAIT_S)
    began = time.perf_counter()
    signal.pidfd_send_signal(node, number)
    for _ in processes:
        client.receive(WAIT_S)
    os.close(node)
    return (time.perf_counter() - began) * 1e3


if __name__ == "__main__":
    command(run)
