"""Tasks of a lean process: Elixir's Task.Supervisor as an object that waits by reading on.

tasks = Tasks(self.process, "workers")              # a resident: ProcessSpec("task_supervisor", template="resident")
task = tasks.async_("jobs:square", [7])
tasks.await_(task)                                  # 49
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar, Unpack

from actorcore.frames import Call
from actorcore.pids import Pid
from actorcore.process_spec import spec_of
from actorcore.runtime.actor.intake import Intake
from actorcore.runtime.actor.process import Process
from actorcore.runtime.clock import monotonic_s
from actorcore.task import (
    START_WAIT_S,
    BeginTask,
    Grace,
    OnTimeout,
    Outcome,
    Owner,
    Question,
    Restart,
    Steps,
    Stream,
    Task,
    Todo,
    Wait,
)
from actorcore.words import ProcessSpec, SpecFields

T = TypeVar("T")
DEFAULT_TIMEOUT_S = 5.0
DEFAULT_CONCURRENCY = 8


class Tasks:
    """What ``process`` may do with tasks under ``supervisor`` (a Pid or a name). ``spec`` are fields of ProcessSpec; a task
    finds the modules that its owner finds (``path``). Under a ``task_pool`` a start waits for its place, at most
    ``start_wait_s``.

    Starting raises RequestError: ``max_children``, ``start_failed``, …; CallFailed: there is no such supervisor.
    """

    def __init__(self, process: Process, supervisor: Pid | str, start_wait_s: float = START_WAIT_S) -> None:
        self._process = process
        self._owner = owner_of(process, supervisor, start_wait_s)

    def async_(
        self,
        start: str | ProcessSpec,
        args: Sequence[object] = (),
        *,
        shutdown_s: Grace | None = None,
        **spec: Unpack[SpecFields],
    ) -> Task:
        """Start a task that is linked to this process, and awaited."""
        return self._run(self._owner.start(task_spec(self._process, start, args, spec), True, shutdown_s))

    def async_nolink(
        self,
        start: str | ProcessSpec,
        args: Sequence[object] = (),
        *,
        shutdown_s: Grace | None = None,
        **spec: Unpack[SpecFields],
    ) -> Task:
        """As :meth:`async_`, but its end is no reason for us to die, nor ours for it."""
        return self._run(self._owner.start(task_spec(self._process, start, args, spec), False, shutdown_s))

    def start_child(
        self, start: str | ProcessSpec, args: Sequence[object] = (), *, restart: Restart = "temporary",
        shutdown_s: Grace | None = None, **spec: Unpack[SpecFields],
    ) -> Pid | None:  # fmt: skip
        """Start a task whose value nobody wants."""
        return self._run(self._owner.start_child(task_spec(self._process, start, args, spec), restart, shutdown_s))

    def await_(self, task: Task, timeout_s: float | None = DEFAULT_TIMEOUT_S) -> object:
        """The value of ``task``.

        :raises CallFailed: it has ended without one.
        :raises CallTimeout: it has not ended in time; it goes on, and its value is dropped.
        """
        return self._run(self._owner.await_(task, timeout_s))

    def await_many(self, tasks: Sequence[Task], timeout_s: float | None = DEFAULT_TIMEOUT_S) -> list[object]:
        """The values of ``tasks``, in their order.

        :raises CallFailed: one has ended without a value: the others are not waited for.
        :raises CallTimeout: they have not all ended in time. Either way what still runs goes on, and its value is dropped.
        """
        return self._run(self._owner.await_many(tasks, timeout_s))

    def yield_(self, task: Task, timeout_s: float | None = DEFAULT_TIMEOUT_S) -> Outcome | None:
        """TaskValue or TaskExit; None: not yet, ask again. An outcome is given once."""
        return self._run(self._owner.yield_(task, timeout_s))

    def yield_many(self, tasks: Sequence[Task], timeout_s: float | None = DEFAULT_TIMEOUT_S) -> list[Outcome | None]:
        """As :meth:`yield_` for each of ``tasks``, in their order, when all have ended or the time is over for all."""
        return self._run(self._owner.yield_many(tasks, timeout_s))

    def ignore(self, task: Task) -> Outcome | None:
        """Let ``task`` go on by itself, unlinked: its end is no reason for us to die, and what it says is dropped. Its outcome,
        if it had one before; None: it runs.
        """
        return self._run(self._owner.ignore(task))

    def shutdown(self, task: Task, grace: Grace = DEFAULT_TIMEOUT_S) -> Outcome | None:
        """End ``task`` and return when it is dead: by exit signal ``shutdown``, and by ``kill`` after ``grace`` seconds
        (``brutal_kill``: at once). Its outcome, if there was one before; None: it ended as it was told.
        """
        return self._run(self._owner.shutdown(task, grace))

    def async_stream(
        self, start: str | ProcessSpec, inputs: Iterable[object], args: Sequence[object] = (), *,
        max_concurrency: int = DEFAULT_CONCURRENCY, timeout_s: float | None = DEFAULT_TIMEOUT_S,
        on_timeout: OnTimeout = "exit", ordered: bool = True, link: bool = True, **spec: Unpack[SpecFields],
    ) -> Iterator[Outcome]:  # fmt: skip
        """One task ``start(item, *args)`` per item of ``inputs``, and their outcomes as they are asked for.

        A task that takes longer than ``timeout_s`` is killed: its outcome is ``TaskExit("timeout")`` with ``kill_task``,
        else CallTimeout ends the stream. Whatever ends it, the tasks that still run are killed.
        """
        specs = (task_spec(self._process, start, (item, *args), spec) for item in inputs)
        stream = Stream(
            self._owner, specs, max_concurrency, timeout_s, ordered=ordered, link=link, on_timeout=on_timeout
        )  # fmt: skip
        try:
            while (outcome := self._run(stream.next())) is not None:
                yield outcome
        finally:
            self._run(stream.close())

    def _run(self, steps: Steps[T]) -> T:
        try:
            todo = next(steps)
            while True:
                try:
                    done = self._do(todo)
                except BaseException as error:
                    todo = steps.throw(error)
                else:
                    todo = steps.send(done)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]

    def _do(self, todo: Todo) -> object:
        process = self._process
        match todo:
            case Question(to, body, timeout_s):
                return process.call(to, body, timeout_s)
            case BeginTask(task):
                # It begins now: its owner may be busy with something else for long before it reads again.
                process._post_away(task.pid.serial, Call(task.ref, None))  # type: ignore[arg-type]  # encoded in place of its Raw
            case Wait(arrivals, until_s):
                is_over = False
                while not arrivals.items and not is_over:
                    is_over = until_s is not None and monotonic_s() >= until_s
                    process.pump(until_s)  # once at least: who only looks, again and again, reads too
            case _:
                return process.request(todo)
        return None


def owner_of(process: Intake, supervisor: Pid | str, start_wait_s: float) -> Owner:
    """``process`` as one that has tasks; if it is a task itself, its callers are theirs too."""
    task = process.begin.spec.task
    return Owner(process.self_pid, [] if task is None else task.callers, supervisor, process.mailbox, monotonic_s, start_wait_s)


def task_spec(process: Intake, start: str | ProcessSpec, args: Sequence[object], fields: SpecFields) -> ProcessSpec:
    """The spec of a task; see :func:`actorcore.process_spec.spec_of`. It imports from where its owner does."""
    return spec_of(start, args, fields if isinstance(start, ProcessSpec) else {"path": process.begin.spec.path, **fields})
