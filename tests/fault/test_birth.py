"""RELIABILITY S8, S9, S12, C20: what a child is born with, from every template, from a pool and without one."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from actorcore.errors import CallFailed, RequestError
from actorcore.runtime.children import ENVIRONMENT
from actorcore.runtime.output import CHECK_BYTES, LOG_BYTES
from actorcore.signals import ProcessSpec
from supervisors.client import Client, Pid
from tests.daemon_fixture import WAIT_S, Daemon, Desk, desk_of

NEWBORN, ASYNC_NEWBORN = "tests.fault.newborn:Newborn", "tests.fault.newborn:AsyncNewborn"
SIGPIPE = 1 << 12
CONFIGURATION = """
[templates.lean]
pool = {pool}
[templates.asyncio]
pool = {pool}
[templates.session]
pool = {pool}
[templates.supervisor]
pool = {pool}
[templates.rude]
preload = ["tests.fault.rude_preload"]
pool = {pool}
"""
KINDS = [
    (NEWBORN, "lean"), (ASYNC_NEWBORN, "lean"), (NEWBORN, "asyncio"), (ASYNC_NEWBORN, "asyncio"), (NEWBORN, "rude"),
    (NEWBORN, "session"), (NEWBORN, "supervisor"),
]  # fmt: skip


@pytest.fixture(scope="module", params=[0, 2], ids=["forked", "pooled"])
def born(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    daemon = Daemon(tmp_path_factory.mktemp("born") / "run", configuration=CONFIGURATION.format(pool=request.param))
    daemon.environment |= {"CANARY": "secret", "LD_LIBRARY_PATH": "/nowhere", "LANG": "C.UTF-8"}
    with daemon:
        yield daemon


@pytest.fixture
def desk(born: Daemon) -> Iterator[Desk]:
    with desk_of(born) as desk:
        yield desk


def call(client: Client, pid: Pid, verb: str, argument: object = None) -> Any:
    return client.call(pid, [verb, argument], WAIT_S)


def await_warm(desk: Desk, template: str) -> set[int]:
    """The serials of two blanks that wait; empty when this daemon has no pool."""
    if "pool = 0" in Path(f"{desk.daemon.directory}.toml").read_text():
        return set()
    while True:
        rows = [row for row in desk.client.processes() if row["template"] == template and row["phase"] == "warm"]
        if len(rows) == 2:
            return {row["serial"] for row in rows}


@pytest.mark.parametrize(("start", "template"), KINDS)
def test_S9_a_child_starts_with_three_descriptors_and_its_control_socket_and_a_clean_state(
    desk: Desk, start: str, template: str
) -> None:
    warm = await_warm(desk, template)
    pid = desk.client.spawn(start, template=template)
    found = call(desk.client, pid, "found")
    log = f"{desk.daemon.directory}/log/{pid.serial}.log"
    assert not warm or pid.serial in warm
    limits = resource.getrlimit(resource.RLIMIT_NPROC)
    assert {name: found[name] for name in found if name not in ("environment", "limits")} == {
        "fds": [0, 1, 2, 3], "outputs": [log, log], "stdin": "/dev/null",
        "signals": {"SigBlk": 0, "SigIgn": SIGPIPE, "SigCgt": 0}, "is_leader": True, "no_new_privs": "1", "threads": "1",
        "cwd": "/", "umask": "0077", "nice": os.getpriority(os.PRIO_PROCESS, 0), "oom_score_adj": 500,
    }  # fmt: skip
    assert (found["limits"]["core"], found["limits"]["nproc"]) == ([0, 0], list(limits))
    desk.client.exit(pid, "kill")


@pytest.mark.parametrize(("start", "template"), KINDS)
def test_S8_the_environment_is_an_allow_list_and_what_the_spec_adds(desk: Desk, start: str, template: str) -> None:
    pid = desk.client.spawn(start, template=template, env={"ADDED": "1", "LANG": "C"})
    environment = call(desk.client, pid, "found")["environment"]
    passed = {name: desk.daemon.environment[name] for name in ENVIRONMENT if name in desk.daemon.environment}
    rude = {"RUDE": "yes"} if template == "rude" else {}
    state = {"ACTORCORE_STATE": str(desk.daemon.directory / "state")}  # the daemon's own word: where it keeps what lasts
    assert environment == {**passed, **state, "ADDED": "1", "LANG": "C", **rude}
    desk.client.exit(pid, "kill")


def spawn(desk: Desk, limits: dict[str, int], template: str = "lean") -> Pid:
    return desk.client.spawn_spec(ProcessSpec(NEWBORN, template=template, limits=limits))


@pytest.mark.parametrize("template", ["lean", "asyncio"])
def test_S12_limits_are_there_before_the_first_line_of_user_code(desk: Desk, template: str) -> None:
    limits = {"nofile": 64, "as": 1 << 30, "cpu": 100, "fsize": 1 << 20, "nproc": 500, "core": 0}
    niceness = os.getpriority(os.PRIO_PROCESS, 0) + 5
    pid = spawn(desk, {**limits, "nice": niceness, "oom_score_adj": 700}, template)
    found = call(desk.client, pid, "found")
    assert found["limits"] == {
        "nofile": [64, 64], "as": [1 << 30, 1 << 30], "cpu": [100, 101], "fsize": [1 << 20, 1 << 20], "nproc": [500, 500],
        "core": [0, 0],
    }  # fmt: skip
    assert (found["nice"], found["oom_score_adj"]) == (niceness, 700)
    assert call(desk.client, pid, "open_files", 100) == "Too many open files"
    assert call(desk.client, pid, "allocate", 1 << 31) == "MemoryError"
    desk.client.exit(pid, "kill")


def test_S12_a_limit_of_one_is_nobody_elses(desk: Desk) -> None:
    limited, other = spawn(desk, {"nofile": 64}), spawn(desk, {})
    assert call(desk.client, other, "open_files", 100) == 100
    for pid in (limited, other):
        desk.client.exit(pid, "kill")


def test_S12_oom_score_and_niceness_are_never_lowered(desk: Desk) -> None:
    pid = spawn(desk, {"nice": 0, "oom_score_adj": 0})
    found = call(desk.client, pid, "found")
    assert (found["nice"], found["oom_score_adj"]) == (os.getpriority(os.PRIO_PROCESS, 0), 500)
    desk.client.exit(pid, "kill")


def test_S12_a_file_that_grows_too_large_ends_its_writer_only(desk: Desk, tmp_path: Path) -> None:
    pid = spawn(desk, {"fsize": 1 << 16})
    ref = desk.client.monitor(pid)
    with pytest.raises(CallFailed) as failed:
        call(desk.client, pid, "write_file", [str(tmp_path / "large"), 1 << 20])
    assert failed.value.reason == desk.client.wait_down(ref, WAIT_S).reason == {"signal": "SIGXFSZ"}


def test_S12_cpu_time_that_is_used_up_ends_the_process(desk: Desk) -> None:
    pid = spawn(desk, {"cpu": 1})
    with pytest.raises(CallFailed) as failed:
        call(desk.client, pid, "burn")
    assert failed.value.reason == {"signal": "SIGXCPU"}


@pytest.mark.parametrize(("limits", "why"), [
    ({"files": 1}, "limits: one of as, core, cpu, data, fsize, nice, nofile, nproc, oom_score_adj, stack"),
    ({"nofile": 3}, "limits: nofile: 16 to 9223372036854775806"),
    ({"core": 1}, "limits: core: 0 to 0"),
    ({"nice": -1}, "limits: nice: 0 to 19"),
    ({"oom_score_adj": 1001}, "limits: oom_score_adj: 0 to 1000"),
    ({"cpu": -1}, "limits: cpu: 1 to 9223372036854775806"),
])  # fmt: skip
def test_S12_a_limit_that_cannot_be_is_refused_before_anything_is_forked(desk: Desk, limits: dict[str, int], why: str) -> None:
    before = desk.client.node("status")["last_serial"]
    with pytest.raises(RequestError) as refused:
        spawn(desk, limits)
    assert (refused.value.code, refused.value.detail) == ("invalid_spec", why)
    assert not [row for row in desk.client.processes() if row["serial"] > before and row["start"]]


def test_S12_a_limit_that_the_kernel_refuses_is_told_to_the_starter(desk: Desk) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with pytest.raises(RequestError) as refused:
        spawn(desk, {"nofile": hard + 1})
    assert (refused.value.code, refused.value.detail) == (
        "start_failed", '{"limits":"nofile: not allowed to raise maximum limit"}',
    )  # fmt: skip


# ---- output: a log of its own, capped, never a pipe ----------------------------------------------------------------


def log_of(daemon: Daemon, pid: Pid) -> Path:
    return daemon.directory / "log" / f"{pid.serial}.log"


@pytest.mark.parametrize("template", ["lean", "asyncio"])
def test_C20_what_a_process_prints_is_in_its_own_log_line_by_line(desk: Desk, template: str) -> None:
    one, other = (desk.client.spawn(NEWBORN, template=template) for _ in range(2))
    call(desk.client, one, "print", "from öne")
    call(desk.client, one, "print_surrogate")
    assert log_of(desk.daemon, one).read_text() == "from öne\n\\udcff\n"
    assert (log_of(desk.daemon, other).read_text(), log_of(desk.daemon, one).stat().st_mode & 0o777) == ("", 0o600)
    for pid in (one, other):
        desk.client.exit(pid, "kill")


def test_C20_a_crash_is_told_in_the_log_of_the_process_that_outlives_it_and_an_empty_log_does_not(desk: Desk) -> None:
    silent, crashing = desk.client.spawn(NEWBORN), desk.client.spawn(NEWBORN)
    refs = [desk.client.monitor(pid) for pid in (silent, crashing)]
    desk.client.exit(silent, "kill")
    with pytest.raises(CallFailed):
        call(desk.client, crashing, "no_such_verb")
    for ref in refs:
        desk.client.wait_down(ref, WAIT_S)
    desk.client.node("status")
    assert not log_of(desk.daemon, silent).exists()
    assert "AttributeError" in log_of(desk.daemon, crashing).read_text()


def test_C20_a_log_stays_below_its_bound_and_keeps_the_newest_lines(desk: Desk) -> None:
    pid = desk.client.spawn(NEWBORN)
    size = call(desk.client, pid, "print_times", 60_000)
    lines = log_of(desk.daemon, pid).read_text().splitlines()
    assert size <= LOG_BYTES + CHECK_BYTES
    assert (lines[0], lines[-1], lines[1][:3]) == ("[cut here]", f"{'x' * 98} 59999", "xxx")
    desk.client.exit(pid, "kill")


def test_C20_what_the_user_has_put_in_place_of_the_log_is_never_cut(desk: Desk, tmp_path: Path) -> None:
    pid = desk.client.spawn(NEWBORN)
    call(desk.client, pid, "redirect", str(tmp_path / "large"))
    size = call(desk.client, pid, "print_times", 60_000)
    assert size == sum(len(f"{'x' * 98} {number}\n") for number in range(60_000))
    desk.client.exit(pid, "kill")


def test_C20_a_full_disk_is_no_error_in_the_process_that_prints(desk: Desk) -> None:
    pid = desk.client.spawn(NEWBORN)
    call(desk.client, pid, "full_disk")
    for _ in range(100):
        call(desk.client, pid, "print", "into nothing")
    assert call(desk.client, pid, "print_times", 1000) == 0
    desk.client.exit(pid, "kill")


def _remove(logs: Path, serial: int) -> None:
    for log in logs.iterdir():
        log.unlink()
    logs.rmdir()


def _replace_by_a_file(logs: Path, serial: int) -> None:
    _remove(logs, serial)
    logs.write_text("")


def _block_the_next(logs: Path, serial: int) -> None:
    for number in range(serial + 1, serial + 20):
        (logs / f"{number}.log").mkdir()


def _point_the_next_elsewhere(logs: Path, serial: int) -> None:
    for number in range(serial + 1, serial + 20):
        (logs / f"{number}.log").symlink_to("/etc/passwd")


@pytest.mark.parametrize(("harm", "why"), [
    (_remove, "No such file or directory"), (_replace_by_a_file, "Not a directory"),
    (_block_the_next, "Is a directory"), (_point_the_next_elsewhere, "Too many levels of symbolic links"),
])  # fmt: skip
def test_C20_without_a_log_a_process_starts_all_the_same_and_one_line_says_so(tmp_path: Path, harm: Any, why: str) -> None:
    with Daemon(tmp_path / "run", configuration=CONFIGURATION.format(pool=0)) as daemon:
        client = daemon.client()
        harm(daemon.directory / "log", client.node("status")["last_serial"])
        pid = client.spawn(NEWBORN)
        call(client, pid, "print", "into nothing")
        assert call(client, pid, "found")["outputs"] == ["/dev/null", "/dev/null"]
        said = [line for line in daemon.log.read_text().splitlines() if "its log cannot be opened" in line]
        assert said == [f"process {pid.serial}: its log cannot be opened ({why}); its output is dropped"]


def test_C20_a_daemon_keeps_the_logs_of_the_one_before_and_starts_where_it_cannot(tmp_path: Path) -> None:
    directory = tmp_path / "run"
    with Daemon(directory, configuration=CONFIGURATION.format(pool=0)) as daemon:
        pid = daemon.client().spawn(NEWBORN)
        call(daemon.client(), pid, "print", "of the first")
    with Daemon(directory):
        assert [log.read_text() for log in (directory / "log.before").iterdir() if log.stat().st_size] == ["of the first\n"]
    for log in (directory / "log").iterdir():
        log.unlink()
    (directory / "log.before" / "folder").mkdir()
    with Daemon(directory) as daemon:
        assert call(daemon.client(), daemon.client().spawn(NEWBORN), "found")["cwd"] == "/"
        assert "the output of processes is dropped" in daemon.log.read_text()
