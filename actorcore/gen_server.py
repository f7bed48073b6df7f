"""GenServer: OTP's gen_server as a class to derive from, and its rules as a pure machine that the process loops drive.

Rules (gen_server(3), OTP 25): an exit signal of the parent ends the server through ``terminate``, any other is a message;
``continue`` runs before the next message; any message re-arms nothing: an inactivity timeout holds until the next message;
a callback that raises ends the server with that reason after ``terminate``, and with that of ``terminate`` if that raises.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import ClassVar, TypeAlias, Union

import msgspec

from actorcore import frames
from actorcore.exit_reason import Reason
from actorcore.frames import Call, Cast, Reply as ReplyFrame, System
from actorcore.mailbox import DownMessage, ExitMessage, From, Item, Message, Raw, TaskReply, Timeout
from actorcore.pids import Pid, pid_of
from actorcore.process_face import AsyncProcessFace, ProcessFace

Info: TypeAlias = Union[Message, ExitMessage, DownMessage, TaskReply, Timeout]


class Continue(msgspec.Struct, frozen=True):
    """Run ``handle_continue(term)`` before the next message."""

    term: object = None


class Ok(msgspec.Struct, frozen=True):
    """``init`` went well; also what returning None means."""

    timeout_s: float | None = None
    then: Continue | None = None


class Ignore(msgspec.Struct, frozen=True):
    """``init`` does not want to run: the process ends normally, the starter gets no pid and no error."""


class Reply(msgspec.Struct, frozen=True):
    """Answer the call being handled."""

    value: object = None
    timeout_s: float | None = None
    then: Continue | None = None


class NoReply(msgspec.Struct, frozen=True):
    """Go on; a call is answered later with ``process.reply(frm, value)``. None means the same, except for a call."""

    timeout_s: float | None = None
    then: Continue | None = None


class Stop(msgspec.Struct, frozen=True):
    """End with ``reason`` after ``terminate``; ``reply`` answers the call being handled first."""

    reason: Reason = "normal"
    reply: object = msgspec.UNSET


class BadReturnValue(Exception):
    """A callback returned none of the above. It ends the server with ``{"bad_return_value": value}``."""

    def __init__(self, value: object) -> None:
        super().__init__(f"a callback returned {type(value).__name__}")
        self.value = value


InitResult: TypeAlias = Union[None, Ok, Ignore, Stop]
Result: TypeAlias = Union[None, Reply, NoReply, Stop]
InitReturn: TypeAlias = Union[InitResult, Awaitable[InitResult]]
Return: TypeAlias = Union[Result, Awaitable[Result]]
Callback: TypeAlias = tuple[Callable[..., object], tuple[object, ...], From | None]


class GenServer:
    """Derive from it. ``calls`` and ``casts`` may name a (union of tagged) Struct type: what does not decode as it is
    refused with ``invalid_message`` and never reaches a callback; undeclared, any plain data comes in.

    Each callback may be ``async def``; one is enough for the server to run in an asyncio loop, where ``process`` has the
    same methods to be awaited (for type checkers: :class:`AsyncGenServer`). There is still one callback at a time.
    """

    calls: ClassVar[object] = None
    casts: ClassVar[object] = None
    process: ProcessFace

    def init(self, *args: object) -> InitReturn:
        """Make ready; the starter waits. Raising or Stop refuses the start."""
        return None

    def handle_call(self, request: object, frm: From) -> Return:
        """Answer ``request``: Reply, NoReply (and reply later) or Stop."""
        raise NotImplementedError("handle_call")

    def handle_cast(self, request: object) -> Return:
        """Handle a request that wants no answer."""
        raise NotImplementedError("handle_cast")

    def handle_info(self, info: Info) -> Return:
        """Handle a plain message, DOWN, an exit signal (trapping), the value of a task that nobody waited for, or the
        inactivity timeout; ignored by default."""
        return None

    def handle_continue(self, term: object) -> Return:
        """What init or another callback put off with ``then``."""
        raise NotImplementedError("handle_continue")

    def terminate(self, reason: Reason) -> None | Awaitable[None]:
        """Last words; not called after a kill."""
        return None


class AsyncGenServer(GenServer):
    """A GenServer that always runs in a loop, and whose ``process`` has the type that it has there."""

    process: AsyncProcessFace  # type: ignore[assignment]


_CALLBACKS = ("init", "handle_call", "handle_cast", "handle_info", "handle_continue", "terminate")
_COROUTINE = 0x80
"""``inspect.CO_COROUTINE``; importing inspect would cost every fork."""


def is_async(start: object) -> bool:
    """Whether ``start``, a GenServer class or a function, is to run in a loop."""
    if not isinstance(start, type):
        return _is_coroutine_function(start)
    if not issubclass(start, GenServer) or issubclass(start, AsyncGenServer):
        return issubclass(start, GenServer)
    # Only what is defined below GenServer: a newborn that looked at all would write to their pages.
    own = start.__mro__[: start.__mro__.index(GenServer)]
    for name in _CALLBACKS:
        for base in own:
            if name in base.__dict__:
                if _is_coroutine_function(getattr(start, name)):
                    return True
                break
    return False


def _is_coroutine_function(function: object) -> bool:
    code = getattr(getattr(function, "__wrapped__", function), "__code__", None)
    return code is not None and bool(code.co_flags & _COROUTINE)


def decoder_of(declared: object) -> msgspec.msgpack.Decoder[object]:
    """The decoder of a declared message type; None: any plain data."""
    if declared is None:
        return _any_decoder
    return msgspec.msgpack.Decoder(declared, ext_hook=frames.term_decoder.ext_hook)


_any_decoder = msgspec.msgpack.Decoder(object, ext_hook=frames.term_decoder.ext_hook)


class Rules:
    """What to run for an item, and what its result means. ``stop`` is the reason as soon as the server is to end."""

    def __init__(self, server: GenServer, instance: int, parent: int, reply: Callable[[From, object], None]) -> None:
        self._server = server
        self._instance = instance
        self._parent = Pid(instance, parent) if parent else None
        self._reply = reply
        self._calls = decoder_of(server.calls)
        self._casts = decoder_of(server.casts)
        self.timeout_s: float | None = None
        self.then: Continue | None = None
        self.stop: Reason | None = None

    def begun(self, result: object) -> Ignore | None:
        """Read the result of ``init``; Ignore and ``stop`` refuse the start."""
        if isinstance(result, Ignore):
            return result
        if isinstance(result, Stop):
            self.stop = result.reason
        elif isinstance(result, Ok):
            self.timeout_s, self.then = result.timeout_s, result.then
        elif result is not None:
            raise BadReturnValue(result)
        return None

    def callback(self, item: Item | Timeout) -> Callback | None:
        """The callback for ``item`` with its arguments and caller; None: ``stop`` is set.

        :raises DECODE_ERRORS: the message is not of the declared type.
        """
        if type(item) is Raw:
            message = item.message
            if type(message) is System:
                self._obey(message)
                return None
            if type(message) is Cast:
                return self._server.handle_cast, (self._casts.decode(message.body),), None
            pid = pid_of(self._instance, item.frm)
            if type(message) is Call:
                frm = From(pid, message.number)
                return self._server.handle_call, (self._calls.decode(message.body), frm), frm
            if type(message) is ReplyFrame:
                return self._server.handle_info, (TaskReply(message.number, frames.term_decoder.decode(message.body)),), None
            return self._server.handle_info, (Message(pid, frames.term_decoder.decode(message.body)),), None
        if type(item) is ExitMessage and item.frm == self._parent:
            self.stop = item.reason
            return None
        return self._server.handle_info, (item,), None

    def _obey(self, word: System) -> None:
        reason = frames.term_decoder.decode(word.body)
        if word.verb == "stop" and isinstance(reason, (str, dict)):
            self.stop = reason

    def continuation(self) -> Callback | None:
        """``handle_continue``, when the last callback asked for it."""
        if self.then is None:
            return None
        term, self.then = self.then.term, None
        return self._server.handle_continue, (term,), None

    def conclude(self, result: object, frm: From | None) -> None:
        """Read a callback's result: answer, next timeout, continuation, stop."""
        if type(result) is Reply and frm is not None:
            self._reply(frm, result.value)
            self.timeout_s, self.then = result.timeout_s, result.then
        elif type(result) is NoReply:
            self.timeout_s, self.then = result.timeout_s, result.then
        elif result is None and frm is None:
            self.timeout_s = None
        elif type(result) is Stop:
            if frm is not None and result.reply is not msgspec.UNSET:
                self._reply(frm, result.reply)
            self.stop = result.reason
        else:
            raise BadReturnValue(result)


def invalid_message(item: Item | Timeout) -> frames.Reply | None:
    """The refusal of an item whose body did not decode; None when its sender waits for no answer."""
    if isinstance(item, Raw) and isinstance(item.message, Call):
        return frames.Reply(item.message.number, error=("invalid_message", "not of the declared type"))
    return None

