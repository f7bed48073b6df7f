"""C20: the daemon's own log has a cap."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from actorcore.runtime.log_cap import KEPT_BYTES, LOG_BYTES
from actorcore.signals import ProcessSpec
from supervisors import paths
from supervisors.client import Client
from supervisors.launch import connect_or_start
from tests.daemon_fixture import ROOT, WAIT_S, WITNESS, descendants, send_signal, still_there
from tests.test_cli import guardian_of

LINE = json.dumps({"at_s": 0.0, "kind": "filler", "serial": 0, "detail": "x" * 900}).encode() + b"\n"


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Client]:
    """A client of a daemon in ``tmp_path / "run"`` that was started on demand and so logs to its own file."""
    client, started = connect_or_start(tmp_path / "run")
    assert started
    guardian = guardian_of(tmp_path / "run")
    with client:
        yield client
        left = descendants(guardian)
        send_signal(guardian, signal.SIGTERM)
        assert os.waitpid(guardian, 0)[1] == 0  # we have started it
        assert still_there(left) == []


def fill(path: Path) -> tuple[int, int]:
    """Make it too long, by less than a page; how long it was before, and how many lines have come."""
    count = (LOG_BYTES - path.stat().st_size) // len(LINE) + 1
    with open(path, "ab", buffering=0) as file:
        assert file.write(LINE * count) == count * len(LINE)
        return file.tell() - count * len(LINE), count


def is_cut(path: Path) -> bool:
    """Its newest records are written again, in one piece, after it was emptied."""
    return path.stat().st_size < LOG_BYTES and LINE in path.read_bytes()


def lines(path: Path) -> list[bytes]:
    """What is written there; who reads a file while it is written may see half of a line, the last one."""
    return path.read_bytes().split(b"\n")[:-1]


def kinds(path: Path) -> list[str]:
    """Of the records in the log, each of which is whole; without ours."""
    return [record["kind"] for record in map(json.loads, lines(path)) if record["kind"] != "filler"]


def test_C20_the_daemons_log_is_cut_to_its_newest_records_and_goes_on(running: Client, tmp_path: Path) -> None:
    log = tmp_path / "run" / paths.LOG_NAME
    before, fillers = fill(log)
    while not is_cut(log):  # within a second
        running.node("status", WAIT_S)
    running.kill(running.spawn_spec(ProcessSpec(WITNESS, path=str(ROOT))))
    while "process_exited" not in kinds(log):
        running.node("status", WAIT_S)
    told, kept = json.loads(lines(log)[0]), log.read_bytes().count(LINE)
    assert (told["kind"], kinds(log)[0], told["detail"]) == (
        "log_cut", "log_cut", {"bytes": before + (fillers - kept) * len(LINE)},
    )  # fmt: skip
    assert KEPT_BYTES - 3 * len(LINE) < kept * len(LINE) <= KEPT_BYTES
    assert log.stat().st_mode & 0o777 == 0o600
