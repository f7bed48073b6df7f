"""The daemon's place: the lock that makes it the only one of its directory, and its listening socket.

Only the lock counts: what a dead daemon has left, a number in a file or a socket, says nothing (RELIABILITY D5, F12', F13').
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import stat
from pathlib import Path

from actorcore.errors import RequestError
from supervisors import paths

LOCK_NAME = "daemon.lock"
BACKLOG = 4096


class AlreadyRunning(RequestError):
    """Another daemon serves this directory."""


def take_lock(directory: Path) -> int:
    """The descriptor of the lock, which this process holds as long as it lives; its own pid is in the file, for people.

    A record lock (fcntl(2)): no child has it, as it would have one of flock(2) until it has closed the descriptor. A daemon that
    is killed while it forks can be started again at once. Who closes the file, by whatever descriptor, lets go of the lock.

    :raises AlreadyRunning: ``already_exists``.
    :raises RequestError: ``not_permitted``, the file cannot be had.
    """
    try:
        fd = os.open(directory / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise RequestError("not_permitted", f"{LOCK_NAME} in the runtime directory: {error.strerror}") from None
    try:
        fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        with os.fdopen(fd, "rb") as file:
            holder = file.read(20).strip().decode(errors="replace")
        raise AlreadyRunning("already_exists", f"already running{f' pid {holder}' if holder.isdecimal() else ''}") from None
    with contextlib.suppress(OSError):  # a full disk: then nobody is told which pid it is
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
    return fd


def guardian(directory: Path) -> int | None:
    """A pidfd of the daemon of ``directory``, for a client that is connected to it; None when nothing tells its number.

    The number is only as true as the connection: a dead daemon's may be a stranger's by now.
    """
    try:
        return os.pidfd_open(int((directory / LOCK_NAME).read_text()))
    except (OSError, ValueError, OverflowError):
        return None


def listen(directory: Path) -> socket.socket:
    """The listening socket, 0600 from its birth. Who calls holds the lock, so a socket of ours that is there is a dead one's.

    :raises RequestError: ``not_permitted``, something else stands in its place, and is left there.
    """
    _clear(directory / paths.SOCKET_NAME)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    os.fchmod(listener.fileno(), 0o600)  # the mode that the file gets; a chmod after bind would come too late
    with paths.socket_address(directory) as address:
        listener.bind(address)
    listener.listen(BACKLOG)
    return listener


def _clear(path: Path) -> None:
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise RequestError("not_permitted", f"{path.name} in the runtime directory is not a socket")
    if found.st_uid != os.geteuid():
        raise RequestError("not_permitted", f"{path.name} in the runtime directory belongs to uid {found.st_uid}")
    path.unlink()
