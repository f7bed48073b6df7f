"""Limits and signal state of this process, set before any code of the user's runs."""

from __future__ import annotations

import os
import resource
import select
import signal
from collections.abc import Mapping

from actorcore.process_spec import RLIMITS
from actorcore.runtime import syscalls

AUTOGROUP_TRIES, AUTOGROUP_PAUSE_S = 5, 0.1
KEPT_IGNORED = {signal.SIGPIPE}
"""As Python has it: a closed stdout is an error and not a death."""


def apply_limits(limits: Mapping[str, int]) -> str | None:
    """Set each of ``limits`` (see actorcore.process_spec); what the kernel refused first, None when nothing."""
    for name, value in limits.items():
        try:
            if name == "oom_score_adj":
                syscalls.raise_oom_score(value)
            elif name == "nice":
                _raise_niceness(max(value, os.getpriority(os.PRIO_PROCESS, 0)))
            elif name in RLIMITS:
                resource.setrlimit(getattr(resource, f"RLIMIT_{name.upper()}"), (value, value + 1 if name == "cpu" else value))
        except (OSError, ValueError) as error:  # ValueError: above the hard limit
            return f"{name}: {error.strerror if isinstance(error, OSError) else error}"
    return None


def _raise_niceness(niceness: int) -> None:
    """Of this process, and of its autogroup (sched(7)): where the kernel has those it shares the processors between sessions of
    setsid(2), as each process of ours is one, and the niceness of a process tells only within its own.
    """
    os.setpriority(os.PRIO_PROCESS, 0, niceness)
    if not niceness:
        return
    for _ in range(AUTOGROUP_TRIES):
        try:
            group = os.open("/proc/self/autogroup", os.O_WRONLY | os.O_CLOEXEC)
            try:
                os.write(group, str(niceness).encode())
            finally:
                os.close(group)
        except BlockingIOError:  # from users without privilege the kernel takes one of these in 100 ms, and tells nobody when
            select.select([], [], [], AUTOGROUP_PAUSE_S)
        except OSError:  # a kernel without them
            return
        else:
            return


def clear_signals() -> None:
    """Default dispositions, nothing blocked, no wakeup descriptor, no timers: whatever imported modules have set."""
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP} - KEPT_IGNORED:
        if signal.getsignal(number) is not signal.SIG_DFL:
            signal.signal(number, signal.SIG_DFL)
    for number in KEPT_IGNORED:
        signal.signal(number, signal.SIG_IGN)
    for timer in (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF):
        signal.setitimer(timer, 0)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
