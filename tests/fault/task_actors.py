"""Owners of tasks, which do as a test tells them, lean and in a loop; and what the tasks do."""

from __future__ import annotations

import os
from typing import Any

from actorcore.errors import CallFailed, CallTimeout
from actorcore.gen_server import AsyncGenServer, GenServer, Info, InitResult, NoReply, Reply, Result
from actorcore.mailbox import DownMessage, ExitMessage, From, TaskReply
from actorcore.runtime import intake
from actorcore.runtime.async_tasks import AsyncTasks
from actorcore.runtime.process import current
from actorcore.runtime.tasks import Tasks
from actorcore.task import Outcome, Task, TaskExit, TaskValue

WAIT_S = 20.0


class Owner(GenServer):
    """Answers ``[verb, …]`` with what came of it."""

    def init(self, *args: Any) -> InitResult:
        (supervisor,) = args
        self.tasks = Tasks(self.process, supervisor)  # type: ignore[arg-type]
        self.known: dict[int, Task] = {}
        self.mail: list[Any] = []
        return None

    def handle_call(self, request: Any, frm: From) -> Result:
        try:
            return Reply(self.obey(*request))
        except CallFailed as error:
            return Reply({"failed": error.reason})
        except CallTimeout:
            return Reply("timeout")

    def obey(self, verb: str, *args: Any) -> Any:
        match verb, args:
            case "async", [str(start), *rest]:
                return self.know(self.tasks.async_(start, rest))
            case "async_nolink", [str(start), *rest]:
                return self.know(self.tasks.async_nolink(start, rest))
            case "run", [str(start), *rest]:
                return self.tasks.await_(self.tasks.async_nolink(start, rest), WAIT_S)
            case "run_linked", [str(start), *rest]:
                return self.tasks.await_(self.tasks.async_(start, rest), WAIT_S)
            case "tell", [int(ref), message]:
                self.process.send(self.known[ref].pid, message)
                outcomes = [self.tasks.yield_(self.known[ref], wait_s) for wait_s in (WAIT_S, 0.0)]
                return [told(outcome) for outcome in outcomes]
            case "await", [int(ref), timeout_s]:
                return self.tasks.await_(self.known[ref], timeout_s)
            case "yield", [int(ref), timeout_s]:
                return told(self.tasks.yield_(self.known[ref], timeout_s))
            case "shutdown", [int(ref), grace]:
                return told(self.tasks.shutdown(self.known[ref], grace))
            case "stream", [str(start), inputs, rest, options]:
                return [told(outcome) for outcome in self.tasks.async_stream(start, inputs, rest, **options)]
            case "first", [str(start), inputs, rest]:
                stream = self.tasks.async_stream(start, inputs, rest)
                try:
                    return told(next(stream))
                finally:
                    stream.close()  # type: ignore[attr-defined]
            case "mail", []:
                return self.mail
        raise NotImplementedError(verb)

    def know(self, task: Task) -> list[int]:
        self.known[task.ref] = task
        return [task.ref, task.pid.serial]

    def handle_info(self, info: Info) -> Result:
        self.mail.append(note(info))
        return None


class AsyncOwner(AsyncGenServer):
    """The same in a loop."""

    async def init(self, *args: Any) -> InitResult:
        (supervisor,) = args
        self.tasks = AsyncTasks(self.process, supervisor)  # type: ignore[arg-type]
        self.known: dict[int, Task] = {}
        self.mail: list[Any] = []
        return None

    async def handle_call(self, request: Any, frm: From) -> Result:
        try:
            return Reply(await self.obey(*request))
        except CallFailed as error:
            return Reply({"failed": error.reason})
        except CallTimeout:
            return Reply("timeout")

    async def obey(self, verb: str, *args: Any) -> Any:
        match verb, args:
            case "async", [str(start), *rest]:
                return self.know(await self.tasks.async_(start, rest))
            case "async_nolink", [str(start), *rest]:
                return self.know(await self.tasks.async_nolink(start, rest))
            case "run", [str(start), *rest]:
                return await self.tasks.await_(await self.tasks.async_nolink(start, rest), WAIT_S)
            case "run_linked", [str(start), *rest]:
                return await self.tasks.await_(await self.tasks.async_(start, rest), WAIT_S)
            case "tell", [int(ref), message]:
                await self.process.send(self.known[ref].pid, message)
                outcomes = [await self.tasks.yield_(self.known[ref], wait_s) for wait_s in (WAIT_S, 0.0)]
                return [told(outcome) for outcome in outcomes]
            case "await", [int(ref), timeout_s]:
                return await self.tasks.await_(self.known[ref], timeout_s)
            case "yield", [int(ref), timeout_s]:
                return told(await self.tasks.yield_(self.known[ref], timeout_s))
            case "shutdown", [int(ref), grace]:
                return told(await self.tasks.shutdown(self.known[ref], grace))
            case "stream", [str(start), inputs, rest, options]:
                return [told(outcome) async for outcome in self.tasks.async_stream(start, inputs, rest, **options)]
            case "first", [str(start), inputs, rest]:
                stream = self.tasks.async_stream(start, inputs, rest)
                try:
                    return told(await anext(stream))
                finally:
                    await stream.aclose()  # type: ignore[attr-defined]
            case "mail", []:
                return self.mail
        raise NotImplementedError(verb)

    def know(self, task: Task) -> list[int]:
        self.known[task.ref] = task
        return [task.ref, task.pid.serial]

    async def handle_info(self, info: Info) -> Result:
        self.mail.append(note(info))
        return None


def told(outcome: Outcome | None) -> Any:
    match outcome:
        case TaskValue(value):
            return {"ok": value}
        case TaskExit(reason):
            return {"exit": reason}
    return None


def note(info: Info) -> Any:
    match info:
        case TaskReply(ref, value):
            return ["value", ref, value]
        case DownMessage(ref, _, reason):
            return ["down", ref, reason]
        case ExitMessage(pid, reason):
            return ["exit", pid.serial, reason]
    return [type(info).__name__]


class Gate(GenServer):
    """Lets its callers pass when so many of them are there, and everybody once it is told to."""

    def init(self, *args: Any) -> InitResult:
        (self.many,) = args
        self.waiting: list[From] = []
        return None

    def handle_call(self, request: Any, frm: From) -> Result:
        self.waiting.append(frm)
        if len(self.waiting) == self.many:
            self.open()
        return NoReply()

    def handle_cast(self, request: Any) -> Result:
        self.many = 1
        self.open()
        return None

    def open(self) -> None:
        for one in self.waiting:
            self.process.reply(one, None)
        self.waiting = []


# ---- what tasks do --------------------------------------------------------------------------------------------------


def square(number: int) -> int:
    return number * number


async def slow_square(number: int) -> int:
    """A coroutine runs in a loop, on whatever template."""
    return number * number


def boom(*_: object) -> None:
    raise ValueError("boom")


def strange(*_: object) -> object:
    """Returns what no message can carry."""
    return object()


def stand_still(*_: object) -> None:
    """Until it is killed."""
    current().receive()


def when_told(*_: object) -> object:
    """The body of the first message."""
    message = current().receive()
    return message.body  # type: ignore[union-attr]


def whose(*_: object) -> list[int]:
    """On whose behalf this runs."""
    task = intake.running().begin.spec.task
    assert task is not None
    return task.callers


def whose_inner(supervisor: int) -> Any:
    """The callers of a task of this task."""
    process = current()
    tasks = Tasks(process, type(process.self_pid)(process.self_pid.instance, supervisor))
    return tasks.await_(tasks.async_("tests.fault.task_actors:whose"))


def as_item_says(item: Any, log: str) -> Any:
    """``item`` is ``[verb, …]``; the beginning and the end of each are lines of ``log``."""
    with open(log, "ab", buffering=0) as lines:
        lines.write(b"+\n")
        match item:
            case ["square", int(number)]:
                result = number * number
            case ["meet", str(gate), int(number)]:
                current().call(gate, number, None)
                result = number * number
            case ["boom"]:
                boom()
            case ["die"]:
                os.kill(os.getpid(), 9)
            case ["hang"]:
                lines.close()
                stand_still()
        lines.write(b"-\n")
    return result
