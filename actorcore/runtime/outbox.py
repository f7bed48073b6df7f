"""An outbox: datagrams on their way into a socket, each with descriptors of its own as long as it waits.

So whoever sends a descriptor may close it at once, though the datagram leaves much later: a number that was closed is an
error then, or, given away again, another thing.
"""

from __future__ import annotations

import os
import socket
from collections import deque
from collections.abc import Sequence

from actorcore.runtime import sockets


class Outbox:
    """Of ``sock``, which stays the caller's. Once nobody has its other end, everything vanishes here."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._waiting: deque[tuple[bytes, list[int]]] = deque()

    def is_empty(self) -> bool:
        """Nothing waits."""
        return not self._waiting

    def put(self, data: bytes, fds: Sequence[int] = ()) -> bool:
        """Send the datagram, now or by :meth:`flush`; False, and it is lost: there is no descriptor to wait with (EMFILE)."""
        if not self._waiting and self._send(data, list(fds)):
            return True
        own: list[int] = []
        try:
            own.extend(os.dup(fd) for fd in fds)
        except OSError:
            sockets.close_all(own)
            return False
        self._waiting.append((data, own))
        return True

    def flush(self) -> None:
        """Send what the socket takes."""
        while self._waiting and self._send(*self._waiting[0]):
            sockets.close_all(self._waiting.popleft()[1])

    def drop(self) -> None:
        """Nothing that waits will be sent."""
        while self._waiting:
            sockets.close_all(self._waiting.popleft()[1])

    def _send(self, data: bytes, fds: list[int]) -> bool:
        try:
            return sockets.send(self._sock, data, fds)
        except sockets.PeerGone:
            return True
