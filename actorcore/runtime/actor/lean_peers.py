"""The peers of a lean process: sockets in its poller, messages into its mailbox, and back-pressure when that is full."""

from __future__ import annotations

import select
import socket
from collections.abc import Callable

from actorcore.frames import Message, Reply
from actorcore.mailbox import Dead, ExitMessage, Mailbox, Raw, Refusal
from actorcore.pids import Pid
from actorcore.runtime import sockets
from actorcore.runtime.actor.peers import Peer, Peers
from actorcore.runtime.actor.poller import Poller
from actorcore.runtime.complain import complain
from actorcore.signals import Down, Exit

READABLE = select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR
WRITABLE = select.EPOLLOUT


class LeanPeers(Peers):
    """See Peers; ``is_restricted`` while not all peers are read."""

    def __init__(self, instance: int, mailbox: Mailbox, poller: Poller, introduce: Callable[[int, int], None]) -> None:
        super().__init__(introduce)
        self._instance = instance
        self._mailbox = mailbox
        self._poller = poller
        self._armed: dict[int, int] = {}
        self._reading_only: int | frozenset[int] | None = None
        self.is_restricted = False

    def read_only(self, peer: int | frozenset[int] | None) -> None:
        """Back-pressure: read nobody but ``peer`` (0: nobody at all), or all but a set of them; None: read all again."""
        if peer == self._reading_only:
            return
        self._reading_only = peer
        self.is_restricted = peer is not None
        for known in self.by_fd.values():
            self._arm_channel(known)
        for known in self._offered.values():
            for sock in known.offers:
                self._arm(known, sock, True, False)

    def read_soon(self, serial: int) -> None:
        """Wait a moment for ``serial`` alone, which has been asked: cheaper than asking the epoll, and mostly enough."""
        peer = self._peers.get(serial)
        if peer is not None and not self.is_restricted:
            self.read(peer, True)

    def on_down(self, down: Down) -> None:
        """A monitored process is dead."""
        super().on_down(down)
        self._mailbox.push_downs(down.refs, Pid(self._instance, down.pid), down.reason)

    # ---- the surroundings of Peers ----------------------------------------------------------------------------------

    def _adopt(self, peer: Peer, sock: socket.socket) -> None:
        sockets.be_patient(sock)
        super()._adopt(peer, sock)

    def _arm(self, peer: Peer, sock: socket.socket, read: bool, write: bool) -> None:
        fd = sock.fileno()
        only = self._reading_only
        reads = read and (only is None or (peer.serial not in only if isinstance(only, frozenset) else peer.serial == only))
        mask = (select.EPOLLIN if reads else 0) | (select.EPOLLOUT if write else 0)
        before = self._armed.get(fd)
        if before is None:
            self._poller.register(fd, mask)
        elif before != mask:
            self._poller.modify(fd, mask)
        self._armed[fd] = mask

    def _disarm(self, sock: socket.socket) -> None:
        if self._armed.pop(sock.fileno(), None) is not None:
            self._poller.unregister(sock.fileno())

    def _take(self, peer: Peer, messages: list[Message]) -> None:
        mailbox, serial = self._mailbox, peer.serial
        mailbox.bytes = peer.channel.size + (mailbox.bytes if mailbox.items or mailbox.aside else 0)
        push = mailbox.items.append
        for message in messages:
            if type(message) is Reply:
                mailbox.settle(serial, message)
            else:
                push(Raw(serial, message))

    def _take_exit(self, signal: Exit) -> None:
        self._mailbox.push(ExitMessage(Pid(self._instance, signal.frm), signal.reason))

    def _fail_calls(self, peer: int, outcome: Refusal | Dead, up_to: int | None = None) -> None:
        self._mailbox.fail_peer(peer, outcome, up_to)

    def _last_call(self, peer: int) -> int:
        return self._mailbox.last_call(peer)

    def _complain(self, text: str) -> None:
        complain(text)
