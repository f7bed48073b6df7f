"""The gate for system calls (tests.persistence.gate) before the processes of a daemon: each that runs a chosen program, and all
that it forks, waits there at every chosen call from its first fork on, to be let through, failed or killed. x86-64 only."""

from __future__ import annotations

import ctypes
import os
import select
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.daemon_fixture import Daemon
from tests.persistence import gate

POOLLESS = "tests.fault.poolless"

_PIDFD_GETFD = 438
_libc = ctypes.CDLL(None, use_errno=True)
_GATED = """
import os, sys
if {program!r} in sys.orig_argv:
    import socket
    from tests.persistence import gate
    is_open = False
    def before():
        global is_open
        if not is_open:
            is_open = True
            dumpable = gate.set_dumpable(1)  # else nobody may take the gate from here
            with socket.socket(socket.AF_UNIX) as line:
                line.connect({path!r})
                free = os.dup(line.fileno())
                os.close(free)  # so the next descriptor has this number: that of the gate
                line.sendall(b"%d %d" % (os.getpid(), free))
                gate.install({calls!r})
            os.write(2, b"")  # which passes as soon as somebody has taken it
            os.close(free)
            gate.set_dumpable(dumpable)
    os.register_at_fork(before=before)
"""
"""A sitecustomize, which Python imports first: the gate is made before the first fork. Whoever is behind it cannot hand it over,
for that is a call."""


class Gate:
    """Of the daemons whose PYTHONPATH begins with ``folder``; to be closed when they are gone. ``program``: a module that is
    run; ``calls``: number → name, of which ``write`` is one.
    """

    def __init__(self, folder: Path, program: str, calls: Mapping[int, str]) -> None:
        path = str(folder / "gate")
        (folder / "sitecustomize.py").write_text(_GATED.format(program=program, path=path, calls=dict(calls)))
        self._calls = calls
        self.passed: list[str] = []
        self._line = socket.socket(socket.AF_UNIX)
        self._line.bind(path)
        self._line.listen()
        self._listeners: set[int] = set()
        self._wake, self._woken = socket.socketpair()
        self._nth = 0
        self._counts: Callable[[gate.Seen], bool]
        self._error: Callable[[gate.Seen], int | None]
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def arm(self, nth: int, counts: Callable[[gate.Seen], bool], error: Callable[[gate.Seen], int | None]) -> None:
        """From now on the ``nth`` of the calls that count fails with its error; 0: its caller is killed; None: it passes."""
        self.passed = []
        self._counts, self._error, self._nth = counts, error, nth

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
                    gate.answer(fd, self._decide, self._calls)
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
        if not self._nth or not self._counts(seen):
            return None
        self.passed.append(seen.name)
        if len(self.passed) != self._nth:
            return None
        error = self._error(seen)
        if error == 0:
            gate.kill(seen.os_pid)
        return error or None


@contextmanager
def gated(folder: Path, program: str, calls: Mapping[int, str]) -> Iterator[tuple[Daemon, Gate]]:
    """A daemon without a pool, of which what runs ``program`` is behind the gate; POOLLESS is the guardian itself."""
    gate = Gate(folder, program, calls)
    try:
        daemon = Daemon(folder / "run", module=POOLLESS)
        daemon.environment["PYTHONPATH"] = f"{folder}:{daemon.environment['PYTHONPATH']}"
        with daemon:
            daemon.bystanders()
            yield daemon, gate
    finally:
        gate.close()
