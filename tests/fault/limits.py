"""Shortage on purpose: the limits of a running process lowered from outside, and a zygote that the kernel lets fork no more."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def no_descriptors_left(os_pid: int) -> Iterator[None]:
    """Process ``os_pid`` cannot open anything more (EMFILE); those that it has stay."""
    used = {int(name) for name in os.listdir(f"/proc/{os_pid}/fd")}
    lowest_free = next(number for number in range(len(used) + 1) if number not in used)
    before = resource.prlimit(os_pid, resource.RLIMIT_NOFILE)
    resource.prlimit(os_pid, resource.RLIMIT_NOFILE, (lowest_free, before[1]))
    try:
        yield
    finally:
        with suppress(ProcessLookupError):  # it has died of it
            resource.prlimit(os_pid, resource.RLIMIT_NOFILE, before)


def gate(folder: Path) -> Path:
    """A file in ``folder``: while it holds the number of an errno, every zygote that is started gets that from fork.

    It is for a daemon whose PYTHONPATH begins with ``folder``: Python imports sitecustomize first of all. The filter of
    seccomp(2) cannot be lifted again, but a zygote can be killed.
    """
    (folder / "sitecustomize.py").write_text(_GATE.format(flag=str(folder / "errno")))
    return folder / "errno"


_GATE = '''
import ctypes, os, struct, sys
try:
    with open({flag!r}) as file:
        errno = int(file.read())
except OSError:
    errno = 0
if errno and "actorcore.runtime.zygote.zygote" in sys.orig_argv:
    call = {{"x86_64": 56, "aarch64": 220}}[os.uname().machine]  # clone(2)
    code = [(0x20, 0, 0, 0), (0x15, 0, 1, call), (0x06, 0, 0, 0x00050000 | errno), (0x06, 0, 0, 0x7FFF0000)]
    program = b"".join(struct.pack("=HBBI", *line) for line in code)
    buffer = ctypes.create_string_buffer(program)
    class Program(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(38, 1, 0, 0, 0) == 0  # PR_SET_NO_NEW_PRIVS
    assert libc.prctl(22, 2, ctypes.byref(Program(len(code), ctypes.addressof(buffer))), 0, 0) == 0  # PR_SET_SECCOMP
'''
