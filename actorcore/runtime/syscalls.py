"""Linux calls that the standard library does not have, through libc; each names its manual page."""

from __future__ import annotations

import ctypes
import os
import struct
from typing import Final

_libc = ctypes.CDLL(None, use_errno=True)

PR_SET_PDEATHSIG: Final = 1
PR_SET_DUMPABLE: Final = 4
PR_SET_NAME: Final = 15
PR_SET_CHILD_SUBREAPER: Final = 36
PR_SET_NO_NEW_PRIVS: Final = 38

_CLONE_PARENT: Final = 0x8000
_SIGCHLD: Final = 17
_SYS_CLONE: Final = {"x86_64": 56, "aarch64": 220}
_SIG_BLOCK: Final = 0
_SIGSET_BYTES: Final = 8
_SFD_FLAGS: Final = os.O_NONBLOCK | os.O_CLOEXEC
SIGINFO_BYTES: Final = 128
_PROC_BYTES: Final = 64 << 10


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def prctl(option: int, argument: int) -> None:
    """prctl(2) with one integer argument; raises OSError."""
    _checked(int(_libc.prctl(option, ctypes.c_ulong(argument), 0, 0, 0)))


def set_process_name(name: str) -> None:
    """The 15 bytes that ``ps -o comm`` shows (prctl(2) PR_SET_NAME)."""
    _checked(int(_libc.prctl(PR_SET_NAME, ctypes.c_char_p(name.encode()[:15]), 0, 0, 0)))


def read_proc(path: str) -> bytes:
    """The whole of a file below ``/proc`` (proc(5)), with a third of the calls that ``open()`` makes; raises OSError."""
    fd = os.open(f"/proc/{path}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        data = b""
        while part := os.read(fd, _PROC_BYTES):
            data += part
        return data
    finally:
        os.close(fd)


def close_from(lowest: int) -> None:
    """Close every descriptor from ``lowest`` up (close_range(2)); fork copies them whatever O_CLOEXEC says."""
    _checked(int(_libc.close_range(ctypes.c_uint(lowest), ctypes.c_uint(0xFFFFFFFF), 0)))


def fork_sibling() -> int:
    """fork(2) whose child is a child of the caller's parent (clone(2) CLONE_PARENT). Single-threaded callers only.

    Returns 0 in the child, its pid in the caller; raises OSError. Python's own state is prepared as os.fork does it.
    """
    _python.PyOS_BeforeFork()
    pid = int(_raw_clone(_CLONE_PARENT | _SIGCHLD))
    number = 0 if pid >= 0 else ctypes.get_errno()
    if pid == 0:
        _python.PyOS_AfterFork_Child()
        return 0
    _python.PyOS_AfterFork_Parent()
    if pid < 0:
        raise OSError(number, os.strerror(number))
    return pid


_python = ctypes.pythonapi
_pylib = ctypes.PyDLL(None, use_errno=True)  # keeps the GIL: a clone without it would leave the child without one


def _raw_clone(flags: int) -> int:
    number = _SYS_CLONE[os.uname().machine]
    null = ctypes.c_void_p(None)
    return int(_pylib.syscall(ctypes.c_long(number), ctypes.c_ulong(flags), null, null, null, null))


def signal_descriptor(signals: set[int]) -> int:
    """A non-blocking signalfd(2) for ``signals``, which must be blocked by the caller."""
    mask = struct.pack("=Q", sum(1 << (number - 1) for number in signals))
    return _checked(int(_libc.signalfd(-1, ctypes.c_char_p(mask), _SFD_FLAGS)))


def read_signals(descriptor: int) -> list[int]:
    """The signal numbers that wait in a signalfd."""
    found: list[int] = []
    size = full = SIGINFO_BYTES * 64
    while size == full:
        try:
            data = os.read(descriptor, full)
        except BlockingIOError:
            break
        size = len(data)
        found += [struct.unpack_from("=I", data, at)[0] for at in range(0, size, SIGINFO_BYTES)]
    return found
