"""The process's end of the control plane: numbered requests up, deliveries down, each once.

The node may be replaced at any moment: the socket stays the same, so nothing is resent from here and a delivery that
the successor repeats is recognised by its ``seq``.
"""

from __future__ import annotations

import socket
from collections import deque

from actorcore import frames
from actorcore.errors import RequestError
from actorcore.frames import Uplink
from actorcore.runtime import sockets
from actorcore.signals import Begin, Channel, Delivery, Request

MAX_QUEUE = 4096
BEGIN_SEQ = 1
"""Birth has read it before there was a link; the successor of a node that died meanwhile says it again."""


class ControlLink:
    """Control socket with its numbers and its queue of what the socket did not take yet."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._number = 0
        self._seq = BEGIN_SEQ
        self._queue: deque[bytes] = deque()

    def is_flushed(self) -> bool:
        return not self._queue

    def request(self, body: Request) -> int:
        """Say ``body`` to the node under the next number, which its Answer will carry.

        :raises RequestError: as frames.encode_request, and ``mailbox_full``, the node has taken nothing for thousands of
            requests.
        """
        if len(self._queue) >= MAX_QUEUE:
            raise RequestError("mailbox_full", "the node does not read")
        data = frames.encode_request(self._number + 1, body)
        self._number += 1
        self._send(data)
        return self._number

    def say(self, uplink: Uplink) -> None:
        """Send, or queue when the socket is full.

        :raises PeerGone: the guardian is gone.
        """
        self._send(frames.encoder.encode([uplink]))

    def _send(self, data: bytes) -> None:
        self._queue.append(data)
        self.flush()

    def flush(self) -> bool:
        """Send what the socket takes; True when nothing is left."""
        while self._queue:
            if not sockets.send(self.sock, self._queue[0]):
                return False
            self._queue.popleft()
        return True

    def read(self) -> list[tuple[Delivery, int, socket.socket | None]] | None:
        """New deliveries of the next datagram, each with its seq, and Channels also when repeated, with their end.

        None when there is none now. An end is None when we have no descriptor left.

        :raises PeerGone: the guardian is gone.
        :raises ProtocolError: a delivery is lost; there is no way to go on.
        """
        datagram = sockets.receive(self.sock, may_lose_fds=True)
        if datagram is None:
            return None
        fds = datagram.fds
        new: list[tuple[Delivery, int, socket.socket | None]] = []
        try:
            for link in frames.decode_down(datagram.data):
                seq, body = link.seq, link.body
                if isinstance(body, Channel):
                    new.append((body, seq, _nonblocking(fds.pop(0)) if fds else None))
                # Else repeated by the successor of a killed node; Begin is what birth has read.
                elif seq > self._seq and not isinstance(body, Begin):
                    new.append((body, seq, None))
                self._seq = max(seq, self._seq)
        finally:
            sockets.close_all(fds)
        return new


def _nonblocking(fd: int) -> socket.socket:
    sock = socket.socket(fileno=fd)
    sock.setblocking(False)
    return sock
