"""Tasks as pure steps: what an owner asks for, waits for and concludes."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec
import pytest

from actorcore.errors import CallFailed, CallTimeout, RequestError
from actorcore.exit_reason import Reason
from actorcore.frames import Call, Info, Reply
from actorcore.mailbox import DownMessage, Mailbox, Raw
from actorcore.pids import Pid
from actorcore.signals import Demonitor, Link, Monitor, SendExit, Unlink
from actorcore.task import BeginTask, Outcome, Owner, Question, Steps, Stream, Task, TaskExit, TaskValue, Todo, Wait, order_of
from actorcore.words import ProcessSpec, TaskSpec

T = TypeVar("T")
ME, SUPERVISOR = Pid(7, 2), Pid(7, 3)
SPEC = ProcessSpec("m:f")
Event = Callable[[], None]


class World:
    """A process with a mailbox and a clock; ``plan`` is what happens, one after the other, while it waits."""

    def __init__(self, callers: tuple[int, ...] = ()) -> None:
        self.mailbox = Mailbox()
        self.now = 0.0
        self.done: list[Todo] = []
        self.plan: list[Event] = []
        self.children = 10
        self.refuse: dict[type, Exception] = {}
        self.meanwhile: dict[type, Event] = {}
        self.owner = Owner(ME, callers, SUPERVISOR, self.mailbox, lambda: self.now)

    def run(self, steps: Steps[T]) -> T:
        try:
            todo = next(steps)
            while True:
                try:
                    result = self.do(todo)
                except Exception as error:
                    todo = steps.throw(error)
                else:
                    todo = steps.send(result)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]

    def do(self, todo: Todo) -> object:
        if isinstance(todo, Wait):
            while not todo.arrivals.items and (todo.until_s is None or self.now < todo.until_s):
                assert self.plan, "it waits for ever"
                self.plan.pop(0)()
            return None
        self.done.append(todo)
        self.meanwhile.pop(type(todo), lambda: None)()
        if type(todo) in self.refuse:
            raise self.refuse[type(todo)]
        if isinstance(todo, Question):
            self.children += 1
            return self.children
        return True

    def start(self, link: bool = False) -> Task:
        task = self.run(self.owner.start(SPEC, link, None))
        self.done.clear()
        return task

    def value(self, task: Task, value: Any) -> Event:
        return lambda: self.mailbox.settle(task.pid.serial, Reply(task.ref, msgspec.Raw(msgspec.msgpack.encode(value))))

    def down(self, task: Task, reason: Reason, ref: int = 0) -> Event:
        return lambda: self.mailbox.push_downs([ref or task.ref], task.pid, reason)

    def later(self, seconds: float) -> Event:
        def pass_() -> None:
            self.now += seconds

        return pass_


def test_a_task_begins_when_it_is_linked_and_monitored() -> None:
    world = World(callers=(1,))
    task = world.run(world.owner.start(SPEC, True, 3.0))
    spec = msgspec.structs.replace(SPEC, task=TaskSpec([2, 1], True))
    child = {"id": "task", "process": spec, "restart": "temporary", "shutdown_s": 3.0}
    assert task == Task(Pid(7, 11), 1, ME)
    asked, *rest = world.done
    wait_s = SPEC.init_timeout_s + 30.0
    assert isinstance(asked, Question) and (asked.to, asked.body, asked.timeout_s) == (SUPERVISOR, ["start_child", child], wait_s)
    assert rest == [Link(11), Monitor(1, 11), BeginTask(task)]


def test_a_task_without_a_link_is_monitored_alone() -> None:
    world = World()
    task = world.run(world.owner.start(SPEC, False, None))
    assert world.done[1:] == [Monitor(1, 11), BeginTask(task)]


def test_a_task_that_cannot_be_linked_or_monitored_does_not_begin() -> None:
    for refused in (Link, Monitor):
        world = World()
        world.refuse[refused] = RequestError("process_not_alive")
        with pytest.raises(RequestError):
            world.run(world.owner.start(SPEC, True, None))
        assert not any(isinstance(todo, BeginTask) for todo in world.done)
        world.mailbox.settle(11, Reply(1))
        assert not world.mailbox.items


def test_a_child_is_not_awaited_and_not_watched() -> None:
    world = World()
    assert world.run(world.owner.start_child(SPEC, "transient", None)) == Pid(7, 11)
    (asked,) = world.done
    assert isinstance(asked, Question)
    assert asked.body[1]["process"].task == TaskSpec([2], False)  # type: ignore[index]


@pytest.mark.parametrize("is_before", [True, False])
def test_await_is_the_value_and_leaves_nothing(is_before: bool) -> None:
    world = World()
    task = world.start()
    events = [world.value(task, {"n": 1}), world.down(task, "normal")]
    if is_before:
        for event in events:
            event()
        world.mailbox.push(Raw(9, Info(msgspec.Raw(b"\x01"))))
    else:
        world.plan = events[:1]
    assert world.run(world.owner.await_(task, 5.0)) == {"n": 1}
    assert (world.done, len(world.mailbox.items)) == ([Demonitor(1)], int(is_before))
    world.value(task, 2)()
    assert len(world.mailbox.items) == int(is_before)


def test_await_of_a_task_that_died_is_its_reason() -> None:
    world = World()
    task = world.start()
    world.plan = [world.down(task, "killed")]
    with pytest.raises(CallFailed) as failed:
        world.run(world.owner.await_(task, 5.0))
    assert (failed.value.reason, list(world.mailbox.items)) == ("killed", [])


def test_await_gives_up_in_time_and_what_is_late_is_dropped() -> None:
    world = World()
    task = world.start()
    world.plan = [world.later(4.0), world.later(1.0)]
    with pytest.raises(CallTimeout):
        world.run(world.owner.await_(task, 5.0))
    world.value(task, 1)()
    assert (world.done, list(world.mailbox.items)) == ([Demonitor(1)], [])


def test_yield_is_asked_again_until_there_is_an_outcome_and_that_is_given_once() -> None:
    world = World()
    task = world.start()
    world.plan = [world.later(1.0), world.value(task, 1), world.later(1.0)]
    outcomes = [world.run(world.owner.yield_(task, 1.0)) for _ in range(3)]
    assert outcomes == [None, TaskValue(1), None]


def started(world: World, count: int) -> list[Task]:
    return [world.start() for _ in range(count)]


def test_await_many_is_all_values_in_the_order_of_the_tasks_and_leaves_nothing() -> None:
    world = World()
    first, second, third = tasks = started(world, 3)
    for event in (world.value(third, "c"), world.down(third, "normal"), world.value(first, "a")):
        event()
    world.mailbox.push(Raw(9, Info(msgspec.Raw(b"\x01"))))
    world.plan = [world.down(first, "normal"), world.later(4.0), world.value(second, "b"), world.later(1.0)]
    assert world.run(world.owner.await_many([*tasks, first], 5.0)) == ["a", "b", "c", "a"]
    assert world.done == [Demonitor(third.ref), Demonitor(first.ref), Demonitor(second.ref)]
    assert ([type(item.message) for item in world.mailbox.items if isinstance(item, Raw)], world.now) == ([Info], 4.0)
    assert world.run(world.owner.await_many([], 0.0)) == []


def test_await_many_fails_with_the_first_that_has_no_value_and_the_others_are_told_nothing_any_more() -> None:
    world = World()
    first, second, third, fourth = tasks = started(world, 4)
    world.plan = [world.value(third, "c"), world.down(second, "killed"), world.down(first, "boom")]
    with pytest.raises(CallFailed) as failed:
        world.run(world.owner.await_many(tasks, None))
    assert (failed.value.reason, len(world.plan)) == ("killed", 1)
    assert world.done == [Demonitor(third.ref), Demonitor(second.ref), Demonitor(first.ref), Demonitor(fourth.ref)]
    world.value(fourth, "late")()
    assert list(world.mailbox.items) == []


def test_of_two_that_were_dead_before_the_first_to_die_is_the_reason_of_await_many() -> None:
    world = World()
    first, second = tasks = started(world, 2)
    world.down(second, "sooner")()
    world.down(first, "later")()
    with pytest.raises(CallFailed) as failed:
        world.run(world.owner.await_many(tasks, 5.0))
    assert (failed.value.reason, list(world.mailbox.items)) == ("sooner", [])


def test_await_many_has_one_time_for_all_and_what_is_late_is_dropped() -> None:
    world = World()
    first, second = tasks = started(world, 2)
    world.plan = [world.later(4.0), world.value(first, 1), world.later(1.0)]
    with pytest.raises(CallTimeout):
        world.run(world.owner.await_many(tasks, 5.0))
    world.value(second, 2)()
    assert (world.done, list(world.mailbox.items)) == ([Demonitor(first.ref), Demonitor(second.ref)], [])


def test_a_value_that_comes_as_the_time_is_over_counts() -> None:
    world = World()
    first, second = tasks = started(world, 2)
    world.plan = [world.value(first, 1), world.later(5.0)]
    world.meanwhile[Demonitor] = world.value(second, 2)
    assert world.run(world.owner.await_many(tasks, 5.0)) == [1, 2]
    assert list(world.mailbox.items) == []


def test_what_comes_when_nobody_waits_any_more_is_a_message() -> None:
    world = World()
    task = world.start()
    world.plan = [world.later(1.0)]
    assert world.run(world.owner.yield_(task, 1.0)) is None
    world.value(task, 1)()
    assert [type(item.message) for item in world.mailbox.items if isinstance(item, Raw)] == [Reply]
    world.plan = [world.down(task, "killed", 2)]
    assert world.run(world.owner.shutdown(task, "infinity")) == TaskValue(1)
    for ref in (task.ref, 2):
        world.mailbox.push_downs([ref], task.pid, "killed")
    assert [item.ref for item in world.mailbox.items if isinstance(item, DownMessage)] == [task.ref, 2]


def test_yield_many_is_what_there_is_when_the_time_is_over_and_the_rest_is_asked_again() -> None:
    world = World()
    first, second, third = tasks = started(world, 3)
    world.plan = [world.down(second, "boom"), world.later(4.0), world.value(third, 3), world.later(1.0)]
    assert world.run(world.owner.yield_many(tasks, 5.0)) == [None, TaskExit("boom"), TaskValue(3)]
    world.plan = [world.value(first, 1), world.later(1.0)]
    assert world.run(world.owner.yield_many(tasks, 1.0)) == [TaskValue(1), None, None]
    assert (world.now, list(world.mailbox.items)) == (6.0, [])


def test_a_task_that_is_ignored_goes_on_and_is_not_heard_of_any_more() -> None:
    world = World()
    task = world.start(link=True)
    assert world.run(world.owner.ignore(task)) is None
    assert world.done == [Unlink(11), Demonitor(1)]
    world.value(task, 1)()
    assert list(world.mailbox.items) == []


@pytest.mark.parametrize("outcome", [TaskValue(1), TaskExit("boom")])
def test_the_outcome_of_a_task_that_is_ignored_too_late_is_told(outcome: Outcome) -> None:
    world = World()
    task = world.start()
    if isinstance(outcome, TaskValue):
        world.value(task, outcome.value)()
    world.down(task, "boom")()
    assert world.run(world.owner.ignore(task)) == outcome
    assert list(world.mailbox.items) == []


def test_a_value_that_nobody_waits_for_is_a_message_in_its_place() -> None:
    world = World()
    task = world.start()
    world.mailbox.push(Raw(9, Info(msgspec.Raw(b"\x01"))))
    world.value(task, 1)()
    world.down(task, "normal")()
    kinds = [type(item.message).__name__ if isinstance(item, Raw) else type(item).__name__ for item in world.mailbox.items]
    assert kinds == ["Info", "Reply", "DownMessage"]


def test_a_reply_of_another_process_is_no_value() -> None:
    world = World()
    task = world.start()
    world.mailbox.settle(99, Reply(task.ref))
    assert not world.mailbox.items


@pytest.mark.parametrize(("grace", "reason", "outcome"), [
    (5.0, "shutdown", None), (5.0, "killed", TaskExit("killed")), (5.0, "boom", TaskExit("boom")),
    ("brutal_kill", "killed", None), ("brutal_kill", "shutdown", TaskExit("shutdown")),
    ("infinity", "noproc", TaskExit("noproc")),
])  # fmt: skip
def test_shutdown_is_nothing_when_it_ended_as_it_was_told(grace: Any, reason: Reason, outcome: Outcome | None) -> None:
    world = World()
    task = world.start()
    world.plan = [world.down(task, reason, 2)]
    assert world.run(world.owner.shutdown(task, grace)) == outcome
    signal = "kill" if grace == "brutal_kill" else "shutdown"
    assert world.done == [Monitor(2, 11), Unlink(11), SendExit(11, signal), Demonitor(1)]
    assert list(world.mailbox.items) == []


def test_shutdown_kills_what_takes_too_long_and_a_value_that_came_first_counts() -> None:
    world = World()
    task = world.start()
    world.value(task, "last words")()
    world.plan = [world.later(2.0), world.down(task, "killed", 2)]
    assert world.run(world.owner.shutdown(task, 2.0)) == TaskValue("last words")
    assert world.done == [Monitor(2, 11), Unlink(11), SendExit(11, "shutdown"), SendExit(11, "kill"), Demonitor(1)]


def test_a_task_is_its_owners_alone() -> None:
    world = World()
    stranger = Task(Pid(7, 11), 1, Pid(7, 99))
    mine, owner = world.start(), world.owner
    for steps in (
        owner.await_(stranger, 1.0), owner.yield_(stranger, 1.0), owner.shutdown(stranger, 1.0), owner.ignore(stranger),
        owner.await_many([mine, stranger], 1.0), owner.yield_many([mine, stranger], 1.0),
    ):  # fmt: skip
        with pytest.raises(RequestError, match=r"^not_permitted"):
            world.run(steps)  # type: ignore[arg-type]
    assert world.done == []


# ---- streams --------------------------------------------------------------------------------------------------------


class Streamed(World):
    """A stream of ``count`` tasks; task n is the n-th that is started."""

    def __init__(self, count: int, at_once: int, timeout_s: float | None = 5.0, **options: Any) -> None:
        super().__init__()
        how: dict[str, Any] = {"ordered": True, "link": False, "on_timeout": "kill_task", **options}
        self.stream = Stream(self.owner, iter([SPEC] * count), at_once, timeout_s, **how)

    def task(self, place: int) -> Task:
        return Task(Pid(7, 11 + place), 1 + place, ME)

    def ends(self, place: int, value: Any) -> list[Event]:
        return [self.value(self.task(place), value), self.down(self.task(place), "normal")]

    def next(self) -> Outcome | None:
        return self.run(self.stream.next())

    def running(self) -> int:
        return sum(isinstance(todo, BeginTask) for todo in self.done)


def test_a_stream_begins_the_next_task_when_one_is_dead() -> None:
    world = Streamed(3, 2)
    began: list[int] = []
    world.plan = [*world.ends(1, "b"), lambda: began.append(world.running()), *world.ends(0, "a"), *world.ends(2, "c")]
    assert [world.next() for _ in range(4)] == [TaskValue("a"), TaskValue("b"), TaskValue("c"), None]
    assert began == [3]


def test_a_value_alone_makes_no_room() -> None:
    world = Streamed(2, 1)
    value, down = world.ends(0, "a")
    began: list[int] = []
    world.plan = [value, lambda: began.append(world.running()), down, *world.ends(1, "b")]
    assert ([world.next(), world.next()], began) == ([TaskValue("a"), TaskValue("b")], [1])


def test_a_stream_without_order_gives_what_ends_first() -> None:
    world = Streamed(2, 2, ordered=False)
    world.plan = [*world.ends(1, "b"), world.down(world.task(0), "boom")]
    assert [world.next() for _ in range(3)] == [TaskValue("b"), TaskExit("boom"), None]


def test_a_late_task_is_killed_and_is_late_whatever_it_dies_of() -> None:
    world = Streamed(2, 2)
    world.plan = [*world.ends(1, "b"), world.later(5.0), world.down(world.task(0), "killed")]
    assert [world.next() for _ in range(3)] == [TaskExit("timeout"), TaskValue("b"), None]
    assert [todo for todo in world.done if isinstance(todo, (Unlink, SendExit))] == [Unlink(11), SendExit(11, "kill")]


def test_each_task_has_its_own_time() -> None:
    world = Streamed(2, 1)
    world.plan = [world.later(4.0), *world.ends(0, "a"), world.later(4.0), *world.ends(1, "b")]
    assert [world.next(), world.next()] == [TaskValue("a"), TaskValue("b")]


def test_a_late_task_ends_its_stream_if_it_is_not_to_be_killed_alone() -> None:
    world = Streamed(3, 2, on_timeout="exit")
    world.plan = [world.later(5.0)]
    with pytest.raises(CallTimeout):
        world.next()
    world.plan = [world.down(world.task(0), "killed"), world.down(world.task(1), "killed")]
    world.run(world.stream.close())
    assert [todo for todo in world.done if isinstance(todo, SendExit)] == [SendExit(11, "kill"), SendExit(12, "kill")]
    assert (list(world.mailbox.items), world.running()) == ([], 2)


def test_what_has_come_is_given_before_a_stream_ends_for_another_that_is_late() -> None:
    world = Streamed(3, 2, on_timeout="exit")
    world.plan = [*world.ends(0, "a")]
    assert world.next() == TaskValue("a")
    for event in (*world.ends(1, "b"), world.later(9.0)):
        event()
    assert world.next() == TaskValue("b")


def test_a_task_that_ends_as_its_time_is_over_has_its_value() -> None:
    world = Streamed(1, 1)
    value, down = world.ends(0, "a")

    def at_the_last_moment() -> None:
        for event in (world.later(5.0), value, down):
            event()

    world.plan = [at_the_last_moment]
    assert ([world.next(), world.next()], world.running()) == ([TaskValue("a"), None], 1)


def test_a_stream_that_is_closed_begins_nothing_more_and_waits_for_nothing_any_more() -> None:
    world = Streamed(5, 2)
    world.plan = world.ends(0, "a")
    assert world.next() == TaskValue("a")
    world.plan = [world.down(world.task(place), "killed") for place in (1, 2)]
    world.run(world.stream.close())
    assert ([world.next() for _ in range(3)], world.running()) == ([TaskExit("killed"), TaskExit("killed"), None], 3)
    world.mailbox.push_downs([1], Pid(7, 11), "again")
    assert len(world.mailbox.items) == 1


@pytest.mark.parametrize(
    ("options", "trouble"),
    [
        ({"at_once": 0}, "max_concurrency: must be 1 or more"),
        ({"at_once": 1, "timeout_s": -1.0}, "timeout_s: must be seconds, or None"),
        ({"at_once": 1, "timeout_s": float("nan")}, "timeout_s: must be seconds, or None"),
        ({"at_once": 1, "on_timeout": "kill"}, "on_timeout: must be one of exit, kill_task"),
    ],
)
def test_a_stream_that_cannot_be_is_refused_in_words(options: dict[str, Any], trouble: str) -> None:
    with pytest.raises(ValueError, match=f"^{trouble}$"):
        Streamed(1, **options)


@pytest.mark.parametrize("seed", range(50))
def test_whatever_ends_when_each_item_has_one_outcome_in_its_place_and_so_many_run_at_most(seed: int) -> None:
    chance = random.Random(seed)
    count, at_once, ordered = chance.randrange(12), chance.randint(1, 4), chance.random() < 0.5
    world = Streamed(count, at_once, ordered=ordered)
    alive: set[int] = set()
    expected: dict[int, Outcome] = {}
    ended: list[int] = []
    most = 0

    def happen() -> None:
        """One of those that run ends, or time passes and the late ones die."""
        nonlocal most
        alive.update(place for place in range(world.running()) if place not in ended)
        most = max(most, len(alive))
        place = chance.choice(sorted(alive))
        late = any(isinstance(todo, SendExit) and todo.to == 11 + place for todo in world.done)
        if not late and chance.random() < 0.3:
            world.now += 3.0
            return
        alive.remove(place)
        ended.append(place)
        if late or chance.random() < 0.3:
            expected[place] = TaskExit("timeout") if late else TaskExit("boom")
            world.down(world.task(place), "killed" if late else "boom")()
        else:
            expected[place] = TaskValue(place)
            for event in world.ends(place, place):
                event()

    world.plan = [happen] * 1000
    outcomes = []
    while (outcome := world.next()) is not None:
        outcomes.append(outcome)
    order = sorted(ended) if ordered else ended
    assert (outcomes, len(ended)) == ([expected[place] for place in order], count), seed
    assert most <= at_once, seed
    assert list(world.mailbox.items) == []


# ---- the task -------------------------------------------------------------------------------------------------------


def test_a_task_begins_by_its_owners_word_alone() -> None:
    mailbox = Mailbox()
    for item in (Raw(9, Call(1, msgspec.Raw(b"\xc0"))), Raw(2, Info(msgspec.Raw(b"\xc0"))), DownMessage(4, SUPERVISOR, "x")):
        mailbox.push(item)
        assert order_of(mailbox, 2, 5) is None
    mailbox.push(Raw(2, Call(8, msgspec.Raw(b"\xc0"))))
    assert (order_of(mailbox, 2, 5), len(mailbox.items)) == (8, 3)


def test_a_task_whose_owner_is_dead_ends() -> None:
    mailbox = Mailbox()
    mailbox.push(DownMessage(5, ME, "killed"))
    assert order_of(mailbox, 2, 5) == {"shutdown": "killed"}
