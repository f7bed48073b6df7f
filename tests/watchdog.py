"""Watchdog: what a test process has started does not outlive it, whatever ends it, a SIGKILL included.

A process of its own waits for that death. PR_SET_PDEATHSIG would fire with the thread that started a daemon, and is not
passed on by the commands that start one. All that descends from the tests has ``ACTORCORE_TESTS`` in its environment; a
guardian hides that from anybody but root (PR_SET_DUMPABLE), and has its directory among its arguments.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

VARIABLE = "ACTORCORE_TESTS"
"""The folder of all files of this test process."""


@contextmanager
def watchdog(folder: Path) -> Iterator[None]:
    """Whatever is started in this block, and is there when this process has died in it, is killed."""
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = str(folder)
    argv = [sys.executable, "-I", "-S", __file__, str(os.getpid()), str(folder)]
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env={}, start_new_session=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"watching\n"
        try:
            yield
        finally:
            process.kill()
            del os.environ[VARIABLE]
            os.environ.update({} if before is None else {VARIABLE: before})


def descends(os_pid: str, folder: str) -> bool:
    """Whether the tests whose files are in ``folder`` have started this process, or what started it."""
    try:
        return is_inherited(Path(f"/proc/{os_pid}/environ").read_bytes(), folder)
    except PermissionError:
        return is_mentioned(Path(f"/proc/{os_pid}/cmdline").read_bytes(), folder)


def is_inherited(environment: bytes, folder: str) -> bool:
    return f"{VARIABLE}={folder}".encode() in environment.split(b"\0")


def is_mentioned(arguments: bytes, folder: str) -> bool:
    """Whether one of them is a path in the folder."""
    return any(word.startswith(f"{folder}/".encode()) for word in arguments.split(b"\0"))


def kill_all(folder: str) -> None:
    """Until there is nobody left who could start another one."""
    found = True
    while found:
        found = False
        for os_pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                handle = os.pidfd_open(int(os_pid))
            except ProcessLookupError:
                continue
            try:
                if descends(os_pid, folder):
                    found = True
                    signal.pidfd_send_signal(handle, signal.SIGKILL)
                    select.select([handle], [], [])
            except OSError:  # it has ended meanwhile, or is another user's
                continue
            finally:
                os.close(handle)


def main(watched: int, folder: str) -> None:
    handle = os.pidfd_open(watched)
    print("watching", flush=True)  # whoever waits for this line is alive, so the handle is of him
    select.select([handle], [], [])
    kill_all(folder)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
