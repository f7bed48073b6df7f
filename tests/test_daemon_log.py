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


def fill(path: Path) -> None:
    with open(path, "ab") as file:
        file.write(LINE * (LOG_BYTES // len(LINE) + 1))


def kinds(path: Path) -> list[str]:
    """Of the records in the log, each of which is whole; without ours."""
    records = [json.loads(line) for line in path.read_text().splitlines()]
    return [record["kind"] for record in records if record["kind"] != "filler"]


def test_C20_the_daemons_log_is_cut_to_its_newest_records_and_goes_on(running: Client, tmp_path: Path) -> None:
    log = tmp_path / "run" / paths.LOG_NAME
    fill(log)
    size = log.stat().st_size
    while log.stat().st_size >= LOG_BYTES:  # within a second
        running.node("status", WAIT_S)
    running.kill(running.spawn_spec(ProcessSpec(WITNESS, path=str(ROOT))))
    while "process_exited" not in kinds(log):
        running.node("status", WAIT_S)
    told = json.loads(log.read_text().splitlines()[0])
    assert told["kind"] == "log_cut"
    assert size - KEPT_BYTES <= told["detail"]["bytes"] < size - KEPT_BYTES + 2 * len(LINE)
    assert kinds(log)[0] == "log_cut"
    assert log.stat().st_mode & 0o777 == 0o600
