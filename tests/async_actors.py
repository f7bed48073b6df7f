"""The processes of tests.lean_actors with ``async def``: the same sentences must hold for them."""

from __future__ import annotations

import asyncio

import msgspec

from actorcore.errors import ActorError, CallFailed, RequestError
from actorcore.exit_reason import Reason
from actorcore.gen_server import AsyncGenServer, Continue, GenServer, Info, InitResult, NoReply, Reply, Result, Stop
from actorcore.mailbox import CallMessage, From, Message
from actorcore.pids import Pid
from actorcore.runtime.actor.async_process import AsyncProcess, current
from actorcore.runtime.actor.loop_waits import let_others_run
from tests import lean_actors
from tests.lean_actors import INSTANCE


async def outcome_of_call(process: AsyncProcess, to: int, body: object, timeout_s: float = 5.0) -> object:
    try:
        return await process.call(Pid(INSTANCE, to), body, timeout_s)
    except CallFailed as error:
        return {"failed": error.reason}
    except RequestError as error:
        return {"refused": error.code}
    except ActorError as error:
        return {"error": type(error).__name__}


async def echo(process: AsyncProcess) -> None:
    while (event := await process.receive()) is not None:
        if isinstance(event, CallMessage):
            await process.reply(event.frm, event.body)


async def recorder(process: AsyncProcess, report_to: int) -> None:
    """Sends every event to the test, as text."""
    while (event := await process.receive()) is not None:
        words = [type(event).__name__, *(str(item) for item in msgspec.structs.astuple(event))]
        await process.send(Pid(INSTANCE, report_to), words)


async def caller(process: AsyncProcess, to: int, report_to: int, body: object, timeout_s: float) -> None:
    """Calls once, reports how it ended, then every event."""
    await process.send(Pid(INSTANCE, report_to), await outcome_of_call(process, to, body, timeout_s))
    await recorder(process, report_to)


async def stopper(process: AsyncProcess, to: int, report_to: int, timeout_s: float) -> None:
    """Stops ``to``, reports how that ended, then every event."""
    try:
        await process.stop(Pid(INSTANCE, to), "normal", timeout_s)
    except ActorError as error:
        await process.send(Pid(INSTANCE, report_to), type(error).__name__)
    await recorder(process, report_to)


async def regular(process: AsyncProcess, to: int, count: int) -> None:
    """Calls so many times."""
    for number in range(count):
        await process.call(Pid(INSTANCE, to), number)


async def many_callers(process: AsyncProcess, to: int, report_to: int, count: int) -> None:
    """Calls from as many tasks at once; reports the answers in the order of the tasks."""
    calls = [process.call(Pid(INSTANCE, to), number) for number in range(count)]
    await process.send(Pid(INSTANCE, report_to), await asyncio.gather(*calls))


async def flooded_caller(process: AsyncProcess, to: int, report_to: int, count: int) -> None:
    """Calls, tells when its mailbox is full, then the answer, then how many of ``count`` messages came."""
    call = asyncio.create_task(process.call(Pid(INSTANCE, to), "wait", 60.0))
    while not process.mailbox.is_full():
        await let_others_run()
    await process.send(Pid(INSTANCE, report_to), "full")
    await process.send(Pid(INSTANCE, report_to), await call)
    for _ in range(count):
        await process.receive()
    await process.send(Pid(INSTANCE, report_to), count)


async def big_caller(process: AsyncProcess, to: int, size_bytes: int) -> None:
    body = bytes(range(256)) * (size_bytes // 256)
    process.exit_self("same" if await process.call(Pid(INSTANCE, to), body) == body else "different")


async def flooder(process: AsyncProcess, to: int, count: int) -> None:
    """Casts without reading, then reads as many, then is done."""
    for number in range(count):
        await process.cast(Pid(INSTANCE, to), [number, b"x" * 1000])
    for number in range(count):
        event = await process.receive(30.0)
        assert isinstance(event, Message)
        assert isinstance(event.body, list)
        assert event.body[0] == number


async def sender(process: AsyncProcess, to: int, count: int) -> None:
    for number in range(count):
        await process.send(Pid(INSTANCE, to), number)


async def leaver(process: AsyncProcess, how: str) -> None:
    lean_actors.leaver(process, how)  # type: ignore[arg-type]  # it uses exit_self only


async def background_leaver(process: AsyncProcess, how: str) -> None:
    """Ends from another task than the one that waits for messages."""
    task = asyncio.create_task(leaver(process, how))
    await process.receive()
    await task


async def asker(process: AsyncProcess, report_to: int) -> None:
    """Obeys the test: each call's body is [method, *args]."""
    while (event := await process.receive()) is not None:
        assert isinstance(event, CallMessage)
        assert isinstance(event.body, list)
        method, *arguments = event.body
        arguments = [Pid(INSTANCE, item["pid"]) if isinstance(item, dict) else item for item in arguments]
        try:
            await process.reply(event.frm, str(await getattr(process, method)(*arguments)))
        except RequestError as error:
            await process.reply_error(event.frm, error.code)


class Counter(lean_actors.Counter):
    """One callback that awaits is enough."""

    async def handle_call(self, request: object, frm: From) -> Result:  # type: ignore[override]
        return lean_actors.Counter.handle_call(self, request, frm)


class Obedient(AsyncGenServer):
    """Does what it is told; tells the test (serial 99) what its callbacks saw."""

    async def init(self, *args: object) -> InitResult:
        assert self.process is current()
        self.held: list[From] = []
        self.is_touchy = args == ("touchy",)
        return lean_actors.Obedient.begin(self, args[0] if args else "ok")  # type: ignore[arg-type]

    async def tell(self, *words: object) -> None:
        await self.process.send(Pid(INSTANCE, 99), list(words))

    async def handle_call(self, request: object, frm: From) -> Result:
        if request == "hold":
            self.held.append(frm)
            return NoReply()
        if request == "release":
            for waiting in self.held:
                await self.process.reply(waiting, "released")
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

    async def handle_cast(self, request: object) -> Result:
        await self.tell("cast", request)
        return None

    async def handle_info(self, info: Info) -> Result:
        values = msgspec.structs.astuple(info)
        await self.tell("info", type(info).__name__, str(values[-1]) if values else "")
        if self.is_touchy:
            raise KeyError("first")
        return None

    async def handle_continue(self, term: object) -> Result:
        await self.tell("continue", term)
        return None

    async def terminate(self, reason: Reason) -> None:
        await self.tell("terminate", reason)
        raise RuntimeError("second")


class Worker(GenServer):
    """Holds tasks of its own beside its callbacks."""

    process: AsyncProcess  # type: ignore[assignment]

    async def init(self, *args: object) -> None:
        self.gate = asyncio.Event()
        self.seen: list[object] = []
        self.tasks: set[asyncio.Task[None]] = set()

    async def tell(self, *words: object) -> None:
        await self.process.send(Pid(INSTANCE, 99), list(words))

    async def handle_call(self, request: object, frm: From) -> Result:
        if request == "wait for the gate":  # a callback that awaits what only another task can bring
            self.tasks.add(asyncio.create_task(self.open_after_a_call()))
            await self.gate.wait()
            return Reply(["opened", *self.seen])
        if request == "answer from a task":
            self.tasks.add(asyncio.create_task(self.process.reply(frm, "from a task")))  # type: ignore[arg-type]
            return NoReply()
        if request == "for ever":
            await asyncio.Event().wait()
        return Reply(request)

    def handle_cast(self, request: object) -> None:
        """A callback may stay ``def``."""
        if request == "background":
            self.tasks.add(asyncio.create_task(self.last_words()))
        elif request == "exit from a task":
            self.tasks.add(asyncio.create_task(self.leave(lambda: self.process.exit_self({"shutdown": "task"}))))
        elif request == "sys.exit from a task":
            self.tasks.add(asyncio.create_task(self.leave(_exit_three)))
        else:
            self.seen.append(request)

    async def open_after_a_call(self) -> None:
        self.seen.append(await self.process.call(Pid(INSTANCE, 99), "may I"))
        self.gate.set()

    async def last_words(self) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await self.tell("cancelled")

    async def leave(self, how: object) -> None:
        how()  # type: ignore[operator]

    async def terminate(self, reason: Reason) -> None:
        await self.tell("terminate", reason)


def _exit_three() -> None:
    raise SystemExit(3)
