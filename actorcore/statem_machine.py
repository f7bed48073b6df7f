"""The rules of a state machine: which event is next, and what a transition does (gen_statem(3), OTP 25: transition_option()).

After a callback: 1. a state that is entered is told, and its actions come behind those of the callback; 2. actions are
done in their order, answers at once; 3. a postponed event is kept; 4. when the state has changed, what was postponed is
handled next, oldest first, and the state timeout ends; 5. inserted events come before that; 6. timeouts are set; one of
time zero comes before any message; 7. events that are there are handled; 8. then a message is waited for.
"""

from __future__ import annotations

from collections import deque
from typing import Any, ClassVar, TypeAlias

import msgspec

from actorcore.behaviour import BadReturnValue, Behaviour, Host, Ignore, Machine, Stop, Todo
from actorcore.mailbox import DownMessage, ExitMessage, From, Item, Message, TaskReply, Timeout
from actorcore.statem_words import (
    Event,
    EventTimeout,
    GenericTimeout,
    Hibernate,
    KeepState,
    NextEvent,
    NextState,
    Ok,
    Postpone,
    RepeatState,
    Reply,
    StateTimeout,
    TimeoutAction,
    UpdateTimeout,
)

Key: TypeAlias = tuple[str, str]
"""Kind and name of a timeout."""
EVENT_TIMEOUT: Key = ("timeout", "")
STATE_TIMEOUT: Key = ("state_timeout", "")
AT_ONCE = 0.0
"""When a timeout of time zero is due: before any other."""
LOOK = -1


class Timer(msgspec.Struct):
    """A timeout that is running: due ``at`` (monotonic seconds), the ``turn``-th that was set."""

    at: float
    turn: int
    content: object


class Transition(msgspec.Struct):
    """What a callback wants, as far as it is not done yet; ``event`` is None in the beginning."""

    event: Event | None
    changes: bool = False
    postpones: bool = False
    inserted: list[Event] = []
    timeouts: list[TimeoutAction] = []


class StatemMachine(Machine):
    """``server`` is a GenStatem; its ``state`` is set here and nowhere else."""

    NAME: ClassVar[str] = "gen_statem"
    APART: ClassVar[frozenset[str]] = frozenset({"process", "state"})

    def __init__(self, server: Behaviour, host: Host) -> None:
        super().__init__(server, host)
        self._queue: deque[Event] = deque()
        self._postponed: list[Event] = []
        self._timers: dict[Key, Timer] = {}
        self._turn = 0
        self._transition = Transition(None)
        self._left: list[object] = []
        """The state before, until the one that is being entered has been told of it."""
        self._is_entering = False
        self._ahead: int | None = None
        """Messages that come before the timeout that is due: those that were there; LOOK: it was not looked yet."""

    # ---- what comes next --------------------------------------------------------------------------------------------

    def begun(self, result: object) -> Ignore | None:
        """See Machine."""
        match result:
            case Ignore():
                return result
            case Stop(reason):
                self.stop = reason
            case Ok(state, actions):
                self.server.state = state
                self._collect(actions)
                self._enter(state)
            case _:
                raise BadReturnValue(result)
        return None

    def pending(self) -> Todo | None:
        """The state to be told that it is entered, an event that is there, a timeout that is due."""
        if self.stop is not None or self.debug.is_suspended:
            return None
        if self._left:
            self._is_entering = True
            return self._handle(Event("enter", self._left.pop()))
        if self._queue:
            return self._dispatch(self._queue.popleft())
        key = self._next_timer()
        if key is None:
            return None
        if self._timers[key].at > AT_ONCE:
            if self.host.now_s() < self._timers[key].at:
                return None
            if self._ahead is None:
                self._ahead = LOOK
            if self._ahead != 0:
                return None
        return self._ring(key)

    def deadline_s(self) -> float | None:
        """See Machine."""
        key = None if self.debug.is_suspended else self._next_timer()
        return None if key is None else self._timers[key].at

    def take(self, item: Item | Timeout) -> Todo | None:
        """See Machine."""
        # In OTP a timeout is a message behind those that came before it: as many as there are, or it might never come.
        if self._ahead == LOOK:
            self._ahead = len(self.host.mailbox.items)
        elif self._ahead:
            self._ahead -= 1
        return super().take(item)

    def on_call(self, request: object, frm: From) -> Todo:
        return self._dispatch(Event("call", request, frm))

    def on_cast(self, request: object) -> Todo:
        return self._dispatch(Event("cast", request))

    def on_info(self, info: Message | ExitMessage | DownMessage | TaskReply | Timeout) -> Todo | None:
        return None if isinstance(info, Timeout) else self._dispatch(Event("info", info))  # pending() looks at the time

    def _next_timer(self) -> Key | None:
        timers = self._timers
        return min(timers, key=lambda key: (timers[key].at, timers[key].turn)) if timers else None

    def _ring(self, key: Key) -> Todo:
        self._ahead = None
        kind, name = key
        content = self._timers.pop(key).content
        return self._dispatch(Event(kind, content, None, name))  # type: ignore[arg-type]  # a key's kind is that of an event

    def _dispatch(self, event: Event) -> Todo:
        self._timers.pop(EVENT_TIMEOUT, None)
        self._transition = Transition(event)
        return self._handle(event)

    def _handle(self, event: Event) -> Todo:
        server = self.server
        if server.callback_mode == "handle_event":
            return server.handle_event, (event, server.state), event.frm
        function = getattr(server, server.state, None) if isinstance(server.state, str) else None
        if function is None:
            raise BadReturnValue(server.state)
        return function, (event,), event.frm

    # ---- what a callback has said -----------------------------------------------------------------------------------

    def conclude(self, result: object, frm: From | None) -> bool:
        """See Machine."""
        if isinstance(result, Stop):
            self._end(result, frm)
        else:
            self._change(result)
        return True  # pending() looks at the time

    def _change(self, result: object) -> None:
        before, repeats = self.server.state, isinstance(result, RepeatState)
        if result is None:
            result = KeepState()
        elif not isinstance(result, (KeepState, RepeatState, NextState)):
            raise BadReturnValue(result)
        after = result.state if isinstance(result, NextState) else before
        changes = after != before
        if self._is_entering and (changes or repeats):
            raise BadReturnValue(result)
        self._collect(result.actions)
        if self._is_entering:
            self._is_entering = False
            self._finish()
            return
        self._transition.changes = changes
        self.server.state = after
        if changes or repeats:
            self._enter(before)
        else:
            self._finish()

    def _end(self, result: Stop, frm: From | None) -> None:
        if result.reply is not msgspec.UNSET:
            if frm is None:
                raise BadReturnValue(result)
            self.answer(frm, result.reply)
        self.stop = result.reason

    def _collect(self, actions: Any) -> None:
        wanted = self._transition
        event = wanted.event
        for action in actions:
            match action:
                case Reply(value, frm):
                    caller = frm or (event.frm if event is not None else None)
                    if caller is None:
                        raise BadReturnValue(action)
                    self.answer(caller, value)
                case Postpone() if event is not None and not self._is_entering:
                    wanted.postpones = True
                case NextEvent(kind, content, frm) if not self._is_entering and (frm is not None) == (kind == "call"):
                    wanted.inserted.append(Event(kind, content, frm))
                case StateTimeout() | EventTimeout() | GenericTimeout() | UpdateTimeout():
                    wanted.timeouts.append(action)
                case Hibernate():
                    pass
                case _:
                    raise BadReturnValue(action)

    def _enter(self, before: object) -> None:
        if self.server.state_enter:
            self._left.append(before)
        else:
            self._finish()

    def _finish(self) -> None:
        done = self._transition
        if done.postpones and done.event is not None:
            self._postponed.append(done.event)
        if done.changes:
            self._timers.pop(STATE_TIMEOUT, None)
            self._queue.extendleft(reversed(self._postponed))
            self._postponed.clear()
        self._queue.extendleft(reversed(done.inserted))
        for action in done.timeouts:
            self._set(action)

    def _set(self, action: TimeoutAction) -> None:
        key, after_s = _key_of(action), 0.0
        if isinstance(action, UpdateTimeout):
            if key in self._timers:
                self._timers[key].content = action.content
                return
        elif action.after_s is None:
            self._timers.pop(key, None)
            return
        else:
            after_s = action.after_s
        self._turn += 1
        at = self.host.now_s() + after_s if after_s > 0.0 else AT_ONCE
        self._timers[key] = Timer(at, self._turn, action.content)

    # ---- sys --------------------------------------------------------------------------------------------------------

    def get_state(self) -> object:
        """State and data."""
        return self.server.state, super().get_state()

    def set_state(self, state: object) -> None:
        """The other way."""
        if not isinstance(state, (list, tuple)) or len(state) != 2:
            raise TypeError(f"not state and attributes: {type(state).__name__}")
        super().set_state(state[1])
        self.server.state = state[0]


def _key_of(action: TimeoutAction) -> Key:
    match action:
        case StateTimeout():
            return STATE_TIMEOUT
        case EventTimeout():
            return EVENT_TIMEOUT
        case GenericTimeout(name):
            return ("generic_timeout", name)
        case UpdateTimeout(kind, _, name):
            return (kind, name)
