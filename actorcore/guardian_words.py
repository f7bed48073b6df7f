"""What guardian and node say to each other over their SEQPACKET pair; descriptors travel beside the words.

Everything the guardian says is either kept until it is dropped (Died) or told again to every new node (Held, ReloadEnded),
so a node that dies after reading a word loses nothing.
"""

from __future__ import annotations

import sys
from typing import Generic, TypeAlias, TypeVar, Union

import msgspec

from actorcore.errors import ProtocolError
from actorcore.frames import DECODE_ERRORS
from actorcore.signals import ReloadEnded, Word
from actorcore.words import LEAN

VERSION = 5
"""Of these words. A guardian lives as long as its sessions, so a change that it cannot follow needs a new daemon."""

T = TypeVar("T")

HELD_PER_DATAGRAM = 120
"""Items of one Held: at most two descriptors each, and SCM_RIGHTS carries no more than 253."""


class Template(msgspec.Struct, frozen=True, array_like=True):
    """``preload``: modules to import before the first fork; ``pool``: children that wait for their spec.

    Its zygote is started with the daemon; that of a template with neither, or that ``waits`` and has no pool, when a process
    wants it first (not lean).
    """

    name: str
    preload: tuple[str, ...] = ()
    pool: int = 0
    waits: bool = False

    def is_lazy(self) -> bool:
        return not self.pool and (self.waits or not self.preload) and self.name != LEAN


class HeldProcess(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A process of the table: its control socket, then its pidfd if ``os_pid`` is known (not 0)."""

    serial: int
    os_pid: int
    stopped: bool


class Held(Word, frozen=True, tag="held"):
    """To a new node: processes in its keeping."""

    items: list[HeldProcess]


class Zygote(Word, frozen=True, tag="zygote"):
    """The socket of the zygote that serves ``template`` from now on."""

    template: str


class Offer(Word, frozen=True, tag="offer"):
    """The daemon has this template, with a pool of so many blanks, or cannot serve it because of ``trouble``.

    ``preloads``: its image has modules of the user's in it.
    """

    template: str
    pool: int = 0
    trouble: str = ""
    preloads: bool = False


class Take(Word, frozen=True, tag="take"):
    """To the spare, last of the hand-over: you are the node. Carries listener, status and registry descriptors."""

    instance: int
    generation: int
    logs: str = ""
    """The directory of the processes' logs."""


class Adopted(Word, frozen=True, tag="adopted"):
    """Answer to Adopt, with the pidfd."""

    serial: int


class Unheld(Word, frozen=True, tag="unheld"):
    """Answer to Hold and ForkAlone: what the guardian has not got for it (errno's name), so this process cannot be."""

    serial: int
    errno_name: str


class Died(Word, frozen=True, tag="died"):
    """Process ``serial`` was reaped: ``code`` and ``status`` of waitid(2). Kept until Drop.

    ``is_oom``: the kernel killed it for want of memory.
    """

    serial: int
    code: int
    status: int
    is_oom: bool = False


class Halted(Word, frozen=True, tag="halted"):
    """Job control stopped (or continued) process ``serial``."""

    serial: int
    stopped: bool


class Signalled(Word, frozen=True, tag="signalled"):
    """The guardian got ``signum`` from outside (TERM, INT, HUP)."""

    signum: int


class Yield(Word, frozen=True, tag="yield"):
    """To the node: its successor is ready, with code that knows ``machines``. Leave a snapshot and end, or answer Stay."""

    machines: list[str]


class Ready(Word, frozen=True, tag="ready"):
    """The spare has its code imported, writes snapshots of ``schema``, reads those of ``oldest`` to ``schema``, speaks
    version ``words`` of this vocabulary, can restore ``machines``, and needs ``templates``: those of a name that the daemon does
    not know are added when it becomes the node."""

    schema: int = 0
    oldest: int = 0
    words: int = 0
    machines: list[str] = []
    templates: list[Template] = []


class Serving(Word, frozen=True, tag="serving"):
    """The node has restored everything and accepts clients."""


class Hold(Word, frozen=True, tag="hold"):
    """Keep this control socket (attached) for process ``serial``; said before the fork is ordered."""

    serial: int


class Adopt(Word, frozen=True, tag="adopt"):
    """Process ``serial`` is child ``os_pid``; send its pidfd."""

    serial: int
    os_pid: int


class Drop(Word, frozen=True, tag="drop"):
    """The death of ``serial`` has had its effect (or it never lived): forget it."""

    serial: int


class ReplaceZygote(Word, frozen=True, tag="replace_zygote"):
    """The zygote of ``template`` is stuck: kill it and start another. Or there is none yet, and one is wanted."""

    template: str


class ForkAlone(Word, frozen=True, tag="fork_alone"):
    """Start a zygote of ``template`` for process ``serial`` alone: its control socket is attached, with the one order in it."""

    template: str
    serial: int


class Reload(Word, frozen=True, tag="reload"):
    """Replace the node by one with the code that is on disk now; the last of these counts."""

    number: int


class Stay(Word, frozen=True, tag="stay"):
    """Answer to Yield: the successor cannot do what this node does, so it goes on."""

    why: str


class Halt(Word, frozen=True, tag="halt"):
    """All sessions are stopped: end everything."""


ToNode: TypeAlias = Union[Held, Zygote, Offer, Take, Adopted, Unheld, Died, Halted, Signalled, ReloadEnded, Yield]
ToGuardian: TypeAlias = Union[Ready, Serving, Hold, Adopt, Drop, ReplaceZygote, ForkAlone, Reload, Stay, Halt]

EXIT_PRELOAD, EXIT_THREADS, EXIT_PYTHON = 78, 79, 80
"""Exit statuses of a zygote that cannot serve: a module of its list is not imported, or one starts threads, or it is of another
Python than the daemon."""
PYTHON = ".".join(map(str, sys.version_info[:3]))
"""Of this process; of the whole daemon, for what runs in it is forked from the guardian, or is the same program."""

ONE, MANY = "one", "many"
"""How many processes a zygote is started for."""


class ForkOrder(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Node → zygote, with the child's end of its control socket."""

    serial: int
    page: int
    blank: bool = False
    """It will wait for its Begin: time to rehearse."""


class ForkRefused(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Zygote → node: fork(2) failed with this errno."""

    serial: int
    errno: int


class Words(Generic[T]):
    """A decoder of one vocabulary."""

    def __init__(self, kind: object) -> None:
        self._decoder: msgspec.msgpack.Decoder[T] = msgspec.msgpack.Decoder(kind)

    def decode(self, data: bytes) -> T:
        """The word in ``data``; raises ProtocolError on anything else."""
        try:
            return self._decoder.decode(data)
        except DECODE_ERRORS as error:
            raise ProtocolError(str(error)[:200]) from None


encoder = msgspec.msgpack.Encoder()
to_node: Words[ToNode] = Words(ToNode)
to_guardian: Words[ToGuardian] = Words(ToGuardian)
fork_order: Words[ForkOrder] = Words(ForkOrder)
fork_refused: Words[ForkRefused] = Words(ForkRefused)
