"""The examples, run as a reader would run them, against a daemon of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.daemon_fixture import ROOT, Daemon

EXAMPLES = ROOT / "examples"


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    with Daemon(tmp_path_factory.mktemp("daemon") / "run") as daemon:
        yield daemon


def printed(daemon: Daemon, example: str, *arguments: str) -> list[str]:
    """What the example prints, line by line."""
    environment = {**os.environ, "ACTORCORE_DIR": str(daemon.directory), "PYTHONPATH": str(ROOT)}
    argv = [sys.executable, str(EXAMPLES / example / "main.py"), *arguments]
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=50, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr[-3000:]
    return done.stdout.splitlines()


def test_the_coding_agent_runs_real_commands_until_the_tests_pass(daemon: Daemon, tmp_path: Path) -> None:
    lines = printed(daemon, "coding_agent", str(tmp_path / "project"))
    steps = [line for line in lines if line.startswith("tool_call ")]
    assert steps == [f"tool_call {tool}" for tool in ("run", "read_file", "write_file", "run")]
    assert lines[-3:] == [
        "user: make the tests pass", "assistant: Done (make the tests pass): the tests pass after 1 change(s).",
        "commands: [1, 0]",
    ]  # fmt: skip
    assert "return check(a + b)" in (tmp_path / "project" / "calculator.py").read_text()


def test_the_prompt_knows_after_every_death_what_another_process_has_told_it(daemon: Daemon, tmp_path: Path) -> None:
    lines = printed(daemon, "repl", str(tmp_path / "project"))
    answers = [line for line in lines if not line.startswith((">>>", " ", "---", "Traceback", "def"))]
    assert answers == [
        "12", "ZeroDivisionError: division by zero", "13", "the prompt is dead: {'killed': 'unresponsive'}", "14",
        "11 messages are kept",
    ]  # fmt: skip


def test_a_conversation_survives_its_process_its_node_its_daemon_and_a_stop(tmp_path: Path) -> None:
    example = EXAMPLES / "crash_and_resume" / "main.py"
    done = subprocess.run(
        [sys.executable, str(example), str(tmp_path / "place")], env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, timeout=50, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    told = [line for line in done.stdout.splitlines() if line.startswith("   ")]
    said = ["hello", "still there?", "and now?", "good morning", "goodbye"]
    assert [line.strip() for line in told] == [str(said[: count + 1]) for count in range(5)]
    assert done.stdout.splitlines()[-1] == "the daemon ended with status 0"


@pytest.mark.parametrize("arguments", [[], ["."]], ids=["none", "a folder that is there"])
def test_an_example_says_what_it_wants(arguments: list[str]) -> None:
    argv = [sys.executable, str(EXAMPLES / "repl" / "main.py"), *arguments]
    done = subprocess.run(argv, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (1, "usage: python main.py FOLDER, which is made\n")
