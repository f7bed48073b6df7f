"""Tasks of a process in a loop: see :mod:`actorcore.runtime.actor.tasks`, each method to be awaited."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from typing import TypeVar, Unpack

from actorcore.frames import Call
from actorcore.pids import Pid
from actorcore.runtime.actor.async_process import AsyncProcess
from actorcore.runtime.actor.loop_waits import wake_all
from actorcore.runtime.actor.tasks import DEFAULT_CONCURRENCY, DEFAULT_TIMEOUT_S, owner_of, task_spec
from actorcore.task import START_WAIT_S, BeginTask, Grace, OnTimeout, Outcome, Question, Restart, Steps, Stream, Task, Todo, Wait
from actorcore.words import ProcessSpec, SpecFields

T = TypeVar("T")


class AsyncTasks:
    """As :class:`actorcore.runtime.actor.tasks.Tasks`. Any number of asyncio's tasks may wait at the same time; one that is
    cancelled leaves what it waited for as it was.
    """

    def __init__(self, process: AsyncProcess, supervisor: Pid | str, start_wait_s: float = START_WAIT_S) -> None:
        self._process = process
        self._owner = owner_of(process, supervisor, start_wait_s)

    async def async_(
        self,
        start: str | ProcessSpec,
        args: Sequence[object] = (),
        *,
        shutdown_s: Grace | None = None,
        **spec: Unpack[SpecFields],
    ) -> Task:
        return await self._run(self._owner.start(task_spec(self._process, start, args, spec), True, shutdown_s))

    async def async_nolink(
        self,
        start: str | ProcessSpec,
        args: Sequence[object] = (),
        *,
        shutdown_s: Grace | None = None,
        **spec: Unpack[SpecFields],
    ) -> Task:
        return await self._run(self._owner.start(task_spec(self._process, start, args, spec), False, shutdown_s))

    async def start_child(
        self, start: str | ProcessSpec, args: Sequence[object] = (), *, restart: Restart = "temporary",
        shutdown_s: Grace | None = None, **spec: Unpack[SpecFields],
    ) -> Pid | None:  # fmt: skip
        return await self._run(self._owner.start_child(task_spec(self._process, start, args, spec), restart, shutdown_s))

    async def await_(self, task: Task, timeout_s: float | None = DEFAULT_TIMEOUT_S) -> object:
        return await self._run(self._owner.await_(task, timeout_s))

    async def await_many(self, tasks: Sequence[Task], timeout_s: float | None = DEFAULT_TIMEOUT_S) -> list[object]:
        return await self._run(self._owner.await_many(tasks, timeout_s))

    async def yield_(self, task: Task, timeout_s: float | None = DEFAULT_TIMEOUT_S) -> Outcome | None:
        return await self._run(self._owner.yield_(task, timeout_s))

    async def yield_many(self, tasks: Sequence[Task], timeout_s: float | None = DEFAULT_TIMEOUT_S) -> list[Outcome | None]:
        return await self._run(self._owner.yield_many(tasks, timeout_s))

    async def ignore(self, task: Task) -> Outcome | None:
        return await self._run(self._owner.ignore(task))

    async def shutdown(self, task: Task, grace: Grace = DEFAULT_TIMEOUT_S) -> Outcome | None:
        return await self._run(self._owner.shutdown(task, grace))

    async def async_stream(
        self, start: str | ProcessSpec, inputs: Iterable[object], args: Sequence[object] = (), *,
        max_concurrency: int = DEFAULT_CONCURRENCY, timeout_s: float | None = DEFAULT_TIMEOUT_S,
        on_timeout: OnTimeout = "exit", ordered: bool = True, link: bool = True, **spec: Unpack[SpecFields],
    ) -> AsyncIterator[Outcome]:  # fmt: skip
        specs = (task_spec(self._process, start, (item, *args), spec) for item in inputs)
        stream = Stream(
            self._owner, specs, max_concurrency, timeout_s, ordered=ordered, link=link, on_timeout=on_timeout
        )  # fmt: skip
        try:
            while (outcome := await self._run(stream.next())) is not None:
                yield outcome
        finally:
            await self._run(stream.close())

    async def _run(self, steps: Steps[T]) -> T:
        try:
            todo = next(steps)
            while True:
                try:
                    done = await self._do(todo)
                except BaseException as error:
                    todo = steps.throw(error)
                else:
                    todo = steps.send(done)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
        finally:
            wake_all(self._process._for_item)  # what nobody waits for any more is in the mailbox again

    async def _do(self, todo: Todo) -> object:
        process = self._process
        match todo:
            case Question(to, body, timeout_s):
                return await process.call(to, body, timeout_s)
            case BeginTask(task):
                # As a call; and who has been told that the task runs is right, though its owner is killed now.
                await process._post_away(task.pid.serial, Call(task.ref, None))  # type: ignore[arg-type]
            case Wait(arrivals, until_s):
                await process._arrival(arrivals, until_s)
            case _:
                return await process.request(todo)
        return None
