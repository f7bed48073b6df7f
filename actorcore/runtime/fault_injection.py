"""Fault injection: a plan of strikes in a file, obeyed by every process of the daemon that was started with it.

The plan has lines ``point:nth:action``; ``nth`` counts the passes of that point by all processes together. Each pass is
appended to the file beside it, ``<plan>.trace``, as ``point os_pid``. Emptying the trace starts the count again, so one
daemon serves many experiments. ``stop`` is a delay that ends with SIGCONT.
"""

from __future__ import annotations

import errno
import fcntl
import os
import signal

from actorcore import faults

_ERRORS = {"eio": errno.EIO, "enospc": errno.ENOSPC}


def arm(plan: str) -> None:
    """From now on this process and its forks obey the plan in file ``plan``."""
    faults.plan = os.path.abspath(plan)
    faults.hook = _passed


def trace_of(plan: str) -> str:
    """Where the passes are noted."""
    return f"{plan}.trace"


def _passed(name: str) -> None:
    for action in _note(name):
        _strike(action)


def _note(name: str) -> list[str]:
    """Append a pass; what the plan has for it."""
    # Opened each time: no process may keep a descriptor that it has not without the plan.
    with open(trace_of(faults.plan), "a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        nth = sum(line.split()[0] == name for line in file) + 1
        file.write(f"{name} {os.getpid()}\n")
        file.flush()
        with open(faults.plan) as plan:  # under the lock: who changes it has the lock as well, and counts from then on
            return [action for *strike, action in faults.parse(plan.read()) if strike == [name, nth]]


def _strike(action: str) -> None:
    if action == "kill":
        signal.raise_signal(signal.SIGKILL)
    elif action == "stop":
        signal.raise_signal(signal.SIGSTOP)
    elif action == "exit":
        os._exit(1)
    else:
        raise OSError(_ERRORS[action], os.strerror(_ERRORS[action]))
