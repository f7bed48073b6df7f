"""What a state machine is told and what it says: events, results of callbacks, and transition actions (gen_statem(3))."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias, Union

import msgspec

from actorcore.mailbox import From

EventKind: TypeAlias = Literal["call", "cast", "info", "internal", "timeout", "state_timeout", "generic_timeout", "enter"]


class Event(msgspec.Struct, frozen=True):
    """What a callback is called with.

    ``content``: the request of a call or cast; of an ``info`` the Message, ExitMessage, DownMessage; of ``enter`` the state
    before; of an ``internal`` event and of a timeout what it was made with. ``timeout`` is the event timeout,
    ``generic_timeout`` the one of ``name``. ``frm`` waits for the answer to a call.
    """

    kind: EventKind
    content: object = None
    frm: From | None = None
    name: str = ""


# ---- actions, in the order in which they are given --------------------------------------------------------------------


class Reply(msgspec.Struct, frozen=True):
    """Answer ``frm``; None: the call that is this event."""

    value: object = None
    frm: From | None = None


class Postpone(msgspec.Struct, frozen=True):
    """This event comes again when the state has changed."""


class NextEvent(msgspec.Struct, frozen=True):
    """Handle this event before all that wait."""

    kind: Literal["call", "cast", "info", "internal"] = "internal"
    content: object = None
    frm: From | None = None


class StateTimeout(msgspec.Struct, frozen=True):
    """Ends with the state. ``after_s`` 0.0: before any message that has not been received yet; None: none any more."""

    after_s: float | None
    content: object = None


class EventTimeout(msgspec.Struct, frozen=True):
    """As StateTimeout, but ends with the next event of any kind, also when that does not change the state."""

    after_s: float | None
    content: object = None


class GenericTimeout(msgspec.Struct, frozen=True):
    """As StateTimeout, but ends with nothing; a new one of the same ``name`` replaces it."""

    name: str
    after_s: float | None
    content: object = None


class UpdateTimeout(msgspec.Struct, frozen=True):
    """Another content for a timeout that is running, or at once if it is not; ``name`` of a generic one."""

    kind: Literal["timeout", "state_timeout", "generic_timeout"]
    content: object = None
    name: str = ""


class Hibernate(msgspec.Struct, frozen=True):
    """Accepted; an idle process costs no heap to collect."""


TimeoutAction: TypeAlias = Union[StateTimeout, EventTimeout, GenericTimeout, UpdateTimeout]
Action: TypeAlias = Union[Reply, Postpone, NextEvent, TimeoutAction, Hibernate]

# ---- results --------------------------------------------------------------------------------------------------------


class Ok(msgspec.Struct, frozen=True):
    """Of ``init``: begin in ``state``."""

    state: object
    actions: Sequence[Action] = ()


class NextState(msgspec.Struct, frozen=True):
    """Go to ``state``; to the state that it is in already: as KeepState."""

    state: object
    actions: Sequence[Action] = ()


class KeepState(msgspec.Struct, frozen=True):
    """Stay; also what returning None means."""

    actions: Sequence[Action] = ()


class RepeatState(msgspec.Struct, frozen=True):
    """Stay, and enter the state again: as KeepState where there are no state enter calls."""

    actions: Sequence[Action] = ()
