"""GenStatem: OTP's gen_statem as a class to derive from. Its data are the attributes, its state is ``self.state``.

>>> class Door(GenStatem):
...     callback_mode = "state_functions"
...     def init(self, code):
...         self.code = code
...         return Ok("locked")
...     def locked(self, event):
...         if event.kind == "cast" and event.content == self.code:
...             return NextState("open", [StateTimeout(10.0, "lock")])
...     def open(self, event):
...         if event.kind == "state_timeout":
...             return NextState("locked")
...         return KeepState([Postpone()])

The rules are those of gen_statem(3), OTP 25; :mod:`actorcore.statem_machine` has them. Not here: ``change_callback_module`` and
its kin (a class has one behaviour), absolute times of timeouts, and ``multi_call``-like requests (one host has no nodes).
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, ClassVar, Literal, TypeAlias, Union

from actorcore.behaviour import (
    BadReturnValue as BadReturnValue,
    Behaviour,
    Host,
    Ignore as Ignore,
    Machine,
    Stop as Stop,
    has_coroutines,
)
from actorcore.process_face import AsyncProcessFace
from actorcore.statem_machine import StatemMachine
from actorcore.statem_words import (
    Action as Action,
    Event as Event,
    EventTimeout as EventTimeout,
    GenericTimeout as GenericTimeout,
    Hibernate as Hibernate,
    KeepState as KeepState,
    NextEvent as NextEvent,
    NextState as NextState,
    Ok as Ok,
    Postpone as Postpone,
    RepeatState as RepeatState,
    Reply as Reply,
    StateTimeout as StateTimeout,
    UpdateTimeout as UpdateTimeout,
)

InitResult: TypeAlias = Union[Ok, Ignore, Stop]
Result: TypeAlias = Union[None, NextState, KeepState, RepeatState, Stop]
InitReturn: TypeAlias = Union[InitResult, Awaitable[InitResult]]
Return: TypeAlias = Union[Result, Awaitable[Result]]


class GenStatem(Behaviour):
    """Derive from it.

    ``callback_mode``: ``handle_event`` handles all events in all states, which may be any value; or, with
    ``state_functions``, the states are texts and the method of that name handles what comes in a state, as
    ``def locked(self, event: Event) -> Result``. ``state_enter``: a state is also told when it is entered, by an event of
    kind ``enter``, which may neither change the state nor postpone nor make events. Callbacks may be ``async def``.
    """

    callback_mode: ClassVar[Literal["handle_event", "state_functions"]] = "handle_event"
    state_enter: ClassVar[bool] = False
    state: Any
    """The state that it is in; changed by what callbacks return, never by assignment."""

    def init(self, *args: Any) -> InitReturn:
        """Make ready, and say in which state to begin; the starter waits. Raising or Stop refuses the start."""
        raise NotImplementedError("init")

    def handle_event(self, event: Event, state: Any) -> Return:
        """Handle an event in ``state``."""
        raise NotImplementedError("handle_event")

    def machine(self, host: Host) -> Machine:
        """See Behaviour."""
        return StatemMachine(self, host)

    @classmethod
    def is_async(cls) -> bool:
        """See Behaviour."""
        if cls.callback_mode == "handle_event":
            return has_coroutines(cls, GenStatem, ("init", "handle_event", "terminate"))
        own = cls.__mro__[: cls.__mro__.index(GenStatem)]
        return has_coroutines(cls, GenStatem, [name for base in own for name in base.__dict__ if not name.startswith("_")])


class AsyncGenStatem(GenStatem):
    """A GenStatem that always runs in a loop, and whose ``process`` has the type that it has there."""

    process: AsyncProcessFace  # type: ignore[assignment]

    @classmethod
    def is_async(cls) -> bool:
        """See Behaviour."""
        return True
