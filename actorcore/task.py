"""Task: one function in a process of its own, and its value (Elixir's Task and Task.Supervisor), as pure steps.

Whoever starts a task owns it: the owner monitors it, is linked to it unless it says otherwise, and is told its value by a
message, ahead of its DOWN. The function does not begin before all that is arranged.

A step is a generator. It yields what is to be done (a Request to the node, a Question to a process, Begin, Wait), is sent
what came of it, and returns its result. Shells: :mod:`actorcore.runtime.actor.tasks`, :mod:`actorcore.runtime.actor.async_tasks`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from typing import Literal, Protocol, TypeAlias, TypeVar, Union, get_args

import msgspec

from actorcore.deadline import deadline_of
from actorcore.errors import CallFailed, CallTimeout, RequestError
from actorcore.exit_reason import KILL, KILLED, NOPROC, SHUTDOWN, Reason
from actorcore.frames import DECODE_ERRORS, Call, Reply, term_decoder
from actorcore.mailbox import Arrivals, DownMessage, Mailbox, Raw
from actorcore.pids import Pid
from actorcore.signals import Demonitor, Link, Monitor, Request, SendExit, Unlink
from actorcore.words import ProcessSpec, TaskSpec

T = TypeVar("T")
Restart: TypeAlias = Literal["temporary", "transient", "permanent"]
Grace: TypeAlias = Union[float, Literal["brutal_kill", "infinity"]]

TIMEOUT: Reason = "timeout"
ORDER_WAIT_S = 5.0
"""A task whose owner does not say that it may begin ends with reason ``timeout``."""
START_WAIT_S = 30.0
"""For a supervisor to have started a task."""


class Task(msgspec.Struct, frozen=True):
    """A task of ``owner``; ``ref`` is that of its DownMessage and its TaskReply."""

    pid: Pid
    ref: int
    owner: Pid


class TaskValue(msgspec.Struct, frozen=True):
    """The task has returned ``value``."""

    value: object


class TaskExit(msgspec.Struct, frozen=True):
    """The task has ended with ``reason`` and has no value."""

    reason: Reason


Outcome: TypeAlias = Union[TaskValue, TaskExit]


class Inbox(Protocol):
    """Where what tasks say arrives: see :class:`actorcore.mailbox.Mailbox`."""

    def next_number(self) -> int: ...

    def expect_task(self, peer: int) -> int: ...

    def forget_task(self, ref: int) -> None: ...

    def divert(self, refs: Collection[int], arrivals: Arrivals) -> None: ...

    def restore(self, refs: Collection[int]) -> None: ...


class Question(msgspec.Struct, frozen=True):
    """Call ``to``; sent back: the answer."""

    to: Pid | str
    body: object
    timeout_s: float


class BeginTask(msgspec.Struct, frozen=True):
    """Tell the task that it may begin, and that its value is for ``ref``."""

    task: Task


class Wait(msgspec.Struct, frozen=True):
    """Until something has arrived, or ``until_s`` (None: no bound)."""

    arrivals: Arrivals
    until_s: float | None


Todo: TypeAlias = Union[Request, Question, BeginTask, Wait]
Steps: TypeAlias = Generator[Todo, object, T]


class Owner:
    """What a process may do with tasks under ``supervisor``. ``clock``: monotonic seconds."""

    def __init__(
        self, me: Pid, callers: Sequence[int], supervisor: Pid | str, inbox: Inbox, clock: Callable[[], float],
        start_wait_s: float = START_WAIT_S,
    ) -> None:  # fmt: skip
        self._me = me
        self._callers = [me.serial, *callers]
        self._supervisor = supervisor
        self.inbox = inbox
        self.clock = clock
        self._start_wait_s = start_wait_s

    # ---- starting ---------------------------------------------------------------------------------------------------

    def start(self, spec: ProcessSpec, link: bool, shutdown_s: Grace | None) -> Steps[Task]:
        """Elixir's ``async`` and ``async_nolink``."""
        pid = yield from self._start(spec, True, "temporary", shutdown_s)
        assert pid is not None  # a task has no init that could say ignore
        task = Task(pid, self.inbox.expect_task(pid.serial), self._me)
        try:
            if link:
                yield Link(pid.serial)
            yield Monitor(task.ref, pid.serial)
        except BaseException:
            self.inbox.forget_task(task.ref)
            raise
        yield BeginTask(task)
        return task

    def start_child(self, spec: ProcessSpec, restart: Restart, shutdown_s: Grace | None) -> Steps[Pid | None]:
        """A task that nobody waits for."""
        return self._start(spec, False, restart, shutdown_s)

    def _start(self, spec: ProcessSpec, awaited: bool, restart: Restart, shutdown_s: Grace | None) -> Steps[Pid | None]:
        process = msgspec.structs.replace(spec, task=TaskSpec(self._callers, awaited))
        child = {"id": "task", "process": process, "restart": restart, "shutdown_s": shutdown_s}
        serial = yield Question(self._supervisor, ["start_child", child], spec.init_timeout_s + self._start_wait_s)
        return Pid(self._me.instance, serial) if isinstance(serial, int) else None

    # ---- waiting ----------------------------------------------------------------------------------------------------

    def await_(self, task: Task, timeout_s: float | None) -> Steps[object]:
        """The value; else the task is not monitored any more, but goes on.

        :raises CallFailed: it has ended without a value.
        :raises CallTimeout: it has not ended in time.
        """
        outcome = yield from self.yield_(task, timeout_s)
        if outcome is None:  # it may come just now
            outcome = yield from self._forget(task)
        match outcome:
            case TaskValue(value):
                return value
            case TaskExit(reason):
                raise CallFailed(reason)
        raise CallTimeout(f"no value within {timeout_s} s")

    def await_many(self, tasks: Sequence[Task], timeout_s: float | None) -> Steps[list[object]]:
        """Their values; else none of them is monitored any more, but they go on.

        :raises CallFailed: one has ended without a value, whatever the others do.
        :raises CallTimeout: they have not all ended in time.
        """
        outcomes = yield from self._outcomes(tasks, timeout_s, until_exit=True)
        for task in tasks:
            if task.ref not in outcomes and (outcome := (yield from self._forget(task))) is not None:
                outcomes[task.ref] = outcome  # it came just now
        for outcome in outcomes.values():
            if isinstance(outcome, TaskExit):
                raise CallFailed(outcome.reason)
        values = {ref: outcome.value for ref, outcome in outcomes.items() if isinstance(outcome, TaskValue)}
        if any(task.ref not in values for task in tasks):
            raise CallTimeout(f"not all values within {timeout_s} s")
        return [values[task.ref] for task in tasks]

    def yield_(self, task: Task, timeout_s: float | None) -> Steps[Outcome | None]:
        """The outcome; None: not yet, or it has been taken already."""
        (outcome,) = yield from self.yield_many([task], timeout_s)
        return outcome

    def yield_many(self, tasks: Sequence[Task], timeout_s: float | None) -> Steps[list[Outcome | None]]:
        """Their outcomes, when all have ended or the time is over."""
        outcomes = yield from self._outcomes(tasks, timeout_s, until_exit=False)
        return [outcomes.get(task.ref) for task in tasks]

    def _outcomes(self, tasks: Sequence[Task], timeout_s: float | None, until_exit: bool) -> Steps[dict[int, Outcome]]:
        """By ref, in the order in which they came: of all, or of those up to the first that has no value."""
        until_s = deadline_of(timeout_s, self.clock())
        for task in tasks:
            self._check(task)
        pending, arrivals, outcomes = {task.ref: task for task in tasks}, Arrivals(), dict[int, Outcome]()
        self.inbox.divert(pending, arrivals)
        try:
            while len(outcomes) < len(pending):
                if not arrivals.items:
                    yield Wait(arrivals, until_s)
                    if not arrivals.items:
                        break
                item = arrivals.items.popleft()
                if ref_of(item) in outcomes:
                    continue  # the DOWN after a value
                outcome = outcomes[ref_of(item)] = outcome_of(item)
                if until_exit and isinstance(outcome, TaskExit):
                    break
        finally:
            self.inbox.restore(pending)
        for ref in outcomes:
            yield from self._forget(pending[ref])
        return outcomes

    def ignore(self, task: Task) -> Steps[Outcome | None]:
        """Its outcome, if it has come; None: it goes on, unlinked, and what it says is dropped."""
        self._check(task)
        yield Unlink(task.pid.serial)
        return (yield from self._forget(task))

    def shutdown(self, task: Task, grace: Grace) -> Steps[Outcome | None]:
        """End it by exit signal ``shutdown``, and by ``kill`` when it takes longer than ``grace`` seconds. The outcome, if it
        had one or ended of something else; None: it ended as it was told.
        """
        self._check(task)
        is_brutal = grace == "brutal_kill"
        until_s = None if isinstance(grace, str) else self.clock() + grace
        # By a monitor of its own: what was told to the task's may have been taken.
        ref, arrivals = self.inbox.next_number(), Arrivals()
        self.inbox.divert([ref], arrivals)
        try:
            yield Monitor(ref, task.pid.serial)
            yield from self.end(task, KILL if is_brutal else SHUTDOWN)
            while not arrivals.items:
                yield Wait(arrivals, until_s)
                if not arrivals.items and until_s is not None and self.clock() >= until_s:
                    until_s = None
                    yield SendExit(task.pid.serial, KILL)
            end = outcome_of(arrivals.items.popleft())
        finally:
            self.inbox.restore([ref])
        outcome = yield from self._forget(task)
        if isinstance(outcome, TaskValue):
            return outcome
        if outcome is not None and end == TaskExit(NOPROC):  # it was dead before: its own DOWN knows why
            end = outcome
        return None if end == TaskExit(KILLED if is_brutal else SHUTDOWN) else end

    def _check(self, task: Task) -> None:
        if task.owner != self._me:
            raise RequestError("not_permitted", "a task of another process")

    def end(self, task: Task, reason: Reason) -> Steps[None]:
        """Its end is no reason for its owner to die."""
        yield Unlink(task.pid.serial)
        yield SendExit(task.pid.serial, reason)

    def _forget(self, task: Task) -> Steps[Outcome | None]:
        """Nothing more comes for the task; what had come and is gone now."""
        self.inbox.forget_task(task.ref)
        gone = Arrivals()
        self.inbox.divert([task.ref], gone)
        try:
            yield Demonitor(task.ref)
            outcome = outcome_of(gone.items[0]) if gone.items else None
            gone.items.clear()
        finally:
            self.inbox.restore([task.ref])
        return outcome


class _Running(msgspec.Struct):
    """One task of a stream. ``due_s``: when it is late, None: never, or it has been killed."""

    task: Task
    position: int
    due_s: float | None
    outcome: Outcome | None = None


OnTimeout: TypeAlias = Literal["exit", "kill_task"]
"""What a late task of a stream ends: the stream, or itself alone."""


class Stream:
    """Elixir's ``async_stream``: at most ``max_concurrency`` tasks at a time, each at most ``timeout_s`` long; ``next``
    gives the outcomes one by one, in the order of ``specs`` (``ordered``) or of their ends.
    """

    def __init__(
        self, owner: Owner, specs: Iterator[ProcessSpec], max_concurrency: int, timeout_s: float | None, *,
        ordered: bool, link: bool, on_timeout: OnTimeout,
    ) -> None:  # fmt: skip
        """:raises ValueError: an option that cannot be."""
        if max_concurrency < 1:
            raise ValueError("max_concurrency: must be 1 or more")
        if timeout_s is not None and not timeout_s >= 0:
            raise ValueError("timeout_s: must be seconds, or None")
        if on_timeout not in get_args(OnTimeout):
            raise ValueError(f"on_timeout: must be one of {', '.join(get_args(OnTimeout))}")
        self._owner, self._specs = owner, specs
        self._max_concurrency, self._timeout_s = max_concurrency, timeout_s
        self._ordered, self._link, self._kill_late = ordered, link, on_timeout == "kill_task"
        self._arrivals = Arrivals()
        self._running: dict[int, _Running] = {}
        self._done: dict[int, Outcome] = {}
        self._started = self._delivered = 0
        self._is_exhausted = False

    def next(self) -> Steps[Outcome | None]:
        """The next outcome; None when there is no more.

        :raises CallTimeout: a task was late, and late ones are not to be killed alone: :meth:`close` kills all.
        """
        while True:
            self._take()
            while not self._is_exhausted and len(self._running) < self._max_concurrency:
                yield from self._start()
            if self._done and (not self._ordered or self._delivered in self._done):
                position = self._delivered if self._ordered else next(iter(self._done))
                self._delivered += 1
                return self._done.pop(position)
            if not self._running:
                return None
            due = (one.due_s for one in self._running.values() if one.due_s is not None)
            yield Wait(self._arrivals, min(due, default=None))
            self._take()
            yield from self._end_late()

    def close(self) -> Steps[None]:
        """Kill what still runs, and return when it is dead."""
        self._is_exhausted = True
        for one in list(self._running.values()):
            yield from self._owner.end(one.task, KILL)
        while self._running:
            yield Wait(self._arrivals, None)
            self._take()

    def _start(self) -> Steps[None]:
        spec = next(self._specs, None)
        if spec is None:
            self._is_exhausted = True
            return
        task = yield from self._owner.start(spec, self._link, None)
        due_s = deadline_of(self._timeout_s, self._owner.clock())
        self._running[task.ref] = _Running(task, self._started, due_s)
        self._started += 1
        self._owner.inbox.divert([task.ref], self._arrivals)

    def _take(self) -> None:
        """A task that has told its value runs until its DOWN."""
        while self._arrivals.items:
            item = self._arrivals.items.popleft()
            one = self._running[ref_of(item)]
            one.outcome = one.outcome or outcome_of(item)
            if isinstance(item, DownMessage):
                del self._running[item.ref]
                self._owner.inbox.restore([item.ref])
                self._done[one.position] = one.outcome

    def _end_late(self) -> Steps[None]:
        now = self._owner.clock()
        for one in [one for one in self._running.values() if one.due_s is not None and one.due_s <= now]:
            if not self._kill_late:
                raise CallTimeout(f"a task took more than {self._timeout_s} s")
            one.due_s, one.outcome = None, one.outcome or TaskExit(TIMEOUT)
            yield from self._owner.end(one.task, KILL)


def ref_of(item: Raw | DownMessage) -> int:
    """The ref of the task that ``item`` is about."""
    if isinstance(item, DownMessage):
        return item.ref
    assert isinstance(item.message, Reply), item
    return item.message.number


def outcome_of(item: Raw | DownMessage) -> Outcome:
    """What was told about a task.

    :raises RequestError: ``invalid_message``, its value is no plain data.
    """
    if isinstance(item, DownMessage):
        return TaskExit(item.reason)
    try:
        return TaskValue(term_decoder.decode(item.message.body))
    except DECODE_ERRORS:
        raise RequestError("invalid_message", "the value of a task") from None


# ---- the other side: the task ---------------------------------------------------------------------------------------


def order_of(mailbox: Mailbox, owner: int, ref: int) -> int | Reason | None:
    """What ``owner``, watched by monitor ``ref``, has said to its new task: the number that the value is for; None: nothing
    yet. A reason to end: it is dead."""
    for item in mailbox.items:
        if isinstance(item, Raw) and item.frm == owner and isinstance(item.message, Call):
            mailbox.items.remove(item)
            return item.message.number
        if isinstance(item, DownMessage) and item.ref == ref:
            return {"shutdown": item.reason}
    return None
