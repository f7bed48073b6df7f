"""RELIABILITY table G, C14, C19: session code that misbehaves harms itself; the reason is told, bystanders go on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from actorcore.signals import ProcessSpec
from supervisors.clients.messages import DownMessage
from supervisors.tree.child_spec import ChildSpec
from tests.daemon_fixture import ROOT, WAIT_S, Desk, await_deaths, descriptors_beyond, watched

RUDE = "tests.fault.rude:Rude"
ELSEWHERE = "RuntimeError: a process is bound to the thread and the OS process in which it began"
LIVES = 20


def start(desk: Desk, limits: dict[str, int] | None = None, **fields: object) -> int:
    """A rude session named ``victim``; its OS pid."""
    spec = ProcessSpec(RUDE, [desk.name], name="victim", limits=limits or {})
    policy = {"restart": "permanent", "intensity": 1000, "backoff_step_s": 0.0, "backoff_max_s": 0.0, **fields}
    desk.started.append("victim")
    desk.client.start_session(ChildSpec(id="victim", process=spec, **policy))  # type: ignore[arg-type]
    return desk.await_up("victim")


def cast(desk: Desk, verb: str, argument: object = None) -> DownMessage:
    """What a monitor is told when the victim does it; it is back afterwards."""
    ref = desk.client.monitor("victim")
    desk.client.cast("victim", [verb, argument])
    down = desk.client.wait_down(ref, WAIT_S)
    desk.await_up("victim")
    return down


@pytest.mark.parametrize(
    ("verb", "argument", "reason"),
    [
        ("sys_exit", 0, "normal"),
        ("sys_exit", None, "normal"),
        ("sys_exit", 1, {"exit": 1}),
        ("sys_exit", 257, {"exit": 1}),
        ("sys_exit", "text", {"exit": 1}),
        ("os_exit", 0, "normal"),
        ("os_exit", 3, {"exit": 3}),
        ("abort", None, {"signal": "SIGABRT"}),
        ("segfault", None, {"signal": "SIGSEGV"}),
        ("kill_group", None, "killed"),
        ("leave_a_thread", None, "normal"),
        ("hang_at_exit", None, "normal"),
    ],
)
def test_G6_G7_G12_an_end_of_its_own_choice_is_told_truly(desk: Desk, verb: str, argument: object, reason: object) -> None:
    start(desk)
    assert cast(desk, verb, argument).reason == reason


@pytest.mark.parametrize(("how", "text"), [
    ("raises", "<KeyError in __str__>"), ("recurses", "<RecursionError in __str__>"), ("exits", "<SystemExit in __str__>"),
    ("is no text", "<TypeError in __str__>"),
])  # fmt: skip
def test_G3_an_exception_that_cannot_be_told_is_told_by_its_type(desk: Desk, how: str, text: str) -> None:
    start(desk)
    assert cast(desk, "raise", how).reason == {"error": {"type": "Unspeakable", "text": text}}


def test_G3_of_an_exception_with_a_quarter_of_a_gigabyte_of_text_the_beginning_is_told(desk: Desk) -> None:
    start(desk)
    reason: Any = cast(desk, "raise", "is huge").reason
    assert reason["error"]["type"] == "Unspeakable"
    text, mark = reason["error"]["text"].split("… ")
    assert (set(text), mark) == ({"x"}, "truncated")
    assert 100 < len(text) <= 64 << 10


@pytest.mark.parametrize(("how", "reason"), [
    ("a number", {"error": 7}), ("none", {"error": None}), ("an object", {"error": "<object>"}),
])  # fmt: skip
def test_G5_an_exit_reason_that_is_none_is_an_error_with_what_can_be_told_of_it(desk: Desk, how: str, reason: object) -> None:
    start(desk)
    assert cast(desk, "exit_with", how).reason == reason


@pytest.mark.parametrize("how", ["huge", "cyclic"])
def test_G5_an_exit_reason_without_end_is_cut_and_says_so(desk: Desk, how: str) -> None:
    start(desk)
    reason = cast(desk, "exit_with", how).reason
    assert "truncated" in str(reason)
    assert len(str(reason)) <= 64 << 10


def test_G6_who_kills_everybody_ends_the_daemon_and_leaves_nothing_and_the_next_one_starts(tmp_path: Path) -> None:
    """In a pid namespace: without a sandbox kill(-1) reaches all processes of the uid, the guardian too (DESIGN §2)."""
    command = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc"]
    if subprocess.run([*command, "true"], check=False).returncode:
        pytest.skip("this kernel gives us no pid namespace, and outside of one this would kill the tests")
    argv = [*command, sys.executable, "-m", "tests.fault.kill_all", str(tmp_path / "run")]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=WAIT_S * 2, check=False)
    assert json.loads(done.stdout or done.stderr) == {
        "status": -9, "left": [], "again": ["ada", "barbara", "grace"], "ended": 0,
    }  # fmt: skip


def test_G7_a_thread_that_uses_the_process_is_told_so(desk: Desk) -> None:
    start(desk)
    assert desk.client.call("victim", ["thread", None], WAIT_S) == [ELSEWHERE] * 3
    assert desk.client.whereis("stolen") is None


def error(type: str, text: str) -> dict[str, dict[str, str]]:
    return {"error": {"type": type, "text": text}}


@pytest.mark.parametrize(("what", "limits", "reason"), [
    ("memory", {"as": 1 << 29}, error("MemoryError", "")),
    ("descriptors", {"nofile": 64}, error("OSError", "[Errno 24] Too many open files: '/dev/null'")),
    ("threads", {"as": 1 << 29}, error("RuntimeError", "can't start new thread")),
    ("disk", {"fsize": 1 << 20}, {"signal": "SIGXFSZ"}),
])  # fmt: skip
def test_C14_C19_who_hoards_dies_of_its_own_limit_and_nobody_else_has_less(
    desk: Desk, tmp_path: Path, what: str, limits: dict[str, int], reason: object
) -> None:
    start(desk, limits)
    before = descriptors_beyond(desk)
    assert cast(desk, "hoard", [what, str(tmp_path / "file")]).reason == reason
    assert descriptors_beyond(desk) == before


@pytest.mark.parametrize("verb", ["close_all", "overlay_all"])
def test_G8_who_closes_the_runtimes_descriptors_dies_of_it(desk: Desk, verb: str) -> None:
    start(desk)
    assert cast(desk, verb).reason == {"error": {"type": "protocol_error", "text": "control socket closed"}}


@pytest.mark.parametrize("junk", [b"junk", b"\x91", b"\x91\x91\xa4nope", b"", b"\xc1" * 60_000], ids=lambda junk: repr(junk[:9]))
@pytest.mark.parametrize("verb", ["junk", "junk_with_descriptors"])
def test_G8_junk_on_the_control_socket_is_a_protocol_error(desk: Desk, verb: str, junk: bytes) -> None:
    start(desk)
    before = descriptors_beyond(desk)
    reason = cast(desk, verb, junk).reason
    assert isinstance(reason, dict)
    assert isinstance(reason["error"], dict)
    assert reason["error"]["type"] == "protocol_error"
    assert descriptors_beyond(desk) == before


def test_G8_words_that_are_not_its_to_say_change_nothing(desk: Desk) -> None:
    old = start(desk)
    (ada,) = [row for row in desk.client.processes() if row["name"] == "ada"]
    desk.client.cast("victim", ["born_again", ada["serial"]])
    assert desk.client.call("victim", ["state", None], WAIT_S) == [old, 0]
    assert [row for row in desk.client.processes() if row["name"] == "ada"] == [ada]


def test_G9_a_forked_half_is_not_the_process_and_ends_with_it(desk: Desk, tmp_path: Path) -> None:
    report = tmp_path / "report"
    os.mkfifo(report)
    old = start(desk)
    half = desk.client.call("victim", ["fork", str(report)], WAIT_S)
    assert isinstance(half, int)
    told = report.read_text().splitlines()
    assert told[:2] == [ELSEWHERE] * 2
    assert told[2] == "OSError: [Errno 9] Bad file descriptor"
    assert desk.client.whereis("stolen") is None
    assert desk.client.call("victim", ["state", None], WAIT_S) == [old, 0]
    with watched([half]) as handles:
        assert cast(desk, "os_exit", 3).reason == {"exit": 3}
        assert await_deaths(handles)


def test_G9_a_half_that_talks_on_the_shared_socket_speaks_for_its_session_only_and_ends_with_it(desk: Desk) -> None:
    start(desk)
    half = desk.client.call("victim", ["fork_below", None], WAIT_S)
    assert isinstance(half, int)
    with watched([half]) as handles:
        assert cast(desk, "os_exit", 3).reason == {"exit": 3}
        assert await_deaths(handles)
    assert desk.client.whereis("half") is None


@pytest.mark.parametrize(
    ("argv", "reason"),
    [
        (["/bin/true"], "normal"),
        (["/bin/sh", "-c", "exit 7"], {"exit": 7}),
        (["/bin/sh", "-c", "kill -SEGV $$"], {"signal": "SIGSEGV"}),
        ([sys.executable, "-c", "import sys; sys.exit(5)"], {"exit": 5}),
    ],
)
def test_G10_the_exit_of_another_program_is_the_exit_of_the_session(desk: Desk, argv: list[str], reason: object) -> None:
    start(desk)
    assert cast(desk, "exec", argv).reason == reason


@pytest.mark.parametrize("program", ["/bin/sleep", sys.executable])
def test_G10_another_program_that_goes_on_is_stopped_with_its_session(desk: Desk, tmp_path: Path, program: str) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    old = start(desk, restart="temporary", shutdown_s=0.1)
    script = f"echo started > {fifo}; exec sleep 1000"
    code = f"open({str(fifo)!r}, 'w').write('started'); import signal; signal.pause()"
    argv = [program, "-c", code] if program == sys.executable else ["/bin/sh", "-c", script]
    desk.client.cast("victim", ["exec", argv])
    assert fifo.read_text().strip() == "started"
    with watched([old]) as handles:
        assert desk.row("victim")["state"] == "active"
        row = desk.client.stop_session("victim")
        assert await_deaths(handles)
    assert row["state"] == "stopped"


def test_G12_who_has_broken_every_tool_is_stopped_all_the_same(desk: Desk) -> None:
    old = start(desk, restart="temporary", shutdown_s=0.1)
    desk.client.cast("victim", ["break_the_tools", None])
    desk.client.call("victim", ["state", None], WAIT_S)
    with watched([old]) as handles:
        row = desk.client.stop_session("victim")
        assert await_deaths(handles)
    assert (row["state"], row["restarts"]) == ("stopped", 0)


def test_G15_what_each_life_leaves_behind_is_found(desk: Desk, tmp_path: Path) -> None:
    """Descriptors die with a life; files that a session made are its own: the check must see each of them."""
    start(desk)
    descriptors = descriptors_beyond(desk)
    names: list[str] = []
    try:
        for _ in range(LIVES):
            names.append(desk.client.call("victim", ["litter", str(tmp_path)], WAIT_S))
            assert cast(desk, "os_exit", 1).reason == {"exit": 1}
        left = {f"{folder}/{name}" for name in names for folder in (tmp_path, "/dev/shm")}
        assert (litter(tmp_path, names), len(left)) == (left, 2 * LIVES)
        assert descriptors_beyond(desk) == descriptors
    finally:
        for path in litter(tmp_path, names):
            os.unlink(path)


def litter(folder: Path, names: list[str]) -> set[str]:
    """The files of these names in ``folder`` and in shared memory, where others have theirs."""
    return {entry.path for place in (folder, "/dev/shm") for entry in os.scandir(place) if entry.name in names}
