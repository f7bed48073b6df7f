"""The node's words to the guardian."""

from __future__ import annotations

import socket

from actorcore.guardian_words import ToGuardian, encoder
from actorcore.runtime import sockets


def tell(guardian: socket.socket, word: ToGuardian, fds: tuple[int, ...] = ()) -> None:
    """Say a word to the guardian; it always listens, so a full socket is waited for."""
    data = encoder.encode(word)
    while not sockets.send(guardian, data, fds):
        sockets.await_writable(guardian, 1.0)
