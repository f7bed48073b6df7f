"""The closed vocabulary of what comes in: everything that crosses a boundary of the node, as frozen structs.

*Requests* come from a process or client, *facts* from the operating system, both wrapped as *events*; the process
table answers each event with :mod:`actorcore.effects`, and *deliveries* are the bodies of frames to a process. ``serial`` is
``Pid.serial`` within this guardian's instance; 0 is nobody. Times are seconds of the monotonic clock.
"""

from __future__ import annotations

from typing import TypeAlias, Union

import msgspec

from actorcore.exit_reason import Reason, Term
from actorcore.requests import (
    EVERYTHING as EVERYTHING,
    NOBODY as NOBODY,
    Ask as Ask,
    Demonitor as Demonitor,
    Introduce as Introduce,
    IsAlive as IsAlive,
    Link as Link,
    Lookup as Lookup,
    Monitor as Monitor,
    Processes as Processes,
    Register as Register,
    RegisterMany as RegisterMany,
    Release as Release,
    Request as Request,
    SendExit as SendExit,
    Spawn as Spawn,
    TrapExit as TrapExit,
    Unlink as Unlink,
    Unregister as Unregister,
    Whereis as Whereis,
)  # isort: skip # fmt: skip
from actorcore.words import (
    ASYNCIO as ASYNCIO,
    AUTO as AUTO,
    LEAN as LEAN,
    ProcessSpec as ProcessSpec,
    SpecFields as SpecFields,
    Word as Word,
)

# ---- deliveries: bodies of frames from the node to a process, client or resident ------------------------------------


class Answer(Word, frozen=True, tag="answer"):
    """To request ``number``: ``value``, or ``error`` = (code, detail) when it was refused."""

    number: int
    value: Term = None
    error: tuple[str, Term] | None = None


MAX_REFS = 10_000
"""In one Down, which has to fit into a datagram."""


class Down(Word, frozen=True, tag="down"):
    """One per monitor: ``refs`` are refs of the receiver's that watched ``pid`` (0: never lived), all or MAX_REFS."""

    refs: list[int]
    pid: int
    reason: Reason


class Exit(Word, frozen=True, tag="exit"):
    """An exit signal that a trapping process gets as a message, ``after`` so many messages of ``frm`` (or EVERYTHING).

    ``number`` is that of its SendExit: what follows the mark with that number in the channel comes after it.
    """

    frm: int
    reason: Reason
    after: int = 0
    number: int = 0


class Channel(Word, frozen=True, tag="channel"):
    """A direct channel to ``peer``; its descriptor travels with the frame.

    The end that ``opens`` it sends first. A repeated frame brings an end of another pair: the opener keeps what it has,
    the other waits which of its pairs is opened. So whoever sends knows that the other end has arrived.
    """

    peer: int
    opens: bool


class PeerDown(Word, frozen=True, tag="peer_down"):
    """``peer``, to which the receiver has a channel, is dead: pending calls fail with ``reason``."""

    peer: int
    reason: Reason


class Begin(Word, frozen=True, tag="begin"):
    """The first frame to a child: what to become. ``page`` is its status page."""

    serial: int
    instance: int
    page: int
    spec: ProcessSpec
    parent: int


class Asking(Word, frozen=True, tag="asking"):
    """An Ask as a resident sees it; it is answered by a Reply effect with the same (frm, number)."""

    frm: int
    number: int
    body: msgspec.Raw


class Alarm(Word, frozen=True, tag="alarm"):
    """A resident's timer rang."""

    key: str


class Started(Word, frozen=True, tag="started"):
    """To a resident: the process that it spawned under ``number`` is ready, or failed (``error``, the reason)."""

    number: int
    serial: int
    error: Reason | None = None
    ignored: bool = False


class Hung(Word, frozen=True, tag="hung"):
    """To the resident that spawned ``serial``: it hangs, being ``why`` = ``stopped`` or ``busy``; empty: it goes on."""

    serial: int
    why: str


class Sent(Word, frozen=True, tag="sent"):
    """A plain message of the resident ``frm``, which has no channels; ``body`` is msgpack."""

    frm: int
    body: msgspec.Raw


class ClockSet(Word, frozen=True, tag="clock_set"):
    """To the node's own residents: the wall clock (UTC, seconds since 1970) is the monotonic one plus ``offset_s``."""

    offset_s: float


class Reborn(Word, frozen=True, tag="reborn"):
    """To a resident of the node's own that was killed, as ``before``: it goes on from its state as ``after``.

    What it was linked to or monitored and who waited for its answers know of the death; nothing of that is left.
    """

    before: int
    after: int


class Ended(Word, frozen=True, tag="ended"):
    """To the resident that awaited it: nothing is left of process ``serial``."""

    serial: int


class Inspected(Word, frozen=True, tag="inspected"):
    """To the resident ``by`` that wanted to know: since when (seconds, 0.0: idle) each serial is busy with its message, and
    how many it has handled, by its own status page."""

    by: int
    seen: dict[int, tuple[float, int]]


Delivery: TypeAlias = Union[
    Answer, Down, Exit, Channel, PeerDown, Begin, Asking, Alarm, Started, Hung, Sent, ClockSet, Reborn, Inspected, Ended
]  # fmt: skip

# ---- events: requests with their sender, and facts ------------------------------------------------------------------


class Asked(Word, frozen=True, tag="asked"):
    """Process or client ``frm`` made request ``number``; numbers of one sender rise, a repeat is recognised."""

    frm: int
    number: int
    body: Request


class Born(Word, frozen=True, tag="born"):
    """A forked child announced itself on its control socket: it runs, and waits for its Begin."""

    serial: int
    os_pid: int


class Booted(Word, frozen=True, tag="booted"):
    """``init`` has run. ``better`` is the template on which it would have run sooner, if it was not that one."""

    serial: int
    better: str = ""


class Refused(Word, frozen=True, tag="refused"):
    """``init`` said no (``reason``) or ignore (``reason`` None); the process exits by itself afterwards."""

    serial: int
    reason: Reason | None


class ForkFailed(Word, frozen=True, tag="fork_failed"):
    """There is no fork: errno's name in lower case (``eagain``, ``enomem``)."""

    serial: int
    errno_name: str


class NotConnected(Word, frozen=True, tag="not_connected"):
    """A Connect could not be performed: the introduction of ``a`` and ``b`` has failed, and may be asked for again."""

    a: int
    b: int
    errno_name: str


class LogDropped(Word, frozen=True, tag="log_dropped"):
    """So many lines of its log this node has lost since it took over."""

    count: int


class Crowded(Word, frozen=True, tag="crowded"):
    """Whether the state of the node is so large that it takes in nothing more; see :mod:`actorcore.kernel`."""

    is_so: bool


class Exited(Word, frozen=True, tag="exited"):
    """The guardian reaped the process: ``code``/``status`` of waitid(2), ``declared`` from its status page; ``is_oom``: the
    kernel killed it for want of memory."""

    serial: int
    code: int
    status: int
    declared: Reason | None = None
    is_oom: bool = False


class Violated(Word, frozen=True, tag="violated"):
    """What the process sent on its control socket is no message of ours, or it closed that socket and lives on."""

    serial: int
    detail: str


class Stopped(Word, frozen=True, tag="stopped"):
    """Job control stopped it (``WSTOPPED`` of waitid(2))."""

    serial: int


class Continued(Word, frozen=True, tag="continued"):
    serial: int


class Looked(Word, frozen=True, tag="looked"):
    """Answer to Look: since when (seconds, 0.0: idle) each serial is busy with its message, by its own status page."""

    busy: dict[int, float]


class ClientAttached(Word, frozen=True, tag="client_attached"):
    """A connection said hello. ``serial`` 0: a new client, known by ``secret`` from now on; else a returning one."""

    serial: int
    secret: bytes
    os_pid: int


class ClientDetached(Word, frozen=True, tag="client_detached"):
    """The connection of a client ended; ``dead`` when its process is known to have ended, or it has lost the right to return.

    ``lost``: with the node that had it. The client has no part in that and may be busy for long, so it may return for as long
    as its process lives, whose end will be told by another of these.
    """

    serial: int
    dead: bool
    lost: bool = False


class Received(Word, frozen=True, tag="received"):
    """Client ``frm`` has every delivery up to ``seq``: they need not be kept for its return."""

    frm: int
    seq: int


class Undelivered(Word, frozen=True, tag="undelivered"):
    """The control socket of ``to`` is full: frame ``seq`` and all later ones wait in its entry until Writable."""

    to: int
    seq: int
    body: Delivery


class Writable(Word, frozen=True, tag="writable"):
    to: int


class Refill(Word, frozen=True, tag="refill"):
    """Keep ``count`` blanks of ``template``: forked, warmed children that have no spec yet."""

    template: str
    count: int


class TemplateTold(Word, frozen=True, tag="template_told"):
    """The daemon has this template; ``trouble`` says why no process can be started from it, if so.

    ``preloads``: its image has modules of the user's in it, which age.
    """

    template: str
    trouble: str = ""
    preloads: bool = False


class TookOver(Word, frozen=True, tag="took_over"):
    """A node began to serve: the ``generation``-th of this guardian."""

    os_pid: int
    generation: int


class ReloadEnded(Word, frozen=True, tag="reload_ended"):
    """Reload ``number``, and all before it, is over: this node has the new code, or ``error`` says why it has not."""

    number: int
    error: str = ""


class ShutdownAsked(Word, frozen=True, tag="shutdown_asked"):
    """The daemon is to end: residents are told as a parent tells its children, then the shell is told to halt."""


class Ticked(Word, frozen=True, tag="ticked"):
    """Time has reached the earliest timer."""


Event: TypeAlias = Union[
    Asked, Born, Booted, Refused, ForkFailed, Exited, Stopped, Continued, Looked, ClientAttached, ClientDetached,
    Received, Undelivered, Writable, Refill, Violated, TookOver, ReloadEnded, ShutdownAsked, Ticked, NotConnected,
    LogDropped, TemplateTold, ClockSet, Inspected, Crowded,
]  # fmt: skip
