"""GenServer: OTP's gen_server as a class to derive from, and its rules as a pure machine that the process loops drive.

Rules (gen_server(3), OTP 25): an exit signal of the parent ends the server through ``terminate``, any other is a message;
``continue`` runs before the next message; any message re-arms nothing: an inactivity timeout holds until the next message,
and a system message begins it anew; a callback that raises ends the server with that reason after ``terminate``, and with
that of ``terminate`` if that raises; the reply of a stop comes after ``terminate``. ``hibernate`` is accepted and does
nothing: an idle process costs no heap to collect.

Not here: ``multi_call`` and ``abcast`` (one host has no nodes: call or cast in a loop), and ``enter_loop`` (a process is what
its spec says from its birth).
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import ClassVar, TypeAlias, Union

import msgspec

from actorcore.behaviour import (
    BadReturnValue as BadReturnValue,
    Behaviour,
    Host,
    Ignore as Ignore,
    Machine,
    Stop as Stop,
    Todo,
    has_coroutines,
    is_async as is_async,
)
from actorcore.mailbox import (
    DownMessage as DownMessage,
    ExitMessage as ExitMessage,
    From as From,
    Message as Message,
    TaskReply as TaskReply,
    Timeout as Timeout,
)
from actorcore.process_face import AsyncProcessFace

Info: TypeAlias = Union[Message, ExitMessage, DownMessage, TaskReply, Timeout]


class Continue(msgspec.Struct, frozen=True):
    """Run ``handle_continue(term)`` before the next message."""

    term: object = None


class Ok(msgspec.Struct, frozen=True):
    """``init`` went well; also what returning None means."""

    timeout_s: float | None = None
    then: Continue | None = None
    hibernate: bool = False


class Reply(msgspec.Struct, frozen=True):
    """Answer the call being handled."""

    value: object = None
    timeout_s: float | None = None
    then: Continue | None = None
    hibernate: bool = False


class NoReply(msgspec.Struct, frozen=True):
    """Go on; a call is answered later with ``process.reply(frm, value)``. None means the same, except for a call."""

    timeout_s: float | None = None
    then: Continue | None = None
    hibernate: bool = False


InitResult: TypeAlias = Union[None, Ok, Ignore, Stop]
Result: TypeAlias = Union[None, Reply, NoReply, Stop]
InitReturn: TypeAlias = Union[InitResult, Awaitable[InitResult]]
Return: TypeAlias = Union[Result, Awaitable[Result]]


class GenServer(Behaviour):
    """Derive from it.

    Each callback may be ``async def``; one is enough for the server to run in an asyncio loop, where ``process`` has the
    same methods to be awaited (for type checkers: :class:`AsyncGenServer`). There is still one callback at a time.
    """

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

    def machine(self, host: Host) -> Machine:
        """See Behaviour."""
        return ServerMachine(self, host)

    @classmethod
    def is_async(cls) -> bool:
        """See Behaviour."""
        return has_coroutines(cls, GenServer, _CALLBACKS)


class AsyncGenServer(GenServer):
    """A GenServer that always runs in a loop, and whose ``process`` has the type that it has there."""

    process: AsyncProcessFace  # type: ignore[assignment]

    @classmethod
    def is_async(cls) -> bool:
        """See Behaviour."""
        return True


_CALLBACKS = ("init", "handle_call", "handle_cast", "handle_info", "handle_continue", "terminate")


class ServerMachine(Machine):
    """The rules of a GenServer."""

    NAME: ClassVar[str] = "gen_server"

    def __init__(self, server: Behaviour, host: Host) -> None:
        super().__init__(server, host)
        self._timeout_s: float | None = None
        self._then: Continue | None = None
        self._parting: tuple[From, object] | None = None

    def begun(self, result: object) -> Ignore | None:
        """See Machine."""
        if isinstance(result, Ignore):
            return result
        if isinstance(result, Stop):
            self.stop = result.reason
        elif isinstance(result, Ok):
            self._timeout_s, self._then = result.timeout_s, result.then
        elif result is not None:
            raise BadReturnValue(result)
        return None

    def pending(self) -> Todo | None:
        """``handle_continue``, when the last callback asked for it."""
        if self._then is None:
            return None
        term, self._then = self._then.term, None
        return self.server.handle_continue, (term,), None

    def deadline_s(self) -> float | None:
        """See Machine."""
        if self._timeout_s is None or self.debug.is_suspended:
            return None
        return self.host.now_s() + self._timeout_s

    def on_call(self, request: object, frm: From) -> Todo:
        return self.server.handle_call, (request, frm), frm

    def on_cast(self, request: object) -> Todo:
        return self.server.handle_cast, (request,), None

    def on_info(self, info: Info) -> Todo:
        return self.server.handle_info, (info,), None

    def conclude(self, result: object, frm: From | None) -> bool:
        """Read a callback's result: answer, next timeout, continuation, stop."""
        if result is None and frm is None:
            self._timeout_s = None
            return False
        if type(result) is Reply and frm is not None:
            self.answer(frm, result.value)
            self._timeout_s, self._then = result.timeout_s, result.then
        elif type(result) is NoReply:
            self._timeout_s, self._then = result.timeout_s, result.then
        elif type(result) is Stop and (frm is not None or result.reply is msgspec.UNSET):
            if frm is not None and result.reply is not msgspec.UNSET:
                self._parting = frm, result.reply
            self.stop = result.reason
        else:
            raise BadReturnValue(result)
        return self._then is not None

    def part(self) -> None:
        """See Machine."""
        if self._parting is not None:  # handle_msg of gen_server.erl: try terminate(...) after reply(From, Reply) end
            self.answer(*self._parting)
