"""Clients: accepted from the guardian's listening socket, a stream of length-prefixed frames each.

A connection is nothing but a way in: the client itself is an entry of the process table, which keeps every delivery until
the client has acknowledged it. So a connection may be cut, by us too, without loss.
"""

from __future__ import annotations

import array
import contextlib
import errno
import itertools
import os
import select
import socket
import struct
from collections import deque

import msgspec

from actorcore.errors import ProtocolError
from actorcore.frames import (
    MAX_REQUEST_BYTES,
    Downlink,
    Farewell,
    Welcome,
    decode_hello,
    decode_up,
    encoder,
)  # fmt: skip
from actorcore.runtime import clock, descriptors, evidence, log
from actorcore.runtime.node.reception import Reception
from actorcore.runtime.node.sources import Sources

HANDSHAKE_S = 1.0
"""From accept to a whole Hello."""
FRAME_S = 10.0
"""From the first byte of a later frame to its last; a blocking client sends no more while its program computes."""
MAX_CONNECTIONS = 4096
ACCEPTS = 64
"""Per turn, so that a flood of connections delays nobody."""
_RECV_BYTES = 64 << 10
"""More than a frame may have, and less than what malloc maps and unmaps for each read."""
_SEND_BYTES = 256 << 10
_SO_PEERPIDFD = 77
_STRANGER = Farewell("not_permitted", "this daemon serves another user")
_ENDED = Farewell("expired", "this client has ended")
_TOO_MANY = Farewell("resource_exhausted", "too many connections")


class Connection:
    """One accepted socket; ``serial`` is 0 until its Hello was accepted.

    ``is_deaf``: it takes nothing any more, as who has hung up does not; what it had said before is still to be read.
    """

    def __init__(self, sock: socket.socket, os_pid: int, pidfd: int, deadline: float) -> None:
        self.sock = sock
        self.os_pid = os_pid
        self.pidfd = pidfd
        self.deadline = deadline
        self.serial = 0
        self.inbox = bytearray()
        self.outbox: deque[tuple[bytes, int]] = deque()
        self.waits = False
        self.is_deaf = False

    def is_owner_dead(self) -> bool:
        """Whether the process that connected is gone or going; False when the kernel cannot tell."""
        if self.pidfd < 0:
            return False
        poll = select.poll()
        poll.register(self.pidfd, select.POLLIN)
        # An exiting process closes its sockets before its pidfd tells the death.
        return bool(poll.poll(0)) or evidence.is_exiting(self.os_pid)

    def close(self) -> None:
        self.sock.close()
        if self.pidfd >= 0:
            os.close(self.pidfd)
        self.empty()

    def empty(self) -> None:
        """Nothing that waits will be sent."""
        for _, fd in self.outbox:
            if fd >= 0:
                os.close(fd)
        self.outbox.clear()


class Listener:
    """Who may connect, and what every connection gets and says; what it means is for the ``reception``.

    ``registry_fd`` is one that cannot write, nor what is made of it: the registry is sealed.
    """

    def __init__(self, sock: socket.socket, sources: Sources, reception: Reception, registry_fd: int) -> None:
        self.sock = sock
        self._sources = sources
        self._reception = reception
        self._registry_fd = registry_fd
        self.by_fd: dict[int, Connection] = {}
        self._by_serial: dict[int, Connection] = {}
        self._owing: dict[int, Connection] = {}
        self._touched: set[Connection] = set()
        self._reserve = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)

    def accept(self) -> None:
        """Take every waiting connection; those of another uid and those too many are refused before a byte is read."""
        for _ in range(ACCEPTS):
            try:
                sock, _ = self.sock.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno not in (errno.EMFILE, errno.ENFILE):
                    return
                self._refuse_one()
                return
            self._take(sock)

    def deliver(self, to: int, frame: Downlink, fd: int = -1) -> bool:
        """Queue a frame for client ``to``, with a descriptor that is ours to close; False when nothing reaches it."""
        connection = self._by_serial.get(to)
        if connection is None or connection.is_deaf:
            if fd >= 0:
                os.close(fd)
            return False
        self._queue(connection, encoder.encode([frame]), fd)
        return True

    def deliver_now(self, to: int, frame: Downlink, fd: int) -> bool:
        """As :meth:`deliver`, and it has left; who cannot be written to at once is cut off, and gets it when it returns."""
        if not self.deliver(to, frame, fd):
            return False
        connection = self._by_serial[to]
        self._write(connection)
        if connection.outbox:
            self._drop(connection)
        return connection.sock.fileno() >= 0 and not connection.is_deaf

    def end(self, serial: int) -> None:
        """Client ``serial``, if it is one, has ended: so does its connection, after what it still gets."""
        self._reception.forget(serial)
        connection = self._by_serial.get(serial)
        if connection is None:
            return
        self._write(connection)
        if connection.sock.fileno() >= 0:
            if not connection.outbox:
                _say(connection.sock, _ENDED)
            self._forget(connection)

    def flush(self) -> None:
        """Send what waits, as far as the sockets take it."""
        while self._touched:
            self._write(self._touched.pop())

    def expire(self, now: float) -> None:
        """Close connections that did not say hello, or the rest of a frame, in time; the latter may return."""
        for connection in [c for c in self._owing.values() if c.deadline <= now]:
            self._read(connection)  # it may have come long ago: we, or the whole machine, may have stood still since
            if self._owing.get(connection.sock.fileno()) is not connection or connection.deadline > now:
                continue
            if connection.serial == 0:
                self._part(connection, Farewell("timeout", "no hello"))
            else:
                self._drop(connection)

    def next_deadline(self) -> float | None:
        """When :meth:`expire` has something to do."""
        return min((c.deadline for c in self._owing.values()), default=None)

    # ---- in -------------------------------------------------------------------------------------------------------

    def _take(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        try:
            credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
            os_pid, uid, _ = struct.unpack("=iII", credentials)
        except OSError:
            sock.close()
            return
        if uid != os.geteuid():
            _refuse(sock, _STRANGER)
            return
        if len(self.by_fd) >= MAX_CONNECTIONS or descriptors.is_last(sock.fileno()):
            log.report_seldom("connection_refused", 0, len(self.by_fd))
            _refuse(sock, _TOO_MANY)
            return
        pidfd = -1
        with contextlib.suppress(OSError):
            pidfd = sock.getsockopt(socket.SOL_SOCKET, _SO_PEERPIDFD)
        connection = Connection(sock, os_pid, pidfd, clock.monotonic_s() + HANDSHAKE_S)
        self.by_fd[sock.fileno()] = connection
        self._owing[sock.fileno()] = connection
        self._sources.add(sock.fileno(), lambda mask: self._ready(connection, mask))

    def _refuse_one(self) -> None:
        """Out of descriptors: refuse one connection with the help of the reserve, so that nobody waits in the backlog."""
        log.report_seldom("descriptors_exhausted", 0)
        if self._reserve >= 0:
            os.close(self._reserve)
            self._reserve = -1
        with contextlib.suppress(OSError):  # ENFILE, or a limit that was lowered: the next turn tries again
            sock, _ = self.sock.accept()
            _refuse(sock, _TOO_MANY)
        with contextlib.suppress(OSError):
            self._reserve = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)

    def _ready(self, connection: Connection, mask: int) -> None:
        if mask & select.EPOLLOUT:
            self._touched.add(connection)
        if mask & (select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR):
            self._read(connection)

    def _read(self, connection: Connection) -> None:
        try:
            # Without room for them the kernel drops attached descriptors and says so (MSG_CTRUNC, recvmsg(2)).
            data, _, flags, _ = connection.sock.recvmsg(_RECV_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data, flags = b"", 0
        if not data:
            self._write(connection)  # its answers, if it has only shut down its own half
            self._drop(connection)
            return
        connection.inbox += data
        try:
            if flags & socket.MSG_CTRUNC:
                raise ProtocolError("descriptors attached")
            bodies = _frames(connection.inbox)
            if connection.serial:
                self._expect_the_rest(connection, bool(bodies))
            for body in bodies:
                if connection.serial == 0:
                    self._greet(connection, body)
                else:
                    self._hear(connection, body)
                if connection.sock.fileno() < 0:
                    return
        except ProtocolError as error:
            log.report_seldom("protocol_error", connection.serial, str(error)[:200])
            self._part(connection, Farewell("protocol_error", "not a frame of this protocol"))

    def _hear(self, connection: Connection, body: bytes) -> None:
        for said in decode_up(body):
            self._reception.hear(connection.serial, said)

    def _greet(self, connection: Connection, body: bytes) -> None:
        farewell = self._reception.greet(decode_hello(body), connection.os_pid, lambda welcome: self._admit(connection, welcome))
        if farewell is not None:
            self._part(connection, farewell)

    def _admit(self, connection: Connection, answer: Welcome) -> None:
        """The connection belongs to client ``answer.serial`` from now on; an older one of that client is closed."""
        older = self._by_serial.get(answer.serial)
        if older is not None:
            self._forget(older)
        connection.serial = answer.serial
        self._by_serial[answer.serial] = connection
        self._expect_the_rest(connection, True)
        fd = self._registry_to_send()
        self._queue(connection, encoder.encode(msgspec.structs.replace(answer, registry=fd >= 0)), fd)

    def _registry_to_send(self) -> int:
        try:
            return os.dup(self._registry_fd)
        except OSError:  # no descriptor left: a client without it asks for names
            return -1

    def _expect_the_rest(self, connection: Connection, is_new: bool) -> None:
        """Half a frame must become a whole one in time; ``is_new``: it is another one than last time."""
        fd = connection.sock.fileno()
        if not connection.inbox:
            self._owing.pop(fd, None)
        elif is_new or fd not in self._owing:
            connection.deadline = clock.monotonic_s() + FRAME_S
            self._owing[fd] = connection

    # ---- out ------------------------------------------------------------------------------------------------------

    def _queue(self, connection: Connection, body: bytes, fd: int) -> None:
        data = len(body).to_bytes(4, "big") + body
        connection.outbox.append((data, fd))
        self._touched.add(connection)

    def _write(self, connection: Connection) -> None:
        if connection.sock.fileno() < 0:
            return
        try:
            while connection.outbox:
                self._write_some(connection)
        except BlockingIOError:
            pass
        except (BrokenPipeError, ConnectionResetError):  # it has hung up: the end is found behind its last words
            connection.is_deaf = True
            connection.empty()
            with contextlib.suppress(OSError):
                connection.sock.shutdown(socket.SHUT_RD)  # also where it has shut down its own half only
        except OSError:  # of the machine: it is there, and gets it when it returns
            self._drop(connection)
            return
        waits = bool(connection.outbox)
        if waits != connection.waits:
            connection.waits = waits
            self._sources.want_writable(connection.sock.fileno(), waits)

    def _write_some(self, connection: Connection) -> None:
        data, fd = connection.outbox[0]
        joined = bytearray(data)
        for waiting, waiting_fd in itertools.islice(connection.outbox, 1, None):
            if waiting_fd >= 0 or len(joined) > _SEND_BYTES:
                break
            joined += waiting
        if fd >= 0:  # it goes with the first byte
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))]
            sent = connection.sock.sendmsg([joined], rights, socket.MSG_NOSIGNAL)
            os.close(fd)
        else:
            sent = connection.sock.send(joined, socket.MSG_NOSIGNAL)
        while sent:
            data, _ = connection.outbox.popleft()
            if sent < len(data):
                connection.outbox.appendleft((data[sent:], -1))
                return
            sent -= len(data)

    # ---- end ------------------------------------------------------------------------------------------------------

    def _part(self, connection: Connection, farewell: Farewell) -> None:
        """Hang up for good, after what was to be said: whoever it is, it will not be known when it returns."""
        self._write(connection)
        if connection.sock.fileno() >= 0:
            if not connection.outbox:  # else it would stand in the middle of a frame
                _say(connection.sock, farewell)
            self._drop(connection, is_over=True)

    def _drop(self, connection: Connection, is_over: bool = False) -> None:
        if connection.sock.fileno() < 0:
            return
        serial = connection.serial
        dead = is_over or connection.is_owner_dead()
        if self._by_serial.get(serial) is connection:
            self._forget(connection)
            self._reception.miss(serial, dead)
        else:
            self._forget(connection)

    def _forget(self, connection: Connection) -> None:
        fd = connection.sock.fileno()
        if fd < 0:
            return
        self._sources.remove(fd)
        self.by_fd.pop(fd, None)
        self._owing.pop(fd, None)
        if self._by_serial.get(connection.serial) is connection:
            del self._by_serial[connection.serial]
        self._touched.discard(connection)
        connection.close()


def _say(sock: socket.socket, farewell: Farewell) -> None:
    body = encoder.encode(farewell)
    with contextlib.suppress(OSError):
        sock.send(len(body).to_bytes(4, "big") + body, socket.MSG_NOSIGNAL | socket.MSG_DONTWAIT)


def _refuse(sock: socket.socket, farewell: Farewell) -> None:
    _say(sock, farewell)
    sock.close()


def _frames(inbox: bytearray) -> list[bytes]:
    """Cut whole frames off ``inbox``; raises ProtocolError for an empty or oversized one before it is stored."""
    found: list[bytes] = []
    at = 0
    while len(inbox) - at >= 4:
        length = int.from_bytes(inbox[at : at + 4], "big")
        if length == 0 or length > MAX_REQUEST_BYTES:
            raise ProtocolError(f"frame of {length} bytes")
        if len(inbox) - at - 4 < length:
            break
        found.append(bytes(inbox[at + 4 : at + 4 + length]))
        at += 4 + length
    del inbox[:at]
    return found
