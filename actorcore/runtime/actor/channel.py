"""One direct channel to a peer process: bounded queue, batches, large messages, counters for the order of planes.

A message is encoded once, when posted, behind those that wait with it; a batch leaves as one datagram, which has the
bytes of the encoded list. A message above :data:`WHOLE_BYTES` is announced by a datagram that is its size, and follows
in datagrams of nothing but its bytes, as long as the socket allows: the kernel copies them from where they were encoded
to where they will be decoded. A channel without a socket yet is one in introduction: it queues.
"""

from __future__ import annotations

import errno
import socket
from collections import deque

from actorcore import frames
from actorcore.errors import ProtocolError, RequestError
from actorcore.frames import BATCH_BYTES, BATCH_MESSAGES, Message
from actorcore.runtime import sockets
from actorcore.runtime.actor.buffers import Buffers
from actorcore.runtime.sockets import DEAD, DONTWAIT, SEND_FLAGS, PeerGone

WHOLE_BYTES = 48 << 10
"""A longer message travels in parts."""
PART_BYTES = (1 << 20) + (64 << 10)
"""The longest part. Long ones cost half as much as short ones, and here the kernel needs a MiB of memory in one piece."""
LEAST_PART_BYTES = WHOLE_BYTES // 2
"""No part is shorter but the last one of its message."""
MAX_MESSAGE_BYTES = 64 << 20
"""One message: more is refused by the sender and is a breach of protocol to the receiver."""
AHEAD_BYTES = 2 << 20
"""Memory that an announcement takes at once; more only as the bytes come."""
MAX_QUEUE_MESSAGES = 8192
MAX_QUEUE_BYTES = 1 << 20
"""The queue is full above either; one message of any size still enters a queue that is not full."""

_OPENING = b"\x90"
_HEADER = b"\xdc\x00\x00"
_BATCH_END = len(_HEADER) + BATCH_BYTES
_ROOM_BYTES = len(_HEADER) + WHOLE_BYTES  # what is longer is cut, and so is junk
_encode = frames.encoder.encode
_encode_into = frames.encoder.encode_into
_decode = frames.decode_channel


class Channel:
    """The process's end of one channel; ``sent`` and ``received`` count messages since it was made.

    ``mark`` is the number of the latest mark that was read, ``size`` the bytes of the messages that were read last.
    """

    __slots__ = (
        "_batch", "_batched", "_buffers", "_bytes", "_filled", "_large", "_messages", "_queue", "_sealed", "_size",
        "ended", "is_full", "mark", "peer", "received", "size", "sock",
    )  # fmt: skip

    def __init__(self, peer: int, buffers: Buffers, sock: socket.socket | None = None) -> None:
        self.peer = peer
        self._buffers = buffers
        self.sock = sock
        self.received = 0
        self.size = 0
        self.is_full = False
        self.mark = 0
        self.ended = False
        self._queue: deque[tuple[bytes | bytearray | memoryview, int]] = deque()  # datagrams, messages that end in them
        self._messages = 0  # of the queue
        self._bytes = 0  # of the queue
        self._batch = bytearray(_HEADER)  # of the datagram that is still open
        self._batched = 0
        self._sealed = 0  # sent but for the open batch
        self._large: bytearray | None = None  # the message of which parts are coming
        self._size = 0
        self._filled = 0

    @property
    def sent(self) -> int:
        return self._sealed + self._batched

    def is_flushed(self) -> bool:
        return not self._queue and not self._batched

    # ---- sending ----------------------------------------------------------------------------------------------------

    def post(self, message: Message) -> None:
        """Queue ``message``; the caller has looked at ``is_full``.

        :raises RequestError: ``value_too_long`` above 64 MiB; ``invalid_message``, the body is no plain data.
        """
        encoded = self._buffers.encoded
        try:
            _encode_into(message, encoded)
        except frames.ENCODE_ERRORS as error:
            raise frames.no_plain_data(error) from None
        size = len(encoded)
        if len(self._batch) + size > _BATCH_END and self._batched:
            self._seal()
        if size > WHOLE_BYTES:
            self._queue_parts(memoryview(encoded))
            return
        self._batch += encoded
        self._batched += 1
        if self._batched == BATCH_MESSAGES:
            self._seal()

    def send_now(self, message: Message) -> bool:
        """:meth:`post` and :meth:`flush`, short when nothing waits; True when nothing is left."""
        if self._queue or self._batched or self.sock is None:
            self.post(message)
            return self.flush()
        encoded = self._buffers.encoded
        try:
            _encode_into([message], encoded)
        except frames.ENCODE_ERRORS as error:
            raise frames.no_plain_data(error) from None
        if len(encoded) > WHOLE_BYTES:
            self._queue_parts(memoryview(encoded)[1:])  # without the header of a list of one
            return self.flush()
        try:
            self.sock.send(encoded, SEND_FLAGS)
        except DEAD:  # noticed where it is read
            pass
        except OSError:  # full, or the machine has nothing left for it
            self._enqueue(bytes(encoded), 1)
            return False
        self._sealed += 1
        return True

    def post_mark(self, number: int) -> None:
        """Queue a mark, for which there is always room: the peer reads no further until our exit signal is there."""
        if self._batched:
            self._seal()
        self._enqueue(_encode(-number), 0)

    def open(self) -> bool:
        """As :meth:`flush`; what leaves first, an empty batch if nothing waits, tells the peer that this end has arrived."""
        if self.is_flushed():
            self._enqueue(_OPENING, 0)
        return self.flush()

    def flush(self) -> bool:
        """Send what the socket takes; True when nothing is left. After the peer's death the queue vanishes."""
        if self.sock is None:
            return self.is_flushed()
        queue = self._queue
        while queue or self._batched:
            if not queue:
                self._seal()
            data, messages = queue[0]
            try:
                if not sockets.send(self.sock, data):
                    return False
            except PeerGone:
                self.drop_queue()
                return True
            except OSError as error:
                if error.errno != errno.ENOBUFS or len(data) < 2 * LEAST_PART_BYTES:
                    raise
                half = len(data) // 2  # the kernel has no such piece of memory, but may have smaller ones
                queue[0] = data[half:], messages
                queue.appendleft((data[:half], 0))
                continue
            queue.popleft()
            self._messages -= messages
            self._bytes -= len(data)
            self.is_full = self._messages >= MAX_QUEUE_MESSAGES or self._bytes >= MAX_QUEUE_BYTES
            if messages and type(data) is memoryview:  # the last part
                self._buffers.give(data.obj)  # type: ignore[arg-type]  # a view of what was encoded
        return True

    def drop_queue(self) -> None:
        """Nobody will read it."""
        self._queue.clear()
        self._sealed += self._batched
        self._batch = bytearray(_HEADER)
        self._batched = self._messages = self._bytes = 0
        self.is_full = False

    def _enqueue(self, data: bytes | bytearray | memoryview, messages: int) -> None:
        self._queue.append((data, messages))
        self._bytes += len(data)
        self._messages += messages
        self._sealed += messages
        self.is_full = self._messages >= MAX_QUEUE_MESSAGES or self._bytes >= MAX_QUEUE_BYTES

    def _seal(self) -> None:
        """The open batch becomes a datagram."""
        batch, count = self._batch, self._batched
        if count < 16:
            batch[2] = 0x90 | count
            del batch[:2]
        else:
            batch[2] = count
        self._batch, self._batched = bytearray(_HEADER), 0
        self._enqueue(batch, count)

    def _queue_parts(self, message: memoryview) -> None:
        """Queue views of ``message``, which is all or the end of what has just been encoded."""
        size = len(message)
        if size > MAX_MESSAGE_BYTES:
            raise RequestError("value_too_long", f"a message of {size} bytes")
        self._buffers.encoded = self._buffers.take(0)
        self._enqueue(_encode(size), 0)
        part = min(PART_BYTES, sockets.max_datagram_bytes(self.sock))
        for start in range(0, size, part):
            self._enqueue(message[start : start + part], int(start + part >= size))

    # ---- receiving --------------------------------------------------------------------------------------------------

    def read(self, wait: bool = False) -> list[Message] | None:
        """The messages of the next datagram, or of the parts that are there; None when there is none now.

        With ``wait`` it takes a moment for one to come, see sockets.be_patient.

        :raises PeerGone: everything has been read and nothing more will come; half a message is dropped.
        :raises ProtocolError: junk; close the channel.
        """
        sock = self.sock
        if sock is None:
            return None
        if self._large is None:
            try:
                data = sock.recv(_ROOM_BYTES, 0 if wait else DONTWAIT)
            except BlockingIOError:
                return None
            except ConnectionResetError:  # told once, before the data that is still queued
                return self.read(wait)
            if not data:
                raise PeerGone("the other end is closed")
            messages = _decode(data)
            if isinstance(messages, list):
                self.received += len(messages)
                self.size = len(data)
                return messages
            if messages < 0:
                self.mark = -messages
                return []
            self._expect_parts(messages)
        return self._read_parts(sock)

    def _expect_parts(self, size: int) -> None:
        if not WHOLE_BYTES < size <= MAX_MESSAGE_BYTES:
            raise ProtocolError(f"a large message of {size} bytes")
        self._large = self._buffers.take(min(size, AHEAD_BYTES))
        self._size, self._filled = size, 0

    def _read_parts(self, sock: socket.socket) -> list[Message] | None:
        large = self._large
        assert large is not None
        while (left := self._size - self._filled) > 0:
            wanted = min(left, PART_BYTES)
            if self._filled + wanted > len(large):
                large += bytes(min(len(large), self._size - len(large)))
            size = sockets.receive_into(sock, memoryview(large)[self._filled : self._filled + wanted])
            if size is None:
                return None
            if size > wanted or size < min(wanted, LEAST_PART_BYTES):
                raise ProtocolError(f"a part of {size} bytes, {left} are left")
            self._filled += size
        self._large = None
        message = frames.decode_message(memoryview(large)[: self._size])
        self._buffers.give(large)
        self.received += 1
        self.size = self._size
        return [message]

    def close(self) -> None:
        """Close the socket; what is queued and half a message that has come are dropped."""
        self.drop_queue()
        self._large = None
        if self.sock is not None:
            self.sock.close()
            self.sock = None
