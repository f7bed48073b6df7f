"""Start the daemon on demand, once, however many commands want it at the same time (as tmux does it).

Starters queue at a lock file; the winner spawns the daemon and waits for its readiness byte, the others find it running.
The lock is no claim to be the daemon: that is a lock of the daemon's own.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

from actorcore.errors import CallFailed, RequestError
from actorcore.exit_reason import NOCONNECTION
from supervisors import exit_codes, paths
from supervisors.client import Client

START_TIMEOUT_S = 20.0
TURN_TIMEOUT_S = 60.0
"""For whoever has the start lock to let go of it: some that fail one after the other, but not one that was stopped at it."""
DAEMON_MODULE = "supervisors.daemon"


def connect_or_start(directory: Path, module: str = DAEMON_MODULE) -> tuple[Client, bool]:
    """A client of the daemon of ``directory``, and whether it had to be started.

    :raises RequestError: ``start_failed``, its log tells why; ``not_permitted``, the directory is not safe.
    """
    paths.prepare_directory(directory)
    with contextlib.suppress(_NotRunning):
        return _connect(directory), False
    with _locked(directory):
        with contextlib.suppress(_NotRunning):
            return _connect(directory), False
        _spawn(directory, module)
        return Client.connect(directory), True


def become_daemon(directory: Path, announcement: str, as_json: bool = False) -> NoReturn:
    """Replace this program by the daemon, which prints ``announcement`` when it serves. Starters wait until then.

    What it is refused for it says as the command line does, ``as_json`` or not.

    :raises RequestError: ``not_permitted``, the directory is not safe.
    """
    paths.prepare_directory(directory)
    lock = _lock(directory)
    os.set_inheritable(lock, True)
    words = ["--dir", str(directory), "--announce", announcement, "--ready-fd", str(lock)]  # which it closes then
    words += ["--json"] if as_json else []
    os.execv(sys.executable, [sys.executable, "-P", "-m", DAEMON_MODULE, *words])


class _NotRunning(Exception):
    """Nobody listens."""


def _connect(directory: Path) -> Client:
    try:
        return Client.connect(directory)
    except CallFailed as error:
        if error.reason == NOCONNECTION:
            raise _NotRunning from None
        raise


@contextlib.contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """Hold the start lock; its holder lets go within START_TIMEOUT_S, and with its death."""
    lock = _lock(directory)
    try:
        yield
    finally:
        os.close(lock)


def _lock(directory: Path) -> int:
    try:
        lock = os.open(directory / paths.LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        detail = f"{paths.LOCK_NAME} in the runtime directory cannot be opened: {error.strerror}"
        raise RequestError("start_failed", detail) from None
    turn = Turn(lock)
    if not turn.wait(TURN_TIMEOUT_S):
        raise RequestError("busy", f"another command is starting the daemon, or was stopped at it, for {TURN_TIMEOUT_S:g} s")
    return lock


class Turn:
    """Our turn at a lock. flock(2) waits without a bound, so a thread waits, and lets go of a turn that comes too late."""

    def __init__(self, lock: int) -> None:
        self._lock = lock
        self._guard = threading.Lock()
        self._has_come = threading.Event()
        self._is_too_late = False

    def wait(self, timeout_s: float) -> bool:
        """Whether it came in time; else the descriptor is not the caller's any more."""
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            threading.Thread(target=self._queue, daemon=True).start()
        self._has_come.wait(timeout_s)
        with self._guard:
            self._is_too_late = not self._has_come.is_set()
            return not self._is_too_late

    def _queue(self) -> None:
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        with self._guard:
            if self._is_too_late:
                os.close(self._lock)
            else:
                self._has_come.set()


def _spawn(directory: Path, module: str) -> None:
    """Start the daemon and wait until it is ready; when it is not, it is gone afterwards."""
    reader, writer = os.pipe()
    try:
        try:
            os.set_inheritable(writer, True)
            os_pid = _posix_spawn(directory, module, writer)
        finally:
            os.close(writer)
        poll = select.poll()
        poll.register(reader, select.POLLIN)
        if poll.poll(START_TIMEOUT_S * 1000) and os.read(reader, 1) == b"1":
            return
    finally:
        os.close(reader)
    if _end(os_pid) == exit_codes.INVALID_CONFIGURATION:
        last_line = (directory / paths.LOG_NAME).read_text(errors="replace").rstrip().rpartition("\n")[2]
        raise RequestError("invalid_config", last_line.removeprefix("error: invalid_config: "))
    raise RequestError("start_failed", f"the daemon did not become ready; see {paths.LOG_NAME} in {directory}")


def _posix_spawn(directory: Path, module: str, ready_fd: int) -> int:
    # -P: no module is ever loaded from the directory in which somebody happened to type the command (S6).
    command = [sys.executable, "-P", "-m", module, "--dir", str(directory), "--ready-fd", str(ready_fd)]
    log = _open_log(directory)
    try:
        actions = [
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
            (os.POSIX_SPAWN_DUP2, log, 2),
        ]
        return os.posix_spawn(
            sys.executable, command, os.environ, file_actions=actions,
            setsid=True, setsigmask=[], setsigdef=[signal.SIGPIPE, signal.SIGINT, signal.SIGHUP, signal.SIGXFSZ],
        )  # fmt: skip
    finally:
        os.close(log)


def _open_log(directory: Path) -> int:
    # O_NONBLOCK: a FIFO in its place is an error, not a wait for a reader.
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        return os.open(directory / paths.LOG_NAME, flags, 0o600)
    except OSError as error:
        detail = f"{paths.LOG_NAME} in the runtime directory cannot be written: {error.strerror}"
        raise RequestError("start_failed", detail) from None


def _end(os_pid: int) -> int:
    """Kill and reap our child, whose number cannot be another's before that; its exit status or the signal's number."""
    handle = os.pidfd_open(os_pid)
    try:
        signal.pidfd_send_signal(handle, signal.SIGKILL)
        ended = os.waitid(os.P_PIDFD, handle, os.WEXITED)
        return 0 if ended is None else ended.si_status
    finally:
        os.close(handle)
