"""P13: what an idle session costs in memory: its unique set size (smaps_rollup: private pages, clean and dirty).

Each session has answered one call and waits for the next. Floor: ``os.fork`` of a bare Python, which waits in ``pause``.
``python -m benchmarks.p13_memory [--json]``
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from actorcore.signals import ProcessSpec
from benchmarks.rows import Row, command, few, measured
from supervisors.client import Client
from supervisors.private_daemon import private_daemon
from supervisors.tree.child_spec import ChildSpec

ACTORS = {"lean": "supervisors.demo_actors:Counter", "asyncio": "supervisors.demo_actors:AsyncCounter"}
GOALS_MB = {"lean": 0.5, "asyncio": 1.8}
FLOOR = """
import os, signal, sys
child = os.fork()
if child == 0:
    signal.pause()
print(child, flush=True)
sys.stdin.read()
os.kill(child, signal.SIGKILL)
os.waitpid(child, 0)
"""


def run() -> list[Row]:
    sessions = few(50, 10)
    floor = floor_mb()
    with tempfile.TemporaryDirectory() as folder, private_daemon(Path(folder) / "run") as daemon, daemon.connect() as client:
        return [idle_sessions(client, template, sessions, floor) for template in ACTORS]


def idle_sessions(client: Client, template: str, sessions: int, floor: float) -> Row:
    """The row of one template: all of its sessions are there before the first is looked at."""
    names = [f"{template}-{number}" for number in range(sessions)]
    for name in names:
        client.start_session(ChildSpec(name, ProcessSpec(ACTORS[template], name=name, template=template)))
    os_pids = [client.call(name, "os_pid") for name in names]
    uses = [uss_mb(os_pid) for os_pid in os_pids if isinstance(os_pid, int)]
    for name in names:
        client.stop_session(name)
    most = GOALS_MB.get(template)
    goal = "" if most is None else f"≤ {most} MB"
    return measured("P13", f"idle session, {template}, USS", "MB", uses, floor, goal=goal, at_most=most,
                    note="floor: a bare Python's fork in pause()")  # fmt: skip


def uss_mb(os_pid: int) -> float:
    """Private pages of a process, in 10^6 bytes."""
    fields = (line.split() for line in Path(f"/proc/{os_pid}/smaps_rollup").read_text().splitlines()[1:])
    return sum(int(field[1]) for field in fields if field[0] in ("Private_Clean:", "Private_Dirty:")) * 1024 / 1e6


def floor_mb() -> float:
    with subprocess.Popen([sys.executable, "-c", FLOOR], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as bare:
        assert bare.stdout is not None
        use = uss_mb(int(bare.stdout.readline()))
        bare.communicate()
    return use


if __name__ == "__main__":
    command(run)
