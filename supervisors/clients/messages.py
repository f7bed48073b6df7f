"""What a client finds in its mailbox, and the refs of its monitors."""

from __future__ import annotations

from typing import NewType, TypeAlias, Union

import msgspec

from actorcore.exit_reason import Reason, Term
from actorcore.pids import Pid

Ref = NewType("Ref", int)
"""One monitor of one client; never used again by it."""


class InfoMessage(msgspec.Struct, frozen=True, tag=True):
    """A plain message from process ``frm``; ``is_cast`` when it was sent by cast."""

    frm: Pid
    body: Term
    is_cast: bool = False


class ExitMessage(msgspec.Struct, frozen=True, tag=True):
    """The exit signal of a process that the client is linked to, or that was sent to it; a client always traps."""

    frm: Pid
    reason: Reason


class DownMessage(msgspec.Struct, frozen=True, tag=True):
    """The one DOWN of monitor ``ref``. ``pid`` is None when a name belonged to nobody."""

    ref: Ref
    pid: Pid | None
    reason: Reason


Mail: TypeAlias = Union[InfoMessage, ExitMessage, DownMessage]
