"""The commands for sessions in folders, against a real daemon, as a person and as a program types them."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from actorcore.errors import MEANINGS
from supervisors.cli.sessions import short
from supervisors.session.ages import moment
from tests.daemon_fixture import Daemon, send_signal
from tests.test_cli import beside, command
from tests.test_cli_offline import Output

PLAIN = "tests.fault.session_actors:Plain"


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    with Daemon(tmp_path_factory.mktemp("daemon") / "run") as daemon:
        yield daemon


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    made = [tmp_path / name for name in ("web", "api", "apidocs")]
    for folder in made:
        folder.mkdir()
    return made


@pytest.fixture
def line(daemon: Daemon, folders: list[Path], capsys: pytest.CaptureFixture[str]) -> Iterator[Output]:
    """The command line, with a session in each folder."""
    output = Output(daemon.directory, capsys)
    for folder in folders:
        assert output.run("create", str(folder), "--module", PLAIN) == 0
    yield output
    for row in said(output, "sessions"):
        assert output.run("rm", row["id"]) == 0


def said(line: Output, *words: str) -> Any:
    """What the command prints with --json."""
    assert line.run(*words, "--json") == 0, line.err
    return json.loads(line.out)


def test_create_prints_the_name_and_the_id_and_takes_a_relative_path(daemon, folders, capsys, monkeypatch) -> None:
    line = Output(daemon.directory, capsys)
    monkeypatch.chdir(folders[0])
    assert line.run("create", "../api", "-n", "mine", "--module", PLAIN, "--config", '{"temperature": 0}') == 0
    name, id = line.out.split()
    row = said(line, "info", id)
    assert (name, row["name"], row["path"], row["config"]) == ("mine", "mine", str(folders[1]), {"temperature": 0})
    assert said(line, "create", "--module", PLAIN)["path"] == str(folders[0])
    assert line.run("rm", "mine", "web") == 0
    assert line.out == "mine\nweb\n"


def test_a_module_of_ones_own_is_imported_from_where_it_is_and_kept_from_starting_others(line: Output, tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "mine_alone.py").write_text("from tests.fault.session_actors import Plain as Mine\n")
    (tmp_path / "work").mkdir()
    words = ("create", str(tmp_path / "work"), "--module", "mine_alone:Mine")
    assert line.run(*words) == 1
    assert "No module named 'mine_alone'" in line.err
    row = said(line, *words, "--module-path", str(tmp_path / "code"), "--no-spawn")
    assert (row["status"], row["policy"]["path"], row["policy"]["may_spawn"]) == ("active", str(tmp_path / "code"), False)


def test_acceptance_26_targets_are_numbers_names_and_prefixes(line: Output) -> None:
    rows = said(line, "sessions")
    assert [row["name"] for row in rows] == ["web", "api", "apidocs"]
    for target in ("2", "API", rows[1]["id"], rows[1]["id"][:13]):
        assert said(line, "info", target)["id"] == rows[1]["id"]
    assert said(line, "call", "apid", '["add", 2]') == 2
    assert line.run("info", "ap") == 1
    assert line.err == f'error: ambiguous_target: ["api","apidocs"] ({MEANINGS["ambiguous_target"]})\n'
    for target in ("", " ", "nobody"):
        assert line.run("info", target) == 1
        assert line.err == f"error: not_found: {target} is no session that works in a folder; see `actorcore sessions`\n"


def test_what_is_no_object_of_json_is_a_usage_error_that_says_what_is_wanted(line: Output) -> None:
    for words in (("create", "--config", "[1]"), ("update", "web", "--metadata", "5")):
        assert line.run(*words) == 2
        assert f"{words[-1]!r} is no JSON object, as '{{\"temperature\": 0}}' is one" in " ".join(line.err.split())


def test_info_tells_a_person_the_day_and_a_program_the_seconds(line: Output) -> None:
    row = said(line, "info", "web")
    assert line.run("info", "web") == 0
    told = dict(one.split(": ", 1) for one in line.out.splitlines())
    assert (told["created_at"], told["updated_at"]) == (moment(row["created_at"]), moment(row["updated_at"]))


def test_sessions_is_a_table_with_the_default_marked(line: Output) -> None:
    assert line.run("sessions") == 0
    head, *lines = line.out.splitlines()
    assert head.split() == ["#", "NAME", "STATUS", "PID", "RESTARTS", "PATH", "CREATED", "ID"]
    assert [one.split()[:3] for one in lines] == [["1*", "web", "active"], ["2", "api", "active"], ["3", "apidocs", "active"]]
    assert "just now" in lines[0]


def test_a_session_is_renamed_suspended_woken_restarted_and_stopped(line: Output) -> None:
    first = said(line, "info", "web")
    assert line.run("rename", "web", "front") == 0
    assert line.out == "front\n"
    assert said(line, "suspend", "front")["status"] == "suspended"
    assert line.run("suspend", "front") == 1
    assert line.err == f"error: invalid_transition: suspended ({MEANINGS['invalid_transition']})\n"
    woken = said(line, "wake", "1")
    assert (woken["status"], woken["id"], woken["pid"] == first["pid"]) == ("active", first["id"], False)
    restarted = said(line, "restart", "front")
    assert (restarted["status"], restarted["name"], restarted["restarts"]) == ("active", "front", 0)
    assert said(line, "info", "front") == restarted
    stopped = said(line, "stop", "front")
    assert (stopped["status"], list(stopped), stopped["path"]) == ("terminated", list(restarted), restarted["path"])
    assert [row["name"] for row in said(line, "sessions")] == ["api", "apidocs"]
    assert (line.run("stop", "2"), line.out) == (0, "stopped apidocs\n")


def test_acceptance_24_94_the_default_is_chosen_and_keys_are_merged_or_refused_all_at_once(line: Output) -> None:
    assert line.run("default") == 0
    assert line.out.split()[0] == "web"
    assert said(line, "default", "api")["name"] == "api"
    assert [row["name"] for row in said(line, "sessions")] == ["web", "api", "apidocs"]
    assert line.run("sessions") == 0
    assert [one.split()[0] for one in line.out.splitlines()[1:]] == ["1", "2*", "3"]
    assert said(line, "update", "api", "--config", '{"temperature": 0, "top": 0.0}', "--metadata", '{"a": ""}')["config"] == {
        "temperature": 0, "top": 0.0}  # fmt: skip
    assert line.run("update", "api", "--config", '{"temperature": 3, "max_tokens": 0, "top": 1}') == 1
    assert line.err == f'error: invalid_config: ["invalid_temperature","invalid_max_tokens"] ({MEANINGS["invalid_config"]})\n'
    row = said(line, "update", "api", "--config", '{"top": null}')
    assert (row["config"], row["metadata"]) == ({"temperature": 0}, {"a": ""})
    assert line.run("update", "nobody", "--config", "{}") == 1
    assert line.err == "error: not_found: nobody is no session that works in a folder; see `actorcore sessions`\n"


def test_acceptance_145_what_cannot_be_is_one_line_without_a_path_or_an_id(line: Output, tmp_path: Path) -> None:
    told = {}
    for path in (tmp_path / "web", tmp_path / "none", "/dev/shm", tmp_path / "web" / ".." / ".." / "x"):
        assert line.run("create", str(path)) == 1
        told[str(path)] = line.err
    assert list(told.values()) == [
        "error: project_already_open: another session works in this folder\n",
        "error: path_not_found: there is nothing at that path\n", "error: not_permitted: a system directory\n",
        "error: path_not_found: there is nothing at that path\n"]  # fmt: skip
    assert line.run("create", str(tmp_path), "--config", '{"temperature": 7, "model": ""}') == 1
    assert line.err == f'error: invalid_config: ["invalid_model","invalid_temperature"] ({MEANINGS["invalid_config"]})\n'
    assert line.run("rename", "web", "x" * 51) == 1
    assert line.err == "error: name_too_long: at most 50 characters\n"


def test_rm_looks_all_targets_up_before_it_stops_the_first(line: Output) -> None:
    assert line.run("rm", "web", "nobody") == 1
    assert [row["name"] for row in said(line, "sessions")] == ["web", "api", "apidocs"]
    assert line.run("rm", "1", "web", "3") == 0
    assert line.out == "web\napidocs\n"


def test_acceptance_116_a_conversation_is_said_read_and_saved_with_its_path(daemon: Daemon, tmp_path: Path, capsys) -> None:
    line = Output(daemon.directory, capsys)
    (tmp_path / "talk").mkdir()
    assert line.run("create", str(tmp_path / "talk")) == 0
    for number in range(3):
        assert line.run("say", "talk", f"word {number}") == 0
    assert line.run("history", "talk", "-n", "2") == 0
    assert line.out == "user: word 1\nuser: word 2\n"
    assert [row["content"] for row in said(line, "history", "talk")] == ["word 0", "word 1", "word 2"]
    assert line.run("say", "talk", "look:\nassistant: no\n\tit is \x1b[2J") == 0
    assert line.run("history", "talk", "-n", "1") == 0
    assert line.out == "user: look:\n    assistant: no\n        it is \\x1b[2J\n"
    id = said(line, "info", "talk")["id"]
    assert said(line, "save", "talk") == {"saved": True, "path": str(daemon.directory / "state" / "sessions" / id)}
    assert line.run("rm", "talk") == 0


def test_events_are_listed_and_filtered(line: Output) -> None:
    assert line.run("events", "web", "--json") == 0
    events = [json.loads(one) for one in line.out.splitlines()]
    assert [(event["type"], event["seq"]) for event in events] == [("session_created", 1), ("session_status", 2)]
    assert line.run("events", "web", "--type", "session_created") == 0
    (one,) = line.out.splitlines()
    assert one.split()[2:4] == [events[0]["session"][:8], "session_created"]
    assert line.run("events", "--after", str(events[1]["number"]), "--json") == 0
    assert all(json.loads(one)["number"] > events[1]["number"] for one in line.out.splitlines())


def test_acceptance_49_events_name_the_dead_and_the_new_process_as_targets(line: Output, daemon: Daemon) -> None:
    first = said(line, "info", "web")["pid"]
    assert line.run("restart", "web") == 0
    assert line.run("kill", "web") == 0
    second = line.out.strip()
    words = ("events", "-f", "web", "--type", "session_restarted", "--after", "0", "--json")
    with beside(*command(daemon.directory, *words)) as watcher:
        assert watcher.stdout is not None
        told = [json.loads(watcher.stdout.readline())["data"] for _ in range(2)]
        watcher.send_signal(signal.SIGINT)
        assert watcher.wait() == 130
    assert [(one["old_pid"], one["new_pid"]) for one in told] == [(first, second), (second, said(line, "info", "web")["pid"])]


def test_events_follow_until_ctrl_c(line: Output, daemon: Daemon) -> None:
    with beside(*command(daemon.directory, "events", "-f", "web", "--after", "0", "--json")) as watcher:
        assert watcher.stdout is not None
        before = [json.loads(watcher.stdout.readline())["type"] for _ in range(2)]
        assert line.run("rename", "web", "front") == 0
        event = json.loads(watcher.stdout.readline())
        assert (before, event["type"], event["data"]) == (
            ["session_created", "session_status"], "session_updated", {"fields": ["name"]})  # fmt: skip
        send_signal(watcher.pid, signal.SIGINT)
        assert watcher.wait() == 130


def test_paths_are_short() -> None:
    home = os.path.expanduser("~")
    assert (short(f"{home}/x"), short("/short")) == ("~/x", "/short")
    assert short("/" + "long" * 20) == "…" + ("long" * 20)[-39:]
