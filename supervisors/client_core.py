"""The client without its waiting: connection, channels, mailbox, and the outcomes that callers await by number.

The sync and the async client drive the same core: they watch its sockets, report which are ready, and look up outcomes.
Requests, calls and waits share one row of numbers; an outcome that nobody awaits any more is dropped.
"""

from __future__ import annotations

import socket
from collections import deque
from typing import Protocol, TypeAlias, Union, assert_never

import msgspec

from actorcore import frames
from actorcore.errors import ActorError, CallFailed, ProtocolError, RequestError
from actorcore.exit_reason import NOCONNECTION, NOPROC, Reason, Term
from actorcore.frames import Call, Cast, Info, Message, Reply
from actorcore.pids import Pid
from actorcore.runtime import clock
from actorcore.runtime.buffers import Buffers
from actorcore.runtime.channel import Channel
from actorcore.runtime.client_connection import Arrival, ClientConnection
from actorcore.runtime.sockets import PeerGone, close_all, enlarge
from actorcore.signals import (
    Alarm,
    Answer,
    Asking,
    Begin,
    Channel as ChannelDelivery,
    Down,
    Exit,
    Hung,
    PeerDown,
    SendExit,
    Started,
    TrapExit,
)
from supervisors.client_messages import DownMessage, ExitMessage, InfoMessage, Mail, Ref

CONTROL = 0
"""The key of the connection to the node; a channel's key is the serial of its peer."""
MAX_MAIL = 65_536
"""Plain messages beyond it are dropped and counted; DOWN and EXIT are bounded by monitors and links."""
DATAGRAMS_PER_TURN = 64

Outcome: TypeAlias = Union[Term, ActorError]


class Watcher(Protocol):
    """What a shell does for the core."""

    def watch(self, fd: int, key: int, write: bool) -> None:
        """Report when ``fd`` is readable, and with ``write`` when it is writable; replaces an earlier wish."""

    def unwatch(self, fd: int) -> None:
        """No more reports about ``fd``, which may be closed already."""


class ClientCore:
    """One client. ``outcomes`` holds what has come for the numbers in ``awaited`` (by whose death they fail; 0: nobody's)."""

    def __init__(self, watcher: Watcher) -> None:
        self.connection = ClientConnection(clock.monotonic_s())
        self.channels: dict[int, Channel] = {}
        self.mailbox: deque[Mail] = deque()
        self.awaited: dict[int, int] = {}
        self.outcomes: dict[int, Outcome] = {}
        self.monitors: dict[Ref, int] = {}
        self.residents: dict[str, int] = {}
        self.dropped = 0
        self._buffers = Buffers()
        self._watcher = watcher
        self._watched: dict[int, tuple[int, bool]] = {}
        self._introducing: dict[int, int] = {}
        self._introduced: dict[int, list[int]] = {}
        self._writable: dict[int, list[int]] = {}
        self._mail: list[int] = []
        self._early: list[Exit] = []

    # ---- for the shells ---------------------------------------------------------------------------------------------

    def attach(self, sock: socket.socket) -> None:
        """Use this new connection to the node."""
        self.connection.attach(sock)
        self.watch_control()

    def watch_control(self) -> None:
        """Bring what is watched in step with the connection; after anything was sent over it."""
        if self.connection.sock is not None:
            self._watch(self.connection.sock.fileno(), CONTROL, self.connection.wants_write())

    def on_ready(self, key: int, readable: bool, writable: bool) -> None:
        """The socket with ``key`` can be read or written."""
        if key == CONTROL:
            if writable:
                self.connection.flush()
            if readable:
                self._read_control()
            self.watch_control()
            return
        if readable:
            self._read_channel(key, DATAGRAMS_PER_TURN)
        if (channel := self.channels.get(key)) is not None:
            self.flush(channel)

    def check_hope(self, now: float) -> None:
        """Give up when the node has not come back in time."""
        if self.connection.is_hopeless(now):
            self.give_up()

    def give_up(self, why: ActorError | None = None) -> None:
        """The daemon is gone: everything that is awaited fails with ``noconnection``."""
        if why is not None and self.connection.farewell is None and isinstance(why, RequestError):
            self.connection.farewell = why
        self.close()
        for ref, serial in list(self.monitors.items()):
            self._down(ref, serial, NOCONNECTION)
        for number in list(self.awaited):
            self._settle(number, self.no_connection())

    def close(self) -> None:
        """Close every socket."""
        if self.connection.sock is not None:
            self._unwatch(self.connection.sock.fileno())
        self.connection.close()
        for channel in list(self.channels.values()):
            self._end(channel)

    def is_flushed(self) -> bool:
        """Whether everything has left this process."""
        return not self.connection.wants_write() and all(channel.is_flushed() for channel in self.channels.values())

    def say_goodbye(self) -> None:
        """End our entry now: the node would keep it for our return. Its links break as if we had been lost."""
        if self.connection.state == "open":
            self.connection.submit(TrapExit(False))
            self.connection.submit(SendExit(self.connection.serial, NOCONNECTION))

    def forget(self, number: int) -> None:
        """Nobody awaits ``number`` any more."""
        self.awaited.pop(number, None)
        self.outcomes.pop(number, None)

    # ---- for the steps ----------------------------------------------------------------------------------------------

    def no_connection(self) -> CallFailed:
        """What fails without a daemon; its cause is what the node said last, if anything."""
        error = CallFailed(NOCONNECTION)
        error.__cause__ = self.connection.farewell
        return error

    def pid(self, serial: int) -> Pid:
        return Pid(self.connection.instance, serial)

    def await_next(self, peer: int = 0) -> int:
        """A new number, awaited until ``peer`` dies."""
        number = self.connection.next_number()
        self.awaited[number] = peer
        return number

    def await_channel(self, peer: int, introduction: int | None) -> int:
        """Awaited until there is a channel to ``peer``; ``introduction`` is the request for it, if just made."""
        if introduction is not None:
            self._introducing[introduction] = peer
        number = self.await_next(peer)
        self._introduced.setdefault(peer, []).append(number)
        return number

    def is_introducing(self, peer: int) -> bool:
        return peer in self._introducing.values()

    def await_writable(self, peer: int) -> int:
        """Awaited until the channel to ``peer`` has sent something."""
        number = self.await_next(peer)
        self._writable.setdefault(peer, []).append(number)
        return number

    def await_mail(self) -> int:
        """Awaited until something comes into the mailbox."""
        number = self.await_next()
        self._mail.append(number)
        return number

    def flush(self, channel: Channel) -> None:
        """Send what the channel's socket takes, the rest when it is writable."""
        if channel.sock is None:
            return
        is_flushed = channel.flush()
        self._watch(channel.sock.fileno(), channel.peer, not is_flushed)
        if not channel.is_full():
            self._settle_all(self._writable.pop(channel.peer, []), None)

    # ---- the node's deliveries --------------------------------------------------------------------------------------

    def _read_control(self) -> None:
        before = self.connection.sock
        fd = -1 if before is None else before.fileno()
        arrivals = self.connection.read(clock.monotonic_s())
        if self.connection.sock is not before:
            self._unwatch(fd)
        for arrival in arrivals:
            self._deliver(arrival)
        if self.connection.state == "closed":
            self.give_up()

    def _deliver(self, arrival: Arrival) -> None:
        match arrival.body:
            case Answer(number, value, error):
                self._answered(number, value, error)
            case Down(refs, pid, reason):
                self._read_channel(pid)  # it is dead: all that it ever sent is there to be read
                for ref in refs:
                    self._down(Ref(ref), pid, reason)
            case Exit() as signal:
                self._read_channel(signal.frm)
                self._early.append(signal)
                self._release_exits()
            case ChannelDelivery(peer):
                self._adopt(peer, arrival.fd)
            case PeerDown(peer, reason):
                self._read_channel(peer)
                if (channel := self.channels.get(peer)) is not None:
                    self._end(channel)
                self._fail(peer, CallFailed(reason))
            case Begin() | Asking() | Alarm() | Started() | Hung():
                self.give_up(RequestError("protocol_error", "a delivery that is not for clients"))
            case _:
                assert_never(arrival.body)

    def _answered(self, number: int, value: Term, error: tuple[str, Term] | None) -> None:
        refusal = None if error is None else refusal_of(error)
        peer = self._introducing.pop(number, None)
        if peer is None:
            self._settle(number, value if refusal is None else refusal)
        elif refusal is not None and error is not None:
            reason = error[1] if isinstance(error[1], (str, dict)) and error[1] else NOPROC
            self._fail(peer, CallFailed(reason) if refusal.code == "process_not_alive" else refusal)
        elif peer not in self.channels:  # its Channel would have come before: there was one, and the peer has closed it
            self._fail(peer, CallFailed(NOCONNECTION))

    def _down(self, ref: Ref, serial: int, reason: Reason) -> None:
        if self.monitors.pop(ref, None) is not None:
            self.mail(DownMessage(ref, self.pid(serial) if serial else None, reason))

    def _release_exits(self) -> None:
        early = []
        for signal in self._early:
            channel = self.channels.get(signal.frm)
            if channel is not None and channel.received < signal.after:
                early.append(signal)
            else:
                self.mail(ExitMessage(self.pid(signal.frm), signal.reason))
        self._early = early

    def _adopt(self, peer: int, fd: int | None) -> None:
        if fd is None:
            self._fail(peer, RequestError("resource_exhausted", "no descriptor left for a channel"))
            return
        if peer in self.channels:  # one channel per pair: a second one is a mistake of the node's
            close_all([fd])
            return
        sock = socket.socket(fileno=fd)
        sock.setblocking(False)
        enlarge(sock)
        self.channels[peer] = Channel(peer, self._buffers, sock)
        self._watch(fd, peer, False)
        # The Answer that follows says nothing new, and the peer may be dead by then: its PeerDown has the reason.
        for number in [number for number, other in self._introducing.items() if other == peer]:
            del self._introducing[number]
        self._settle_all(self._introduced.pop(peer, []), None)

    # ---- channels ---------------------------------------------------------------------------------------------------

    def _read_channel(self, peer: int, datagrams: int | None = None) -> None:
        """Read what is there, at most so many ``datagrams``."""
        channel = self.channels.get(peer)
        if channel is None:
            return
        try:
            while (datagrams is None or datagrams > 0) and (messages := channel.read()) is not None:
                for message in messages:
                    self._take(channel, message)
                datagrams = None if datagrams is None else datagrams - 1
        except (PeerGone, ProtocolError):
            self._end(channel)  # calls under way wait for PeerDown, which knows the reason
        if self._early:
            self._release_exits()

    def _take(self, channel: Channel, message: Message) -> None:
        match message:
            case Reply(number, body, error):
                if self.awaited.get(number) == channel.peer:
                    self._settle(number, decode(body) if error is None else refusal_of(error))
            case Info(body) | Cast(body):
                term = decode(body)
                if isinstance(term, ProtocolError):
                    raise term
                if len(self.mailbox) < MAX_MAIL:
                    self.mail(InfoMessage(self.pid(channel.peer), term, isinstance(message, Cast)))
                else:
                    self.dropped += 1
            case Call(number):
                channel.post(Reply(number, error=("unsupported", "a client answers no calls")))
                self.flush(channel)
            case _:
                assert_never(message)

    def _end(self, channel: Channel) -> None:
        if channel.sock is not None:
            self._unwatch(channel.sock.fileno())
        channel.close()
        self.channels.pop(channel.peer, None)
        self._settle_all(self._writable.pop(channel.peer, []), None)

    # ---- outcomes ---------------------------------------------------------------------------------------------------

    def mail(self, mail: Mail) -> None:
        """Put into the mailbox and wake who waits for mail."""
        self.mailbox.append(mail)
        waiting, self._mail = self._mail, []
        self._settle_all(waiting, None)

    def _fail(self, peer: int, error: ActorError) -> None:
        self._introduced.pop(peer, None)
        for number in [number for number, other in self.awaited.items() if other == peer]:
            self._settle(number, error)

    def _settle_all(self, numbers: list[int], outcome: Outcome) -> None:
        for number in numbers:
            self._settle(number, outcome)

    def _settle(self, number: int, outcome: Outcome) -> None:
        if number in self.awaited:
            del self.awaited[number]
            self.outcomes[number] = outcome

    def _watch(self, fd: int, key: int, write: bool) -> None:
        if self._watched.get(fd) != (key, write):
            self._watched[fd] = (key, write)
            self._watcher.watch(fd, key, write)

    def _unwatch(self, fd: int) -> None:
        if self._watched.pop(fd, None) is not None:
            self._watcher.unwatch(fd)


def decode(body: msgspec.Raw) -> Term | ProtocolError:
    """The term in ``body``; junk is a ProtocolError, as an outcome."""
    try:
        return frames.term_decoder.decode(body)
    except frames.DECODE_ERRORS:
        return ProtocolError("a body that is not msgpack")


def refusal_of(error: tuple[str, Term]) -> RequestError:
    """An error answer as an exception; a detail that is no text becomes JSON."""
    code, detail = error
    if detail is None:
        return RequestError(code)
    return RequestError(code, detail if isinstance(detail, str) else msgspec.json.encode(detail).decode())
