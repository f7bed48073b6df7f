"""RELIABILITY C17: sessions that spin for ever. Those that were given a niceness leave the processors to the others."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import pytest

from actorcore.signals import ProcessSpec
from tests.conftest import Tell
from tests.daemon_fixture import WAIT_S, WITNESS, Desk

NICEST = 19
TICKS = 30
"""Of CPU time that two share: 0.3 s."""
ROUNDS, CALLS = 12, 1500
AUTOGROUPS = Path("/proc/sys/kernel/sched_autogroup_enabled")


@contextmanager
def spinning(desk: Desk, folder: Path, *niceness: int) -> Iterator[list[int]]:
    """A process for each, in an endless loop; their OS pids."""
    names = [f"spinner{at}" for at in range(len(niceness))]
    os_pids = []
    for name, nice in zip(names, niceness, strict=True):
        desk.client.spawn_spec(ProcessSpec(WITNESS, name=name, limits={"nice": nice} if nice else {}))
        os_pids.append(int(desk.client.call(name, ["state", None], WAIT_S)[0]))  # type: ignore[index,arg-type,call-overload]
        desk.loop(name, folder / "fifo")
    try:
        yield os_pids
    finally:
        for name in names:
            ref = desk.client.monitor(name)
            desk.client.exit(name, "kill")
            assert desk.client.wait_down(ref, WAIT_S).reason == "killed"


def ticks(os_pid: int) -> int:
    """CPU time of a process in proc(5)'s clock ticks."""
    fields = Path(f"/proc/{os_pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def test_C17_of_two_that_spin_on_one_processor_the_one_with_a_niceness_gets_next_to_nothing(desk: Desk, tmp_path: Path) -> None:
    """Whatever else runs there, they share what is left by their weights, 1024 to 15."""
    with spinning(desk, tmp_path, 0, NICEST) as os_pids:
        processor = {max(os.sched_getaffinity(0))}
        for os_pid in os_pids:
            os.sched_setaffinity(os_pid, processor)
        before = [ticks(os_pid) for os_pid in os_pids]
        while sum(map(ticks, os_pids)) - sum(before) < TICKS:
            os.sched_yield()
        plain, nice = (ticks(os_pid) - used for os_pid, used in zip(os_pids, before, strict=True))
        assert nice * 8 < plain, (plain, nice)


def test_C17_a_niceness_is_that_of_the_autogroup_too_where_there_are_any(desk: Desk, tmp_path: Path) -> None:
    with spinning(desk, tmp_path, 0, NICEST) as os_pids:
        found = [Path(f"/proc/{os_pid}/autogroup") for os_pid in os_pids]
        said = [path.read_text().split()[1:] for path in found if path.exists()]
        assert said == [["nice", "0"], ["nice", "19"]] * AUTOGROUPS.exists()


def slow_call_s(desk: Desk) -> float:
    """p99 of calls to a process that is idle."""
    took = []
    for _ in range(CALLS):
        began = time.perf_counter()
        desk.client.call("ada", ["state", None], WAIT_S)
        took.append(time.perf_counter() - began)
    return sorted(took)[CALLS * 99 // 100]


@pytest.mark.timeout(120)
def test_C17_beside_a_nice_hog_for_each_processor_the_p99_of_calls_is_at_most_three_times_as_long(
    desk: Desk, tmp_path: Path, tell: Tell
) -> None:
    """In turns with and without, as the machine has other work as well; the medians of both."""
    alone, beside = [slow_call_s(desk)], []
    for _ in range(ROUNDS):
        with spinning(desk, tmp_path, *[NICEST] * len(os.sched_getaffinity(0))):
            beside.append(slow_call_s(desk))
        alone.append(slow_call_s(desk))
        if median(beside) <= 3 * median(alone) and len(beside) > 2:
            break
    tell(f"C17: p99 of calls {median(alone) * 1e6:.0f} µs alone, {median(beside) * 1e6:.0f} µs beside nice hogs")
    assert median(beside) <= 3 * median(alone)
