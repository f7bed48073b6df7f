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
        return bool(int(_fields_of(os_pid)[6]) & _PF_EXITING)
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


def descends_from(os_pid: int, ancestor: int) -> bool:
    """Whether ``ancestor`` is a parent of process ``os_pid``, or of one of its parents, as proc(5) tells.

    A parent that dies while this looks is none any more; one that cannot be seen (``hidepid``) is no process of ours, and 0 is
    one of another pid namespace.

    :raises OSError: the process is gone, or there is no descriptor to look.
    """
    unseen = 0
    while True:
        at = os_pid
        try:
            while at:
                at = int(_fields_of(at)[1])
                if at == ancestor:
                    return True
        except (FileNotFoundError, ProcessLookupError):
            if at == os_pid:
                raise
            if at != unseen:  # dead: its child has another parent by now
                unseen = at
                continue
        return False


def _fields_of(os_pid: int) -> list[bytes]:
    """Of ``stat`` behind the name: state, parent, …"""
    return syscalls.read_proc(f"{os_pid}/stat").rpartition(b")")[2].split()


def errno_name(number: int) -> str:
    """``eagain`` for EAGAIN."""
    return errno.errorcode.get(number, "unknown").lower()
