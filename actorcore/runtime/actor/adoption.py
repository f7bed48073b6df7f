"""Adoption: an actor process reaps the orphans that have become its children, and never a child that its own code started.

Every actor process is a subreaper (prctl(2)): a descendant whose parent dies becomes its child, and a zombie when it dies
too, for nobody waits for it. A child that code of this process started (subprocess, fork, a C library) is that code's to
wait for: who takes its exit status takes it for ever. So a child is reaped here only when it is certain that another
process has forked it:

- its kernel session is neither ours nor its own: sessions are inherited at the fork, and ours bears our own pid;
- it was seen before as the child of another process;
- it became our child between two looks while this process did nothing but wait, without threads and signal handlers.

What stays a zombie until the session ends: an orphan in our kernel session or its own whose parent came and went within
one message. Nothing tells it from a child that somebody will yet wait for.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Set
from typing import NamedTuple

from actorcore.runtime import syscalls
from actorcore.runtime.children import children_of_self

PERIOD_S = 2.0
"""Between two looks; one at a process without children is a single system call."""
MAX_BELOW = 4096


class _Born(NamedTuple):
    """What a pid means as long as it means the same: ``start`` is field 22 of proc(5) stat."""

    os_pid: int
    start: str


class _Child(NamedTuple):
    is_zombie: bool
    session: int


_NOBODY: frozenset[_Born] = frozenset()


class Adoption:
    """Looks are made when the process begins to wait for a message, once later, and while it waits and has children."""

    def __init__(self) -> None:
        self._due_s = 0.0
        self._seen: Set[_Born] = _NOBODY
        self._adopted: Set[_Born] = _NOBODY
        self._below: Set[_Born] = _NOBODY
        self._is_quiet = False
        self._may_have_children = False

    def look(self, now_s: float, begins: bool, deadline_s: float | None = None) -> float | None:
        """Reap, at most once in PERIOD_S; until when to wait then: ``deadline_s``, or the next look before it.

        ``begins``: code of this process has run since it was called last.
        """
        if begins:
            self._is_quiet = False
            self._may_have_children = True
        if now_s >= self._due_s:
            self._due_s = now_s + PERIOD_S
            if syscalls.has_children():
                with contextlib.suppress(OSError):  # no descriptor left to look with; the next look may have one
                    self._look()
            else:
                self._forget()
        if not self._may_have_children or (deadline_s is not None and deadline_s < self._due_s):
            return deadline_s
        return self._due_s

    def _forget(self) -> None:
        self._seen = self._adopted = self._below = _NOBODY
        self._may_have_children = self._is_quiet = False

    def _look(self) -> None:
        me, found = os.getpid(), _read(children_of_self())
        proven = {born for born, child in found.items() if child.session not in (me, born.os_pid)}
        proven |= found.keys() & (self._adopted | self._below)
        if self._is_quiet:
            proven |= found.keys() - self._seen
        for born in [born for born in proven if found[born].is_zombie]:
            with contextlib.suppress(ChildProcessError):  # code of ours waits for anybody, and was faster
                os.waitid(os.P_PID, born.os_pid, os.WEXITED | os.WNOHANG)
            proven.remove(born)
            del found[born]
        self._seen, self._adopted = set(found), proven
        self._below = _descendants([born.os_pid for born in found])
        self._may_have_children = bool(found)
        self._is_quiet = bool(found) and _only_waits()


def _only_waits() -> bool:
    """Whether no code of the user's can run before the wait is over: no other thread, no signal handler."""
    handlers = (signal.getsignal(number) for number in signal.valid_signals())
    return len(os.listdir("/proc/self/task")) == 1 and not any(callable(handler) for handler in handlers)


def _read(os_pids: list[int]) -> dict[_Born, _Child]:
    found: dict[_Born, _Child] = {}
    for os_pid in os_pids:
        try:
            with open(f"/proc/{os_pid}/stat") as file:
                fields = file.read().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):  # reaped by another thread
            continue
        found[_Born(os_pid, fields[19])] = _Child(fields[0] == "Z", int(fields[3]))
    return found


def _descendants(os_pids: list[int]) -> set[_Born]:
    """All who are below ``os_pids``, as far as MAX_BELOW goes."""
    below: set[_Born] = set()
    level = os_pids
    while level and len(below) < MAX_BELOW:
        found = _read([child for os_pid in level for child in _children_of(os_pid)])
        level = [born.os_pid for born in found.keys() - below]
        below |= found.keys()
    return below


def _children_of(os_pid: int) -> list[int]:
    found: list[int] = []
    with contextlib.suppress(FileNotFoundError, ProcessLookupError, PermissionError):  # it ends
        for task in os.listdir(f"/proc/{os_pid}/task"):
            with open(f"/proc/{os_pid}/task/{task}/children") as file:
                found += [int(word) for word in file.read().split()]
    return found
