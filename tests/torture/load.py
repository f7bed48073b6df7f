"""Load: clients in processes of their own that connect, look up, spawn and call, and count what came back."""

from __future__ import annotations

import json
import select
import subprocess
import sys
from pathlib import Path

from supervisors.client import Client
from tests.daemon_fixture import WAIT_S, Daemon

ECHO = "tests.torture.actors:Echo"
IDLE = "tests.torture.actors:idle"
COUNTER = "tests.torture.actors:Count"


class Load:
    """``clients`` processes that work until :meth:`end`."""

    def __init__(self, daemon: Daemon, clients: int) -> None:
        argv = [sys.executable, "-m", "tests.torture.load", str(daemon.directory)]
        self._workers = [
            subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=daemon.environment, text=True)
            for _ in range(clients)
        ]

    def __enter__(self) -> Load:
        for worker in self._workers:
            assert worker.stdout is not None
            assert worker.stdout.readline() == "at work\n"
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            if worker.poll() is None:
                worker.kill()
            worker.communicate()

    def end(self) -> tuple[int, int]:
        """Calls that were answered and connects that were made; AssertionError when one was not."""
        calls = connects = 0
        for worker in self._workers:
            told, _ = worker.communicate("", timeout=WAIT_S * 6)
            assert worker.returncode == 0
            done = json.loads(told)
            calls, connects = calls + done["calls"], connects + done["connects"]
        return calls, connects


def work(directory: str) -> dict[str, int]:
    """Until stdin ends: a new connection each time, exact counts of calls by pid, and a life of a process in between."""
    done = {"calls": 0, "connects": 0}
    with Client.connect(directory, WAIT_S) as client:
        pid = client.spawn(COUNTER)
        while not select.select([sys.stdin], [], [], 0)[0]:
            for _ in range(20):
                done["calls"] += 1
                assert client.call(pid, None, WAIT_S) == done["calls"], "a call was lost or came twice"
            with Client.connect(directory, WAIT_S) as other:
                done["connects"] += 1
                assert other.whereis("ada") is not None
            # A node that is killed as soon as it answers gets little done: a start may take long, and must not be lost.
            ended = client.spawn(ECHO, init_timeout_s=WAIT_S * 3)
            ref = client.monitor(ended)
            client.exit(ended, "kill")
            assert client.wait_down(ref, WAIT_S).reason == "killed"
        ref = client.monitor(pid)
        client.exit(pid, "kill")
        assert client.wait_down(ref, WAIT_S).reason == "killed"
    return done


def resident_bytes(daemon: Daemon, node_os_pid: int) -> int:
    """Anonymous memory of guardian and node; what they share with others is not theirs."""
    texts = [Path(f"/proc/{os_pid}/status").read_text() for os_pid in (daemon.guardian_pid, node_os_pid)]
    return sum(int(text.partition("RssAnon:")[2].split()[0]) * 1024 for text in texts)


if __name__ == "__main__":
    print("at work", flush=True)
    print(json.dumps(work(sys.argv[1])))
