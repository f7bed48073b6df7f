"""The processes below this one, as /proc tells it: their memory, and their end."""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
from collections import defaultdict
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36
"""linux/prctl.h"""


def adopt_orphans() -> None:
    """From now on what is orphaned below this process becomes its child, so that nothing leaves its tree (prctl(2))."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def descendants(os_pid: int) -> list[int]:
    """Its children and theirs, parents first; not who has ended and is only to be reaped."""
    children = defaultdict[int, list[int]](list)
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            with contextlib.suppress(OSError):
                state, parent, *_ = (path / "stat").read_text().rpartition(")")[2].split()
                if state != "Z":
                    children[int(parent)].append(int(path.name))
    found = [os_pid]
    for parent_pid in found:
        found += children[parent_pid]
    return found[1:]


def tree_pss_mb() -> float:
    """The proportional set size of this process and all below it, in 10^6 bytes (smaps_rollup: Pss)."""
    total_kib = 0
    for os_pid in (os.getpid(), *descendants(os.getpid())):
        with contextlib.suppress(OSError):
            fields = (line.split() for line in Path(f"/proc/{os_pid}/smaps_rollup").read_text().splitlines()[1:])
            total_kib += sum(int(field[1]) for field in fields if field[0] == "Pss:")
    return total_kib * 1024 / 1e6


def end_below(os_pid: int) -> None:
    """SIGKILL all descendants of a process that adopts orphans; they have ended when this returns."""
    while left := descendants(os_pid):
        for each in left:
            with contextlib.suppress(ProcessLookupError):
                handle = os.pidfd_open(each)
                with contextlib.closing(os.fdopen(handle)):
                    signal.pidfd_send_signal(handle, signal.SIGKILL)
                    select.select([handle], [], [])
