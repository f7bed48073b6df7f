"""A session that tries to change what the daemon shares with it."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import mmap
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from actorcore.gen_server import Reply
from tests.fault.actors import Witness

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]


def _mprotect(address: int) -> None:
    if _libc.mprotect(address, mmap.PAGESIZE, mmap.PROT_READ | mmap.PROT_WRITE) != 0:
        raise OSError(ctypes.get_errno(), "mprotect")


def _outcome(act: Callable[[], object]) -> str:
    try:
        act()
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    return "done"


class Vandal(Witness):
    def do_mappings(self, _: None) -> Reply:
        """What it has of the daemon's memory: of each mapping the name, the access, and its pages if it may write to them."""
        found = []
        for line in Path("/proc/self/maps").read_text().splitlines():
            place, access, *_, target = line.removesuffix(" (deleted)").split()
            if "memfd:actorcore-" in target:
                begin, end = (int(number, 16) for number in place.split("-"))
                found.append([target.partition("actorcore-")[2], access, (end - begin) // mmap.PAGESIZE * ("w" in access)])
        return Reply(sorted(found))

    def do_protect(self, _: None) -> Reply:
        """Make the registry writable where it is mapped."""
        lines = Path("/proc/self/maps").read_text().splitlines()
        (line,) = [line for line in lines if "memfd:actorcore-registry" in line]
        return Reply(_outcome(lambda: _mprotect(int(line.partition("-")[0], 16))))

    def do_spoil(self, guardian: int) -> Reply:
        """What comes of each attempt on each memfd that the guardian holds, opened anew for writing; the errno without it."""
        found: dict[str, dict[str, str]] = {}
        try:
            names = os.listdir(f"/proc/{guardian}/fd")
        except PermissionError as error:
            return Reply(errno.errorcode[error.errno or 0])
        for name in names:
            path = f"/proc/{guardian}/fd/{name}"
            with suppress(FileNotFoundError):  # it was open for a moment
                target = os.readlink(path)
                if "memfd:actorcore-" in target:
                    fd = os.open(path, os.O_RDWR)
                    found[target.partition("actorcore-")[2].partition(" ")[0]] = self._attempts(fd, is_own="status" in target)
                    os.close(fd)
        return Reply(found)

    @staticmethod
    def _attempts(fd: int, is_own: bool) -> dict[str, str]:
        """``is_own``: it may write to a page of it."""
        attempts: dict[str, Callable[[], object]] = {
            "truncate": lambda: os.ftruncate(fd, 0), "grow": lambda: os.ftruncate(fd, os.fstat(fd).st_size * 2),
            "unseal": lambda: fcntl.fcntl(fd, fcntl.F_ADD_SEALS, 0),
        }  # fmt: skip
        if not is_own:
            attempts |= {"write": lambda: os.pwrite(fd, b"junk", 0), "map": lambda: mmap.mmap(fd, mmap.PAGESIZE).close()}
        return {name: _outcome(act) for name, act in attempts.items()}
