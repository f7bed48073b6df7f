"""Predecessors: who has a lock is known by the kernel, and his end is awaited."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from actorcore.runtime.clock import monotonic_s
from supervisors.persistence import predecessors

HOLD = (
    "import fcntl, sys; file = open(sys.argv[1], 'r+b'); fcntl.lockf(file, fcntl.LOCK_EX, 1); print(flush=True); sys.stdin.read()"
)
HEAD = "head"


@pytest.fixture
def head(tmp_path: Path) -> Path:
    """The head of the only session of the state directory ``tmp_path``."""
    path = tmp_path / "sessions" / "one" / HEAD
    path.parent.mkdir(parents=True)
    path.touch()
    return path


@pytest.fixture
def other(head: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that has the session."""
    argv = [sys.executable, "-c", HOLD, str(head)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == b"\n"
        yield process
        process.kill()


def test_who_has_a_file_is_known_until_his_end_which_is_awaited(head: Path, other: subprocess.Popen[bytes]) -> None:
    assert predecessors.holder(str(head)) == other.pid
    began_s = monotonic_s()
    predecessors.await_end(other.pid, began_s + 0.05)
    assert monotonic_s() >= began_s + 0.05
    os.kill(other.pid, signal.SIGKILL)
    predecessors.await_end(other.pid, monotonic_s() + 20.0)
    assert (predecessors.holder(str(head)), other.wait()) == (0, -signal.SIGKILL)
    predecessors.await_end(other.pid, monotonic_s() + 20.0)


def test_nobody_has_a_file_that_is_not_there_or_is_not_locked(head: Path, tmp_path: Path) -> None:
    assert [predecessors.holder(str(path)) for path in (head, tmp_path / "none", tmp_path)] == [0, 0, 0]


def test_whom_our_guardian_has_started_is_no_predecessor(
    tmp_path: Path, other: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """To him the guardian is what a parent's parent is here: any process below it is ours."""
    monkeypatch.setattr(os, "getppid", lambda: -1)
    assert predecessors.of_sessions(str(tmp_path), HEAD) == [other.pid]
    monkeypatch.setattr(os, "getppid", os.getpid)
    assert predecessors.of_sessions(str(tmp_path), HEAD) == []
    assert predecessors.of_sessions(str(tmp_path / "none"), HEAD) == []
