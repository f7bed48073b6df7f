"""The gate for system calls (tests.persistence.gate) before the zygotes of a daemon: every call of theirs, and of all that they
fork, waits there from their first fork on, to be let through, failed or killed. x86-64 only, no privilege needed."""

from __future__ import annotations

import ctypes
import os
import select
import socket
import threading
from pathlib import Path

from tests.persistence import gate

CALLS = {
    1: "write", 3: "close", 9: "mmap", 33: "dup2", 41: "socket", 44: "sendto", 45: "recvfrom", 46: "sendmsg", 47: "recvmsg",
    56: "clone", 72: "fcntl", 112: "setsid", 157: "prctl", 233: "epoll_ctl", 257: "openat", 291: "epoll_create1", 292: "dup3",
    302: "prlimit64", 436: "close_range",
}  # fmt: skip
"""On the way from an order to a process whose init has run."""
_PIDFD_GETFD = 438
_libc = ctypes.CDLL(None, use_errno=True)
_GATED = """
import os, sys
if "actorcore.runtime.zygote.zygote" in sys.orig_argv:
    import socket
    from tests.fault import birth_gate
    from tests.persistence import gate
    is_open = False
    def before():
        global is_open
        if not is_open:
            is_open = True
            with socket.socket(socket.AF_UNIX) as line:
                line.connect({path!r})
                free = os.dup(line.fileno())
                os.close(free)  # so the next descriptor has this number: that of the gate
                line.sendall(b"%d %d" % (os.getpid(), free))
                gate.install(birth_gate.CALLS)
            os.close(free)
    os.register_at_fork(before=before)
"""
"""A sitecustomize, which Python imports first: the gate is made before the first fork. Whoever is behind it cannot hand it over,
for that is a call."""


class Gate:
    """Of the daemons whose PYTHONPATH begins with ``folder``; to be closed when they are gone."""

    def __init__(self, folder: Path) -> None:
        path = str(folder / "gate")
        (folder / "sitecustomize.py").write_text(_GATED.format(path=path))
        self.passed: list[str] = []
        self._line = socket.socket(socket.AF_UNIX)
        self._line.bind(path)
        self._line.listen()
        self._listeners: set[int] = set()
        self._wake, self._woken = socket.socketpair()
        self._nth, self._error = 0, 0
        self._untouched: set[int] = set()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def arm(self, nth: int, error: int, untouched: set[int]) -> None:
        """From now on the ``nth`` call of all but the ``untouched`` fails with ``error``; 0: its caller is killed."""
        self.passed = []
        self._untouched, self._error, self._nth = untouched, error, nth

    def disarm(self) -> None:
        """Let all calls through, and count none."""
        self._nth = 0

    def close(self) -> None:
        self._wake.close()
        self._thread.join()
        for sock in (self._line, self._woken):
            sock.close()
        for listener in self._listeners:
            os.close(listener)

    def _serve(self) -> None:
        poll = select.poll()
        for fd in (self._line.fileno(), self._woken.fileno()):
            poll.register(fd, select.POLLIN)
        while True:
            for fd, event in poll.poll():
                if fd == self._woken.fileno():
                    return
                if fd == self._line.fileno():
                    self._listeners.add(listener := self._taken())
                    poll.register(listener, select.POLLIN)
                elif event & select.POLLIN:
                    gate.answer(fd, self._decide, CALLS)
                else:  # nobody is behind it any more
                    poll.unregister(fd)

    def _taken(self) -> int:
        """The gate of who has come to the line."""
        with self._line.accept()[0] as line:
            os_pid, number = map(int, line.recv(64).split())
        pidfd = os.pidfd_open(os_pid)
        try:
            while (listener := int(_libc.syscall(_PIDFD_GETFD, pidfd, number, 0))) < 0:  # until it has made it
                os.sched_yield()
        finally:
            os.close(pidfd)
        return listener

    def _decide(self, seen: gate.Seen) -> int | None:
        if not self._nth or seen.os_pid in self._untouched:
            return None
        self.passed.append(seen.name)
        if len(self.passed) != self._nth:
            return None
        if not self._error:
            gate.kill(seen.os_pid)
        return self._error or None
