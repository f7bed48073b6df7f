"""The lean process: one epoll over the control socket and the direct channels, and the API of whoever runs inside.

``pump`` is the only reader, used by the idle loop and by every wait, so a process that waits for an answer or for room
in a queue keeps reading what others send it: two processes that fill each other's queues get on. What arrives meanwhile
waits in the mailbox in order.
"""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Callable
from typing import NoReturn

from actorcore import frames
from actorcore.exit_reason import NOCONNECTION, NOPROC
from actorcore.frames import Call
from actorcore.mailbox import MAX_WAITING, CallMessage, Dead, DownMessage, Event, From, Item, Mailbox, Message, Raw, Refusal
from actorcore.pids import Pid
from actorcore.runtime.clock import monotonic_s
from actorcore.runtime.control_link import ControlLink
from actorcore.runtime.messaging import ExitSelf, Messaging
from actorcore.runtime.peers import READABLE, Peers
from actorcore.runtime.sockets import PeerGone
from actorcore.runtime.status_page import StatusPage
from actorcore.signals import Answer, Begin, Down, Exit, Introduce, PeerDown
from actorcore.signals import Channel as ChannelDelivery

FINISH_S = 1.0
EPOLL_BATCH = 64


class Process(Messaging):
    """The running process. Bound to its OS process and thread: nothing here may be called from another thread."""

    def __init__(
        self,
        control: socket.socket,
        begin: Begin,
        status: StatusPage,
        lookup: Callable[[str], int | None] | None = None,
    ) -> None:
        self.self_pid = Pid(begin.instance, begin.serial)
        self.begin = begin
        self.status = status
        self.mailbox = Mailbox()
        self._lookup = lookup
        self._serial = begin.serial
        self._epoll = select.epoll()
        control.setblocking(False)
        self._control = ControlLink(control)
        self._control_fd = control.fileno()
        self._epoll.register(self._control_fd, select.EPOLLIN)
        self._peers = Peers(begin.instance, self.mailbox, self._epoll, self._introduce)
        self._poll = self._epoll.poll
        self._ready = self._peers.ready
        self._introductions: dict[int, int] = {}
        self._answers: dict[int, Answer | None] = {}
        self._ref = 0
        self._batching = False

    # ---- one reader -------------------------------------------------------------------------------------------------

    def pump(self, deadline_s: float | None, awaited: int | None = None) -> bool:
        """Wait until something arrives or ``deadline_s`` (None: no bound), take it in; False when nothing came.

        ``awaited`` is the peer that is still read when the mailbox is full.
        """
        if self._batching:
            self._peers.flush_all()
        full = len(self.mailbox.items) >= MAX_WAITING
        if full or self._peers.is_restricted:
            self._peers.read_only((awaited or 0) if full else None)
        timeout_s = -1.0 if deadline_s is None else max(0.0, deadline_s - monotonic_s())
        events = self._poll(timeout_s, EPOLL_BATCH)
        if len(events) > 1:  # the node's word first: an exit signal was said before what its sender sent next
            events.sort(key=lambda event: event[0] != self._control_fd)
        for fd, mask in events:
            if fd != self._control_fd:
                self._ready(fd, mask)
            else:
                self.on_control(mask)
        return bool(events)

    def on_control(self, mask: int) -> None:
        """The control socket is ready."""
        try:
            if mask & READABLE:
                self._take_deliveries()
            if mask & select.EPOLLOUT and self._control.flush():
                self._epoll.modify(self._control_fd, select.EPOLLIN)
        except PeerGone:
            self._die_alone()

    def _take_deliveries(self) -> None:
        peers = self._peers
        for body, fd in self._control.read() or ():
            if type(body) is Answer:
                self._on_answer(body)
            elif type(body) is ChannelDelivery:
                if fd >= 0:
                    peers.on_channel(body.peer, fd)
            elif type(body) is PeerDown:
                peers.on_peer_down(body)
            elif type(body) is Down:
                peers.on_down(body)
            elif type(body) is Exit:
                peers.on_exit(body)
            else:
                raise ExitSelf({"error": {"type": "ProtocolError", "text": f"delivery {type(body).__name__}"}})

    def _on_answer(self, answer: Answer) -> None:
        peer = self._introductions.pop(answer.number, None)
        if peer is None:
            if answer.number in self._answers:
                self._answers[answer.number] = answer
        elif answer.error is not None:
            code, detail = answer.error
            self._peers.on_refused(peer, Dead(NOPROC) if code == "process_not_alive" else Refusal(code, detail))

    def _die_alone(self) -> NoReturn:
        self.status.declare(NOCONNECTION)
        os._exit(1)

    def _introduce(self, peer: int) -> None:
        self._introductions[self._say(Introduce(peer))] = peer

    # ---- mailbox ----------------------------------------------------------------------------------------------------

    def next_item(self, deadline_s: float | None) -> Item | None:
        """The next undecoded message, waiting until ``deadline_s``; None when it passed."""
        items = self.mailbox.items
        while not items:
            if not self.pump(deadline_s) and deadline_s is not None and monotonic_s() >= deadline_s:
                return None
            items = self.mailbox.items
        return items.popleft()

    def receive(self, timeout_s: float | None = None) -> Event | None:
        """The next event of a plain function process; None after ``timeout_s``. Undecodable messages are refused."""
        deadline_s = None if timeout_s is None else monotonic_s() + timeout_s
        while (item := self.next_item(deadline_s)) is not None:
            if not isinstance(item, Raw):
                return item
            pid = Pid(self.self_pid.instance, item.frm)
            try:
                body = frames.term_decoder.decode(item.message.body)
            except frames.DECODE_ERRORS:
                self.refuse(item)
                continue
            if isinstance(item.message, Call):
                return CallMessage(From(pid, item.message.number), body)
            return Message(pid, body)
        return None

    def refuse(self, item: Raw) -> None:
        """Tell the sender of a call that its message does not decode; other messages are dropped."""
        if isinstance(item.message, Call):
            frm = From(Pid(self.self_pid.instance, item.frm), item.message.number)
            self.reply_error(frm, "invalid_message", "not of the declared type")

    def finish(self) -> None:
        """Before the end: let introductions and queues leave, at most 1 s."""
        deadline_s = monotonic_s() + FINISH_S
        self._batching = False
        while not (self._peers.is_flushed() and self._control.is_flushed()) and monotonic_s() < deadline_s:
            self._peers.flush_all()
            self.pump(deadline_s)

    def demonitor(self, ref: int, flush: bool = True) -> bool:
        """End a monitor; ``flush`` takes out a DOWN that has come already. Whether the monitor still existed."""
        existed = self.demonitor_only(ref)
        if flush:
            self.mailbox.remove(lambda item: isinstance(item, DownMessage) and item.ref == ref)
        return existed


_current: list[Process] = []


def enter(process: Process) -> None:
    """Make ``process`` what :func:`current` returns."""
    _current[:] = [process]


def current() -> Process:
    """The process that this code runs in.

    :raises RuntimeError: it runs in none.
    """
    if not _current:
        raise RuntimeError("not inside an actor process")
    return _current[0]
