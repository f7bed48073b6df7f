"""P11: 10,000 DOWNs to one watcher, of one process and of 100 that are killed at once.

From the first SIGKILL until the watcher has taken the last DOWN out of its mailbox. Floor: the same kills with one monitor
of each process, so that what is above it is the DOWNs. Not pinned.

``python -m benchmarks.p11_downs [--json]``
"""

from __future__ import annotations

import os
import signal
import statistics
import tempfile
import time
from pathlib import Path

from actorcore.pids import Pid
from actorcore.words import ProcessSpec
from benchmarks.rows import Row, command, few, measured
from supervisors.client import Client
from supervisors.clients.messages import InfoMessage
from supervisors.private_daemon import private_daemon

DOWNS = 10_000
ROUNDS = few(7, 2)
WAIT_S = 60.0
GOAL_MS = 10.0
VICTIM = "supervisors.demo_actors:Counter"
ROOT = str(Path(__file__).parent.parent)


def run() -> list[Row]:
    with tempfile.TemporaryDirectory() as folder, private_daemon(Path(folder) / "run") as daemon, daemon.connect() as client:
        watcher = client.spawn_spec(ProcessSpec("benchmarks.actors:watcher", [client.pid.serial], path=ROOT))
        times: dict[tuple[int, int], list[float]] = {(1, 1): [], (1, DOWNS): [], (100, 1): [], (100, DOWNS // 100): []}
        for _ in range(ROUNDS):
            for (processes, each), found in times.items():
                found.append(downs(client, watcher, processes, each))
    rows = []
    for processes in (1, 100):
        floor = statistics.median(times[processes, 1])
        what = "one process" if processes == 1 else f"{processes} processes killed at once"
        least = min(times[processes, DOWNS // processes]) - min(times[processes, 1])
        rows.append(
            measured(
                "P11", f"{DOWNS:,} DOWNs of {what}", "ms", times[processes, DOWNS // processes], floor,
                goal=f"≤ {GOAL_MS:.0f} ms over the floor", at_most=GOAL_MS + floor,
                note=f"floor: one monitor of each; over it, of the minima: {least:.1f} ms",
            )
        )  # fmt: skip
    return rows


def downs(client: Client, watcher: Pid, processes: int, each: int) -> float:
    """Milliseconds from the first kill to the last DOWN."""
    victims = [client.spawn(VICTIM) for _ in range(processes)]
    handles = [os.pidfd_open(int(str(client.call(victim, "os_pid")))) for victim in victims]
    client.call(watcher, [[victim.serial for victim in victims], each], WAIT_S)
    start = time.monotonic()
    for handle in handles:
        signal.pidfd_send_signal(handle, signal.SIGKILL)
    told = client.receive(WAIT_S)
    for handle in handles:
        os.close(handle)
    assert isinstance(told, InfoMessage)
    return (float(str(told.body)) - start) * 1e3


if __name__ == "__main__":
    command(run)
