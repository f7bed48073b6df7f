"""Fault injection: what each kind of kill costs, and whom. Time to DOWN, to the replacement, and bystanders' calls meanwhile.

Each fault is a real signal to a real process of a private daemon with sessions that nobody harms; a client in a process of
its own calls one of them all the time, and its slowest calls are the price that others pay. Beside it: the same with no
fault at all. ``python -m benchmarks.fault_injection [--json]``
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from actorcore.signals import ProcessSpec
from benchmarks.rows import Row, command, few, measured, percentile
from supervisors.client import Client
from supervisors.clients.messages import InfoMessage
from supervisors.private_daemon import private_daemon
from supervisors.tree.child_spec import ChildSpec

REPORTER = "benchmarks.fault_actors:Reporter"
BYSTANDER = "supervisors.demo_actors:Counter"
DEATHS = {
    "A1 KILL": signal.SIGKILL, "A2 SEGV": signal.SIGSEGV, "A2 ABRT": signal.SIGABRT, "A3 TERM": signal.SIGTERM,
    "A5 INT": signal.SIGINT, "A5 USR1": signal.SIGUSR1, "A7 XCPU": signal.SIGXCPU,
}  # fmt: skip
WAIT_S = 30.0
ROOT = str(Path(__file__).parent.parent)


class Scene:
    """A client of a private daemon, and its session ``victim``."""

    def __init__(self, directory: Path, daemon_pid: int) -> None:
        self.directory, self.daemon_pid = directory, daemon_pid
        self.client = Client.connect(directory, WAIT_S)
        self.client.register("watcher")
        self.client.start_session(ChildSpec("bystander", ProcessSpec(BYSTANDER, name="bystander"), "permanent"))
        policy = ChildSpec("victim", ProcessSpec(REPORTER, ["watcher"], name="victim", path=ROOT), "permanent", shutdown_s=0.0,
                           intensity=1000, backoff_step_s=0.0, backoff_max_s=0.0)  # fmt: skip
        self.client.start_session(policy)
        self.victim = self.next_victim()

    def next_victim(self) -> int:
        """The OS pid of the next incarnation that reports itself."""
        mail = self.client.receive(WAIT_S)
        assert isinstance(mail, InfoMessage)
        assert isinstance(mail.body, int)
        return mail.body

    # ---- faults: each returns milliseconds until DOWN (None: nobody died whom one may watch) and until all is well --

    def death(self, number: int) -> tuple[float | None, float]:
        ref = self.client.monitor("victim")
        started = time.perf_counter()
        send(self.victim, number)
        self.client.wait_down(ref, WAIT_S)
        down = since(started)
        self.victim = self.next_victim()
        return down, since(started)

    def stopped_session(self) -> tuple[float | None, float]:
        """Nothing but its supervisor can end it."""
        ref = self.client.monitor("victim")
        send(self.victim, signal.SIGSTOP)
        started = time.perf_counter()
        self.client.restart_session("victim")
        self.client.wait_down(ref, WAIT_S)
        down = since(started)
        self.victim = self.next_victim()
        return down, since(started)

    def node(self, number: int) -> tuple[float | None, float]:
        """Until its successor answers."""
        old = self.client.node("status")["node_os_pid"]
        assert isinstance(old, int)
        started = time.perf_counter()
        send(old, number)
        self.client.node("status", WAIT_S)
        return None, since(started)

    def node_and_session(self) -> tuple[float | None, float]:
        """The death under a dead node is told by its successor."""
        old = self.client.node("status")["node_os_pid"]
        assert isinstance(old, int)
        ref = self.client.monitor("victim")
        started = time.perf_counter()
        send(old, signal.SIGKILL)
        send(self.victim, signal.SIGKILL)
        self.client.wait_down(ref, WAIT_S)
        down = since(started)
        self.victim = self.next_victim()
        return down, since(started)

    def zygote(self) -> tuple[float | None, float]:
        """Until more processes are ready than the pool had waiting."""
        started = time.perf_counter()
        send(zygote_of(self.daemon_pid), signal.SIGKILL)
        pids = [self.client.spawn(BYSTANDER) for _ in range(12)]
        back = since(started)
        for pid in pids:
            ref = self.client.monitor(pid)
            self.client.exit(pid, "kill")
            self.client.wait_down(ref, WAIT_S)
        return None, back


def run() -> list[Row]:
    with tempfile.TemporaryDirectory() as folder, private_daemon(Path(folder) / "run") as daemon:
        scene = Scene(daemon.directory, daemon.process.pid)
        rounds = few(100, 10)
        calm = bystander(scene, lambda: scene.client.node("status"), rounds * 4)
        floor = percentile(sorted(calm), 0.99)
        note = f"not pinned; floor of the calls: their p99 without a fault; {rounds} of each kind"
        rows = [measured("", "bystander's call, no fault", "ms", calm, note=note)]
        for what, number in DEATHS.items():
            rows += fault(scene, what, lambda number=number: scene.death(number), rounds, floor)  # type: ignore[misc]
        rows += fault(scene, "A8 stopped, restarted", scene.stopped_session, rounds, floor)
        rows += fault(scene, "A12 zygote KILL", scene.zygote, few(20, 3), floor)
        rows += fault(scene, "A16 node KILL", lambda: scene.node(signal.SIGKILL), few(30, 5), floor)
        rows += fault(scene, "A15 node and session KILL", scene.node_and_session, few(30, 5), floor)
        rows += fault(scene, "A22 node STOP", lambda: scene.node(signal.SIGSTOP), few(3, 1), floor)
        scene.client.close()
    return rows


def fault(scene: Scene, what: str, act: Callable[[], tuple[float | None, float]], rounds: int, floor: float) -> list[Row]:
    times: list[tuple[float | None, float]] = []
    calls = bystander(scene, lambda: times.append(act()), rounds)
    downs = [down for down, _ in times if down is not None]
    rows = [measured("", f"{what} → DOWN", "ms", downs)] if downs else []
    rows.append(measured("", f"{what} → back", "ms", [back for _, back in times]))
    rows.append(measured("", f"{what}: a bystander's slowest 1 % of calls", "ms", [percentile(sorted(calls), 0.99)], floor))
    return rows


def bystander(scene: Scene, act: Callable[[], object], rounds: int) -> list[float]:
    """Milliseconds of each call to a session that nobody harms, while ``act`` is done so often."""
    argv = [sys.executable, "-m", "benchmarks.fault_injection", "--calls", str(scene.directory)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as caller:
        assert caller.stdout is not None
        assert caller.stdout.readline() == "calling\n"
        for _ in range(rounds):
            act()
        told, _ = caller.communicate("")
    times = json.loads(told)
    assert isinstance(times, list)
    return times


def keep_calling(directory: str) -> None:
    """The bystander's caller: until its stdin ends."""
    times = []
    with Client.connect(directory, WAIT_S) as client:
        pid = client.whereis("bystander")
        assert pid is not None
        client.call(pid, "add", WAIT_S)  # over a channel of their own from here on
        print("calling", flush=True)
        while not select.select([sys.stdin], [], [], 0)[0]:
            started = time.perf_counter()
            client.call(pid, "add", WAIT_S)
            times.append(since(started))
    print(json.dumps(times))


def since(started: float) -> float:
    return (time.perf_counter() - started) * 1e3


def send(os_pid: int, number: int) -> None:
    with handle_of(os_pid) as handle:
        signal.pidfd_send_signal(handle, number)


@contextlib.contextmanager
def handle_of(os_pid: int) -> Iterator[int]:
    handle = os.pidfd_open(os_pid)
    try:
        yield handle
    finally:
        os.close(handle)


def zygote_of(guardian: int) -> int:
    """The guardian's first child that is called so: a zygote is started before its children."""
    children = Path(f"/proc/{guardian}/task/{guardian}/children").read_text().split()
    keeps = {"3", "4", "5"}  # its own descriptors; a newborn keeps its socket only
    return next(int(child) for child in children if Path(f"/proc/{child}/comm").read_text() == "actor-zygote\n"
                and keeps <= set(os.listdir(f"/proc/{child}/fd")))  # fmt: skip


if __name__ == "__main__":
    if "--calls" in sys.argv:
        keep_calling(sys.argv[2])
    else:
        command(run)
