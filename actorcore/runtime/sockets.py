"""SEQPACKET sockets: whole datagrams with descriptors, non-blocking, and death told apart from emptiness.

A killed peer that left data unread gives ECONNRESET *before* the data that it had sent (``sock_error`` comes first in
the kernel's ``__skb_try_recv_datagram``), so a reset is read past: all that was sent arrives, then the end. An empty
datagram and the end look the same; nobody here sends empty ones. Sources: unix(7), recvmsg(2).
"""

from __future__ import annotations

import array
import errno
import fcntl
import os
import select
import socket
import struct
from collections.abc import Container

import msgspec

from actorcore.errors import ActorError, ProtocolError
from actorcore.frames import MAX_DATAGRAM_BYTES

SEND_BUFFER_BYTES = 4 << 20
"""Asked of the kernel for every socket; an unread 64-byte message is charged 768 B of it (LIMITS.md §4)."""
ANY_DATAGRAM_BYTES = 208_000
"""Every socket takes such a datagram, also where nobody could enlarge its send buffer (LIMITS.md §4)."""
MAX_DRAIN = 16384
"""Datagrams read of the dead: more than a socket holds, and a child of theirs may hold its end and go on."""
SMALL_BYTES = 48 << 10
"""For a longer datagram the kernel needs memory in one piece, and may have it in smaller ones."""
SHORTAGE = frozenset({errno.ENOBUFS, errno.ENOMEM, errno.ETOOMANYREFS})
"""No memory, or too many descriptors of this user are on their way (unix(7)): it passes."""
MOMENT_S = 0.004
"""The answer to a call mostly comes within it."""
MAX_FDS = 16
# As plain ints: the enum's own operators cost microseconds, and every child pages to write to.
_SEQPACKET_NONBLOCK = int(socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
_CLOEXEC = int(socket.MSG_CMSG_CLOEXEC)
_FLAGS = int(socket.MSG_DONTWAIT | socket.MSG_CMSG_CLOEXEC)
_PEEK = int(socket.MSG_PEEK)
_LOST = int(socket.MSG_TRUNC | socket.MSG_CTRUNC)
_SO_SNDBUFFORCE = 32
_SIOCINQ = 0x541B
_NO_BYTES = bytes(4)
_SNDBUF_RESERVE = 32  # net/unix/af_unix.c, unix_dgram_sendmsg
SEND_FLAGS = int(socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
ONE_MORE_BYTES = MAX_DATAGRAM_BYTES + 1
DONTWAIT = int(socket.MSG_DONTWAIT)
DEAD = (BrokenPipeError, ConnectionResetError)


class PeerGone(ActorError):
    """The other end is closed and everything that it sent has been read (or, sending, nothing can reach it)."""


class Datagram(msgspec.Struct, frozen=True):
    """One datagram; the receiver owns ``fds`` (close-on-exec) and closes what it does not keep."""

    data: bytes
    fds: list[int] = []


def pair() -> tuple[socket.socket, socket.socket]:
    """Two connected non-blocking close-on-exec SEQPACKET sockets with large send buffers.

    :raises OSError: EMFILE, ENFILE, ENOMEM.
    """
    ends = socket.socketpair(socket.AF_UNIX, _SEQPACKET_NONBLOCK)
    for end in ends:
        enlarge(end)
    return ends


def enlarge(sock: socket.socket) -> None:
    """Raise the send buffer as far as we are allowed: beyond wmem_max with CAP_NET_ADMIN, else up to it."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, SEND_BUFFER_BYTES)
    except PermissionError:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)


def max_datagram_bytes(sock: socket.socket | None) -> int:
    """The longest datagram that ``sock`` takes, or one that is still to come."""
    return ANY_DATAGRAM_BYTES if sock is None else sock.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) - _SNDBUF_RESERVE


def be_patient(sock: socket.socket) -> None:
    """Let a ``recv`` without MSG_DONTWAIT wait for MOMENT_S."""
    sock.setblocking(True)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("@ll", 0, int(MOMENT_S * 1e6)))


def send(sock: socket.socket, data: bytes | bytearray | memoryview, fds: tuple[int, ...] | list[int] = ()) -> bool:
    """Send one datagram; False when the socket is full now, or the machine has nothing left for it. The caller keeps its
    ``fds``.

    :raises PeerGone: the other end is closed.
    :raises OSError: EMSGSIZE (larger than the send buffer); ENOBUFS, of one that is longer than SMALL_BYTES.
    """
    try:
        if fds:
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))]
            sock.sendmsg([data], rights, SEND_FLAGS)
        else:
            sock.send(data, SEND_FLAGS)
    except BlockingIOError:
        return False
    except DEAD:
        raise PeerGone("the other end is closed") from None
    except OSError as error:
        if error.errno in SHORTAGE and len(data) <= SMALL_BYTES:
            return False
        raise
    return True


def receive(sock: socket.socket, peek: bool = False, max_fds: int = MAX_FDS, may_lose_fds: bool = False) -> Datagram | None:
    """The next datagram, or None when there is none now, or the machine has nothing left to receive it with: then it stays
    queued. ``peek`` leaves it there anyway, and its ``fds`` are copies.

    ``may_lose_fds``: it may come without descriptors for which we have no room.

    :raises PeerGone: the end, after everything that had been sent.
    :raises ProtocolError: the datagram was too large; or its descriptors are lost; it is consumed.
    """
    try:
        return _receive(sock, _FLAGS | _PEEK if peek else _FLAGS, max_fds, may_lose_fds)
    except OSError as error:
        if error.errno == errno.EAGAIN or error.errno in SHORTAGE:
            return None
        raise


def await_datagram(sock: socket.socket, max_fds: int = MAX_FDS) -> Datagram:
    """Block until a datagram comes; errors as :func:`receive`. The socket is a blocking one afterwards."""
    sock.setblocking(True)
    return _receive(sock, _CLOEXEC, max_fds, False)


def _receive(sock: socket.socket, flags: int, max_fds: int, may_lose_fds: bool) -> Datagram:
    try:
        data, ancillary, seen, _ = sock.recvmsg(MAX_DATAGRAM_BYTES, socket.CMSG_SPACE(max_fds * 4), flags)
    except ConnectionResetError:  # told once, before the data that is still queued
        return _receive(sock, flags, max_fds, may_lose_fds)
    fds: list[int] = []
    for level, kind, payload in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            whole = array.array("i")
            whole.frombytes(payload[: len(payload) - len(payload) % whole.itemsize])
            fds.extend(whole)
    if seen & _LOST and not (may_lose_fds and seen & _LOST == socket.MSG_CTRUNC):
        close_all(fds)
        raise ProtocolError("datagram truncated" if seen & socket.MSG_TRUNC else "descriptors lost")
    if not data:
        close_all(fds)
        raise PeerGone("the other end is closed")
    return Datagram(data, fds)


def has_bytes(sock: socket.socket) -> bool:
    """Whether something has come; one call, for which a newborn writes to a tenth of the pages that poll(2) takes.

    Source: unix(7), SIOCINQ.
    """
    return fcntl.ioctl(sock, _SIOCINQ, _NO_BYTES) != _NO_BYTES


def peek_data(sock: socket.socket) -> bytes | None:
    """As :func:`receive`, but the datagram stays queued until :func:`consume`: it survives the death of its reader."""
    try:
        data = sock.recv(ONE_MORE_BYTES, DONTWAIT | _PEEK)
    except BlockingIOError:
        return None
    except ConnectionResetError:
        return peek_data(sock)
    except OSError as error:
        if error.errno in SHORTAGE:
            return None
        raise
    if not data:
        raise PeerGone("the other end is closed")
    return data


def consume(sock: socket.socket) -> None:
    """Take the datagram that was peeked at off the queue."""
    try:
        sock.recv(1, DONTWAIT)
    except ConnectionResetError:  # its sender has died since
        consume(sock)


def receive_into(sock: socket.socket, room: memoryview) -> int | None:
    """Read the next datagram into ``room``; its size, which may be larger than what fitted; None: there is none now.

    :raises PeerGone: the end, after everything that had been sent.
    """
    try:
        size = sock.recv_into(room, len(room), DONTWAIT | socket.MSG_TRUNC)
    except BlockingIOError:
        return None
    except ConnectionResetError:
        return receive_into(sock, room)
    if not size:
        raise PeerGone("the other end is closed")
    return size


def await_writable(sock: socket.socket, timeout_s: float) -> None:
    """Until the socket may take something; it may have any number, which select(2) may not."""
    poll = select.poll()
    poll.register(sock, select.POLLOUT)
    poll.poll(timeout_s * 1000)


def await_any(wanted: dict[int, int], timeout_s: float) -> Container[int]:
    """Which of these descriptors, each with a mask of poll(2), have what is wanted, after ``timeout_s`` none; or all of them, at
    once, when the kernel has no memory to say it (ENOMEM).
    """
    poll = select.poll()
    for fd, mask in wanted.items():
        poll.register(fd, mask)
    try:
        return {fd for fd, _ in poll.poll(timeout_s * 1000)}
    except OSError:
        return wanted


def close_all(fds: list[int]) -> None:
    """Close descriptors that nobody wants."""
    for fd in fds:
        os.close(fd)
