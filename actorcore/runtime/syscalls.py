"""Linux calls that the standard library does not have, through libc; each names its manual page.

Each function is looked up once, with its types, when this is imported: a child that looked one up by itself would write to
eighty pages for it (LIMITS.md §1).
"""

from __future__ import annotations

import ctypes
import os
import struct
from typing import Final

_libc = ctypes.CDLL(None, use_errno=True)
_prctl = _libc.prctl
_prctl.argtypes = [ctypes.c_int, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_ulong]
_prctl_text = ctypes.CDLL(None, use_errno=True).prctl
_prctl_text.argtypes = [ctypes.c_int, ctypes.c_char_p]
_waitid = _libc.waitid
_waitid.argtypes = [ctypes.c_int, ctypes.c_uint, ctypes.c_void_p, ctypes.c_int]
_close_range = _libc.close_range
_close_range.argtypes = [ctypes.c_uint, ctypes.c_uint, ctypes.c_int]

PR_SET_PDEATHSIG: Final = 1
PR_SET_DUMPABLE: Final = 4
PR_SET_NAME: Final = 15
PR_SET_CHILD_SUBREAPER: Final = 36
PR_SET_NO_NEW_PRIVS: Final = 38

_CLONE_PARENT: Final = 0x8000
_SIGCHLD: Final = 17
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
    _checked(_prctl(option, argument, 0, 0, 0))


def set_process_name(name: str) -> None:
    """The 15 bytes that ``ps -o comm`` shows (prctl(2) PR_SET_NAME)."""
    _checked(_prctl_text(PR_SET_NAME, name.encode()[:15]))


def raise_oom_score(value: int) -> None:
    """Make this process and its later children a better victim of the out-of-memory killer (proc(5)); never a worse one.

    :raises OSError: proc is not there.
    """
    with open("/proc/self/oom_score_adj", "r+") as file:
        if int(file.read()) < value:
            file.seek(0)
            file.write(str(value))


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
    _checked(_close_range(lowest, 0xFFFFFFFF, 0))


_ANY_END: Final = os.WEXITED | os.WNOHANG | os.WNOWAIT


def has_children() -> bool:
    """Whether this process has a child, dead ones counted; by waitid(2), without the exception that is os.waitid's no."""
    return int(_waitid(os.P_ALL, 0, None, _ANY_END)) == 0


_before_fork = ctypes.pythonapi.PyOS_BeforeFork
_after_fork_parent = ctypes.pythonapi.PyOS_AfterFork_Parent
_after_fork_child = ctypes.pythonapi.PyOS_AfterFork_Child
_syscall = ctypes.PyDLL(None, use_errno=True).syscall  # keeps the GIL: a clone without it would leave the child without one
_syscall.argtypes = [ctypes.c_long, ctypes.c_ulong, *[ctypes.c_void_p] * 4]
_syscall.restype = ctypes.c_long
_NR_CLONE = {"x86_64": 56, "aarch64": 220}.get(os.uname().machine, -1)


def fork_sibling() -> int:
    """fork(2) whose child is a child of the caller's parent (clone(2) CLONE_PARENT). Single-threaded callers only.

    Returns 0 in the child, its pid in the caller; raises OSError. Python's own state is prepared as os.fork does it.
    """
    _before_fork()
    pid: int = _syscall(_NR_CLONE, _CLONE_PARENT | _SIGCHLD, None, None, None, None)
    number = 0 if pid >= 0 else ctypes.get_errno()
    if pid == 0:
        _after_fork_child()
        return 0
    _after_fork_parent()
    if pid < 0:
        raise OSError(number, os.strerror(number))
    return pid


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


_IN_MODIFY: Final = 0x2


def watch_writes(path: str | os.PathLike[str]) -> int:
    """An inotify(7) descriptor that can be read when the file at ``path`` has been written to or cut; raises OSError."""
    watch = _checked(int(_libc.inotify_init1(os.O_CLOEXEC)))
    try:
        _checked(int(_libc.inotify_add_watch(watch, os.fsencode(path), _IN_MODIFY)))
    except OSError:
        os.close(watch)
        raise
    return watch


RESOLVE_NO_MAGICLINKS: Final = 0x02
RESOLVE_BENEATH: Final = 0x08
_NR_OPENAT2: Final = 437
_OPEN_HOW_BYTES: Final = 24
_openat2 = ctypes.CDLL(None, use_errno=True).syscall
_openat2.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_size_t]
_openat2.restype = ctypes.c_long


def openat2(folder: int, path: str, flags: int, resolve: int) -> int:
    """openat2(2): a descriptor of ``path``, looked up from the descriptor ``folder`` as ``resolve`` allows; raises OSError.

    ``path`` is without NUL. Close-on-exec.
    """
    how = struct.pack("=QQQ", flags | os.O_CLOEXEC, 0, resolve)
    return _checked(int(_openat2(_NR_OPENAT2, folder, os.fsencode(path), how, _OPEN_HOW_BYTES)))
