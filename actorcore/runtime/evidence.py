"""Evidence: what the kernel tells about a process beyond what was said to us."""

from __future__ import annotations

import errno
import socket

from actorcore.runtime import sockets, syscalls

_PF_EXITING = 0x4
_ZYGOTE = b"actorcore.runtime.zygote.zygote"
"""In the command line of every fork of a zygote."""


def is_abandoned(control: socket.socket) -> bool:
    """Whether nobody holds the other end and nothing was said."""
    try:
        sockets.peek_data(control)
    except sockets.PeerGone:
        return True
    return False


def is_exiting(os_pid: int) -> bool:
    """Whether the process is known to be on its way out, dead or gone (proc(5), flags of ``stat``)."""
    try:
        return bool(int(syscalls.read_proc(f"{os_pid}/stat").rpartition(b")")[2].split()[6]) & _PF_EXITING)
    except (FileNotFoundError, ProcessLookupError):
        return True
    except OSError:  # EMFILE: nothing is known
        return False


def closed_it_alive(os_pid: int) -> bool:
    """Whether the process lives on as the program that we forked, so that it closed its control socket by itself.

    One that called execve is another program now, also when it is Python again: its end is the end of the session.
    """
    try:
        return not is_exiting(os_pid) and _ZYGOTE in syscalls.read_proc(f"{os_pid}/cmdline").split(b"\0")
    except OSError:
        return False


def errno_name(number: int) -> str:
    """``eagain`` for EAGAIN."""
    return errno.errorcode.get(number, "unknown").lower()
