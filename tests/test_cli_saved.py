"""The commands for saved sessions, against a real daemon and its store."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.daemon_fixture import Daemon
from tests.test_cli_offline import Output


@pytest.fixture
def line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Output]:
    """The command line, with two sessions that were saved and stopped, each with a message."""
    with Daemon(tmp_path / "run") as daemon:
        output = Output(daemon.directory, capsys)
        for name in ("web", "api"):
            (tmp_path / name).mkdir()
            assert output.run("create", str(tmp_path / name)) == 0
            assert output.run("say", name, f"hello {name}") == 0
            assert output.run("rm", name) == 0
        yield output


def said(line: Output, *words: str) -> Any:
    """What the command prints with --json."""
    assert line.run(*words, "--json") == 0, line.err
    return json.loads(line.out)


def test_acceptance_117_137_142_saved_sessions_are_listed_resumed_and_deleted_by_what_people_call_them(line: Output) -> None:
    saved = said(line, "saved")
    assert [one["name"] for one in saved] == ["api", "web"]
    row = said(line, "resume", "WE")
    assert (row["id"], row["name"], row["status"]) == (saved[1]["id"], "web", "active")
    assert [message["content"] for message in said(line, "history", "web")] == ["hello web"]
    assert [one["name"] for one in said(line, "saved")] == ["api"]
    assert [one["name"] for one in said(line, "saved", "--all")] == ["web", "api"]  # it was saved again
    assert line.run("saved") == 0
    assert line.out.splitlines()[1].split()[:2] == ["1", "api"]
    assert line.run("delete", "web") == 1
    assert line.err.startswith("error: running")
    assert said(line, "delete", "2") == {"deleted": {saved[0]["id"]: True}}
    assert line.run("resume", "api") == 1
    assert line.err == "error: not_found\n"
    assert line.run("rm", "web") == 0


def test_acceptance_139_cleanup_tells_what_it_did_and_refuses_what_is_no_number_of_days(line: Output) -> None:
    assert line.run("cleanup", "30") == 0
    assert line.out.splitlines() == ["deleted: 0", "skipped: 2", "failed: 0"]
    assert line.run("cleanup", "0") == 1
    assert line.run("cleanup", "many") == 2
    assert len(said(line, "saved")) == 2


def test_acceptance_146_154_the_sixth_resume_of_a_minute_is_refused_with_the_seconds(line: Output) -> None:
    (id,) = [one["id"] for one in said(line, "saved") if one["name"] == "web"]
    for _ in range(5):
        assert line.run("resume", id) == 0
        assert line.run("rm", id) == 0
    assert line.run("resume", id) == 1
    code, _, seconds = line.err.removeprefix("error: ").strip().partition(": ")
    assert (code, 1 <= int(seconds) <= 60) == ("rate_limit_exceeded", True)
