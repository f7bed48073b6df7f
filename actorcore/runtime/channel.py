"""One direct channel to a peer process: bounded queue, batches, large messages in parts, counters for the order of planes.

Messages are encoded once, when queued; a datagram is an array header and the encoded messages behind it, which is the
same bytes as encoding the list. A message above :data:`PART_BYTES` becomes the parts of a datagram of its own.
A channel without a socket yet is one in introduction: it queues.
"""

from __future__ import annotations

import socket
from collections import deque

from actorcore import frames
from actorcore.errors import ProtocolError, RequestError
from actorcore.frames import BATCH_BYTES, BATCH_MESSAGES, Call, Cast, Info, Part, Reply
from actorcore.runtime import sockets
from actorcore.runtime.sockets import DEAD, SEND_FLAGS, PeerGone

PART_BYTES = 48 << 10
MAX_MESSAGE_BYTES = 64 << 20
"""One message, whole: more is refused by the sender and is a breach of protocol to the receiver."""
MAX_QUEUE_MESSAGES = 8192
MAX_QUEUE_BYTES = 8 << 20
"""The queue is full above either; one message of any size still enters a queue that is not full."""

_HEADERS = tuple(bytes([0x90 | n]) if n < 16 else b"\xdc" + n.to_bytes(2, "big") for n in range(BATCH_MESSAGES + 1))
_ONE = _HEADERS[1]
_encode = frames.encoder.encode
_decode = frames.channel_decoder.decode
Whole = Call | Cast | Info | Reply


class Channel:
    """The process's end of one channel; ``sent`` and ``received`` count whole messages since it was made."""

    __slots__ = ("_parts", "_parts_bytes", "_queue", "_queue_bytes", "ended", "peer", "received", "sent", "sock")

    def __init__(self, peer: int, sock: socket.socket | None = None) -> None:
        self.peer = peer
        self.sock = sock
        self.sent = 0
        self.received = 0
        self.ended = False
        self._queue: deque[tuple[bytes, bool]] = deque()
        self._queue_bytes = 0
        self._parts: list[bytes] = []
        self._parts_bytes = 0

    def is_full(self) -> bool:
        return len(self._queue) >= MAX_QUEUE_MESSAGES or self._queue_bytes >= MAX_QUEUE_BYTES

    def is_flushed(self) -> bool:
        return not self._queue

    def post(self, message: Whole) -> None:
        """Queue ``message``; the caller has asked :meth:`is_full`.

        :raises RequestError: ``value_too_long`` above 64 MiB.
        :raises TypeError, NotImplementedError, OverflowError: the body is no plain data.
        """
        data = frames.encoder.encode(message)
        if len(data) <= PART_BYTES:
            self._enqueue(data, False)
        else:
            self._post_parts(data)
        self.sent += 1

    def send_now(self, message: Whole) -> bool:
        """:meth:`post` and :meth:`flush`, short when the queue is empty; True when nothing is left."""
        if self._queue or self.sock is None:
            self.post(message)
            return self.flush()
        data = _encode([message])
        if len(data) > PART_BYTES:
            self.post(message)
            return self.flush()
        self.sent += 1
        try:
            self.sock.send(data, SEND_FLAGS)
        except BlockingIOError:
            self._enqueue(data[1:], False)  # without the header of a list of one
            return False
        except DEAD:  # noticed where it is read
            return True
        return True

    def _post_parts(self, data: bytes) -> None:
        if len(data) > MAX_MESSAGE_BYTES:
            raise RequestError("value_too_long", f"a message of {len(data)} bytes")
        for start in range(0, len(data), PART_BYTES):
            last = start + PART_BYTES >= len(data)
            self._enqueue(frames.encoder.encode(Part(data[start : start + PART_BYTES], last)), True)

    def _enqueue(self, data: bytes, alone: bool) -> None:
        self._queue.append((data, alone))
        self._queue_bytes += len(data)

    def flush(self) -> bool:
        """Send what the socket takes; True when nothing is left. After the peer's death the queue vanishes."""
        if self.sock is None:
            return not self._queue
        while self._queue:
            batch, size = self._next_batch()
            data = _ONE + batch[0] if len(batch) == 1 else b"".join((_HEADERS[len(batch)], *batch))
            try:
                if not sockets.send(self.sock, data):
                    return False
            except PeerGone:
                self.drop_queue()
                return True
            for _ in batch:
                self._queue.popleft()
            self._queue_bytes -= size
        return True

    def _next_batch(self) -> tuple[list[bytes], int]:
        data, alone = self._queue[0]
        batch, size = [data], len(data)
        if alone or len(self._queue) == 1:
            return batch, size
        for position, (data, alone) in enumerate(self._queue):
            if position == 0:
                continue
            if alone or position == BATCH_MESSAGES or size + len(data) > BATCH_BYTES:
                break
            batch.append(data)
            size += len(data)
        return batch, size

    def drop_queue(self) -> None:
        """Nobody will read it."""
        self._queue.clear()
        self._queue_bytes = 0

    def read(self) -> list[Whole] | None:
        """The messages of the next datagram (none yet, for a part), or None when there is none now.

        :raises PeerGone: everything has been read and nothing more will come.
        :raises ProtocolError: junk; close the channel.
        """
        if self.sock is None:
            return None
        data = sockets.receive_data(self.sock)
        if data is None:
            return None
        try:
            messages = _decode(data)
        except frames.DECODE_ERRORS as error:
            raise ProtocolError(str(error)[:200]) from None
        if self._parts or (len(messages) == 1 and type(messages[0]) is Part):
            messages = self._join(messages)
        elif len(messages) > 1 and any(type(message) is Part for message in messages):
            raise ProtocolError("a part among whole messages")
        self.received += len(messages)
        return messages  # type: ignore[return-value]  # _join left no Part

    def _join(self, messages: list[frames.Message]) -> list[frames.Message]:
        if len(messages) != 1 or not isinstance(messages[0], Part):
            raise ProtocolError("a part among whole messages")
        part = messages[0]
        self._parts.append(part.data)
        self._parts_bytes += len(part.data)
        if self._parts_bytes > MAX_MESSAGE_BYTES or not part.data:
            raise ProtocolError("parts of an endless message")
        if not part.last:
            return []
        whole = frames.decode_channel(b"".join((_ONE, *self._parts)))
        self._parts, self._parts_bytes = [], 0
        if len(whole) != 1 or isinstance(whole[0], Part):
            raise ProtocolError("a part within parts")
        return whole

    def close(self) -> None:
        """Close the socket; what is queued is dropped."""
        self.drop_queue()
        if self.sock is not None:
            self.sock.close()
            self.sock = None
