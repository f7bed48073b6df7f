"""OTP is the judge (guarantee 3): vectors against real daemons, one OS process per actor, real SIGKILL.

Here tier ``core``; ``make vectors MODE=processes`` plays all of them.
"""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.otp import process_world
from tests.otp.corpus import VECTORS, is_playable, load
from tests.otp.process_world import play_all

JOBS = 8
PLAYABLE = {vector["id"]: vector for vector in load(VECTORS) if is_playable(vector, "processes")}
CORE = {name: vector for name, vector in PLAYABLE.items() if vector["tier"] == "core"}
Outcomes = dict[str, tuple[list[str], dict[str, int]]]


def outcomes_of(vectors: dict[str, Any]) -> Outcomes:
    """Vector id → differences from OTP, OS pids by label."""
    found: Outcomes = {}
    lock = threading.Lock()

    def on_done(vector: dict[str, Any], differences: list[str], os_pids: dict[str, int]) -> None:
        with lock:
            found[vector["id"]] = differences, os_pids

    play_all(list(vectors.values()), JOBS, on_done)
    return found


@pytest.fixture(scope="module")
def outcomes() -> Outcomes:
    """All of tier core, some at once; nothing of it is left when this returns."""
    return outcomes_of(CORE)


@pytest.mark.parametrize("name", CORE)
def test_vector(outcomes: Outcomes, name: str) -> None:
    differences, os_pids = outcomes[name]
    assert differences == []
    assert set(os_pids) >= set(CORE[name]["expect"]["final"]["alive"])


def test_a_vector_of_each_operation_is_played() -> None:
    assert len(CORE) == 85
    assert {op for vector in CORE.values() for op in vector["ops"]} >= {"kill", "exit_signal", "link", "monitor", "register"}


# ---- the judge sees what is planted


@contextmanager
def expecting(name: str, old: object, new: object) -> Iterator[dict[str, Any]]:
    """The vector with every ``old`` in its expectation replaced."""

    def change(value: object) -> object:
        if value == old:
            return new
        if isinstance(value, dict):
            return {key: change(item) for key, item in value.items()}
        return [change(item) for item in value] if isinstance(value, list) else value

    vector = PLAYABLE[name]
    yield {name: {**vector, "expect": change(vector["expect"])}}


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("signals/other-kill-trap", "killed", "kill"),
        ("signals/order-same-sender", ["msg", "b#1", 2], ["msg", "b#1", 4]),
    ],
)
def test_a_planted_expectation_is_not_met(name: str, old: object, new: object) -> None:
    with expecting(name, old, new) as vectors:
        assert outcomes_of(vectors)[name][0]


def test_a_vector_that_breaks_the_runner_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise LookupError("planted")

    monkeypatch.setattr(process_world.World, "settle", broken)
    name = next(iter(CORE))
    assert outcomes_of({name: CORE[name]})[name][0] == ["LookupError: planted"]


def test_command_line_ends_with_the_counts(tmp_path: Path) -> None:
    for name in ("signals__other-kill-trap.json", "sup_api__start-child.json"):
        source = VECTORS / name
        (tmp_path / name).write_bytes(source.read_bytes())
    run = subprocess.run(
        [sys.executable, "-m", "tests.otp", str(tmp_path), "--mode", "processes", "--verbose"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert (run.returncode, run.stdout.splitlines()[-1]) == (0, "1 passed, 0 failed, 1 skipped")
    assert "a#1=" in run.stdout
