"""Entry: what the node knows about one process, client or resident."""

from __future__ import annotations

from enum import Enum

import msgspec

from actorcore.exit_reason import Reason
from actorcore.signals import NOBODY, Delivery, Exit, ProcessSpec

NO_PAGE = -1


class Kind(Enum):
    PROCESS = "process"
    CLIENT = "client"
    RESIDENT = "resident"


class Phase(Enum):
    """``forking → warm → booting → running``, by ``refused`` when init says no; ``dying`` from any of them.

    Clients and residents are running from the start. ``dying``: the end is decided, nothing is delivered any more.
    """

    FORKING = "forking"
    WARM = "warm"
    BOOTING = "booting"
    RUNNING = "running"
    REFUSED = "refused"
    DYING = "dying"


class Starter(msgspec.Struct, frozen=True):
    """Who waits for init to have run: request ``number`` of ``asker``."""

    asker: int
    number: int


class Introduction(msgspec.Struct, frozen=True, tag=True):
    """Request ``number`` of ``asker`` for a channel to ``to`` instead of a ``lost`` one; both must be writable."""

    asker: int
    number: int
    to: int
    lost: int = 0


class LateExit(msgspec.Struct, frozen=True, tag=True):
    """An exit signal that was sent to ``to`` after messages that wait for an Introduction."""

    to: int
    signal: Exit


class Entry(msgspec.Struct, omit_defaults=True):
    """One incarnation. ``spec`` is None for blanks, clients and residents.

    ``backlog`` holds numbered deliveries: of a process those it was not sent yet, of a client those it has not
    acknowledged; all above ``sent`` are still to be sent. ``channels`` maps a peer to the seq of the Channel frame;
    ``waiting`` is what waits until this end can be written to; ``owed``: bytes of the backlog.
    ``hung``: why it hangs, ``stopped`` or ``busy``; empty when it does not. ``lost``: a client that is not ``attached`` because
    a node died, and is waited for without an end.
    """

    serial: int
    kind: Kind
    phase: Phase
    template: str = ""
    page: int = NO_PAGE
    parent: int = NOBODY
    os_pid: int = 0
    spec: ProcessSpec | None = None
    trap_exit: bool = False
    stopped: bool = False
    hung: str = ""
    starter: Starter | None = None
    ordered: Reason | None = None
    last_number: int = 0
    seq: int = 0
    sent: int = 0
    jammed: bool = False
    backlog: list[tuple[int, Delivery]] = []
    owed: int = 0
    channels: dict[int, int] = {}
    waiting: list[Introduction | LateExit] = []
    secret: bytes = b""
    attached: bool = False
    lost: bool = False

    def is_blank(self) -> bool:
        """A pre-forked child without a spec: nobody knows its serial."""
        return self.spec is None and self.kind is Kind.PROCESS

    def is_alive(self) -> bool:
        """Whether signals reach it."""
        return self.phase is not Phase.DYING and not self.is_blank()

    def is_writable(self) -> bool:
        """Whether a frame can be sent to it now."""
        return not self.jammed and (self.kind is not Kind.CLIENT or self.attached)

    def traps(self) -> bool:
        """Whether an exit signal is a message to it; to a resident it always is."""
        return self.trap_exit or self.kind is Kind.RESIDENT


class Row(msgspec.Struct, frozen=True):
    """One line of the process listing; ``phase`` is ``unresponsive`` for one that hangs."""

    serial: int
    kind: str
    phase: str
    os_pid: int
    name: str | None
    start: str
    template: str
    parent: int
    page: int
    links: int
    backlog: int
    stopped: bool
    isolation: str


class Statistics(msgspec.Struct, frozen=True):
    """Counts; ``processes`` includes dying ones, not blanks. ``templates``: ``served``, or why not."""

    processes: int
    blanks: int
    clients: int
    residents: int
    dying: int
    links: int
    monitors: int
    asks: int
    names: int
    channels: int
    deadlines: int
    backlog: int
    owed_bytes: int
    pages_free: int
    last_serial: int
    templates: dict[str, str]
