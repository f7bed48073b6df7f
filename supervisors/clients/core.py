"""The client without its waiting: connection, peers, mailbox, and the outcomes that callers await by number.

The sync and the async client drive the same core: they watch its sockets, report which are ready, and look up outcomes.
Requests, calls and waits share one row of numbers; an outcome that nobody awaits any more is dropped.
"""

from __future__ import annotations

import socket
from collections import deque
from typing import Protocol, TypeAlias, Union, assert_never

import msgspec

from actorcore import frames
from actorcore.errors import ActorError, CallFailed, NotAlive, ProtocolError, RequestError, StartFailed
from actorcore.exit_reason import NOCONNECTION, NOPROC, Reason, Term
from actorcore.frames import Call, Cast, Info, Message, Reply, System
from actorcore.mailbox import Dead, Refusal
from actorcore.pids import Pid
from actorcore.runtime import clock
from actorcore.runtime.actor.peers import Peer, Peers
from actorcore.runtime.client_connection import Arrival, ClientConnection
from actorcore.runtime.sockets import enlarge
from actorcore.signals import (
    Alarm,
    Answer,
    Asking,
    Begin,
    Channel as ChannelDelivery,
    ClockSet,
    Down,
    Ended,
    Exit,
    Hung,
    Inspected,
    Introduce,
    PeerDown,
    Reborn,
    Request,
    SendExit,
    Sent,
    Started,
    TrapExit,
    Unlink,
)
from actorcore.words import RESIDENT
from supervisors.clients.messages import DownMessage, ExitMessage, InfoMessage, Mail, Ref

MAX_MAIL = 65_536
"""Plain messages beyond it are dropped and counted; DOWN and EXIT are bounded by monitors and links."""

SPOKEN_TO = -1

Outcome: TypeAlias = Union[Term, ActorError]


class Watcher(Protocol):
    """What a shell does for the core."""

    def watch(self, fd: int, read: bool, write: bool) -> None:
        """Report when ``fd`` is readable, writable; replaces an earlier wish."""

    def unwatch(self, fd: int) -> None:
        """No more reports about ``fd``, which may be closed already."""

    def concluded(self, number: int) -> None:
        """There is an outcome for ``number``."""


class ClientCore(Peers):
    """One client. ``outcomes`` holds what has come for the numbers in ``awaited`` (by whose death they fail; 0: nobody's).

    ``latest_child`` is the process that was spawned last, SPOKEN_TO as soon as something was said to it.
    """

    def __init__(self, watcher: Watcher) -> None:
        super().__init__(self._ask_for_channel)
        self.connection = ClientConnection(clock.monotonic_s())
        self.mailbox: deque[Mail] = deque()
        self.awaited: dict[int, int] = {}
        self.outcomes: dict[int, Outcome] = {}
        self.monitors: dict[Ref, int] = {}
        self.residents: dict[str, int] = {}
        self.dropped = 0
        self.latest_child = 0
        self._watcher = watcher
        self._watched: dict[int, tuple[bool, bool]] = {}
        self._introducing: dict[int, int] = {}
        self._exits: dict[int, int] = {}
        self._unlinking: dict[int, int] = {}
        self._writable: dict[int, list[int]] = {}
        self._mail: list[int] = []

    # ---- for the shells ---------------------------------------------------------------------------------------------

    def attach(self, sock: socket.socket) -> None:
        """Use this new connection to the node."""
        self.connection.attach(sock)
        self.watch_control()

    def watch_control(self) -> None:
        """Bring what is watched in step with the connection; after anything was sent over it."""
        if self.connection.sock is not None:
            self._watch(self.connection.sock.fileno(), True, self.connection.wants_write())

    def on_ready(self, fd: int, readable: bool, writable: bool) -> None:
        """The socket ``fd`` can be read or written."""
        if self.connection.sock is None or fd != self.connection.sock.fileno():
            self.ready(fd, readable, writable)
            return
        if writable:
            self.connection.flush()
        if readable:
            self._read_control()
        self.watch_control()

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
            self._conclude(number, self.no_connection())

    def close(self) -> None:
        """Close every socket."""
        if self.connection.sock is not None:
            self._unwatch(self.connection.sock.fileno())
        self.connection.close()
        super().close()

    def is_flushed(self) -> bool:
        """Whether everything has left this process."""
        return not self.connection.wants_write() and super().is_flushed()

    def may_leave(self) -> bool:
        """Whether everything has left this process, or nothing ever will."""
        return self.connection.state == "closed" or (self.connection.state == "open" and self.is_flushed())

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

    def submit(self, body: Request) -> int:
        """Send a request to the node; its number. An exit signal is marked in the channel when it was passed on."""
        number = self.connection.submit(body)
        if isinstance(body, SendExit):
            self._exits[number] = body.to
        self.watch_control()
        return number

    def end_link(self, serial: int) -> None:
        """Unlink, for those who do not wait for it: the exit of ``serial`` is no news, also if it comes meanwhile."""
        self._unlinking[self.submit(Unlink(serial))] = serial
        for mail in [mail for mail in self.mailbox if isinstance(mail, ExitMessage) and mail.frm.serial == serial]:
            self.mailbox.remove(mail)

    def await_next(self, peer: int = 0) -> int:
        """A new number, awaited until ``peer`` dies."""
        number = self.connection.next_number()
        self.awaited[number] = peer
        return number

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
            case Answer() as answer:
                self._answered(answer)
            case Down(refs, pid, reason) as down:
                self.on_down(down)
                for ref in refs:
                    self._down(Ref(ref), pid, reason)
            case Exit() as signal:
                self.on_exit(signal)
            case ChannelDelivery() as announced:
                if arrival.sock is not None:
                    enlarge(arrival.sock)
                self.on_channel(announced, arrival.seq, arrival.sock)
            case PeerDown() as peer_down:
                self.on_peer_down(peer_down)
            case Sent(frm, body):
                self._take_info(frm, body, False)
            case Begin() | Asking() | Alarm() | Started() | Hung() | ClockSet() | Reborn() | Inspected() | Ended():
                self.give_up(RequestError("protocol_error", "a delivery that is not for clients"))
            case _:
                assert_never(arrival.body)

    def _answered(self, answer: Answer) -> None:
        number, error = answer.number, answer.error
        self._unlinking.pop(number, None)
        signalled = self._exits.pop(number, None)
        if signalled is not None and answer.value is True:
            self.mark(signalled, number)
        peer = self._introducing.pop(number, None)
        if peer is None:
            self._conclude(number, answer.value if error is None else refusal_of(error))
        elif error is not None:
            code, detail = error
            reason = detail if isinstance(detail, (str, dict)) and detail else NOPROC
            self.on_refused(peer, Dead(reason) if code == "process_not_alive" else Refusal(code, detail))
        elif answer.value == RESIDENT:
            self.on_refused(peer, Refusal(RESIDENT))

    def _down(self, ref: Ref, serial: int, reason: Reason) -> None:
        if self.monitors.pop(ref, None) is not None:
            self.mail(DownMessage(ref, self.pid(serial) if serial else None, reason))

    # ---- the surroundings of Peers ----------------------------------------------------------------------------------

    def _ask_for_channel(self, peer: int, lost: int) -> None:
        self._introducing[self.submit(Introduce(peer, lost))] = peer

    def _arm(self, peer: Peer, sock: socket.socket, read: bool, write: bool) -> None:
        self._watch(sock.fileno(), read, write)

    def _disarm(self, sock: socket.socket) -> None:
        self._unwatch(sock.fileno())

    def _settle(self, peer: Peer) -> None:
        if not peer.channel.is_full:
            self._conclude_all(self._writable.pop(peer.serial, []), None)

    def _take(self, peer: Peer, messages: list[Message]) -> None:
        for message in messages:
            match message:
                case Reply(number, body, error):
                    if self.awaited.get(number) == peer.serial:
                        self._conclude(number, decode(body) if error is None else refusal_of(error))
                case Info(body) | Cast(body):
                    self._take_info(peer.serial, body, isinstance(message, Cast))
                case Call(number) | System(number):
                    if number:
                        channel = self.channel_to(peer.serial)
                        channel.post(Reply(number, error=("unsupported", "a client answers no calls")))
                        self.flush(channel)
                case _:
                    assert_never(message)

    def _take_info(self, peer: int, body: msgspec.Raw, is_cast: bool) -> None:
        term = decode(body)
        if isinstance(term, ProtocolError) or len(self.mailbox) >= MAX_MAIL:
            self.dropped += 1
        else:
            self.mail(InfoMessage(self.pid(peer), term, is_cast))

    def _take_exit(self, signal: Exit) -> None:
        if signal.frm not in self._unlinking.values():
            self.mail(ExitMessage(self.pid(signal.frm), signal.reason))

    def _fail_calls(self, peer: int, outcome: Refusal | Dead, up_to: int | None = None) -> None:
        error = CallFailed(outcome.reason) if isinstance(outcome, Dead) else refusal_of((outcome.code, outcome.detail))
        for number in [number for number, other in self.awaited.items() if other == peer]:
            if up_to is None or number <= up_to:
                self._conclude(number, error)

    def _last_call(self, peer: int) -> int:
        return max((number for number, other in self.awaited.items() if other == peer), default=0)

    # ---- outcomes ---------------------------------------------------------------------------------------------------

    def mail(self, mail: Mail) -> None:
        """Put into the mailbox and wake who waits for mail."""
        self.mailbox.append(mail)
        waiting, self._mail = self._mail, []
        self._conclude_all(waiting, None)

    def _conclude_all(self, numbers: list[int], outcome: Outcome) -> None:
        for number in numbers:
            self._conclude(number, outcome)

    def _conclude(self, number: int, outcome: Outcome) -> None:
        if number in self.awaited:
            del self.awaited[number]
            self.outcomes[number] = outcome
            self._watcher.concluded(number)

    def _watch(self, fd: int, read: bool, write: bool) -> None:
        if self._watched.get(fd) != (read, write):
            self._watched[fd] = (read, write)
            self._watcher.watch(fd, read, write)

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
    text = detail if isinstance(detail, str) else msgspec.json.encode(detail).decode()
    if isinstance(detail, (str, dict)) and code in _WITH_REASON:
        return _WITH_REASON[code](detail, text)
    return RequestError(code, text)


_WITH_REASON = {"start_failed": StartFailed, "process_not_alive": NotAlive}
