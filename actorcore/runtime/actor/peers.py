"""The channels of one process or client, and the order of signals over both planes.

What A sends to B arrives in the order in which it was sent, though messages go through their channel and exit signals
through the node. Two counters do it: an exit signal says how many messages come before it, and B holds it until they have
come; a mark in the channel says which exit signal comes before what follows, and B reads no further until it is there.
What tells a death comes after everything that the dead had sent.

A channel is a socketpair made by the node, which may die while it hands out the ends: see signals.Channel. An end that is
lost while both live (junk closed it, a descriptor was refused) is replaced when it is needed next.
"""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Callable

from actorcore.errors import ProtocolError
from actorcore.exit_reason import NOCONNECTION
from actorcore.frames import Message
from actorcore.mailbox import Dead, Refusal
from actorcore.runtime import sockets
from actorcore.runtime.actor.buffers import Buffers
from actorcore.runtime.actor.channel import Channel
from actorcore.runtime.sockets import PeerGone
from actorcore.signals import EVERYTHING, Channel as ChannelDelivery, Down, Exit, PeerDown


class Peer:
    """One other process. ``channel`` is in introduction until it has a socket, and ``ended`` when that was lost.

    ``frame`` is the node's frame that announced the channel (0: none yet), ``offers`` are ends of which the peer opens
    one. ``held`` are its exit signals that wait for messages, ``heard`` is the number of the latest exit signal.
    ``is_renewed``: it is not the first channel; calls up to number ``calls_lost`` went into an earlier one.
    """

    __slots__ = ("calls_lost", "channel", "frame", "heard", "held", "is_renewed", "offers", "serial")

    def __init__(self, serial: int, channel: Channel) -> None:
        self.serial = serial
        self.channel = channel
        self.frame = 0
        self.offers: list[socket.socket] = []
        self.held: deque[Exit] = deque()
        self.heard = 0
        self.is_renewed = False
        self.calls_lost = 0

    def is_readable(self) -> bool:
        """Whether what comes next in the channel may be read now."""
        return self.channel.mark <= self.heard

    def release(self) -> list[Exit]:
        """The exit signals whose turn has come."""
        due: list[Exit] = []
        while self.held and (self.channel.ended or self.channel.received >= self.held[0].after):
            due.append(self.held.popleft())
        return due


class Peers:
    """All peers by serial. What it needs of its surroundings are the methods that raise NotImplementedError.

    ``introduce(peer, lost)`` asks the node for a channel.
    """

    def __init__(self, introduce: Callable[[int, int], None]) -> None:
        self._introduce = introduce
        self._buffers = Buffers()
        self._peers: dict[int, Peer] = {}
        self.channels: dict[int, Channel] = {}
        """Those that have not ended, in introduction or not."""
        self.by_fd: dict[int, Peer] = {}
        self._offered: dict[int, Peer] = {}

    # ---- the surroundings -------------------------------------------------------------------------------------------

    def _arm(self, peer: Peer, sock: socket.socket, read: bool, write: bool) -> None:
        """Call :meth:`ready` when ``sock`` is readable, writable; replaces an earlier wish."""
        raise NotImplementedError

    def _disarm(self, sock: socket.socket) -> None:
        raise NotImplementedError

    def _take(self, peer: Peer, messages: list[Message]) -> None:
        """Messages have come."""
        raise NotImplementedError

    def _take_exit(self, signal: Exit) -> None:
        raise NotImplementedError

    def _fail_calls(self, peer: int, outcome: Refusal | Dead, up_to: int | None = None) -> None:
        """Calls to ``peer`` (None: all, else with numbers ``up_to``) get no answer."""
        raise NotImplementedError

    def _last_call(self, peer: int) -> int:
        """The highest number of a call that waits for ``peer``, 0 for none."""
        raise NotImplementedError

    def close(self) -> None:
        """Close every socket; nothing more comes from anybody."""
        for peer in self._peers.values():
            self._drop_offers(peer)
            if not peer.channel.ended:
                self._end(peer)
        self._peers.clear()

    def forsake(self) -> None:
        """Close our copies of the sockets in a forked half: without a word to an epoll, which is shared."""
        for peer in self._peers.values():
            peer.channel.close()

    # ---- sending ----------------------------------------------------------------------------------------------------

    def channel_to(self, peer: int) -> Channel:
        """The channel to send on; a first use, or one after it was lost, asks for an introduction."""
        channel = self.channels.get(peer)
        if channel is None:
            known = self._peers.get(peer)
            channel = self._new_channel(peer)
            if known is None:
                known = self._peers[peer] = Peer(peer, channel)
            else:
                known.channel = channel
            self._introduce(peer, known.frame)
        return channel

    def find(self, peer: int) -> Channel | None:
        """The channel to ``peer``, if there is one or it is in introduction."""
        return self.channels.get(peer)

    def _new_channel(self, peer: int) -> Channel:
        channel = self.channels[peer] = Channel(peer, self._buffers)
        return channel

    def frame_of(self, peer: int) -> int:
        """The node's frame that brought the channel which is in use; 0 while it is in introduction."""
        known = self._peers.get(peer)
        return 0 if known is None or known.channel.sock is None else known.frame

    def mark(self, peer: int, number: int) -> None:
        """Our exit signal ``number`` was sent to ``peer``: what we send from now on comes after it."""
        channel = self.find(peer)
        if channel is not None:
            channel.post_mark(number)
            self.flush(channel)

    def flush(self, channel: Channel) -> None:
        """Send what the socket takes now, and the rest when it takes more."""
        if not channel.flush():
            self.wants_room(channel)

    def wants_room(self, channel: Channel) -> None:
        """Its queue is not empty: go on when the socket takes more."""
        peer = self._peers.get(channel.peer)
        if peer is not None and peer.channel is channel:
            self._arm_channel(peer)

    def flush_all(self) -> None:
        """As :meth:`flush`, for every channel."""
        for peer in self._peers.values():
            if not peer.channel.is_flushed():
                self.flush(peer.channel)

    def is_flushed(self) -> bool:
        """No message waits for a socket or an introduction."""
        return all(peer.channel.is_flushed() for peer in self._peers.values())

    # ---- reading ----------------------------------------------------------------------------------------------------

    def ready(self, fd: int, readable: int, writable: int) -> None:
        """What was said about one of our sockets; 0 is no."""
        peer = self.by_fd.get(fd)
        if peer is None:
            peer = self._offered.get(fd)
            if peer is not None:  # else closed by an earlier event of the same batch
                self._try_offer(peer, next(sock for sock in peer.offers if sock.fileno() == fd))
            return
        if readable:
            self.read(peer)
        if writable and not peer.channel.ended:
            if peer.channel.flush():
                self._arm_channel(peer)
            self._settle(peer)

    def read(self, peer: Peer, wait: bool = False) -> bool:
        """One datagram; False when there is none now (``wait``: nor in a moment) or no more ever."""
        channel = peer.channel
        if channel.mark > peer.heard:
            return False
        try:
            messages = channel.read(wait)
        except PeerGone:
            self._end(peer)
            return False
        except ProtocolError as error:
            self._complain(f"channel to {peer.serial} closed: {error}")
            self._end(peer)
            return False
        if messages is None:
            return False
        if peer.calls_lost:  # it lives, and has let go of the channel that they went into
            self._fail_calls(peer.serial, Dead(NOCONNECTION), peer.calls_lost)
            peer.calls_lost = 0
        if not peer.held:
            self._take(peer, messages)
        else:
            self._take_slowly(peer, messages)
        if not messages and channel.mark > peer.heard:
            self._arm_channel(peer)
        return True

    def _take_slowly(self, peer: Peer, messages: list[Message]) -> None:
        """A held signal takes its place within the batch."""
        peer.channel.received -= len(messages)
        for message in messages:
            self._take(peer, [message])
            peer.channel.size = 0  # has been counted
            peer.channel.received += 1
            self._release(peer)

    def _release(self, peer: Peer) -> None:
        for signal in peer.release():
            self._take_exit(signal)

    def _complain(self, text: str) -> None:
        """Something that a developer should see."""

    def _end(self, peer: Peer) -> None:
        """No more comes over this channel: the peer is dead, or the next use asks for another."""
        channel = peer.channel
        peer.calls_lost = self._last_call(peer.serial)
        channel.ended = True
        self.channels.pop(peer.serial, None)
        if channel.sock is not None:
            del self.by_fd[channel.sock.fileno()]
            self._disarm(channel.sock)
        channel.close()
        self._release(peer)
        self._settle(peer)

    def _settle(self, peer: Peer) -> None:
        """A channel has ended, or its queue may take messages again."""

    # ---- the node's deliveries --------------------------------------------------------------------------------------

    def on_channel(self, announced: ChannelDelivery, frame: int, sock: socket.socket | None) -> None:
        """The node's frame with an end of a channel; without a socket when we have no descriptor left."""
        peer = self._peers.get(announced.peer)
        if peer is None:
            peer = self._peers[announced.peer] = Peer(announced.peer, self._new_channel(announced.peer))
        if frame < peer.frame or (frame == peer.frame and (peer.channel.sock is not None or peer.channel.ended)):
            if sock is not None:  # repeated by the successor of a killed node
                sock.close()
            return
        if frame > peer.frame:
            self._renew(peer, frame)
        if sock is None:
            self._end(peer)
            self._fail_calls(peer.serial, Refusal("resource_exhausted", "no descriptor left for a channel"))
        elif announced.opens:
            self._adopt(peer, sock)
            peer.channel.open()
            self._arm_channel(peer)
            self._settle(peer)
        else:
            peer.offers.append(sock)
            self._offered[sock.fileno()] = peer
            self._arm(peer, sock, True, False)

    def _renew(self, peer: Peer, frame: int) -> None:
        """The first channel, or another one: the peer has lost its end."""
        if peer.channel.sock is not None:
            self._drain(peer)
            if not peer.channel.ended:
                self._end(peer)
        if peer.channel.ended:
            peer.channel = self._new_channel(peer.serial)
        self._drop_offers(peer)
        peer.is_renewed = peer.frame != 0
        peer.frame = frame

    def _adopt(self, peer: Peer, sock: socket.socket) -> None:
        peer.channel.sock = sock
        self.by_fd[sock.fileno()] = peer

    def _try_offer(self, peer: Peer, sock: socket.socket) -> None:
        """The peer has opened this pair, or let go of it."""
        try:
            if sockets.peek_data(sock) is None:
                return
        except PeerGone:
            peer.offers.remove(sock)
            self._drop_offer(sock)
            return
        peer.offers.remove(sock)
        del self._offered[sock.fileno()]
        self._drop_offers(peer)
        self._adopt(peer, sock)
        if peer.is_renewed:  # tell the peer that we live
            peer.channel.open()
        else:
            peer.channel.flush()
        self._arm_channel(peer)
        self._settle(peer)
        self.read(peer)

    def _drop_offers(self, peer: Peer) -> None:
        while peer.offers:
            self._drop_offer(peer.offers.pop())

    def _drop_offer(self, sock: socket.socket) -> None:
        del self._offered[sock.fileno()]
        self._disarm(sock)
        sock.close()

    def on_refused(self, peer: int, outcome: Refusal | Dead) -> None:
        """The introduction failed: calls fail, all else vanishes."""
        known = self._peers.get(peer)
        if known is not None and known.channel.sock is None:
            self._end(known)
            self._drop_offers(known)
            del self._peers[peer]
        self._fail_calls(peer, outcome)

    def on_exit(self, signal: Exit) -> None:
        """An exit signal that we trap."""
        peer = self._peers.get(signal.frm)
        if peer is None:
            self._take_exit(signal)
            return
        peer.heard = max(peer.heard, signal.number)
        if signal.after == EVERYTHING:
            self._read_all(peer)
        peer.held.append(signal)
        self._release(peer)
        self._arm_channel(peer)

    def on_down(self, down: Down) -> None:
        """A monitored process is dead."""
        if down.pid:
            self._bury(down.pid)
            self._fail_calls(down.pid, Dead(down.reason))

    def on_peer_down(self, down: PeerDown) -> None:
        """A process to which we have, or wait for, a channel is dead."""
        self._bury(down.peer)
        self._fail_calls(down.peer, Dead(down.reason))

    def _bury(self, serial: int) -> None:
        """Read the last words, then forget it."""
        peer = self._peers.get(serial)
        if peer is None:
            return
        self._read_all(peer)
        self._drop_offers(peer)
        del self._peers[serial]

    def _read_all(self, peer: Peer) -> None:
        """Everything that the dead peer has sent: its channel has ended afterwards."""
        for sock in list(peer.offers):
            if sock in peer.offers:
                self._try_offer(peer, sock)
        self._drain(peer)
        if not peer.channel.ended:  # its descriptor lives on in a child of its own, or it was never introduced
            self._end(peer)

    def _drain(self, peer: Peer) -> None:
        for _ in range(sockets.MAX_DRAIN):
            if peer.channel.ended or not self.read(peer):
                return

    def _arm_channel(self, peer: Peer) -> None:
        channel = peer.channel
        if channel.sock is not None:
            self._arm(peer, channel.sock, peer.is_readable(), not channel.is_flushed())
