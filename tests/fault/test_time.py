"""D1: the clock of the day jumps under a daemon. D3: who lives in another time namespace than the daemon is served as anybody
else, for no time is ever sent; all processes of one daemon are in the same, which the README says.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from actorcore.errors import RequestError
from tests.daemon_fixture import ROOT, Daemon, Desk, descendants, desk_of

AHEAD, BEHIND = 100_000, -1_000
"""Seconds; a namespace may not lie before the machine's start."""


def namespace(offset_s: int) -> list[str]:
    """What starts a program in a time namespace; nothing where the kernel gives none."""
    words = ["unshare", "--time", "--map-root-user", "--monotonic", str(offset_s), "--boottime", str(offset_s)]
    return words if subprocess.run([*words, "true"], capture_output=True).returncode == 0 else []


def lived(daemon: Daemon, project: Path, prefix: list[str]) -> str:
    """The verdict of a client that is started so."""
    project.mkdir()
    argv = [*prefix, sys.executable, "-m", "tests.fault.other_time", str(daemon.directory), str(project)]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.splitlines()[-1]


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Daemon]:
    with Daemon(tmp_path / "run") as daemon:
        daemon.bystanders()
        yield daemon


@pytest.mark.parametrize("offset_s", [AHEAD, BEHIND])
def test_D3_a_client_of_another_time_namespace_lives_with_the_daemon_as_any_other(
    own: Daemon, tmp_path: Path, offset_s: int
) -> None:
    with desk_of(own):
        assert lived(own, tmp_path / "project", namespace(offset_s)) == "killed ['hello'] True"


@pytest.mark.parametrize("offset_s", [AHEAD, BEHIND])
def test_D3_a_daemon_of_another_time_namespace_serves_those_outside(tmp_path: Path, offset_s: int) -> None:
    daemon = Daemon(tmp_path / "run")
    daemon.command = [*namespace(offset_s), *daemon.command]
    with daemon:
        daemon.bystanders()
        everybody = [daemon.guardian_pid, *descendants(daemon.guardian_pid)]
        (theirs,) = {os.readlink(f"/proc/{os_pid}/ns/time") for os_pid in everybody}
        assert (theirs == os.readlink("/proc/self/ns/time")) is (namespace(offset_s) == [])
        with desk_of(daemon):
            assert lived(daemon, tmp_path / "project", []) == "killed ['hello'] True"


HOUR_S, DAY_S = 3600, 86_400
DAY_CLOCK = """
import time
_true = time.time
def _set():
    with open({path!r}) as file:
        return _true() + float(file.read() or 0)
time.time = _set
"""
"""A sitecustomize: every Python process sees the clock of the day as far from the true one as the file says."""


@pytest.mark.parametrize("offset_s", [HOUR_S, -DAY_S])
def test_D1_acceptance_151_a_clock_that_jumps_neither_hastens_nor_forgives_a_restart_or_a_wait_and_kills_nobody(
    tmp_path: Path, offset_s: int
) -> None:
    offset = tmp_path / "offset"
    offset.write_text("0")
    (tmp_path / "sitecustomize.py").write_text(DAY_CLOCK.format(path=str(offset)))
    own = Daemon(tmp_path / "run")
    own.environment["PYTHONPATH"] = f"{tmp_path}:{ROOT}"
    with own:
        own.bystanders()
        with desk_of(own) as desk:
            node = desk.node_os_pid()
            assert [desk.client.call(LIMITER, ATTEMPT) for _ in range(10)] == [True] * 10
            before_s = refused_for_s(desk)
            desk.start("often", intensity=2, period_s=1000.0)
            desk.start("waits", backoff_step_s=500.0, backoff_max_s=500.0, intensity=2, period_s=2000.0)
            for session in ("waits", "often"):
                die(desk, session)
                desk.await_up(session)
            die(desk, "waits")
            set_clock(offset, offset_s)
            die(desk, "often")
            desk.await_up("often")
            die(desk, "often")
            assert (desk.row("often")["state"], desk.row("often")["restarts"]) == ("gave_up", 2)
            assert (desk.row("waits")["state"], desk.row("waits")["restarts"]) == ("restarting", 2)
            assert 1 <= refused_for_s(desk) <= before_s <= 60
            assert desk.node_os_pid() == node
            assert seen_s(own) == pytest.approx(offset_s, abs=600), "that it has jumped"


LIMITER, ATTEMPT = "system:limiter", ["attempt", "save", "somebody"]


def refused_for_s(desk: Desk) -> int:
    with pytest.raises(RequestError) as refused:
        desk.client.call(LIMITER, ATTEMPT)
    assert refused.value.code == "rate_limit_exceeded"
    return int(refused.value.detail)


def die(desk: Desk, session: str) -> None:
    os_pid = desk.client.call(session, ["state", None])[0]
    assert desk.signal(session, os_pid, signal.SIGKILL).reason == "killed"


def set_clock(offset: Path, offset_s: int) -> None:
    later = offset.with_suffix(".new")
    later.write_text(str(offset_s))
    os.replace(later, offset)


def seen_s(daemon: Daemon) -> float:
    """How far the newest record of the daemon's log is from the true time."""
    newest = [json.loads(line) for line in daemon.log.read_text().splitlines() if line.startswith("{")][-1]
    return (datetime.fromisoformat(newest["time"]) - datetime.now(UTC)).total_seconds()
