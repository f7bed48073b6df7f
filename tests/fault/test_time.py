"""D3: who lives in another time namespace than the daemon is served as anybody else, for no time is ever sent; all processes
of one daemon are in the same, which the README says.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.daemon_fixture import ROOT, Daemon, desk_of

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
        with desk_of(daemon):
            assert lived(daemon, tmp_path / "project", []) == "killed ['hello'] True"
