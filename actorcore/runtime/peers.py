"""The channels of one process: introductions, reading, and the order of signals over both planes.

What a peer sent is read before what the node tells about that peer: a DOWN, an exit signal, its death. An exit signal
that counts ``after`` messages is held until so many have come (or no more can).
"""

from __future__ import annotations

import select
import socket
from collections.abc import Callable

from actorcore.errors import ProtocolError
from actorcore.frames import Reply
from actorcore.mailbox import Dead, DownMessage, ExitMessage, Mailbox, Raw, Refusal
from actorcore.pids import Pid
from actorcore.runtime.buffers import Buffers
from actorcore.runtime.channel import Channel
from actorcore.runtime.complain import complain
from actorcore.runtime.sockets import PeerGone
from actorcore.signals import Down, Exit, PeerDown

READABLE = select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR
WRITABLE = select.EPOLLOUT
MAX_DRAIN = 16384
"""Datagrams read ahead of a signal of a living peer: more than a socket holds, so a flood cannot keep us here."""


class Peers:
    """Channels by peer's serial; ``introduce`` asks the node for a channel."""

    def __init__(self, instance: int, mailbox: Mailbox, epoll: select.epoll, introduce: Callable[[int], None]) -> None:
        self._instance = instance
        self._mailbox = mailbox
        self._epoll = epoll
        self._introduce = introduce
        self._buffers = Buffers()
        self._channels: dict[int, Channel] = {}
        self._by_fd: dict[int, Channel] = {}
        self._held: dict[int, list[Exit]] = {}
        self._reading_only: int | None = None
        self.is_restricted = False

    def channel_to(self, peer: int) -> Channel:
        """The channel to send on; a first use, or one after the peer hung up, asks for an introduction."""
        channel = self._channels.get(peer)
        if channel is not None and not channel.ended:
            return channel
        channel = self._channels[peer] = Channel(peer, self._buffers)
        self._introduce(peer)
        return channel

    def find(self, peer: int) -> Channel | None:
        return self._channels.get(peer)

    def flush(self, channel: Channel) -> None:
        """Send what the socket takes now, and the rest when it takes more."""
        if not channel.flush():
            self._arm(channel)

    def wants_room(self, channel: Channel) -> None:
        """Its queue is not empty: go on when the socket takes more."""
        self._arm(channel)

    def flush_all(self) -> None:
        """As :meth:`flush`, for every channel."""
        for channel in self._channels.values():
            if not channel.is_flushed():
                self.flush(channel)

    def is_flushed(self) -> bool:
        """No message waits for a socket or an introduction."""
        return all(channel.is_flushed() for channel in self._channels.values())

    def close(self) -> None:
        """Close every channel."""
        for channel in self._channels.values():
            channel.close()

    def ready(self, fd: int, events: int) -> None:
        """What epoll said about one of our channels."""
        channel = self._by_fd.get(fd)
        if channel is None:  # closed by an earlier event of the same batch
            return
        if events & READABLE:
            self._read(channel)
        if events & WRITABLE and not channel.ended and channel.flush():
            self._arm(channel)

    def _read(self, channel: Channel) -> bool:
        """One datagram; False when there is none now or no more ever."""
        try:
            messages = channel.read()
        except PeerGone:
            self._end(channel)
            return False
        except ProtocolError as error:
            complain(f"channel to {channel.peer} closed: {error}")
            self._end(channel)
            return False
        if messages is None:
            return False
        peer = channel.peer
        items = self._mailbox.items
        holds = bool(self._held) and peer in self._held
        if holds:  # a held signal takes its place within the batch
            channel.received -= len(messages)
        for message in messages:
            if type(message) is Reply:
                self._mailbox.settle(peer, message)
            else:
                items.append(Raw(peer, message))  # type: ignore[arg-type]
            if holds:
                channel.received += 1
                self._release(channel)
        return True

    def drain(self, channel: Channel, until: int = 0) -> None:
        """Read until so many messages have come (0: all), nothing is there, or nothing will come."""
        for _ in range(MAX_DRAIN):
            if channel.ended or 0 < until <= channel.received or not self._read(channel):
                return

    def _end(self, channel: Channel) -> None:
        channel.ended = True
        if channel.sock is not None:
            fd = channel.sock.fileno()
            self._epoll.unregister(fd)
            del self._by_fd[fd]
        channel.close()
        self._release(channel)

    def _release(self, channel: Channel) -> None:
        held = self._held.get(channel.peer)
        while held and (channel.ended or channel.received >= held[0].after):
            self._push_exit(held.pop(0))
        if held is not None and not held:
            del self._held[channel.peer]

    def _push_exit(self, signal: Exit) -> None:
        self._mailbox.push(ExitMessage(Pid(self._instance, signal.frm), signal.reason))

    def on_channel(self, peer: int, fd: int) -> None:
        """The node introduces us to ``peer``: what waited for it leaves."""
        sock = socket.socket(fileno=fd)
        sock.setblocking(False)
        channel = self._channels.get(peer)
        if channel is not None and channel.sock is not None:
            self.drain(channel)
            if not channel.ended:
                self._end(channel)
        if channel is None or channel.ended:
            channel = self._channels[peer] = Channel(peer, self._buffers)
        channel.sock = sock
        self._by_fd[fd] = channel
        self._epoll.register(fd, self._mask(channel))
        channel.flush()
        self._arm(channel)

    def on_refused(self, peer: int, outcome: Refusal | Dead) -> None:
        """The introduction failed: calls fail, all else vanishes."""
        channel = self._channels.get(peer)
        if channel is not None and channel.sock is None:
            self._end(channel)
            del self._channels[peer]
        self._mailbox.fail_peer(peer, outcome)

    def on_exit(self, signal: Exit) -> None:
        """An exit signal that we trap."""
        channel = self._channels.get(signal.frm)
        if channel is None:
            self._push_exit(signal)
            return
        if signal.after == 0:
            self.drain(channel)
        self._held.setdefault(signal.frm, []).append(signal)
        self._release(channel)
        if signal.after:
            self.drain(channel, signal.after)

    def on_down(self, down: Down) -> None:
        """A monitored process is dead."""
        if down.pid:
            self._read_last_words(down.pid)
            self._mailbox.fail_peer(down.pid, Dead(down.reason))
        for ref in down.refs:
            self._mailbox.push(DownMessage(ref, Pid(self._instance, down.pid), down.reason))

    def on_peer_down(self, down: PeerDown) -> None:
        """A process to which we have, or wait for, a channel is dead."""
        self._read_last_words(down.peer)
        self._mailbox.fail_peer(down.peer, Dead(down.reason))

    def _read_last_words(self, peer: int) -> None:
        channel = self._channels.pop(peer, None)
        if channel is None:
            return
        self.drain(channel)
        if not channel.ended:  # its descriptor lives on in a child of its own, or it was never introduced
            self._end(channel)

    def read_only(self, peer: int | None) -> None:
        """Back-pressure: read nobody but ``peer`` (0: nobody at all); None: read all again."""
        if peer == self._reading_only:
            return
        self._reading_only = peer
        self.is_restricted = peer is not None
        for channel in self._by_fd.values():
            self._arm(channel)

    def _mask(self, channel: Channel) -> int:
        reads = self._reading_only is None or self._reading_only == channel.peer
        return (select.EPOLLIN if reads else 0) | (0 if channel.is_flushed() else select.EPOLLOUT)

    def _arm(self, channel: Channel) -> None:
        if channel.sock is not None:
            self._epoll.modify(channel.sock.fileno(), self._mask(channel))
