"""A gate for system calls (seccomp_unotify(2)): a parent sees each chosen call of a child before it is made, and decides.

It finds what no named fault point names: what SQLite does. x86-64 only, no privilege needed.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import select
import signal
import socket
import struct
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

CALLS = {
    1: "write", 2: "open", 18: "pwrite64", 74: "fsync", 75: "fdatasync", 77: "ftruncate", 82: "rename", 83: "mkdir", 84: "rmdir",
    86: "link", 87: "unlink", 257: "openat", 258: "mkdirat", 263: "unlinkat", 264: "renameat", 265: "linkat", 316: "renameat2",
}  # fmt: skip
_SECCOMP = 317
_RECEIVE, _SEND = 0xC0502100, 0xC0182101
_CONTINUE = 1
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Seen:
    """A call that waits at the gate: its name, its arguments, and of whom."""

    name: str
    arguments: tuple[int, ...]
    os_pid: int

    def text(self, place: int) -> str:
        """The path that argument ``place`` points to."""
        return self.memory(self.arguments[place], 512).partition(b"\0")[0].decode()

    def memory(self, address: int, size_bytes: int) -> bytes:
        with open(f"/proc/{self.os_pid}/mem", "rb", 0) as file:
            file.seek(address)
            return file.read(size_bytes)

    def path_of(self, place: int = 0) -> str:
        """The file behind the descriptor that is argument ``place``."""
        return os.readlink(f"/proc/{self.os_pid}/fd/{self.arguments[place]}")


Decide = Callable[[Seen], "int | None"]
"""None: let it pass; a number: it fails with this errno. The child may also be killed."""


def run(act: Callable[[], None], decide: Decide) -> int:
    """Run ``act`` in a child whose calls ``decide`` is asked about; the exit status, negative for a signal."""
    with _child(act) as (os_pid, listener):
        pidfd = os.pidfd_open(os_pid)
        poll = select.poll()
        poll.register(listener, select.POLLIN)
        poll.register(pidfd, select.POLLIN)
        try:
            while not any(fd == pidfd for fd, _ in poll.poll()):
                answer(listener, decide)
        finally:
            os.close(pidfd)
        return os.waitstatus_to_exitcode(os.waitpid(os_pid, 0)[1])


def answer(listener: int, decide: Decide, calls: Mapping[int, str] = CALLS) -> None:
    """Let one call that waits at the gate have what is decided about it."""
    notice = bytearray(80)
    try:
        fcntl.ioctl(listener, _RECEIVE, notice)
    except FileNotFoundError:  # it was killed at the gate
        return
    id, os_pid, _, number, _, _, *arguments = struct.unpack("=QIIiIQ6Q", notice)
    error = decide(Seen(calls[number], tuple(arguments), os_pid))
    reply = struct.pack("=QqiI", id, 0, 0, _CONTINUE) if error is None else struct.pack("=QqiI", id, 0, -error, 0)
    try:
        fcntl.ioctl(listener, _SEND, bytearray(reply))
    except FileNotFoundError:
        pass


@contextmanager
def _child(act: Callable[[], None]) -> Iterator[tuple[int, int]]:
    ours, theirs = socket.socketpair()
    os_pid = os.fork()
    if os_pid == 0:
        status = 1
        try:
            ours.close()
            listener = install()
            socket.send_fds(theirs, [b"x"], [listener])
            os.close(listener)
            theirs.recv(1)
            theirs.close()
            act()
            status = 0
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(status)
    theirs.close()
    _, (listener,), _, _ = socket.recv_fds(ours, 1, 1)
    ours.send(b"x")
    ours.close()
    try:
        yield os_pid, listener
    finally:
        os.close(listener)


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]


def install(calls: Mapping[int, str] = CALLS) -> int:
    """The listener of a filter that stops at each of ``calls``, of this process and of all that it will fork."""
    code = [(0x20, 0, 0, 0)]
    code += [(0x15, len(calls) - at, 0, number) for at, number in enumerate(calls)]
    code += [(0x06, 0, 0, 0x7FFF0000), (0x06, 0, 0, 0x7FC00000)]
    buffer = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *line) for line in code))
    program = _Program(len(code), ctypes.addressof(buffer))
    assert _libc.prctl(38, 1, 0, 0, 0) == 0
    listener: int = _libc.syscall(_SECCOMP, 1, 8, ctypes.byref(program))
    assert listener >= 0, os.strerror(ctypes.get_errno())
    return listener


def kill(os_pid: int) -> None:
    """SIGKILL a child that waits at the gate."""
    os.kill(os_pid, signal.SIGKILL)


def set_dumpable(value: int) -> int:
    """prctl(2), PR_SET_DUMPABLE: whether others of this user may look into this process; what it was before."""
    before: int = _libc.prctl(3, 0, 0, 0, 0)
    assert _libc.prctl(4, value, 0, 0, 0) == 0
    return before
