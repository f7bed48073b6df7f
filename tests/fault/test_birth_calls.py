"""RELIABILITY B1, B2: every system call of a birth is failed, or its caller killed; the client has one true answer."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from actorcore.errors import CallFailed, RequestError
from actorcore.exit_reason import KILLED, NOPROC, NORMAL, Reason
from actorcore.signals import ProcessSpec
from tests.conftest import Size, Tell
from tests.daemon_fixture import WAIT_S, WITNESS, Desk, descriptors_beyond, desk_of
from tests.fault.call_gate import Gate, gated
from tests.fault.test_birth_points import newborns, strangers

ZYGOTE = "actorcore.runtime.zygote.zygote"
CALLS = {
    1: "write", 3: "close", 9: "mmap", 33: "dup2", 41: "socket", 44: "sendto", 45: "recvfrom", 46: "sendmsg", 47: "recvmsg",
    56: "clone", 72: "fcntl", 112: "setsid", 157: "prctl", 233: "epoll_ctl", 257: "openat", 291: "epoll_create1", 292: "dup3",
    302: "prlimit64", 436: "close_range",
}  # fmt: skip
"""On the way from an order to a process whose init has run."""
NEWBORN = ProcessSpec(WITNESS, name="newborn")
FAILURES = {"start_failed", "resource_exhausted"}


def struck(desk: Desk, gate: Gate, nth: int, error: int) -> bool:
    """Have a process born of which call ``nth`` is struck; whether there were so many."""
    untouched = {int(str(row["os_pid"])) for row in desk.client.processes() if row["os_pid"]}
    gate.arm(nth, lambda seen: seen.os_pid not in untouched, lambda seen: error)
    refusal, alive = "", []
    ended: Reason = KILLED
    try:
        pid, ref = desk.client.spawn_monitor(NEWBORN)
    except RequestError as error_told:
        refusal = error_told.code
    gate.disarm()
    case = (nth, gate.passed[nth - 1 : nth], error, refusal)
    if not refusal:
        try:
            desk.client.call(pid, ["state", None], WAIT_S)
            alive = [(pid.serial, "running")]
        except CallFailed as failed:  # it was struck behind its init
            ended = failed.reason if error else KILLED
    assert ({refusal} - {""} <= FAILURES, newborns(desk)) == (True, alive), case
    if alive:
        desk.client.exit("newborn", "kill")
    if not refusal:
        down = desk.client.wait_down(ref, WAIT_S)
        if ended == NOPROC:  # the call came after its end, whose reason only the DOWN tells
            assert down.reason not in (NOPROC, NORMAL, KILLED), case
            ended = down.reason
        assert (down.pid, down.reason) == (pid, ended), case
    assert (desk.client.whereis("newborn"), strangers(desk)) == (None, []), case
    return len(gate.passed) >= nth


@pytest.mark.sized
def test_B1_B2_at_every_system_call_of_a_birth_it_happens_once_or_fails_and_leaves_nobody(
    tmp_path: Path, size: Size, tell: Tell
) -> None:
    calls = {}
    with gated(tmp_path, ZYGOTE, CALLS) as (daemon, gate), desk_of(daemon) as desk:
        before = descriptors_beyond(desk)
        for error in (0, errno.EIO, errno.ENOSPC):
            nth, every = 1, size("B1_EVERY", 3, 1, 1)
            while struck(desk, gate, nth, error):
                nth += every
            calls[errno.errorcode.get(error, "killed")] = nth
        assert min(calls.values()) > 20
        assert descriptors_beyond(desk) == before
    tell(f"B1: system calls of a birth, one of {every} struck: {calls}; 0 processes left or doubled")
