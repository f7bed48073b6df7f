"""OTP is the judge (guarantee 3): the recorded vectors in the pure core, under virtual time, in every mode."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from actorcore import exit_reason
from actorcore.links import Links
from actorcore.signals import Down
from actorcore.table import deaths, requests
from actorcore.table.turn import Turn
from tests.otp.corpus import VECTORS, is_playable, load
from tests.otp.virtual_world import Mode, play

PLAYABLE = [vector for vector in load(VECTORS) if is_playable(vector)]
MODES = {
    "plain": Mode(),
    "external_kill": Mode(external_kill=True),
    "warm": Mode(warm=True),
    "jam": Mode(jam=True),
    "restored_after_each_event": Mode(twin=True, jam=True, warm=True),
}


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
@pytest.mark.parametrize("vector", PLAYABLE, ids=lambda vector: vector["id"])
def test_vector(vector: dict[str, Any], mode: Mode) -> None:
    assert play(vector, mode) == []


def test_all_vectors_are_played() -> None:
    assert len(PLAYABLE) == 428


def is_noticed() -> bool:
    """Whether a vector fails in plain mode, or breaks its run."""
    return any(fails(vector) for vector in PLAYABLE)


def fails(vector: dict[str, Any]) -> bool:
    try:
        return bool(play(vector, Mode()))
    except Exception:
        return True


def test_nothing_is_noticed_of_the_product_as_it_is() -> None:
    assert not any(fails(vector) for vector in PLAYABLE[::20])


def test_planted_kill_over_a_link_becomes_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    signal = deaths._signal_by_link
    monkeypatch.setattr(
        deaths, "_signal_by_link", lambda turn, to, frm, why: signal(turn, to, frm, "killed" if why == "kill" else why)
    )
    assert is_noticed()


def test_planted_kill_is_told_as_kill(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deaths, "KILLED", exit_reason.KILL)
    assert is_noticed()


def test_planted_normal_to_another_kills(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deaths, "NORMAL", "nothing is normal")
    assert is_noticed()


def test_planted_shutdown_over_a_link_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    signal = deaths._signal_by_link
    monkeypatch.setattr(
        deaths, "_signal_by_link", lambda turn, to, frm, why: None if why == "shutdown" else signal(turn, to, frm, why)
    )
    assert is_noticed()


def test_planted_one_way_links(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Links, "add", lambda links, a, b: links.partners.setdefault(a, {}).update({b: None}))
    assert is_noticed()


def test_planted_link_to_the_dead_succeeds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "_link", lambda turn, asker, number, to: turn.answer(asker.serial, number, True))
    assert is_noticed()


def test_planted_name_outlives_its_holder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Turn, "unpublish", lambda turn, holder: None)
    assert is_noticed()


def test_planted_trapping_process_is_deaf(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deaths, "Exit", lambda frm, reason, after=0: Down([], frm, reason))
    assert is_noticed()


def test_command_line_ends_with_the_counts(tmp_path: Path) -> None:
    some = list(VECTORS.glob("dyn_simple__*.json"))
    for file in some:
        (tmp_path / file.name).write_bytes(file.read_bytes())
    run = subprocess.run(
        [sys.executable, "-m", "tests.otp", str(tmp_path), "--mode", "core"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert (run.returncode, run.stdout.splitlines()[-1]) == (0, f"{len(some)} passed, 0 failed, 0 skipped")


def test_command_line_fails_without_vectors(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "tests.otp", str(tmp_path)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert (run.returncode, run.stdout.splitlines()[-1]) == (1, "0 passed, 0 failed, 0 skipped")
