"""Owners of tasks, which do as a test tells them, lean and in a loop."""

from __future__ import annotations

import os
import signal
from typing import Any

from actorcore.errors import CallFailed, CallTimeout
from actorcore.gen_server import AsyncGenServer, GenServer, Info, InitResult, NoReply, Reply, Result
from actorcore.mailbox import DownMessage, ExitMessage, From, TaskReply
from actorcore.runtime.actor.async_tasks import AsyncTasks
from actorcore.runtime.actor.tasks import Tasks
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
            case "kill_and_await_many", [int(os_pid), refs]:  # a death that is told before it awaits the task is a message
                os.kill(os_pid, signal.SIGKILL)
                return self.tasks.await_many([self.known[ref] for ref in refs], None)
            case "yield_many", [refs, timeout_s]:
                return [told(outcome) for outcome in self.tasks.yield_many([self.known[ref] for ref in refs], timeout_s)]
            case "ignore", [int(ref)]:
                return told(self.tasks.ignore(self.known[ref]))
            case "await_many_of", [str(start), items]:
                return self.tasks.await_many([self.tasks.async_(start, [item]) for item in items], WAIT_S)
            case "yield_many_of", [str(start), items]:
                tasks = [self.tasks.async_(start, [item]) for item in items]
                return [told(outcome) for outcome in self.tasks.yield_many(tasks, WAIT_S)]
            case "look", [str(start), *rest]:
                task = self.tasks.async_nolink(start, rest)
                while (outcome := self.tasks.yield_(task, 0.0)) is None:
                    pass
                return told(outcome)
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
            case "kill_and_await_many", [int(os_pid), refs]:
                os.kill(os_pid, signal.SIGKILL)
                return await self.tasks.await_many([self.known[ref] for ref in refs], None)
            case "yield_many", [refs, timeout_s]:
                return [told(outcome) for outcome in await self.tasks.yield_many([self.known[ref] for ref in refs], timeout_s)]
            case "ignore", [int(ref)]:
                return told(await self.tasks.ignore(self.known[ref]))
            case "await_many_of", [str(start), items]:
                return await self.tasks.await_many([await self.tasks.async_(start, [item]) for item in items], WAIT_S)
            case "yield_many_of", [str(start), items]:
                tasks = [await self.tasks.async_(start, [item]) for item in items]
                return [told(outcome) for outcome in await self.tasks.yield_many(tasks, WAIT_S)]
            case "look", [str(start), *rest]:
                task = await self.tasks.async_nolink(start, rest)
                while (outcome := await self.tasks.yield_(task, 0.0)) is None:
                    pass
                return told(outcome)
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
        if request == "count":
            return Reply(len(self.waiting))
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
