"""What a process says to others: call, cast, send, reply, over the direct channels."""

from __future__ import annotations

from _thread import get_ident
from typing import NoReturn

import msgspec

from actorcore import frames
from actorcore.deadline import deadline_of
from actorcore.errors import ActorError, CallFailed, CallTimeout, NotAlive, RequestError
from actorcore.exit_reason import NOPROC, NORMAL, Reason, Term
from actorcore.frames import Call, Cast, Info, Message, Reply, System
from actorcore.mailbox import Dead, From, Raw, Refusal, Waiting
from actorcore.pids import Pid
from actorcore.runtime.actor.channel import Channel
from actorcore.runtime.actor.intake import ExitSelf, Intake
from actorcore.runtime.actor.node_requests import NodeRequests, refusal
from actorcore.runtime.clock import monotonic_s
from actorcore.runtime.sockets import MOMENT_S
from actorcore.runtime.status_page import fitting
from actorcore.signals import Ask
from actorcore.system_words import SystemRequest, Terminate
from actorcore.targets import checked_pid
from actorcore.words import RESIDENT

QUEUE_WAIT_S = 5.0
_decode_term = frames.term_decoder.decode


class Messaging(NodeRequests):
    """The data half of :class:`actorcore.runtime.actor.process.Process`.

    A message leaves at once when its socket takes it (a callback may run for minutes after its cast); what a full
    socket refuses, what waits for an introduction and what is said inside :meth:`batch` leaves in batches.
    """

    def call(self, to: Pid | str, request: object, timeout_s: float | None = 5.0) -> object:
        """Send ``request``, wait for the answer and return it; ``timeout_s`` as in :func:`~actorcore.deadline.deadline_of`.

        :raises CallFailed: the callee is dead or does not exist (``noproc``), or is the caller (``calling_self``).
        :raises CallTimeout: no answer in time.
        :raises RequestError: the callee refused the message (``invalid_message``), or ``mailbox_full``.
        """
        return self._exchange(to, Call, request, timeout_s)

    def _ask_system(self, to: Pid | str, request: SystemRequest, timeout_s: float | None) -> object:
        return self._exchange(to, System, request, timeout_s)

    def _exchange(self, to: Pid | str, kind: type[Call | System], body: object, timeout_s: float | None) -> object:
        peer = to.serial if type(to) is Pid and to.instance == self._instance else self._resolve(to)
        if peer is None or peer == self._serial:
            raise CallFailed(NOPROC if peer is None else "calling_self")
        if peer in self._residents:
            return self._ask(peer, kind, body, timeout_s)
        deadline_s = deadline_of(timeout_s, monotonic_s())
        waiting = Waiting(peer)
        number = self.mailbox.expect(waiting)
        try:
            has_left = self._post_now(peer, kind(number, body))  # type: ignore[arg-type]  # encoded in place of its Raw
            if has_left and (timeout_s is None or timeout_s > MOMENT_S):
                self._peers.read_soon(peer)
            while (outcome := waiting.outcome) is None:
                if not self.pump(deadline_s, peer) and deadline_s is not None and monotonic_s() >= deadline_s:
                    raise CallTimeout(f"no answer within {timeout_s} s")
        finally:
            self.mailbox.forget(number)
        if type(outcome) is Reply and outcome.error is None:
            return _decode_term(outcome.body)
        return self._ask(peer, kind, body, timeout_s) if is_resident(outcome) else value_of(outcome)

    def _ask(self, peer: int, kind: type[Call | System], body: object, timeout_s: float | None) -> object:
        try:
            return self.request(ask_of(peer, body, kind), timeout_s)
        except RequestError as error:
            raise failed_call(error) from None

    def cast(self, to: Pid | str, request: object) -> None:
        """Send ``request`` without an answer; to the dead it vanishes.

        :raises RequestError: ``mailbox_full`` after 5 s without room.
        """
        self._post_to(to, Cast(request))  # type: ignore[arg-type]

    def send(self, to: Pid | str, message: object) -> None:
        """OTP's ``!``: as :meth:`cast`, but it arrives as a plain message, and a name must be somebody's.

        :raises CallFailed: ``noproc``, nobody has the name (in OTP ``badarg``).
        """
        self._post_to(to, Info(message))  # type: ignore[arg-type]

    def reply(self, frm: From, value: object) -> None:
        """Answer a call now or later, from any callback; to the dead it vanishes."""
        self._post_now(asker_of(frm), Reply(frm.number, value))  # type: ignore[arg-type]

    def reply_error(self, frm: From, code: str, detail: Term = "") -> None:
        """Refuse a call: its caller gets RequestError(code) with ``detail`` as text."""
        self._post_now(asker_of(frm), refusing(frm, code, detail))

    def _post_to(self, to: Pid | str, message: Cast | Info) -> None:
        peer = to.serial if type(to) is Pid and to.instance == self._instance else self._resolve(to)
        if peer == self._serial:
            body = msgspec.Raw(frames.encode(message.body))
            self.mailbox.push(Raw(peer, type(message)(body)))
        elif peer is not None:
            self._post_now(peer, message)
        else:
            check_lost(to, message)

    def _post_now(self, peer: int, message: Message) -> bool:
        """Send or queue; whether it has left, and all that was said to ``peer`` before."""
        if get_ident() != self._home:
            self._stay_home()
        channel = self._peers.channels.get(peer) or self._peers.channel_to(peer)
        if channel.is_full:
            self._wait_room(channel)
            if channel.ended:
                return False
        if self._batching:
            channel.post(message)
            return False
        if channel.send_now(message):
            return True
        self._peers.wants_room(channel)
        return False

    def _post_away(self, peer: int, message: Message) -> None:
        """As :meth:`_post_now`, until it is on its way, if the peer is only to be introduced."""
        if not self._post_now(peer, message):
            channel = self._peers.channel_to(peer)
            while channel.sock is None and not channel.ended:
                self.pump(None)

    def _wait_room(self, channel: Channel) -> None:
        deadline_s = monotonic_s() + QUEUE_WAIT_S
        self._peers.flush(channel)
        while channel.is_full and not channel.ended:
            if monotonic_s() >= deadline_s:
                raise RequestError("mailbox_full", f"process {channel.peer} does not read")
            self.pump(deadline_s)

    def batch(self) -> Batch:
        """``with process.batch():`` messages leave together, up to 64 in one datagram, at its end or before a wait."""
        return Batch(self)

    def exit(self, to: Pid, reason: Reason) -> None:
        """OTP's ``exit(Pid, Reason)``: an exit signal, after all that was sent to ``to`` before.

        What is sent from now on comes after it. A signal to oneself has arrived when this returns, and one that ends
        the caller does not return.
        """
        signal = self._exit_signal(checked_pid(to), reason)
        if to.instance == self._instance:
            self.request(signal)

    def stop(self, to: Pid | str, reason: Reason = NORMAL, timeout_s: float | None = None) -> None:
        """OTP's ``gen_server:stop/3``: returns when ``to`` has ended, after its ``terminate``, with exactly ``reason``.

        :raises CallFailed: it ended with another reason, was dead (``noproc``), or is the caller (``calling_self``).
        :raises CallTimeout: it has not ended in time; it will.
        """
        frames.check_reason(reason)
        peer = callee_of(self._resolve(to), self._serial)
        deadline_s = deadline_of(timeout_s, monotonic_s())
        ref = self.monitor(Pid(self._instance, peer))
        try:
            if not self._ask_to_stop(peer, reason):
                self._post_now(peer, System(0, Terminate(reason)))  # type: ignore[arg-type]  # encoded in place of its Raw
            while (down := self.mailbox.take_down(ref)) is None:
                if not self.pump(deadline_s, peer) and deadline_s is not None and monotonic_s() >= deadline_s:
                    raise CallTimeout(f"not ended within {timeout_s} s")
        finally:
            self.demonitor_only(ref)
            self.mailbox.take_down(ref)  # which came meanwhile
        if down.reason != reason:
            raise CallFailed(down.reason)

    def _ask_to_stop(self, to: int, reason: Reason) -> bool:
        """Whether ``to`` is a resident, or dead; a resident has been asked then."""
        try:
            self.request(ask_of(to, ["stop", reason]))
        except RequestError as error:
            return error.code != "unsupported"
        return True

    def exit_self(self, reason: Reason) -> NoReturn:
        """End this process with ``reason``; ``finally`` blocks and ``terminate`` run."""
        raise ExitSelf(fitting(reason))


class Batch:
    """Context of :meth:`Messaging.batch`."""

    def __init__(self, process: Intake) -> None:
        self._process = process

    def __enter__(self) -> None:
        self._process._batching = True

    def __exit__(self, *_: object) -> None:
        self._process._batching = False
        self._process._peers.flush_all()


def callee_of(peer: int | None, me: int) -> int:
    """Who is asked; raises CallFailed: nobody (``noproc``), or who asks (``calling_self``)."""
    if peer is None or peer == me:
        raise CallFailed(NOPROC if peer is None else "calling_self")
    return peer


def check_lost(to: Pid | str, message: Cast | Info) -> None:
    """``message`` to ``to``, whom nobody is, vanishes; a plain one to a name raises CallFailed."""
    if isinstance(to, str) and isinstance(message, Info):
        raise CallFailed(NOPROC)


def asker_of(frm: From) -> int:
    """Who waits for the answer; raises RequestError ``invalid_message``."""
    if isinstance(frm, From):
        return frm.pid.serial
    raise RequestError("invalid_message", f"the From of a call is needed, not {type(frm).__name__}")


def refusing(frm: From, code: str, detail: Term) -> Reply:
    """The answer that says no; raises RequestError ``invalid_message``: a wrong type would cost the caller its channel."""
    if not isinstance(code, str):
        raise RequestError("invalid_message", f"a code is a text, not {type(code).__name__}")
    return Reply(frm.number, error=(code, detail))


def is_resident(outcome: Reply | Refusal | Dead) -> bool:
    """Whether the callee has no channel, because it lives in the node."""
    return type(outcome) is Refusal and outcome.code == RESIDENT


def failed_call(error: RequestError) -> ActorError:
    """What a call says when the node refuses to pass it on to a resident."""
    if isinstance(error, NotAlive):
        return CallFailed(error.reason)
    return CallTimeout(f"no answer to {error.detail}") if error.code == "timeout" else error


def ask_of(to: int, body: object, kind: type[Call | System] = Call) -> Ask:
    """The call of a resident, or the system message to it."""
    return Ask(to, msgspec.Raw(frames.encode(body if kind is Call else System(0, body))))  # type: ignore[arg-type]


def value_of(outcome: Reply | Refusal | Dead) -> object:
    """What a call returns or raises."""
    if type(outcome) is Reply:
        if outcome.error is None:
            return frames.term_decoder.decode(outcome.body)
        code, detail = outcome.error
    elif isinstance(outcome, Dead):
        raise CallFailed(outcome.reason)
    else:
        assert isinstance(outcome, Refusal)
        code, detail = outcome.code, outcome.detail
    if code == "process_not_alive":
        raise CallFailed(fitting(detail))
    raise refusal(code, detail)
