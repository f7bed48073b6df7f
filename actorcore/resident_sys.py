"""OTP's sys for residents: the kernel passes each delivery by here, and what is for the behaviour goes no further.

A system message to a resident is an Ask whose body is a frame System with number 0. Suspended, a resident gets no
requests, messages, exit signals and hangs; answers to what it has under way still reach it, as OTP's supervisor sees a
suspension only between two steps. An exit signal of its parent, or the end of the daemon, resumes it first.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from actorcore.debug import Debug
from actorcore.exit_reason import Term
from actorcore.frames import DECODE_ERRORS, MAX_REQUEST_BYTES, System, encoder, message_decoder, term_decoder
from actorcore.pids import Pid
from actorcore.residents import AnswerTo, Order, Resident, Send
from actorcore.signals import NOBODY, Answer, Asking, Delivery, Exit, Hung, Sent, Started
from actorcore.system_words import GetState, GetStatus, Log, Resume, Statistics, Suspend, SystemRequest, Trace, request_decoder

_PREFIX = encoder.encode(System(0, msgspec.Raw(b"\x90")))[:-2]
Refusal = tuple[str, Term]


class Watched(msgspec.Struct):
    """A resident that is suspended or watched, and the deliveries that wait."""

    debug: Debug
    held: list[Delivery] = []


class ResidentSys:
    """``watched`` by serial is all of its state. ``node`` may not be suspended: nobody else would answer for the daemon.
    ``is_alive``: a tracer that is not is no tracer any more.
    """

    def __init__(self, instance: int, node: int, watched: dict[int, Watched], is_alive: Callable[[int], bool]) -> None:
        self._instance, self._node = instance, node
        self.watched = watched
        self._is_alive = is_alive

    def forget(self, serial: int) -> None:
        """It is dead."""
        self.watched.pop(serial, None)

    def pass_on(self, serial: int, body: Delivery, parent: int) -> list[Delivery]:
        """What the resident is told now: ``body``, nothing, or what has waited with it."""
        watched = self.watched.get(serial)
        if watched is None or not watched.debug.is_suspended:
            return [body]
        if isinstance(body, Exit) and body.frm in (NOBODY, parent):
            return [*_resume(watched), body]
        if isinstance(body, (Asking, Exit, Hung, Sent)):
            watched.held.append(body)
            return []
        return [body]

    def events_of(self, serial: int, body: Delivery, orders: list[Order]) -> list[Order]:
        """What the tracers are told of a delivery and what came of it."""
        watched = self.watched.get(serial)
        if watched is None or not watched.debug.is_watching():
            return []
        watched.debug.tracers = list(filter(self._is_alive, watched.debug.tracers))
        if watched.debug.is_idle():
            del self.watched[serial]
            return []
        # Answers to its own requests are no messages.
        events = [] if isinstance(body, (Answer, Started)) else [["in", *self._event_of(body)]]
        for order in orders:
            if isinstance(order, AnswerTo):
                value: Term = order.value if order.error is None else list(order.error)
                events.append(["out", value, self._pid(order.frm)])
        told: list[Order] = []
        for event in events:
            watched.debug.watch(event)
            body_of_it = msgspec.Raw(encoder.encode(["trace", self._pid(serial), event]))
            told += [Send(tracer, body_of_it) for tracer in watched.debug.tracers]
        return told

    def answer(self, serial: int, asking: Asking, resident: Resident, kind: str, now: float) -> tuple[Order, list[Delivery]]:
        """The answer to a system message, and what has waited for it."""
        watched = self.watched.get(serial) or Watched(Debug())
        due: list[Delivery] = []
        value: Term = None
        error: Refusal | None
        try:
            message = message_decoder.decode(asking.body)
            assert isinstance(message, System)
            request = request_decoder.decode(message.body)
        except DECODE_ERRORS as trouble:
            error = ("invalid_message", str(trouble)[:200])
        else:
            if isinstance(request, Resume):
                due = _resume(watched)
            value, error = self._serve(serial, watched, asking.frm, request, resident, kind, now)
        if watched.debug.is_idle():
            self.watched.pop(serial, None)
        else:
            self.watched[serial] = watched
        return AnswerTo(asking.frm, asking.number, value, error), due

    def _serve(
        self, serial: int, watched: Watched, frm: int, request: SystemRequest, resident: Resident, kind: str, now: float
    ) -> tuple[Term, Refusal | None]:
        debug = watched.debug
        match request:
            case GetState():
                return _bounded(_state(resident))
            case GetStatus():
                return _bounded({
                    "pid": self._pid(serial), "module": kind, "behaviour": "resident",
                    "status": "suspended" if debug.is_suspended else "running", "waiting": len(watched.held),
                    "trace": bool(debug.tracers), "statistics": debug.count is not None, "log": list(debug.events),
                    "state": _state(resident),
                })  # fmt: skip
            case Suspend():
                if serial == self._node:
                    return None, ("not_permitted", "nobody else would answer for the daemon")
                debug.is_suspended = True
            case Resume():
                pass
            case Trace(on):
                debug.trace(frm, on)
            case Log():
                return debug.on_log(request), None
            case Statistics():
                return debug.on_statistics(request, now), None
            case _:
                return None, ("unsupported", "a resident is part of the node, whose code changes with reload")
        return True, None

    def _event_of(self, body: Delivery) -> list[Term]:
        """Kind, body, sender."""
        match body:
            case Asking(frm, _, asked):
                return ["call", _term(asked), self._pid(frm)]
            case Sent(frm, said):
                return ["info", _term(said), self._pid(frm)]
            case Exit(frm, reason):
                return ["exit", reason, self._pid(frm)]
        kind, *fields = msgspec.to_builtins(body)
        return [kind, fields, None]

    def _pid(self, serial: int) -> Term:
        return Pid(self._instance, serial)  # type: ignore[return-value]  # travels as one


def is_system(asking: Asking) -> bool:
    """Whether it is for the behaviour, not for the machine."""
    return memoryview(asking.body)[: len(_PREFIX)] == _PREFIX


def _resume(watched: Watched) -> list[Delivery]:
    held, watched.held = watched.held, []
    watched.debug.is_suspended = False
    return held


def _state(resident: Resident) -> Term:
    """Its memory, which is all of it."""
    return term_decoder.decode(resident.snapshot())


def _term(body: msgspec.Raw) -> Term:
    try:
        return term_decoder.decode(body)
    except DECODE_ERRORS:
        return "<undecodable>"


def _bounded(value: Term) -> tuple[Term, Refusal | None]:
    size = len(encoder.encode(value))
    return (value, None) if size <= MAX_REQUEST_BYTES else (None, ("value_too_long", f"{size} bytes"))
