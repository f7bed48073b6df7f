"""The guardian must not die of an error: each of its system calls fails once, with each errno that the kernel has for it."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from actorcore.errors import RequestError
from actorcore.signals import ProcessSpec
from tests.conftest import Size, Tell
from tests.daemon_fixture import WAIT_S, WITNESS, Desk, desk_of, send_signal
from tests.fault.call_gate import POOLLESS, Gate, gated
from tests.persistence.gate import Seen

CALLS = {
    0: "read", 1: "write", 7: "poll", 44: "sendto", 46: "sendmsg", 47: "recvmsg", 53: "socketpair", 54: "setsockopt", 56: "clone",
    58: "vfork", 62: "kill", 72: "fcntl", 257: "openat", 434: "pidfd_open",
}  # fmt: skip
ERRORS = {
    "read": (errno.EIO, errno.ENOMEM), "write": (errno.ENOSPC, errno.EIO), "poll": (errno.ENOMEM,),
    "sendto": (errno.ENOBUFS, errno.ENOMEM), "sendmsg": (errno.ENOBUFS, errno.ENOMEM, errno.ETOOMANYREFS),
    "recvmsg": (errno.ENOMEM,), "socketpair": (errno.EMFILE, errno.ENFILE, errno.ENOMEM), "setsockopt": (errno.ENOMEM,),
    "clone": (errno.EAGAIN, errno.ENOMEM), "vfork": (errno.EAGAIN, errno.ENOMEM), "kill": (errno.EPERM,),
    "fcntl": (errno.EMFILE,), "openat": (errno.EMFILE, errno.ENFILE, errno.ENOMEM),
    "pidfd_open": (errno.EMFILE, errno.ENOMEM),
}  # fmt: skip
"""What the manual pages have for each, where the arguments are right; a signalfd has none."""
MOST_ERRORS = max(map(len, ERRORS.values()))
VICTIM = ProcessSpec(WITNESS, name="victim")


def life(desk: Desk) -> str:
    """Spawn, kill and mourn; the reason, or why nobody was born."""
    try:
        pid, ref = desk.client.spawn_monitor(VICTIM)
    except RequestError as error:
        return error.code
    desk.client.kill(pid, 9)
    return str(desk.client.wait_down(ref, WAIT_S).reason)


def struck(desk: Desk, gate: Gate, nth: int, which: int) -> tuple[str, str]:
    """A life, the death of the node and another life, while call ``nth`` of the guardian fails; what became of the lives."""
    guardian = desk.daemon.guardian_pid

    def counts(seen: Seen) -> bool:
        return seen.os_pid == guardian and (seen.name != "read" or "signalfd" not in seen.path_of())

    def error(seen: Seen) -> int | None:
        return dict(enumerate(ERRORS[seen.name])).get(which)

    gate.arm(nth, counts, error)
    before = life(desk)
    send_signal(desk.node_os_pid(), 9)
    after = life(desk)
    gate.disarm()
    assert desk.daemon.process.poll() is None
    return before, after


@pytest.mark.sized
def test_C10_C11_whatever_call_of_the_guardian_fails_nobody_is_lost_and_it_goes_on(
    tmp_path: Path, size: Size, tell: Tell
) -> None:
    every, calls = size("GUARDIAN_EVERY", 5, 1, 1), 0
    with gated(tmp_path, POOLLESS, CALLS) as (daemon, gate), desk_of(daemon) as desk:
        for which in range(MOST_ERRORS):
            nth = 1
            while True:
                lives = struck(desk, gate, nth, which)
                call = "".join(gate.passed[nth - 1 : nth])
                # A newborn that cannot be watched is killed; nothing else costs anybody anything.
                is_unseen = call == "pidfd_open" and which < len(ERRORS[call])
                assert sorted(lives) == ["killed", "start_failed" if is_unseen else "killed"], (nth, call, which, lives)
                desk.check()
                if len(gate.passed) < nth:
                    break
                calls += 1
                nth += every
    assert calls > MOST_ERRORS * 40 // every
    tell(f"C10: {calls} calls of the guardian failed, nobody lost, bystanders untouched")
