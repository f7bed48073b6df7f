"""What the guardian keeps: the memory, and its ends to node and spare."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from actorcore.errors import ProtocolError
from actorcore.guardian_words import ForkAlone, Hold, Template, ToGuardian, ToNode, encoder, to_guardian
from actorcore.runtime import children, log, sockets
from actorcore.runtime.outbox import Outbox


@dataclass
class Mappings:
    """What the node inherits by fork: writable views, made before the memfds were sealed."""

    ledger: memoryview
    registry: memoryview
    status: memoryview
    registry_fd: int
    status_fd: int
    stamp_ns: Callable[[], int]


@dataclass
class Link:
    """The guardian's end to a node or spare; ``is_gone``: nobody has the other one. What it is not told, its successor is."""

    os_pid: int
    sock: socket.socket
    ready: bool = False
    is_gone: bool = False
    schema: int = 0
    templates: Sequence[Template] = ()
    outbox: Outbox = field(init=False)

    def __post_init__(self) -> None:
        self.outbox = Outbox(self.sock)

    def say(self, word: ToNode, fds: Sequence[int] = ()) -> None:
        if not self.outbox.put(encoder.encode(word), fds):
            say(f"node {self.os_pid} does not listen, and no descriptor is left to wait with; killed")
            children.kill(self.os_pid)

    def close(self) -> None:
        self.sock.close()
        self.outbox.drop()

    def hear(self) -> tuple[ToGuardian, list[int]] | None:
        """The next word with its descriptors, without them when we can have no more; None when there is none now.

        Only Hold and ForkAlone bring a descriptor. Who says what is no word is killed.
        """
        with contextlib.suppress(sockets.PeerGone):
            while (datagram := sockets.receive(self.sock, may_lose_fds=True)) is not None:
                try:
                    word = to_guardian.decode(datagram.data)
                except ProtocolError as error:
                    say(f"node {self.os_pid} said what is no word: {error}; killed")
                    children.kill(self.os_pid)
                    sockets.close_all(datagram.fds)
                    continue
                if not isinstance(word, (Hold, ForkAlone)):
                    sockets.close_all(datagram.fds)
                return word, datagram.fds
            return None
        self.is_gone = True
        return None


def dismiss(link: Link | None) -> None:
    """End the process behind it, and have it gone."""
    if link is not None:
        children.end(link.os_pid)
        link.close()


def say(text: str) -> None:
    """One record in the log."""
    log.report("guardian", 0, text)
