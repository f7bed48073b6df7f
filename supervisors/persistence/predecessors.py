"""Predecessors: processes of the daemon before, which have their locks until they are gone.

Killed with their guardian, they end at once, unless they wait for a disk or a processor: then the next daemon is there before.
What they have is theirs for a moment only, so it is waited for; what another daemon has that lives is not had in that time.
"""

from __future__ import annotations

import fcntl
import os
import select
import struct

from actorcore.runtime import evidence
from actorcore.runtime.clock import monotonic_s
from supervisors.paths import SESSIONS_NAME

STORE_S = 5.0
"""So long a store waits for the one before, which is less than its init may take."""
_FLOCK = "hhqqi0q"
"""``struct flock`` of a 64-bit kernel: type, whence, start, length, pid (fcntl(2))."""


def holder(path: str) -> int:
    """The OS pid of who has locked the first byte of the file; 0: nobody, or somebody of another pid namespace."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return 0
    try:
        told = fcntl.fcntl(handle, fcntl.F_GETLK, struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 1, 0))
    finally:
        os.close(handle)
    kind, _, _, _, os_pid = struct.unpack(_FLOCK, told)
    return 0 if kind == fcntl.F_UNLCK else max(0, os_pid)


def of_sessions(state: str, head: str) -> list[int]:
    """The OS pids of those that have a session of the state directory and that our guardian has not started.

    ``head`` is the name of the file that the process of a session locks.
    """
    try:
        folders = os.listdir(f"{state}/{SESSIONS_NAME}")
    except OSError:
        return []
    found = {holder(f"{state}/{SESSIONS_NAME}/{folder}/{head}") for folder in folders} - {0}
    return [os_pid for os_pid in sorted(found) if not _is_ours(os_pid)]


def _is_ours(os_pid: int) -> bool:
    try:
        return evidence.descends_from(os_pid, os.getppid())
    except OSError:  # it is gone
        return False


def await_end(os_pid: int, deadline_s: float) -> None:
    """Until the process has ended, or that moment of the monotonic clock."""
    try:
        handle = os.pidfd_open(os_pid)
    except OSError:  # it is gone; or there is no descriptor to wait with
        return
    try:
        poll = select.poll()
        poll.register(handle, select.POLLIN)
        poll.poll(max(0.0, deadline_s - monotonic_s()) * 1000)
    finally:
        os.close(handle)
