"""The output of a process: descriptors 1 and 2 are a log file of its own, capped, and never a pipe.

The rule: ``LOGS/<serial>.log``; above 1 MiB only its newest 256 KiB stay. Writing past Python (a C library, a program that
the process starts) is measured at Python's next write, and by the node, which cuts to nothing what is twice too large.
A log that cannot be opened is /dev/null, with one line in the daemon's log; one that cannot be written to loses text and
says later how much. Neither ever is an error in the process.
"""

from __future__ import annotations

import io
import os
import sys

from actorcore.runtime.complain import complain

LOG_BYTES = 1 << 20
KEPT_BYTES = 256 << 10
CHECK_BYTES = 64 << 10
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
"""O_NONBLOCK: a FIFO in place of the log is no reason to wait."""


class Output(io.RawIOBase):
    """Descriptor ``fd`` as a stream that cuts its file and swallows what cannot be written."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._unchecked_bytes = 0
        self._lost_bytes = 0

    def fileno(self) -> int:
        return self._fd

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        """All of ``data`` goes out, or is counted as lost."""
        view = memoryview(data).cast("B")  # type: ignore[arg-type]
        size = len(view)
        try:
            if self._lost_bytes:
                os.write(self._fd, b"[%d bytes were lost here]\n" % self._lost_bytes)
                self._lost_bytes = 0
            while view:
                view = view[os.write(self._fd, view) :]
        except OSError:
            self._lost_bytes += len(view)
        self._unchecked_bytes += size
        if self._unchecked_bytes >= CHECK_BYTES:
            self._unchecked_bytes = 0
            cut(self._fd)
        return size


_own: list[tuple[int, int]] = []
"""Device and inode of this process's log, once it has one."""


def own(fd: int) -> None:
    """``fd`` is the log of this process from now on: what the user puts in its place is not ours to cut."""
    status = os.fstat(fd)
    _own[:] = [(status.st_dev, status.st_ino)]


def cut(fd: int) -> None:
    """Leave the newest whole lines of the log, when it has grown too large."""
    try:
        status = os.fstat(fd)
        size = status.st_size
        if size > LOG_BYTES and (status.st_dev, status.st_ino) in _own:
            tail = os.pread(fd, KEPT_BYTES, size - KEPT_BYTES)
            os.ftruncate(fd, 0)
            os.write(fd, b"[cut here]\n" + tail[tail.find(b"\n") + 1 :])
    except OSError:  # ENOSPC, EIO: the next check tries again
        pass


def install() -> None:
    """Make ``sys.stdout`` and ``sys.stderr`` such streams, line by line. What is written to them raises nothing."""
    for name, fd in (("stdout", 1), ("stderr", 2)):
        stream = io.TextIOWrapper(
            io.BufferedWriter(Output(fd), 1 << 13), "utf-8", errors="backslashreplace", line_buffering=True
        )  # fmt: skip
        setattr(sys, name, stream)


def open_log(directory: str, serial: int) -> None:
    """In a newborn: descriptors 1 and 2 become its log. Without a ``directory`` they stay what they are."""
    if not directory:
        return
    try:
        fd = os.open(f"{directory}/{serial}.log", _FLAGS, 0o600)
    except OSError as error:
        complain(f"process {serial}: its log cannot be opened ({error.strerror}); its output is dropped")
        fd = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    own(fd)
    for target in (1, 2):
        os.dup2(fd, target)
    os.close(fd)
