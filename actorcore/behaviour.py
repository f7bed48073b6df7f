"""Behaviours: what all classes of callbacks have in common, and the one machine that every process loop drives.

A loop asks the machine what to run (``pending``, then ``take`` with the next message), runs it, and tells it what came of
it (``conclude``). Messages to the behaviour itself, OTP's sys, end here: no callback sees them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, ClassVar, Protocol, TypeAlias

import msgspec

from actorcore.debug import Debug, event_of
from actorcore.exit_reason import Reason, Term, text_of
from actorcore.frames import DECODE_ERRORS, Call, Cast, Reply, System, term_decoder
from actorcore.mailbox import DownMessage, ExitMessage, From, Item, Mailbox, Message, Notice, Raw, TaskReply, Timeout
from actorcore.pids import Pid, pid_of
from actorcore.process_face import ProcessFace
from actorcore.state_terms import attributes, set_attributes, shown
from actorcore.system_words import (
    ChangeCode,
    GetState,
    GetStatus,
    Log,
    ReplaceState,
    Resume,
    Statistics,
    Suspend,
    SystemRequest,
    Terminate,
    Trace,
    request_decoder,
)  # fmt: skip

Todo: TypeAlias = tuple[Callable[..., object], tuple[object, ...], From | None]
"""A callback, its arguments, and who waits for an answer."""
Refusal: TypeAlias = tuple[str, str]


class Stop(msgspec.Struct, frozen=True):
    """End with ``reason`` after ``terminate``; ``reply`` answers the call being handled: a GenServer's after ``terminate``, a
    GenStatem's before it.
    """

    reason: Reason = "normal"
    reply: object = msgspec.UNSET


class Ignore(msgspec.Struct, frozen=True):
    """``init`` does not want to run: the process ends normally, the starter gets no pid and no error."""


class BadReturnValue(Exception):
    """A callback returned what it may not. It ends the process with ``{"bad_return_value": value}``."""

    def __init__(self, value: object) -> None:
        super().__init__(f"a callback returned {type(value).__name__}")
        self.value = value


class Host(Protocol):
    """What a machine needs of the process that it runs in."""

    mailbox: Mailbox

    @property
    def self_pid(self) -> Pid: ...

    @property
    def parent_pid(self) -> Pid | None: ...

    def post_reply(self, frm: From, value: object) -> None: ...

    def post_error(self, frm: From, code: str, detail: str) -> None: ...

    def post_event(self, to: int, event: Term) -> bool:
        """Tell a tracer, unless its queue is full; False when it is gone."""

    def load(self, start: str) -> Callable[..., object]:
        """The callable of ``module:name``; raises ValueError, ImportError, AttributeError, TypeError."""

    def renew(self, module: str, kind: type) -> tuple[type, Term, Callable[[], None]]:
        """Load ``module`` anew: its class in place of ``kind``, the version before, and how to go back to it."""

    def now_s(self) -> float: ...

    def cpu_s(self) -> float: ...


class Behaviour:
    """Derive from a behaviour, not from this. ``calls`` and ``casts`` may name a (union of tagged) Struct type: what does
    not decode as it is refused with ``invalid_message`` and never reaches a callback; undeclared, any plain data comes in.
    """

    calls: ClassVar[object] = None
    casts: ClassVar[object] = None
    is_private: ClassVar[bool] = False
    """It holds what others may not see: of sys it obeys nothing but the word to end."""
    process: ProcessFace

    def init(self, *args: object) -> Any:
        """Make ready; the starter waits. Raising or Stop refuses the start."""
        return None

    def terminate(self, reason: Reason) -> None | Awaitable[None]:
        """Last words; not called after a kill."""
        return None

    def format_status(self, status: dict[str, Term]) -> dict[str, Term]:
        """What ``get_status`` is to show: take secrets out of ``status["state"]`` here."""
        return status

    def code_change(self, old_version: object, state: Any, extra: object) -> Any:
        """In the new class: ``state`` (as ``get_state`` has it, not made plain) as this code needs it.

        Raising leaves the process with its old code and state, as long as ``state`` is not changed in place.
        ``old_version`` is the asker's word for the code before, or else the ``__version__`` of its module.
        """
        return state

    def machine(self, host: Host) -> Machine:
        """The rules that drive it."""
        raise NotImplementedError

    @classmethod
    def is_async(cls) -> bool:
        """Whether it has to run in a loop: one ``async def`` among its callbacks is enough."""
        raise NotImplementedError


_COROUTINE = 0x80
"""``inspect.CO_COROUTINE``; importing inspect would cost every fork."""


def is_coroutine_function(function: object) -> bool:
    code = getattr(getattr(function, "__wrapped__", function), "__code__", None)
    return code is not None and bool(code.co_flags & _COROUTINE)


def has_coroutines(kind: type, base: type, names: Sequence[str]) -> bool:
    """Whether one of these methods is ``async def`` in ``kind``."""
    # Only what is defined below base, and by plain loops: a newborn writes to the pages of whatever it looks at.
    for each in kind.__mro__[: kind.__mro__.index(base)]:
        for name in names:
            if name in each.__dict__ and is_coroutine_function(getattr(kind, name)):
                return True
    return False


def is_async(start: object) -> bool:
    """Whether ``start``, a class of callbacks or a function, is to run in a loop."""
    if not isinstance(start, type):
        return is_coroutine_function(start)
    return issubclass(start, Behaviour) and start.is_async()


def decoder_of(declared: object) -> msgspec.msgpack.Decoder[object]:
    """The decoder of a declared message type; None: any plain data."""
    if declared is None:
        return _any_decoder
    return msgspec.msgpack.Decoder(declared, ext_hook=term_decoder.ext_hook)


_any_decoder = msgspec.msgpack.Decoder(object, ext_hook=term_decoder.ext_hook)


class Machine:
    """What to run for a message, and what its result means. ``stop`` is the reason as soon as the process is to end."""

    NAME: ClassVar[str]
    APART: ClassVar[frozenset[str]] = frozenset({"process"})
    """Attributes that are no state."""

    def __init__(self, server: Behaviour, host: Host) -> None:
        self.host = host
        self.debug = Debug()
        self.stop: Reason | None = None
        self._instance = host.self_pid.instance
        self._parent = host.parent_pid
        self._is_idle = True
        self.server: Any = server
        self.adopt()

    # ---- what a behaviour decides -----------------------------------------------------------------------------------

    def begun(self, result: object) -> Ignore | None:
        """Read the result of ``init``; Ignore and ``stop`` refuse the start."""
        raise NotImplementedError

    def pending(self) -> Todo | None:
        """What comes before the next message."""
        raise NotImplementedError

    def deadline_s(self) -> float | None:
        """When to go on without a message (monotonic seconds); :class:`Timeout` is taken then."""
        raise NotImplementedError

    def conclude(self, result: object, frm: From | None) -> bool:
        """Read a callback's result; False: nothing is pending before the next message."""
        raise NotImplementedError

    def on_call(self, request: object, frm: From) -> Todo | None:
        raise NotImplementedError

    def on_cast(self, request: object) -> Todo | None:
        raise NotImplementedError

    def on_info(self, info: Message | ExitMessage | DownMessage | TaskReply | Timeout) -> Todo | None:
        raise NotImplementedError

    def part(self) -> None:
        """``terminate`` is over: say what comes last."""

    # ---- messages ---------------------------------------------------------------------------------------------------

    def adopt(self) -> None:
        """Take over what depends on the class of the server."""
        self._calls = decoder_of(self.server.calls)
        self._casts = decoder_of(self.server.casts)

    def take(self, item: Item | Timeout) -> Todo | None:
        """The callback for ``item``; None: it was for the behaviour itself.

        :raises DECODE_ERRORS: the message is not of the declared type.
        """
        if type(item) is not Raw:
            return self._take_notice(item)  # type: ignore[arg-type]
        message = item.message
        if type(message) is System:
            self._on_system(item.frm, message)
            return None
        if not self._is_idle and self._is_held(item):
            return None
        if type(message) is Cast:
            return self.on_cast(self._casts.decode(message.body))
        pid = pid_of(self._instance, item.frm)
        if type(message) is Call:
            return self.on_call(self._calls.decode(message.body), From(pid, message.number))
        if type(message) is Reply:
            return self.on_info(TaskReply(message.number, term_decoder.decode(message.body)))
        return self.on_info(Message(pid, term_decoder.decode(message.body)))

    def _take_notice(self, item: Notice | Timeout) -> Todo | None:
        if not self._is_idle and self._is_held(item):
            return None
        if type(item) is ExitMessage and item.frm == self._parent:
            self.stop = item.reason
            return None
        return self.on_info(item)

    def _is_held(self, item: Item | Timeout) -> bool:
        """Suspended, it obeys its parent's exit signal, and all else waits (sys.erl: suspend_loop)."""
        if not self.debug.is_suspended:
            self._tell(["in", *event_of(self._instance, item)])
            return False
        if type(item) is ExitMessage and item.frm == self._parent:
            return False
        if not isinstance(item, Timeout):
            self.host.mailbox.set_aside(item)
        return True

    def answer(self, frm: From, value: object) -> None:
        """Answer a call."""
        self.host.post_reply(frm, value)
        if not self._is_idle:
            self._tell(["out", shown(value), frm.pid])  # type: ignore[list-item]  # a Pid is a term

    def _tell(self, event: list[Term]) -> None:
        self.debug.watch(event)
        for tracer in list(self.debug.tracers):
            if not self.host.post_event(tracer, ["trace", self.host.self_pid, event]):  # type: ignore[list-item]
                self.debug.trace(tracer, False)

    # ---- sys --------------------------------------------------------------------------------------------------------

    def _on_system(self, frm: int, message: System) -> None:
        try:
            answer = self._serve(frm, request_decoder.decode(message.body))
        except DECODE_ERRORS as error:
            answer = None, ("invalid_message", str(error)[:200])
        self._is_idle = self.debug.is_idle()
        if not message.number:
            return
        value, refusal = answer
        asker = From(pid_of(self._instance, frm), message.number)
        if refusal is None:
            self.host.post_reply(asker, value)
        else:
            self.host.post_error(asker, *refusal)

    def _serve(self, frm: int, request: SystemRequest) -> tuple[Term, Refusal | None]:
        match request:
            case Terminate(reason):
                self.stop = reason
            case _ if self.server.is_private:
                return None, ("not_permitted", "it is private")
            case GetState():
                return shown(self.seen_state()), None
            case ReplaceState(function, args):
                return self._guarded(lambda: self._replace(function, args))
            case GetStatus():
                return self._status(), None
            case Suspend():
                self.debug.is_suspended = True
            case Resume():
                self.debug.is_suspended = False
                self.host.mailbox.put_back()
            case Trace(on):
                self.debug.trace(frm, on)
            case Log():
                return self.debug.on_log(request), None
            case Statistics():
                return self.debug.on_statistics(request, self.host.now_s(), self.host.cpu_s()), None
            case ChangeCode():
                return self._change_code(request)
        return True, None

    def get_state(self) -> object:
        """The state: the attributes of the server."""
        return attributes(self.server, self.APART)

    def seen_state(self) -> object:
        """What others see of it."""
        return self.get_state()

    def set_state(self, state: object) -> None:
        """The other way.

        :raises TypeError: it is no such state; nothing has changed.
        """
        set_attributes(self.server, state, self.APART)

    def _replace(self, function: str, args: list[object]) -> Term:
        self.set_state(self.host.load(function)(self.get_state(), *args))
        return shown(self.get_state())

    def _guarded(self, work: Callable[[], Term]) -> tuple[Term, Refusal | None]:
        """What the user's code in ``work`` comes to; as in OTP whatever it raises is answered and ends nothing."""
        try:
            return work(), None
        except BaseException as error:
            return None, ("callback_failed", text_of(error)[:200])

    def _status(self) -> Term:
        debug = self.debug
        status: dict[str, Any] = {
            "pid": self.host.self_pid, "module": f"{type(self.server).__module__}:{type(self.server).__qualname__}",
            "behaviour": self.NAME, "status": "suspended" if debug.is_suspended else "running", "parent": self._parent,
            "waiting": self.host.mailbox.waiting(), "trace": bool(debug.tracers), "statistics": debug.count is not None,
            "log": list(debug.events), "state": shown(self.seen_state()),
        }  # fmt: skip
        value, refusal = self._guarded(lambda: shown(self.server.format_status(status)))
        return value if refusal is None else status | {"state": f"format_status: {refusal[1]}"}

    def _change_code(self, request: ChangeCode) -> tuple[Term, Refusal | None]:
        old = self.server
        if not self.debug.is_suspended:
            return None, ("not_permitted", "it is not suspended")
        if type(old).__module__ != request.module:
            return None, ("not_found", f"{type(old).__qualname__} is of {type(old).__module__}")
        return self._guarded(lambda: self._become(old, request))

    def _become(self, old: Behaviour, request: ChangeCode) -> Term:
        kind, version, go_back = self.host.renew(request.module, type(old))
        try:
            new: Behaviour = object.__new__(kind)
            new.process = old.process
            before = request.old_version if request.old_version is not None else version
            state = new.code_change(before, self.get_state(), request.extra)
            self.server = new
            self.set_state(state)
            self.adopt()
        except BaseException:
            self.server = old
            self.adopt()
            go_back()
            raise
        return True
