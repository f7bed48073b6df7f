"""The processes that test_process.py and test_gen_server.py run."""

from __future__ import annotations

import os
from typing import ClassVar, Union

import msgspec

from actorcore.errors import ActorError, CallFailed, RequestError
from actorcore.exit_reason import Reason
from actorcore.gen_server import Continue, GenServer, Ignore, Info, InitResult, NoReply, Ok, Reply, Result, Stop
from actorcore.mailbox import CallMessage, From, Message
from actorcore.pids import Pid
from actorcore.runtime.actor.process import Process, current

INSTANCE = 7


def outcome_of_call(process: Process, to: int, body: object, timeout_s: float = 5.0) -> object:
    try:
        return process.call(Pid(INSTANCE, to), body, timeout_s)
    except CallFailed as error:
        return {"failed": error.reason}
    except RequestError as error:
        return {"refused": error.code}
    except ActorError as error:
        return {"error": type(error).__name__}


def echo(process: Process) -> None:
    while (event := process.receive()) is not None:
        if isinstance(event, CallMessage):
            process.reply(event.frm, event.body)


def recorder(process: Process, report_to: int) -> None:
    """Sends every event to the test, as text."""
    while (event := process.receive()) is not None:
        process.send(Pid(INSTANCE, report_to), [type(event).__name__, *(str(item) for item in msgspec.structs.astuple(event))])


def caller(process: Process, to: int, report_to: int, body: object, timeout_s: float) -> None:
    """Calls once, reports how it ended, then every event."""
    process.send(Pid(INSTANCE, report_to), outcome_of_call(process, to, body, timeout_s))
    recorder(process, report_to)


def stopper(process: Process, to: int, report_to: int, timeout_s: float) -> None:
    """Stops ``to``, reports how that ended, then every event."""
    try:
        process.stop(Pid(INSTANCE, to), "normal", timeout_s)
    except ActorError as error:
        process.send(Pid(INSTANCE, report_to), type(error).__name__)
    recorder(process, report_to)


def regular(process: Process, to: int, count: int) -> None:
    """Calls so many times."""
    for number in range(count):
        process.call(Pid(INSTANCE, to), number)


def big_caller(process: Process, to: int, size_bytes: int) -> None:
    body = bytes(range(256)) * (size_bytes // 256)
    process.exit_self("same" if process.call(Pid(INSTANCE, to), body) == body else "different")


def flooder(process: Process, to: int, count: int) -> None:
    """Casts without reading, then reads as many, then is done."""
    for number in range(count):
        process.cast(Pid(INSTANCE, to), [number, b"x" * 1000])
    for number in range(count):
        event = process.receive(30.0)
        assert isinstance(event, Message)
        assert isinstance(event.body, list)
        assert event.body[0] == number


def sender(process: Process, to: int, count: int) -> None:
    for number in range(count):
        process.send(Pid(INSTANCE, to), number)


def leaver(process: Process, how: str) -> None:
    if how == "exit_self":
        process.exit_self({"shutdown": "enough"})
    if how == "sys.exit(3)":
        raise SystemExit(3)
    if how == "sys.exit()":
        raise SystemExit
    if how == "ValueError":
        raise ValueError("wrong")
    if how == "hostile str":
        raise Hostile
    if how == "endless str":
        raise Endless
    if how == "closed pipe":
        reader, writer = os.pipe()
        os.close(reader)
        try:
            os.write(writer, b"x")
        except BrokenPipeError as error:
            process.exit_self({"shutdown": type(error).__name__})
    if how == "cyclic":
        loop: list[object] = []
        loop.extend([loop] * 64)
        process.exit_self({"shutdown": loop})  # type: ignore[dict-item]
    if how == "huge":
        process.exit_self({"shutdown": "x" * (1 << 24)})
    if how == "no text":
        process.exit_self(object())  # type: ignore[arg-type]


class Hostile(Exception):
    def __str__(self) -> str:
        raise SystemExit(0)


class Endless(Exception):
    def __str__(self) -> str:
        return "x" * (1 << 26)


def asker(process: Process, report_to: int) -> None:
    """Obeys the test: each call's body is [method, *args]."""
    while (event := process.receive()) is not None:
        assert isinstance(event, CallMessage)
        assert isinstance(event.body, list)
        method, *arguments = event.body
        arguments = [Pid(INSTANCE, item["pid"]) if isinstance(item, dict) else item for item in arguments]
        try:
            process.reply(event.frm, str(getattr(process, method)(*arguments)))
        except RequestError as error:
            process.reply_error(event.frm, error.code)


class Get(msgspec.Struct, tag="get"):
    pass


class Add(msgspec.Struct, tag="add"):
    amount: int


class Counter(GenServer):
    calls: ClassVar[object] = Union[Get, Add]
    casts: ClassVar[object] = Add

    def init(self, *args: object) -> InitResult:
        self.value = 0
        return None

    def handle_call(self, request: object, frm: From) -> Result:
        if isinstance(request, Add):
            self.value += request.amount
        return Reply(self.value)

    def handle_cast(self, request: object) -> Result:
        assert isinstance(request, Add)
        self.value += request.amount
        return None


class Obedient(GenServer):
    """Does what it is told; tells the test (serial 99) what its callbacks saw."""

    def init(self, *args: object) -> InitResult:
        assert self.process is current()
        self.held: list[From] = []
        self.is_touchy = args == ("touchy",)
        return self.begin(args[0] if args else "ok")

    def begin(self, how: object) -> InitResult:
        if how == "ignore":
            return Ignore()
        if how == "stop":
            return Stop({"shutdown": "not today"})
        if how == "raise":
            raise ValueError("init")
        if how == "exit":
            self.process.exit_self("early")
        if how == "continue":
            return Ok(then=Continue("from init"))
        if how == "timeout":
            return Ok(timeout_s=0.01)
        if how == "bad":
            return 42  # type: ignore[return-value]
        return None

    def tell(self, *words: object) -> None:
        self.process.send(Pid(INSTANCE, 99), list(words))

    def handle_call(self, request: object, frm: From) -> Result:
        if request == "hold":
            self.held.append(frm)
            return NoReply()
        if request == "release":
            for waiting in self.held:
                self.process.reply(waiting, "released")
            return Reply("done")
        if request == "stop":
            return Stop("shutdown", reply="bye")
        if request == "raise":
            raise KeyError("first")
        if request == "exit":
            self.process.exit_self({"shutdown": 1})
        if request == "none":
            return None
        if request == "continue":
            return Reply("now", then=Continue("later"))
        return Reply(request)

    def handle_cast(self, request: object) -> Result:
        self.tell("cast", request)
        return None

    def handle_info(self, info: Info) -> Result:
        self.tell("info", type(info).__name__, str(msgspec.structs.astuple(info)[-1]) if type(info).__struct_fields__ else "")
        if self.is_touchy:
            raise KeyError("first")
        return None

    def handle_continue(self, term: object) -> Result:
        self.tell("continue", term)
        return None

    def terminate(self, reason: Reason) -> None:
        self.tell("terminate", reason)
        raise RuntimeError("second")
