"""Residents: pure machines with a Pid that live inside the node instead of in a process of their own.

A resident gets deliveries and returns orders. It never waits, never does I/O, and its whole state is its snapshot, so
it survives the death of the node exactly as the process table does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias, Union

import msgspec

from actorcore.exit_reason import Reason, Term
from actorcore.signals import Delivery, Request, Word


class Do(Word, frozen=True, tag="do"):
    """Make request ``number`` (rising) as this resident; its Answer or Started carries the number."""

    number: int
    body: Request


class Consult(Word, frozen=True, tag="consult"):
    """Ask the node's own resident ``system:<name>``, as Do of an Ask would; its Answer carries ``number``."""

    number: int
    name: str
    body: msgspec.Raw


class Send(Word, frozen=True, tag="send"):
    """OTP's ``!``: ``body`` (msgpack) comes to process, client or resident ``to``, or to who has that name now, as a plain
    message, once and in order."""

    to: int | str
    body: msgspec.Raw


class EndStart(Word, frozen=True, tag="end_start"):
    """Make request ``number``: a SendExit with ``reason`` to the process that the Spawn ``start`` of this resident starts, whose
    serial comes only with Started. Nothing, when that was answered."""

    number: int
    start: int
    reason: Reason


class AwaitEnd(Word, frozen=True, tag="await_end"):
    """Ended follows when the process ``serial`` has been reaped: a DOWN tells it as soon as its death is decided."""

    serial: int


class Glance(Word, frozen=True, tag="glance"):
    """Look at the status page of process ``serial``: Inspected follows, unless it is dead."""

    serial: int


class Show(Word, frozen=True, tag="show"):
    """Whoever reads the shared registry finds ``value`` (msgpack) under ``key`` of this resident, without asking it; empty:
    nothing. The first one has an empty key: from then on what is not found is not there. See :mod:`actorcore.shown`.
    """

    key: str
    value: bytes = b""


class AnswerTo(Word, frozen=True, tag="answer_to"):
    """Answer the Asking (``frm``, ``number``): ``value``, or ``error`` = (code, detail)."""

    frm: int
    number: int
    value: Term = None
    error: tuple[str, Term] | None = None


class SetAlarm(Word, frozen=True, tag="set_alarm"):
    """Deliver Alarm(``key``) at monotonic time ``at`` (seconds); replaces an earlier alarm of that key."""

    key: str
    at: float


class CancelAlarm(Word, frozen=True, tag="cancel_alarm"):
    key: str


class Tell(Word, frozen=True, tag="tell"):
    """Telemetry about ``serial``."""

    kind: str
    serial: int
    detail: Term = None


class Leave(Word, frozen=True, tag="leave"):
    """The resident ends itself with ``reason``."""

    reason: Reason


class Ready(Word, frozen=True, tag="ready"):
    """The resident that was spawned is ready: who started it is told, its name is found."""


class Refuse(Word, frozen=True, tag="refuse"):
    """As a process whose init has refused (``reason``; None: ignore): its starter is told, then it ends."""

    reason: Reason | None


Order: TypeAlias = Union[
    Do, EndStart, Consult, Send, Show, Glance, AwaitEnd, AnswerTo, SetAlarm, CancelAlarm, Tell, Leave, Ready, Refuse
]  # fmt: skip


class Resident(Protocol):
    """What the kernel of the node asks of a resident."""

    def handle(self, body: Delivery, now: float) -> list[Order]:
        """React to one delivery at monotonic time ``now`` (seconds). It must not raise."""

    def snapshot(self) -> bytes:
        """The whole state."""

    def restore(self, state: bytes) -> None:
        """Become what :meth:`snapshot` described."""


Machines: TypeAlias = dict[str, Callable[[list[Term]], Resident]]
"""By name, what makes a machine of the arguments in its spec; ValueError says what is wrong with them."""
