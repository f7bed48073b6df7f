"""Shared memory: sealed memfds and raw mappings that hold no descriptor.

A mapping is a plain ``memoryview``; its address and size are found again through ``view.obj``, so there is no table to
keep in step with the kernel. ``mmap.mmap`` is not used here: it keeps a dup of the descriptor for as long as the mapping lives.

Pages are allocated when the memfd is made (``posix_fallocate``), never on touch: a full machine is an error at start and
never SIGBUS later (RELIABILITY F6, C15). Sources: memfd_create(2), fcntl(2) "File Sealing", madvise(2).
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
from collections.abc import Callable
from typing import TypeAlias

from actorcore.errors import RequestError
from actorcore.runtime import syscalls

PAGE_BYTES = 4096
PROT_READ = 1
PROT_WRITE = 2
MAP_SHARED = 1
MADV_DONTFORK = 10
MADV_DOFORK = 11
F_SEAL_FUTURE_WRITE = 0x10
"""Not in the fcntl module before Python 3.13; kernel 5.1."""
EXHAUSTED = frozenset({errno.ENOSPC, errno.ENOMEM, errno.EFBIG, errno.EMFILE, errno.ENFILE, errno.EDQUOT})

_libc = ctypes.CDLL(None, use_errno=True)
_mmap = _libc.mmap
_mmap.restype = ctypes.c_void_p
_mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
_munmap = _libc.munmap
_munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
_madvise = _libc.madvise
_madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
_MAP_FAILED = ctypes.c_void_p(-1).value


Allocate: TypeAlias = Callable[[int, int, int], None]
"""As os.posix_fallocate."""
_FIRST_VICTIM = 1000
"""proc(5), oom_score_adj: before everybody else."""


def create_memfd(name: str, size_bytes: int, allocate: Allocate = os.posix_fallocate) -> int:
    """A close-on-exec memfd of ``size_bytes`` zeroes, every page allocated, not sealed yet. The caller owns the fd.

    :raises RequestError: ``resource_exhausted``, no memory, descriptor or file size left; nothing is left behind.
    """
    try:
        fd = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            allocate(fd, 0, size_bytes)
        except BaseException:
            os.close(fd)
            raise
    except OSError as error:
        raise _refusal(error, f"memfd {name} of {size_bytes} bytes") from error
    return fd


def allocate_in_child(fd: int, offset: int, size_bytes: int) -> None:
    """posix_fallocate(3) by a forked child, single-threaded callers only: memory that the machine or a memory cgroup has not got
    is no errno but a SIGKILL from the kernel, and so it is the child's.

    :raises OSError: as posix_fallocate; ENOMEM when the child was killed.
    """
    if (child := os.fork()) == 0:
        status = errno.EIO
        try:
            syscalls.raise_oom_score(_FIRST_VICTIM)
            os.posix_fallocate(fd, offset, size_bytes)
            status = 0
        except OSError as error:
            status = error.errno or status
        finally:
            os._exit(status)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status:
        number = status if status > 0 else errno.ENOMEM
        raise OSError(number, os.strerror(number))


def seal(fd: int, future_write: bool) -> None:
    """No resizing and no more seals from here on; with ``future_write`` also no write except through mappings that exist.

    Seals belong to the file, not to the descriptor: whoever holds or reopens it is bound. Make writable mappings first.
    """
    seals = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals | F_SEAL_FUTURE_WRITE if future_write else seals)


def reopen_read_only(fd: int) -> int:
    """A second descriptor of the same memfd, close-on-exec, that cannot write; the caller owns it.

    :raises RequestError: ``resource_exhausted``, no descriptor left.
    """
    try:
        return os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise _refusal(error, "read-only descriptor") from error


def map_shared(fd: int, size_bytes: int, writable: bool, offset: int = 0) -> memoryview:
    """Map ``size_bytes`` of ``fd`` from ``offset`` (a multiple of the page); the fd may be closed afterwards.

    The view lives until :func:`unmap`, not until it is collected: its owner must unmap it.

    :raises PermissionError: a writable mapping of a memfd sealed against it.
    :raises ValueError: the range is not inside the file (a touch beyond its end would be SIGBUS).
    :raises RequestError: ``resource_exhausted``, no address space left.
    """
    if size_bytes <= 0 or offset < 0 or offset + size_bytes > os.fstat(fd).st_size:
        raise ValueError(f"{size_bytes} bytes at {offset} are not inside the file")
    protection = PROT_READ | PROT_WRITE if writable else PROT_READ
    address = _mmap(None, size_bytes, protection, MAP_SHARED, fd, offset)
    if address is None or address == _MAP_FAILED:
        raise _refusal(_last_error(), f"mapping of {size_bytes} bytes")
    view = memoryview((ctypes.c_ubyte * size_bytes).from_address(address)).cast("B")
    return view if writable else view.toreadonly()


def unmap(view: memoryview) -> None:
    """Release the view and give its pages back. Views cast or sliced from it must be released before: they would crash."""
    address, size_bytes = _extent(view)
    view.release()
    if _munmap(address, size_bytes) != 0:
        raise _last_error()


def set_inherited(view: memoryview, inherited: bool) -> None:
    """Whether children forked from now on get this mapping (``MADV_DOFORK``) or not (``MADV_DONTFORK``)."""
    if _madvise(*_extent(view), MADV_DOFORK if inherited else MADV_DONTFORK) != 0:
        raise _last_error()


def address_of(view: memoryview) -> int:
    """Where the mapping behind ``view`` begins, as /proc/PID/maps prints it."""
    return _extent(view)[0]


def _extent(view: memoryview) -> tuple[int, int]:
    pages = view.obj
    if not isinstance(pages, ctypes.Array):
        raise TypeError("not a view made by map_shared")
    return ctypes.addressof(pages), ctypes.sizeof(pages)


def _last_error() -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number))


def _refusal(error: OSError, what: str) -> OSError | RequestError:
    if error.errno in EXHAUSTED:
        return RequestError("resource_exhausted", f"{what}: {error.strerror}")
    return error
