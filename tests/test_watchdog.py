"""What a test process has started does not outlive a SIGKILL of it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.daemon_fixture import ROOT, await_deaths, comm, descendants, watched
from tests.watchdog import is_inherited, is_mentioned

RUNNER = """
import sys, threading
from pathlib import Path
import psutil
from supervisors.launch import connect_or_start
from tests.daemon_fixture import Daemon
from tests.watchdog import watchdog

def start():  # in a thread, which ends
    daemon = Daemon(folder / "own")
    daemon.start()
    print(daemon.guardian_pid, flush=True)

folder = Path(sys.argv[1])
with watchdog(folder):
    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    client, _ = connect_or_start(folder / "on_demand")  # which is nobody's child
    print(psutil.Process(client.node("status")["node_os_pid"]).ppid(), flush=True)
    sys.stdin.read()
"""


@contextmanager
def runner(folder: Path) -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    """A test process, and all that lives under the guardians that it has started."""
    argv = [sys.executable, "-c", RUNNER, str(folder)]
    with subprocess.Popen(argv, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        guardians = [int(process.stdout.readline()) for _ in range(2)]
        yield process, [os_pid for guardian in guardians for os_pid in (guardian, *family(guardian))]


def family(guardian: int) -> dict[int, int]:
    """Its descendants when a node, a spare and a zygote are among them, which come after it says that it serves."""
    while not Counter({"actor-node": 2, "actor-zygote": 1}) <= Counter(map(comm, found := descendants(guardian))):
        os.sched_yield()
    return found


def test_daemons_end_with_the_test_process_that_started_them(tmp_path: Path) -> None:
    with runner(tmp_path) as (process, started), watched(started) as handles:
        process.send_signal(signal.SIGKILL)
        assert await_deaths(handles)


def test_who_is_known_by_its_environment_or_else_by_its_arguments() -> None:
    environments = (b"A=1\0ACTORCORE_TESTS=/tmp/x\0B=2", b"ACTORCORE_TESTS=/tmp/xy\0", b"OLD_ACTORCORE_TESTS=/tmp/x\0", b"")
    assert [is_inherited(environment, "/tmp/x") for environment in environments] == [True, False, False, False]
    arguments = (b"python\0-m\0supervisors.daemon\0--dir\0/tmp/x/run\0", b"vi\0/tmp/xy/run\0", b"")
    assert [is_mentioned(words, "/tmp/x") for words in arguments] == [True, False, False]
