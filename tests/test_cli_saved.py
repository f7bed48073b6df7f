"""The commands for saved sessions, against a real daemon and its store."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from actorcore.errors import MEANINGS
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
    assert line.err == "error: not_found: api is no saved session; see `actorcore saved --all`\n"
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
    code, _, told = line.err.removeprefix("error: ").strip().partition(": ")
    seconds, _, meaning = told.partition(" ")
    assert (code, 1 <= int(seconds) <= 60, meaning) == ("rate_limit_exceeded", True, f"({MEANINGS['rate_limit_exceeded']})")


def test_acceptance_116_a_save_by_hand_says_where(line: Output) -> None:
    row = said(line, "resume", "web")
    answer = said(line, "save", "web")
    assert answer["saved"] is True
    assert sorted(path.name for path in Path(answer["path"]).iterdir())[-1] == "head"
    assert Path(answer["path"]).name == row["id"]
    assert line.run("save", "web") == 0
    assert line.out == f"saved {answer['path']}\n"
    assert line.run("rm", "web") == 0


def test_acceptance_128_132_an_export_comes_in_again_and_what_was_changed_only_when_it_is_to_be_believed(
    line: Output, tmp_path: Path
) -> None:
    file = tmp_path / "web.json"
    id = next(one["id"] for one in said(line, "saved") if one["name"] == "web")
    assert said(line, "export", "web", str(file))["bytes"] == file.stat().st_size
    assert file.stat().st_mode & 0o777 == 0o600
    assert said(line, "rotate") == {"key": 2}
    assert line.run("import", str(file)) == 1
    assert line.err.startswith("error: already_exists")
    assert line.run("delete", "web") == 0
    file.write_bytes(file.read_bytes().replace(b'"name":"web"', b'"name":"wob"'))
    assert line.run("import", str(file)) == 1
    assert line.err.startswith("error: signature_verification_failed")
    assert said(line, "import", "--unsigned", str(file)) == {"id": id}
    assert "wob" in [one["name"] for one in said(line, "saved")]
    assert line.run("export", "wob", str(tmp_path / "none" / "x")) == 1
    assert line.err == "error: path_not_found: enoent (there is nothing at that path)\n"


def test_acceptance_120_127_136_what_cannot_be_resumed_is_refused_with_its_reason_and_counted(
    line: Output, tmp_path: Path
) -> None:
    ids = {one["name"]: one["id"] for one in said(line, "saved")}
    assert line.run("create", str(tmp_path / "web"), "--name", "new") == 0
    assert [one["name"] for one in said(line, "saved")] == ["api"]
    for target in ("web", "WE", ids["web"]):
        assert line.run("resume", target) == 1
        assert line.err == "error: project_already_open: another session works in this folder\n"
    assert line.run("resume", "123456789") == 1  # no number of the list that was shown, and longer than an id's first part
    assert line.err == "error: not_found: 123456789 is no saved session; see `actorcore saved --all`\n"
    live = said(line, "info", "new")["id"]
    assert line.run("resume", live) == 1
    assert line.err.startswith("error: session_exists: ")
    head = line.directory / "state" / "sessions" / ids["api"] / "head"
    head.write_bytes(head.read_bytes()[:-1] + b"x")
    assert line.run("saved") == 0
    assert (len(line.out.splitlines()), line.err) == (1, "1 more cannot be read or believed\n")
    assert line.run("resume", ids["api"]) == 1
    assert line.err.startswith("error: signature_verification_failed: ")
    assert line.run("rm", "new") == 0


def test_acceptance_142_to_delete_twice_by_the_id_is_fine_also_what_cannot_be_read(line: Output) -> None:
    id = next(one["id"] for one in said(line, "saved") if one["name"] == "api")
    head = line.directory / "state" / "sessions" / id / "head"
    head.write_bytes(head.read_bytes()[:-1] + b"x")
    assert said(line, "delete", id) == {"deleted": {id: True}}
    assert said(line, "delete", id) == {"deleted": {id: False}}
    for target in ("../keys", "/etc", ""):
        assert line.run("delete", target) == 1
        assert line.err == f"error: not_found: {target} is no saved session; see `actorcore saved --all`\n"


def test_acceptance_143_clear_tells_what_it_deleted(line: Output) -> None:
    assert line.run("resume", "web") == 0
    assert line.run("delete") == 2
    assert line.run("delete", "api", "--all") == 2
    assert said(line, "delete", "--all") == {"deleted": 1, "skipped": 1, "failed": 0, "errors": {}}
    assert line.run("delete", "--all") == 0
    assert line.out.splitlines() == ["deleted: 0", "skipped: 1", "failed: 0"]
    assert line.run("rm", "web") == 0
    assert [one["name"] for one in said(line, "saved")] == ["web"]
