"""A client's connection to the node: hello, numbered requests, deliveries once each, and a life beyond the node's death.

It never waits: its owner polls :attr:`ClientConnection.sock`, and dials again when the connection ``is_lost``. The listening
socket belongs to the guardian, so a connect succeeds while there is no node; the new one finds the client by serial and
secret, gets every unanswered request again under its old number and repeats the deliveries that had not arrived.

A descriptor comes with the first byte of its frame, and one recvmsg never reads beyond it (unix(7)), so descriptors
and the frames that have one, a Welcome and Channel deliveries, match in order.
"""

from __future__ import annotations

import array
import os
import socket
import struct
from collections import deque
from typing import Literal, TypeAlias

import msgspec

from actorcore import frames
from actorcore.errors import ProtocolError, RequestError
from actorcore.frames import MAX_FRAME_BYTES, PROTOCOL_VERSION, Downlink, Farewell, Got, Hello, Welcome
from actorcore.runtime.shared_registry import AttachedRegistry
from actorcore.runtime.sockets import MAX_FDS, close_all
from actorcore.signals import Answer, Channel, Delivery, Request

RETURN_WITHIN_S = 5.0
"""How long the node keeps the entry of a client whose connection has ended."""
ACKNOWLEDGE_EVERY = 64
ACKNOWLEDGE_BYTES = 32 << 10
"""So many deliveries, or so much of them, are acknowledged without a request: what is not, the node must keep."""
TAKE_ALONG_EVERY = 16
"""From so many a request takes the acknowledgement along: each is an event that the node writes down."""
MAX_UNANSWERED = 65_536
MAX_DIALS = 64
"""In a row without a Welcome: a node that hangs up on every hello is not asked for ever."""

_LENGTH = struct.Struct(">I")
_READ_BYTES = 256 << 10
_ANCILLARY_BYTES = socket.CMSG_SPACE(MAX_FDS * 4)
_FLAGS = socket.MSG_DONTWAIT | socket.MSG_CMSG_CLOEXEC
_HANG_UPS = (BrokenPipeError, ConnectionResetError)
_greeting_decoder = msgspec.msgpack.Decoder(Welcome | Farewell)
_farewell_decoder = msgspec.msgpack.Decoder(Farewell)

State: TypeAlias = Literal["lost", "greeting", "open", "closed"]


class Arrival(msgspec.Struct, frozen=True):
    """One delivery and its number; with a Channel its end (None: lost, we have no descriptor left)."""

    seq: int
    body: Delivery
    sock: socket.socket | None = None


class ClientConnection:
    """Starts ``lost``: give it a socket with :meth:`attach`, send and read, until it is ``open``.

    ``lost_at`` is the monotonic time at which it last ceased to be open. When it is ``closed``, ``farewell`` tells
    what the node said, if it said anything.
    """

    def __init__(self, now: float) -> None:
        self.state: State = "lost"
        self.sock: socket.socket | None = None
        self.instance = 0
        self.serial = 0
        self.lost_at = now
        self.farewell: RequestError | None = None
        self._secret = b""
        self._seen = 0
        self._acknowledged = 0
        self._unacknowledged_bytes = 0
        self._number = 0
        self._unanswered: dict[int, bytes] = {}
        self._out = bytearray()
        self._in = bytearray()
        self._fds: deque[int | None] = deque()
        self._dials = 0
        self._registry: AttachedRegistry | None = None

    def attach(self, sock: socket.socket) -> None:
        """Say hello over ``sock``, a fresh non-blocking connection, which is owned from now on."""
        if self.state != "lost":
            raise ValueError(f"attach in state {self.state}")
        self.sock, self.state = sock, "greeting"
        self._dials += 1
        hello = Hello(PROTOCOL_VERSION, self.serial, self._secret, self._seen)
        self._out[:] = _framed(frames.encoder.encode(hello))
        self.flush()

    def next_number(self) -> int:
        """A number that no request or call of this client has had."""
        self._number += 1
        return self._number

    def submit(self, body: Request) -> int:
        """Queue a request and send what the socket takes; it is repeated to a new node until answered. Its number.

        :raises RequestError: as frames.encode_request, and ``mailbox_full`` with too many unanswered; not queued.
        """
        if len(self._unanswered) >= MAX_UNANSWERED:
            raise RequestError("mailbox_full", f"{MAX_UNANSWERED} requests without an answer")
        number = self.next_number()
        self._unanswered[number] = _framed(frames.encode_request(number, body))
        if self.state == "open":
            if self._seen - self._acknowledged >= TAKE_ALONG_EVERY:
                self._queue_got()
            self._out += self._unanswered[number]
            self.flush()
        return number

    def resolve(self, name: str) -> int | None:
        """The serial that has ``name`` now, by the shared registry. None: ask the node, if it is there it knows nobody either."""
        try:
            return None if self._registry is None else self._registry.reader.lookup(name)
        except RequestError:  # busy: it changes faster than it can be read
            return None

    def acknowledge(self) -> None:
        """Tell the node what has arrived, if it does not know; call it before waiting."""
        if self.state == "open" and self._acknowledged < self._seen:
            self._queue_got()
            self.flush()

    def wants_write(self) -> bool:
        """Whether the socket was full: flush when it is writable."""
        return bool(self._out)

    def flush(self) -> None:
        """Send what the socket takes."""
        try:
            while self._out and self.sock is not None:
                del self._out[: self.sock.send(self._out, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)]
        except BlockingIOError:
            pass
        except _HANG_UPS:
            self._out.clear()  # what the node had said is still to be read; the end is found there

    def read(self, now: float) -> list[Arrival]:
        """Everything that has arrived in order, each once, but Channels also when repeated. The state may have changed."""
        arrivals: list[Arrival] = []
        try:
            while self._fill():
                self._take_frames(arrivals)
        except (EOFError, ConnectionResetError):
            self._lose(now)
        except ProtocolError as error:
            self.farewell = RequestError("protocol_error", str(error))
            self.close()
        if self._seen - self._acknowledged >= ACKNOWLEDGE_EVERY or self._unacknowledged_bytes >= ACKNOWLEDGE_BYTES:
            self.acknowledge()
        return arrivals

    def close(self) -> None:
        """Hang up for good."""
        self._drop_socket()
        if self._registry is not None:
            self._registry.close()
            self._registry = None
        self.state = "closed"
        self._unanswered.clear()

    def is_hopeless(self, now: float) -> bool:
        """Whether the time to return has passed, or nobody welcomes us."""
        return self.state in ("lost", "greeting") and (now >= self.lost_at + RETURN_WITHIN_S or self._dials > MAX_DIALS)

    # ---- reading ----------------------------------------------------------------------------------------------------

    def _fill(self) -> bool:
        """Read once; False when there is nothing now. Raises EOFError at the end."""
        if self.sock is None:
            return False
        try:
            data, ancillary, seen, _ = self.sock.recvmsg(_READ_BYTES, _ANCILLARY_BYTES, _FLAGS)
        except BlockingIOError:
            return False
        received: list[int] = []
        for level, kind, payload in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                whole = array.array("i")
                whole.frombytes(payload[: len(payload) - len(payload) % whole.itemsize])
                received.extend(whole)
        self._fds.extend(received)
        if seen & socket.MSG_CTRUNC and not received:
            self._fds.append(None)  # EMFILE: its place in the order stays
        if not data:
            raise EOFError
        self._in += data
        return True

    def _take_frames(self, arrivals: list[Arrival]) -> None:
        start, available = 0, len(self._in)
        while self.state != "closed" and available - start >= _LENGTH.size:
            (size,) = _LENGTH.unpack_from(self._in, start)
            if not 0 < size <= MAX_FRAME_BYTES:
                raise ProtocolError(f"a frame of {size} bytes")
            end = start + _LENGTH.size + size
            if end > available:
                break
            self._take(bytes(self._in[start + _LENGTH.size : end]), arrivals)
            start = end
        del self._in[:start]

    def _take(self, data: bytes, arrivals: list[Arrival]) -> None:
        if self.state == "greeting":
            self._greet(data)
            return
        try:
            links = frames.decode_down(data)
        except ProtocolError:
            self._part(_farewell(data))
            return
        self._unacknowledged_bytes += len(data)
        for link in links:
            self._arrive(link, arrivals)

    def _arrive(self, link: Downlink, arrivals: list[Arrival]) -> None:
        seq, body = link.seq, link.body
        if isinstance(body, Channel):
            if not self._fds:
                raise ProtocolError("a channel without its descriptor")
            arrivals.append(Arrival(seq, body, _socket(self._fds.popleft())))
        elif seq > self._seen:  # else the node could not know that it had arrived
            arrivals.append(Arrival(seq, body))
        self._seen = max(self._seen, seq)
        if isinstance(body, Answer):
            self._unanswered.pop(body.number, None)

    def _greet(self, data: bytes) -> None:
        try:
            greeting = _greeting_decoder.decode(data)
        except frames.DECODE_ERRORS as error:
            raise ProtocolError(str(error)[:200]) from None
        if isinstance(greeting, Farewell):
            if greeting.code == "timeout":
                raise EOFError  # we stood still before our hello left: another connection is as good
            self._part(greeting)
            return
        if greeting.registry:
            self._take_registry()
        if self.serial and (greeting.instance, greeting.serial) != (self.instance, self.serial):
            self._part(Farewell("expired", "the daemon does not know this client any more"))
            return
        self.instance, self.serial, self._secret = greeting.instance, greeting.serial, greeting.secret
        self.state, self._dials, self._acknowledged, self._unacknowledged_bytes = "open", 0, self._seen, 0
        for frame in self._unanswered.values():
            self._out += frame
        self.flush()

    def _take_registry(self) -> None:
        """Map the descriptor that came with the Welcome; a successor of the node sends the same registry again."""
        if not self._fds:
            raise ProtocolError("a registry without its descriptor")
        fd = self._fds.popleft()
        if fd is None:
            return
        try:
            if self._registry is None:
                self._registry = AttachedRegistry(fd)
        except RequestError:  # no address space left
            pass
        finally:
            os.close(fd)

    def _part(self, farewell: Farewell) -> None:
        self.farewell = RequestError(farewell.code, farewell.detail)
        self.close()

    def _lose(self, now: float) -> None:
        if self.state == "open":
            self.lost_at = now
        self._drop_socket()
        self.state = "lost"

    def _drop_socket(self) -> None:
        if self.sock is not None:
            self.sock.close()
            self.sock = None
        self._out.clear()
        self._in.clear()
        close_all([fd for fd in self._fds if fd is not None])
        self._fds.clear()

    def _queue_got(self) -> None:
        if self._acknowledged < self._seen:
            self._acknowledged, self._unacknowledged_bytes = self._seen, 0
            self._out += _framed(frames.encoder.encode([Got(self._seen)]))


def _socket(fd: int | None) -> socket.socket | None:
    if fd is None:
        return None
    sock = socket.socket(fileno=fd)
    sock.setblocking(False)
    return sock


def _framed(data: bytes) -> bytes:
    return _LENGTH.pack(len(data)) + data


def _farewell(data: bytes) -> Farewell:
    try:
        return _farewell_decoder.decode(data)
    except frames.DECODE_ERRORS as error:
        raise ProtocolError(str(error)[:200]) from None
