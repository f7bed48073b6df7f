"""Effects: what the kernel decides, as frozen structs; the performer does them, each perhaps twice."""

from __future__ import annotations

from typing import TypeAlias, Union

from actorcore.exit_reason import Term
from actorcore.signals import Delivery
from actorcore.words import Word


class Deliver(Word, frozen=True, tag="deliver"):
    """Send ``body`` to process or client ``to`` as its frame ``seq``; the receiver drops a repeated ``seq``."""

    to: int
    seq: int
    body: Delivery


class Fork(Word, frozen=True, tag="fork"):
    """Have the template's zygote fork process ``serial`` with status page ``page``; a ``blank`` one will wait for its spec.

    ``alone``: of a zygote started for this one.
    """

    serial: int
    template: str
    page: int
    blank: bool = False
    alone: bool = False


class Kill(Word, frozen=True, tag="kill"):
    """Send ``signum`` through the pidfd; as soon as there is one."""

    serial: int
    signum: int = 9


class Connect(Word, frozen=True, tag="connect"):
    """Make a socketpair and send its ends along with Channel frames ``b_seq``, then ``a_seq``; ``a`` opens it."""

    a: int
    a_seq: int
    b: int
    b_seq: int


class Publish(Word, frozen=True, tag="publish"):
    """The shared registry maps ``name`` to ``serial`` and ``value`` from now on."""

    name: str
    serial: int
    value: bytes = b""


class PublishMany(Word, frozen=True, tag="publish_many"):
    """All of these at one instant."""

    entries: list[Publish]


class Retract(Word, frozen=True, tag="retract"):
    name: str


class Forget(Word, frozen=True, tag="forget"):
    """The last effect of a death: acknowledge it to the guardian, close the process's descriptors, free ``page``."""

    serial: int
    page: int


class Look(Word, frozen=True, tag="look"):
    """Read the status pages of these processes (serial → page) and say Looked."""

    pages: dict[int, int]


class Inspect(Word, frozen=True, tag="inspect"):
    """Read the status pages of these processes (serial → page) for resident ``by`` and say Inspected."""

    by: int
    pages: dict[int, int]


class Report(Word, frozen=True, tag="report"):
    """Telemetry: something worth a line in the log; ``kind`` names it."""

    kind: str
    serial: int
    detail: Term = None


class Operate(Word, frozen=True, tag="operate"):
    """To the shell itself: ``"reload"`` (its ``number``), ``"renew"`` (the image of a ``template``) or ``"halt"``."""

    verb: str
    number: int = 0
    template: str = ""


Effect: TypeAlias = Union[Deliver, Fork, Kill, Connect, Publish, PublishMany, Retract, Forget, Look, Inspect, Report, Operate]
