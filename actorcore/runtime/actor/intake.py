"""The intake of a process: its control socket and its direct channels under one poller, whatever then waits for it.

There is one reader, in the idle loop and in every wait, so a process that waits for an answer or for room in a queue
keeps reading what others send it: two processes that fill each other's queues get on. What arrives meanwhile waits in
the mailbox in order.
"""

from __future__ import annotations

import os
import select
import socket
from _thread import get_ident
from collections.abc import Callable, Mapping
from typing import Any, Literal, NoReturn

from actorcore import frames
from actorcore.errors import RequestError
from actorcore.exit_reason import NOCONNECTION, NOPROC, Reason, Term
from actorcore.frames import Call, Info, Message as Frame, Reply, System
from actorcore.mailbox import CallMessage, Dead, Event, From, Item, Mailbox, Message, Raw, Refusal, TaskReply
from actorcore.names import decode_value, encode_value
from actorcore.pids import Pid, pid_of
from actorcore.registry_reader import RegistryReader
from actorcore.runtime.actor import code
from actorcore.runtime.actor.adoption import Adoption
from actorcore.runtime.actor.control_link import ControlLink
from actorcore.runtime.actor.lean_peers import READABLE, LeanPeers
from actorcore.runtime.actor.poller import Poller
from actorcore.runtime.clock import cpu_s, monotonic_s
from actorcore.runtime.sockets import PeerGone
from actorcore.runtime.status_page import StatusPage, fitting
from actorcore.signals import (
    NOBODY,
    Answer,
    Begin,
    Channel as ChannelDelivery,
    Down,
    Exit,
    Introduce,
    PeerDown,
    Register,
    RegisterMany,
    Request,
    SendExit,
    Sent,
)  # fmt: skip
from actorcore.sys_face import Sys, Target
from actorcore.system_words import SystemRequest
from actorcore.targets import check_map, checked_name, checked_pid
from actorcore.words import RESIDENT

_decode_term = frames.term_decoder.decode
MAX_RESIDENTS = 1024
"""Of so many residents it is remembered that they are."""
FINISH_S = 1.0
"""A process that ends lets its introductions and queues leave for so long."""


class ExitSelf(BaseException):
    """``exit_self``: unwinds to the runtime, which ends the process with ``reason``."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason)
        self.reason = reason


class Intake:
    """The process without its face: what it has and how it reads. Bound to its OS process and thread."""

    def __init__(
        self,
        control: socket.socket,
        begin: Begin,
        status: StatusPage,
        registry: RegistryReader | None = None,
    ) -> None:
        self.self_pid = Pid(begin.instance, begin.serial)
        self._latest = self.self_pid  # who sent the latest message: in a row most are from one process
        self.begin = begin
        self.status = status
        self.mailbox = Mailbox()
        self._adoption = Adoption()
        self._registry = registry
        self._serial = begin.serial
        self._instance = begin.instance
        self._poller = self._new_poller()
        control.setblocking(False)
        self._control = ControlLink(control)
        self._control_fd = control.fileno()
        self._poller.register(self._control_fd, select.EPOLLIN)
        self._peers = LeanPeers(begin.instance, self.mailbox, self._poller, self._introduce)
        self._introductions: dict[int, int] = {}
        self._exits: dict[int, int] = {}
        self._batching = False
        self._residents: dict[int, None] = {}
        self._home = get_ident()

    # ---- for its behaviour (actorcore.behaviour.Host) ---------------------------------------------------------------

    @property
    def parent_pid(self) -> Pid | None:
        return Pid(self._instance, self.begin.parent) if self.begin.parent else None

    def post_reply(self, frm: From, value: object) -> None:
        """Answer a call; in a loop without a wait for room."""
        self._post_now(frm.pid.serial, Reply(frm.number, value))  # type: ignore[arg-type]  # encoded in place of its Raw

    def post_error(self, frm: From, code: str, detail: str) -> None:
        """Refuse a call likewise."""
        self._post_now(frm.pid.serial, Reply(frm.number, error=(code, detail)))

    def post_event(self, to: int, event: Term) -> bool:
        """See Host."""
        channel = self._peers.find(to)
        if channel is not None and not channel.is_full:
            self._post_now(to, Info(event))  # type: ignore[arg-type]
        return channel is not None

    def has_room(self, peer: int) -> bool:
        """Whether a message to ``peer`` can be queued now, or goes nowhere."""
        channel = self._peers.channels.get(peer)
        return channel is None or not channel.is_full

    def _post_now(self, peer: int, message: Frame) -> object:
        """Send or queue it; what a process that blocks waits for, one in a loop has waited for before."""
        raise NotImplementedError

    load = staticmethod(code.load)

    def renew(self, module: str, kind: type) -> tuple[type, Term, Callable[[], None]]:
        """See Host."""
        return code.renew(module, kind)

    cpu_s = staticmethod(cpu_s)

    def now_s(self) -> float:
        return monotonic_s()

    # ---- names ------------------------------------------------------------------------------------------------------

    @property
    def sys(self) -> Sys[Any]:
        """OTP's sys; in a loop its methods are to be awaited."""
        return Sys(self._ask_system)

    def _ask_system(self, to: Target, request: SystemRequest, timeout_s: float) -> Any:
        raise NotImplementedError

    def _registration(self, name: str, who: Pid | None, value: Term) -> Register:
        return Register(name, NOBODY if who is None else self._serial_of(who), encode_value(value))

    def _registrations(self, names: Mapping[str, Pid], values: Mapping[str, Term]) -> RegisterMany:
        check_map(names)
        check_map(values)
        return RegisterMany([self._registration(name, pid, values.get(name)) for name, pid in names.items()])

    def _read_value(self, name: str) -> tuple[int, bytes] | Literal[False] | None:
        """Serial and value of ``name`` by the shared registry; False: ask the node."""
        checked_name(name)
        if self._registry is None:
            return False
        try:
            return self._registry.lookup_value(name)
        except RequestError:  # busy
            return False

    def read_shown(self, owner: str, key: str) -> Term | Literal[False]:
        """What the resident ``owner`` shows under ``key``, by the shared registry; None: nothing. False: it must be asked."""
        try:
            shown = False if self._registry is None else self._registry.lookup_shown(owner, key)
        except RequestError:  # busy
            return False
        return _decode_term(shown) if shown else shown

    def _found(self, found: object) -> tuple[Pid, Term] | None:
        """What a look-up with value has found: (serial, value), or None."""
        match found:
            case [int(serial), bytes(value)]:
                return Pid(self.self_pid.instance, serial), decode_value(value)
        return None

    # ---- one reader -------------------------------------------------------------------------------------------------

    def _new_poller(self) -> Poller:
        raise NotImplementedError

    def restrict(self, awaited: int | None) -> None:
        """While the mailbox is full read nobody but ``awaited``, a callee whose answer is waited for.

        Of one that is suspended nobody takes anything out: whoever has no message in it is read, for it may resume it.
        """
        mailbox = self.mailbox
        full = mailbox.is_full()
        if full and mailbox.aside:
            self._peers.read_only(frozenset(mailbox.senders_aside))
        elif full or self._peers.is_restricted:
            self._peers.read_only((awaited or 0) if full else None)

    def on_control(self, mask: int) -> None:
        """The control socket is ready."""
        try:
            if mask & READABLE:
                self._take_deliveries()
            if mask & select.EPOLLOUT and self._control.flush():
                self._poller.modify(self._control_fd, select.EPOLLIN)
        except PeerGone:
            self._die_alone()

    def _take_deliveries(self) -> None:
        peers = self._peers
        for body, seq, end in self._control.read() or ():
            if type(body) is Answer:
                self._on_answer(body)
            elif type(body) is ChannelDelivery:
                peers.on_channel(body, seq, end)
            elif type(body) is PeerDown:
                peers.on_peer_down(body)
            elif type(body) is Down:
                peers.on_down(body)
            elif type(body) is Exit:
                peers.on_exit(body)
            elif type(body) is Sent:
                self.mailbox.push(Raw(body.frm, Info(body.body)))
            else:
                raise ExitSelf({"error": {"type": "ProtocolError", "text": f"delivery {type(body).__name__}"}})

    def _on_answer(self, answer: Answer) -> None:
        signalled = self._exits.pop(answer.number, None)
        if signalled is not None and answer.value is True:
            self._peers.mark(signalled, answer.number)
        peer = self._introductions.pop(answer.number, None)
        if peer is None:
            self._answered(answer)
        elif answer.error is not None:
            code, detail = answer.error
            self._peers.on_refused(peer, Dead(NOPROC) if code == "process_not_alive" else Refusal(code, detail))
        elif answer.value == RESIDENT:
            self._residents[peer] = None  # it will never have a channel: the next call asks the node at once
            if len(self._residents) > MAX_RESIDENTS:
                del self._residents[next(iter(self._residents))]
            self._peers.on_refused(peer, Refusal(RESIDENT))

    def _answered(self, answer: Answer) -> None:
        """To a request that somebody may wait for."""
        raise NotImplementedError

    def _die_alone(self) -> NoReturn:
        self.status.declare(NOCONNECTION)
        os._exit(1)

    def _introduce(self, peer: int, lost: int) -> None:
        self._introductions[self._say(Introduce(peer, lost))] = peer

    def _say(self, body: Request) -> int:
        """Send a request to the node; its number, which the Answer will carry."""
        self._stay_home()
        try:
            number = self._control.request(body)
        except PeerGone:
            self._die_alone()
        if not self._control.is_flushed():
            self._poller.modify(self._control_fd, select.EPOLLIN | select.EPOLLOUT)
        if isinstance(body, SendExit):
            self._exits[number] = body.to
        return number

    def _stay_home(self) -> None:
        if get_ident() != self._home:
            raise RuntimeError("a process is bound to the thread and the OS process in which it began")

    def forsake(self) -> None:
        """In a forked half, which is not this process: nothing of it may be used there, nor be kept from ending."""
        self._home = 0
        self._control.sock.close()
        self._poller.close()
        self._peers.forsake()

    def is_flushed(self) -> bool:
        """Nothing waits for a socket or an introduction."""
        return self._peers.is_flushed() and self._control.is_flushed()

    def close(self) -> None:
        """Close every descriptor: the end of one that is not the end of its OS process."""
        self._peers.close()
        self._poller.close()
        self._control.sock.close()

    def event_of(self, item: Item) -> Event | None:
        """``item`` decoded; None when it is no plain data."""
        if type(item) is not Raw:
            return item  # type: ignore[return-value]  # a notice
        message = item.message
        if type(message) is System:  # who has no behaviour obeys none
            return None
        try:
            body = _decode_term(message.body)
        except frames.DECODE_ERRORS:
            return None
        if type(message) is Reply:
            return TaskReply(message.number, body)
        pid = self._latest
        if pid.serial != item.frm:
            pid = self._latest = pid_of(self._instance, item.frm)
        return CallMessage(From(pid, message.number), body) if type(message) is Call else Message(pid, body)

    # ---- pids and serials -------------------------------------------------------------------------------------------

    def _pid(self, serial: Term) -> Pid | None:
        return Pid(self.self_pid.instance, serial) if isinstance(serial, int) else None

    def _serial_of(self, pid: Pid) -> int:
        if checked_pid(pid).instance != self.self_pid.instance:
            raise RequestError("process_not_alive", "a pid of another instance")
        return pid.serial

    def _next_ref(self) -> int:
        return self.mailbox.next_number()

    def _exit_signal(self, to: Pid, reason: Reason) -> SendExit:
        """The request behind ``exit(to, reason)``: after all that was sent to ``to`` before."""
        frames.check_reason(reason)
        channel = self._peers.find(to.serial)
        sent = 0 if channel is None else channel.sent
        return SendExit(to.serial, fitting(reason), sent, self._peers.frame_of(to.serial))


_running: list[Intake] = []


def enter(process: Intake) -> None:
    """Make ``process`` what :func:`running` returns, here and not in forks."""
    _running[:] = [process]


def leave() -> None:
    """There is no process here any more."""
    _running.clear()


def _forsake_running() -> None:
    for process in _running:
        process.forsake()


# Once, and not for each process: nothing takes it back, and a zygote has rehearsed many lives.
os.register_at_fork(after_in_child=_forsake_running)


def running() -> Intake:
    """The process that this code runs in.

    :raises RuntimeError: it runs in none.
    """
    if not _running:
        raise RuntimeError("not inside an actor process")
    return _running[0]
