"""A daemon of one's own ends with its block and with whoever started it; its settings and its state are nobody else's."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from actorcore.errors import RequestError
from supervisors.private_daemon import private_daemon
from tests.daemon_fixture import await_deaths, descendants, still_there, watched

STARTER = """
import sys
from pathlib import Path
from supervisors.private_daemon import private_daemon
with private_daemon(Path(sys.argv[1])) as daemon:
    print(daemon.process.pid, flush=True)
    sys.stdin.read()
"""


def test_it_ends_in_order_with_its_block(tmp_path: Path) -> None:
    with private_daemon(tmp_path / "run") as daemon, daemon.connect() as client:
        below = descendants(daemon.process.pid)
        assert client.node("status")["node_os_pid"] in below
    assert (daemon.process.returncode, still_there(below), daemon.log) == (0, [], tmp_path / "run.log")


def test_it_ends_in_order_when_who_started_it_is_killed(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", STARTER, str(tmp_path / "run")]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as starter:
        assert starter.stdout is not None
        guardian = int(starter.stdout.readline())
        below = descendants(guardian)
        with watched([guardian]) as handles:
            starter.send_signal(signal.SIGKILL)
            assert await_deaths(handles)
    assert (still_there(below), (tmp_path / "run" / "actorcore.sock").exists()) == ([], False)


def test_it_ends_at_once_when_who_started_it_is_dead_before(tmp_path: Path) -> None:
    lifeline, held = os.pipe()
    os.close(held)
    argv = [sys.executable, "-m", "supervisors.daemon", "--dir", str(tmp_path / "run"), "--lifeline", str(lifeline)]
    with subprocess.Popen(argv, pass_fds=[lifeline]) as daemon:
        os.close(lifeline)
    assert (daemon.returncode, (tmp_path / "run").exists()) == (-signal.SIGTERM, False)


def test_its_settings_and_its_state_are_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "usual.toml").write_text("no TOML")
    monkeypatch.setenv("ACTORCORE_CONFIG", str(tmp_path / "usual.toml"))
    monkeypatch.setenv("ACTORCORE_STATE", str(tmp_path / "usual"))
    (tmp_path / "project").mkdir()
    with private_daemon(tmp_path / "run", "[templates.lean]\npool = 1\n") as daemon, daemon.connect() as client:
        id = str(client.manager.create(tmp_path / "project")["id"])
        assert os.listdir(tmp_path / "run" / "state" / "sessions") == [id]
        client.manager.stop(id)
    assert not (tmp_path / "usual").exists()


def test_what_keeps_it_from_starting_is_said(tmp_path: Path) -> None:
    with (
        pytest.raises(RequestError, match=r"start_failed: .*invalid_config"),
        private_daemon(tmp_path / "run", "[templates.lean]\npool = -1\n"),
    ):
        pytest.fail("it serves")
