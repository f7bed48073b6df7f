"""What a process has used of the machine, for people: proc(5) is asked by number, which may be another's by then."""

from __future__ import annotations

import os

from actorcore.runtime import syscalls

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_UTIME = 11
"""Its place behind the name, which may have blanks in it; stime follows (proc(5), ``stat``)."""


def usage(os_pid: object) -> dict[str, object]:
    """``cpu_s``: seconds of CPU; ``memory_bytes``: its own memory and its share of what it has in common with others (PSS).
    None where there is no such process, or it is another user's.
    """
    try:
        words = syscalls.read_proc(f"{os_pid}/stat").rpartition(b")")[2].split()
        rollup = syscalls.read_proc(f"{os_pid}/smaps_rollup")
    except OSError:
        return {"cpu_s": None, "memory_bytes": None}
    pss_kib = next((int(line.split()[1]) for line in rollup.splitlines() if line.startswith(b"Pss:")), 0)
    return {"cpu_s": round((int(words[_UTIME]) + int(words[_UTIME + 1])) * _TICK_S, 3), "memory_bytes": pss_kib << 10}


def as_columns(used: dict[str, object]) -> dict[str, object]:
    """The same as a person reads it: ``1.25 s``, ``3.4 MB``."""
    cpu_s, size_bytes = used["cpu_s"], used["memory_bytes"]
    return {
        "cpu": f"{cpu_s:.2f} s" if isinstance(cpu_s, float) else None,
        "memory": f"{size_bytes / 1e6:.1f} MB" if isinstance(size_bytes, int) else None,
    }
