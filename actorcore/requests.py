"""Requests: what a process or client may ask of the node; each is answered once. Part of the vocabulary of signals.py."""

from __future__ import annotations

from typing import TypeAlias, Union

import msgspec

from actorcore.exit_reason import Reason
from actorcore.words import ProcessSpec, Word

NOBODY = 0
EVERYTHING = -1
"""Instead of a count of messages: all that a dead process has sent."""


class Spawn(Word, frozen=True, tag="spawn"):
    """Start a process. ``wait_init``: answer when init has run (OTP's start), else at once (OTP's spawn).

    ``monitor`` is a ref of the asker's, 0 for none; link and monitor are set atomically with the birth.
    ``reserve``: the name in ``spec`` stays taken for the asker's next child when this one is dead, until Release.
    ``introduce``: the asker will talk to it, so make a channel at once where that costs nobody a wait.
    Answer: the serial, ``None`` when init said ignore, or an error ``start_failed`` with the reason.
    """

    spec: ProcessSpec
    link: bool = False
    monitor: int = 0
    wait_init: bool = True
    reserve: bool = False
    introduce: bool = False


class SendExit(Word, frozen=True, tag="send_exit"):
    """``exit(Pid, Reason)``; ``"kill"`` cannot be trapped. Answer: whether it is a message to ``to``, which traps exits;
    then the asker puts a mark with this request's number into its channel.

    ``after``: messages sent before, over the channel that came with frame ``channel`` (0: it is in introduction).
    """

    to: int
    reason: Reason
    after: int = 0
    channel: int = 0


class Link(Word, frozen=True, tag="link"):
    to: int


class Unlink(Word, frozen=True, tag="unlink"):
    to: int


class Monitor(Word, frozen=True, tag="monitor"):
    """``ref`` is chosen by the asker, unique among its refs. ``name`` is used when not empty, else ``to``."""

    ref: int
    to: int = NOBODY
    name: str = ""


class Demonitor(Word, frozen=True, tag="demonitor"):
    """Answer: whether the monitor still existed."""

    ref: int


class TrapExit(Word, frozen=True, tag="trap_exit"):
    """Answer: the previous flag."""

    on: bool


class Register(Word, frozen=True, tag="register"):
    """Give ``who`` (0: the asker) a name, with a ``value`` of at most 2 KiB that look-ups return: msgpack, or nothing.

    Errors: already_registered (with the holder, or 0: a supervisor keeps it for its child; with the name that ``who`` has,
    for nobody has two), invalid_key, reserved_key, process_not_alive, value_too_long, registry_full.
    """

    name: str
    who: int = NOBODY
    value: bytes = b""


class RegisterMany(Word, frozen=True, tag="register_many"):
    """All of these or none, and nobody sees some of them. Errors: as Register, with ``{name: detail}`` of the first."""

    entries: list[Register]


class Release(Word, frozen=True, tag="release"):
    """Keep ``name`` no longer for the next child (Spawn's ``reserve``). Answer: whether it was kept."""

    name: str


class Unregister(Word, frozen=True, tag="unregister"):
    """Only the owner or who registered it; errors: not_found, not_permitted."""

    name: str


class Whereis(Word, frozen=True, tag="whereis"):
    """Answer: the serial or None."""

    name: str


class Lookup(Word, frozen=True, tag="lookup"):
    """Answer: ``[serial, value]`` or None."""

    name: str


class IsAlive(Word, frozen=True, tag="is_alive"):
    who: int


class Introduce(Word, frozen=True, tag="introduce"):
    """A channel between the asker and ``to``, in place of the one that came with frame ``lost``; both get a Channel
    delivery. Answer: True, or ``"resident"``: that is asked by Ask. Error: process_not_alive."""

    to: int
    lost: int = 0


class Ask(Word, frozen=True, tag="ask"):
    """A call to a resident: ``body`` is msgpack of the resident's own vocabulary."""

    to: int
    body: msgspec.Raw


class Processes(Word, frozen=True, tag="processes"):
    """A page of the process table: at most ``limit`` rows with serial > ``after``."""

    after: int = 0
    limit: int = 500


Request: TypeAlias = Union[
    Spawn, SendExit, Link, Unlink, Monitor, Demonitor, TrapExit, Register, RegisterMany, Release, Unregister,
    Whereis, Lookup, IsAlive, Introduce, Ask, Processes,
]  # fmt: skip
