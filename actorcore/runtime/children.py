"""The guardian's children: reaping with true status, signals, orphans of dead sessions, starting programs.

This is the only module that signals by number: it runs in the parent and only reaper, where a pid that has not been
reaped cannot have been given away. Everybody else signals through pidfds.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from actorcore.runtime import clock, syscalls

NEWBORN_COMM = "actor-zygote"
"""The name that children of a zygote bear until they are adopted: they are nobody's orphans."""
SWEEP_S = 0.05
"""For so long a sweep may keep the guardian from everything else."""

ENVIRONMENT = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "USER", "LOGNAME", "SHELL", "TMPDIR", "PYTHONPATH", "VIRTUAL_ENV",
               "ACTORCORE_STATE")  # fmt: skip
"""The variables that a session gets; everything else stays out (LD_PRELOAD, tokens)."""

BIND_NOW = {"LD_BIND_NOW": "1"}
"""ld.so(8): a zygote binds every symbol of the interpreter once; left to its children, each would write to 25 pages for it."""

_NEVER_IGNORED = {
    signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD, signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL,
    signal.SIGABRT, signal.SIGTRAP, signal.SIGSYS,
}  # fmt: skip


@dataclass(frozen=True)
class Death:
    """waitid(2): ``code`` is CLD_EXITED, CLD_KILLED or CLD_DUMPED, ``status`` the exit code or signal number.

    ``is_oom``: the SIGKILL was the kernel's, for want of memory.
    """

    os_pid: int
    code: int
    status: int
    is_oom: bool = False

    @property
    def was_killed(self) -> bool:
        """Whether it was ended from outside, by a SIGKILL that was not the kernel's."""
        return self.code == os.CLD_KILLED and self.status == signal.SIGKILL and not self.is_oom


@dataclass(frozen=True)
class Halt:
    """Stopped or continued by job control."""

    os_pid: int
    stopped: bool


def changes(is_session: Callable[[int], bool], is_victim: Callable[[int], bool]) -> Iterator[Death | Halt]:
    """All changes of state that wait, each once. A session's process group is killed while its pid is still its own.

    ``is_victim`` is asked of each that a SIGKILL has ended: was it for want of memory?
    """
    flags = os.WEXITED | os.WSTOPPED | os.WCONTINUED | os.WNOHANG
    while True:
        try:
            seen = os.waitid(os.P_ALL, 0, flags | os.WNOWAIT)
        except ChildProcessError:
            return
        if seen is None or seen.si_pid == 0:
            return
        ended = seen.si_code in (os.CLD_EXITED, os.CLD_KILLED, os.CLD_DUMPED)
        if ended and is_session(seen.si_pid):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(seen.si_pid, signal.SIGKILL)
        is_oom = seen.si_code == os.CLD_KILLED and seen.si_status == signal.SIGKILL and is_victim(seen.si_pid)
        # Only a change of the kind that was seen: a death that came meanwhile is for the next round.
        kind = os.WEXITED if ended else os.WSTOPPED | os.WCONTINUED
        try:
            taken = os.waitid(os.P_PID, seen.si_pid, kind | os.WNOHANG)
        except ChildProcessError:  # so says waitid of the dead that it is not asked for
            continue
        if taken is None:
            continue
        if ended:
            yield Death(taken.si_pid, int(taken.si_code), taken.si_status, is_oom)
        else:
            yield Halt(taken.si_pid, taken.si_code == os.CLD_STOPPED)


class Orphans:
    """The children that are nobody's: descendants of dead sessions come to us, generation by generation.

    ``strangers``: which of these children nobody wants; each death asks about all there are. ``refresh`` lets the caller
    hear of orders and adoptions, and tells whether somebody is being born: a newborn changes its name only after its adoption
    was announced, so who bears another name and is a stranger after a refresh is an orphan. So is who bears that name when
    nobody is being born: anybody can take it.
    """

    def __init__(self, strangers: Callable[[set[int]], set[int]], refresh: Callable[[], bool]) -> None:
        self._strangers = strangers
        self._refresh = refresh
        self.undying: set[int] = set()
        """Those that were given up; when one dies after all, its children are ours."""
        self._left: set[int] = set()

    def sweep(self) -> bool:
        """Kill and reap them; False: after SWEEP_S there are still some, for they are many, or fork, or do not die."""
        deadline = clock.monotonic_s() + SWEEP_S
        while clock.monotonic_s() < deadline:
            try:
                orphans = self._find()
            except OSError:  # EMFILE: who is who cannot be seen, so nobody is killed; the next death asks again
                return True
            if not orphans:
                return True
            for os_pid in orphans:
                kill(os_pid)
            for os_pid in orphans:
                _bury(os_pid, deadline)
            self._left = orphans
        return False

    def give_up(self) -> None:
        """Those left by the last sweep stay as long as something in the kernel holds them; no other death waits for them."""
        self.undying |= self._left

    def _find(self) -> set[int]:
        present = set(children_of_self())
        self._left.clear()
        self.undying &= present
        names = {os_pid: _name(os_pid) for os_pid in self._strangers(present - self.undying)}
        if not names:
            return set()
        spared = NEWBORN_COMM if self._refresh() else None
        return self._strangers({os_pid for os_pid, name in names.items() if name != spared})


def _bury(os_pid: int, deadline: float) -> None:
    """Wait for the end of a child that was killed, and reap it."""
    try:
        descriptor = os.pidfd_open(os_pid)
    except OSError:  # EMFILE: it is reaped as everybody is
        return
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    poll.poll(max(0.0, deadline - clock.monotonic_s()) * 1000)
    with contextlib.suppress(ChildProcessError):
        os.waitid(os.P_PIDFD, descriptor, os.WEXITED | os.WNOHANG)
    os.close(descriptor)


def children_of_self() -> list[int]:
    """The pids of all children, also of zombies (proc(5), ``children``)."""
    return list(map(int, syscalls.read_proc(f"self/task/{os.getpid()}/children").split()))


def is_child(os_pid: int) -> bool:
    """Whether this is the number of a child that has not been reaped."""
    try:
        os.waitid(os.P_PID, os_pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def ignore_all_but(some: set[signal.Signals]) -> None:
    """Ignore every signal but ``some``, those of the own faults, and SIGCHLD: ignored ones cost their target nothing."""
    for number in signal.valid_signals() - some - _NEVER_IGNORED:
        signal.signal(number, signal.SIG_IGN)


def open_or_kill(os_pid: int) -> int:
    """A pidfd of a child; -1 when we can have no more descriptors (EMFILE), and then it is killed: nobody could watch it."""
    try:
        return os.pidfd_open(os_pid)
    except OSError:
        kill(os_pid)
        return -1


def kill(os_pid: int) -> None:
    """SIGKILL for a child that has not been reaped."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(os_pid, signal.SIGKILL)


def end(os_pid: int) -> None:
    """Kill and reap one child."""
    kill(os_pid)
    with contextlib.suppress(ChildProcessError):
        os.waitid(os.P_PID, os_pid, os.WEXITED)


def end_all() -> None:
    """Kill and reap all children and what they leave, until there are none."""
    while pids := children_of_self():
        for os_pid in pids:
            kill(os_pid)
        for os_pid in pids:
            with contextlib.suppress(ChildProcessError):
                os.waitid(os.P_PID, os_pid, os.WEXITED)


OWN_IMAGE = "/proc/self/exe"
"""The program that we are, also when there is another, or none, under its name by now (proc(5)): where Python is replaced under
a running daemon, whatever is started later is still the Python that everything else is."""


def spawn_program(argv: list[str], fds: list[int], image: str = "") -> int:
    """Start a program with ``fds`` as 3, 4, 5 …, a clean signal state, its own session and the allow-listed environment.

    ``image``: the program, if it is another than ``argv`` names.
    """
    actions = [(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)]
    # Two steps, lest a target number is a source that is still needed.
    high = 100
    moves: list[tuple[int, int, int]] = [(os.POSIX_SPAWN_DUP2, fd, high + at) for at, fd in enumerate(fds)]
    moves += [(os.POSIX_SPAWN_DUP2, high + at, 3 + at) for at in range(len(fds))]
    environment = {name: os.environ[name] for name in ENVIRONMENT if name in os.environ} | BIND_NOW
    return os.posix_spawn(
        image or argv[0], argv, environment, file_actions=[*actions, *moves], setsid=True, setsigmask=[],
        setsigdef=signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP},
    )  # fmt: skip


def comm(os_pid: int) -> str:
    """The name that the process bears (proc(5), ``comm``); empty when it is gone."""
    try:
        return _name(os_pid)
    except OSError:
        return ""


def _name(os_pid: int) -> str:
    try:
        return syscalls.read_proc(f"{os_pid}/comm").decode(errors="replace").rstrip("\n")
    except (FileNotFoundError, ProcessLookupError):
        return ""
