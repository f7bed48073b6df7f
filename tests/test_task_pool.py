"""Pools of tasks: how many run, who waits, who is late."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from actorcore.exit_reason import Reason, Term
from actorcore.frames import encoder
from actorcore.residents import AnswerTo, CancelAlarm, Do, Leave, Order, Ready, Refuse, Send, SetAlarm
from actorcore.signals import Alarm, Asking, Begin, Delivery, Down, Exit, Monitor, ProcessSpec, SendExit, Spawn, Started
from supervisors.services.task_pool import MAX_WAITING_BYTES, TaskPool
from supervisors.tree.spec import MAX_POOL, Child, PoolSpec, trouble_with_pool

PARENT = 1


class World:
    """A pool whose tasks start at once; it is restored from its snapshot before each delivery."""

    def __init__(self, **fields: Any) -> None:
        self.pool = TaskPool(PoolSpec(**fields))
        self.now, self.serial, self.number = 0.0, 100, 0
        self.running: dict[int, str] = {}
        self.answers: list[AnswerTo] = []
        self.other: list[Order] = []
        self.tell(Begin(2, 7, 0, ProcessSpec("task_pool", name="clerks"), PARENT))

    def tell(self, body: Delivery) -> None:
        again = TaskPool()
        again.restore(self.pool.snapshot())
        assert again.snapshot() == self.pool.snapshot()
        self.pool = again
        for order in again.handle(body, self.now):
            match order:
                case Do(number, Spawn(spec)):
                    self.serial += 1
                    self.running[self.serial] = spec.start
                    self.tell(Started(number, self.serial))
                case AnswerTo():
                    self.answers.append(order)
                case _:
                    self.other.append(order)

    def ask(self, *words: Any) -> None:
        self.number += 1
        self.tell(Asking(50, self.number, msgspec.Raw(msgspec.msgpack.encode(list(words)))))

    def start(self, name: str, args: list[Term] | None = None) -> None:
        process = {"start": name, "args": args or []}
        self.ask("start_child", {"id": "task", "process": process, "restart": "temporary"})

    def end(self, name: str, reason: Reason = "normal") -> None:
        (serial,) = [serial for serial, running in self.running.items() if running == name]
        del self.running[serial]
        self.tell(Exit(serial, reason))

    def names(self) -> list[str]:
        return list(self.running.values())

    def errors(self) -> list[str]:
        return [answer.error[0] for answer in self.answers if answer.error is not None]


def test_so_many_run_and_the_others_have_their_turn_in_order() -> None:
    world = World(size=2)
    for name in "abcde":
        world.start(name)
    assert (world.names(), [answer.number for answer in world.answers]) == (["a", "b"], [1, 2])
    world.end("b")
    assert (world.names(), [answer.number for answer in world.answers]) == (["a", "c"], [1, 2, 3])
    world.end("a", "killed")
    world.end("c")
    assert (world.names(), [answer.value for answer in world.answers]) == (["d", "e"], [101, 102, 103, 104, 105])


def test_who_comes_later_does_not_overtake_who_waits() -> None:
    world = World(size=1)
    for name in "ab":
        world.start(name)
    world.pool.handle(Exit(101, "normal"), 0.0)  # b is being started
    assert world.pool.handle(Asking(50, 3, msgspec.Raw(msgspec.msgpack.encode(["count_children"]))), 0.0) == []


def test_so_many_may_wait_and_no_more_and_none_if_none_may() -> None:
    world, strict = World(size=1, max_waiting=1), World(size=1, max_waiting=0)
    for name in "abc":
        world.start(name)
        strict.start(name)
    assert (world.names(), world.errors(), strict.names(), strict.errors()) == (["a"], ["busy"], ["a"], ["busy", "busy"])


def test_what_waits_has_bounds_in_bytes() -> None:
    world = World(size=1)
    for number in range(3 + MAX_WAITING_BYTES // 50_000):
        world.start(f"t{number}", ["x" * 50_000])
    assert world.errors() == ["busy"]
    world.end("t0")
    world.start("last", ["x" * 50_000])
    assert world.errors() == ["busy"]


def test_a_bound_in_bytes_may_be_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = TaskPool(PoolSpec(size=1))
    pool.handle(Begin(2, 7, 0, ProcessSpec("task_pool"), PARENT), 0.0)
    task = {"id": "task", "process": {"start": "m:f"}, "restart": "temporary"}
    body = msgspec.Raw(msgspec.msgpack.encode(["start_child", task]))
    (spawn,) = [order for order in pool.handle(Asking(50, 1, body), 0.0) if isinstance(order, Do)]
    pool.handle(Started(spawn.number, 100), 0.0)
    pool.handle(Asking(50, 2, body), 0.0)
    monkeypatch.setattr("supervisors.services.task_pool.MAX_WAITING_BYTES", len(encoder.encode(msgspec.convert(task, Child))))
    told = [order for number in (3, 4) for order in pool.handle(Asking(50, number, body), 0.0)]
    assert [order for order in told if isinstance(order, AnswerTo)] == [AnswerTo(50, 4, None, ("busy", 2))]


def test_who_has_had_his_turn_waits_no_more_in_bytes_either() -> None:
    pool = TaskPool(PoolSpec(size=1))
    pool.handle(Begin(2, 7, 0, ProcessSpec("task_pool"), PARENT), 0.0)
    process = {"start": "m:f", "args": ["x" * 50_000]}
    body = msgspec.Raw(msgspec.msgpack.encode(["start_child", {"id": "task", "process": process, "restart": "temporary"}]))
    told: list[Order] = []
    for turn in range(3 + MAX_WAITING_BYTES // 50_000):
        told += pool.handle(Asking(50, turn + 1, body), 0.0)
        (spawn,) = [order for order in told[-2:] if isinstance(order, Do)]
        told += [*pool.handle(Started(spawn.number, 100 + turn), 0.0), *pool.handle(Exit(100 + turn, "normal"), 0.0)]
    assert [order.error for order in told if isinstance(order, AnswerTo) and order.error is not None] == []


def test_acceptance_177_another_size_holds_from_the_next_task_on() -> None:
    world = World(size=1)
    for name in "abcd":
        world.start(name)
    world.ask("configure", {"size": 3})
    assert world.answers[-3].value is True  # and two more are started
    assert world.names() == ["a", "b", "c"]
    world.ask("configure", {"size": 1})
    world.end("a")
    world.end("b")
    assert world.names() == ["c"]
    world.end("c")
    assert world.names() == ["d"]
    world.ask("configure", {"size": 0})
    assert world.errors() == ["invalid_spec"]


def test_a_late_task_is_told_and_then_killed() -> None:
    world = World(size=1, timeout_s=5.0)
    world.start("a")
    world.now = 5.0
    world.tell(Alarm("late 1"))
    world.now = 6.0
    world.tell(Alarm("deadly 1"))
    assert world.other == [Ready(), SetAlarm("late 1", 5.0), Do(2, SendExit(101, "timeout")), SetAlarm("deadly 1", 6.0),
                           Do(3, SendExit(101, "kill"))]  # fmt: skip
    world.other.clear()
    world.end("a", "killed")
    world.tell(Alarm("late 1"))
    assert [order for order in world.other if isinstance(order, (CancelAlarm, Do))] == [
        CancelAlarm("late 1"), CancelAlarm("deadly 1")]  # fmt: skip


def test_a_late_task_that_is_restarted_has_its_whole_time_again() -> None:
    """The alarm that was to kill the task before killed the one after it, a second old."""
    world = World(size=1, timeout_s=5.0)
    world.ask("start_child", {"id": "task", "process": {"start": "a"}, "restart": "permanent"})
    world.now = 5.0
    world.tell(Alarm("late 1"))
    world.other.clear()
    world.end("a", "timeout")
    alarms = [order for order in world.other if isinstance(order, (CancelAlarm, SetAlarm))]
    assert (world.running, alarms) == ({102: "a"}, [CancelAlarm("late 1"), CancelAlarm("deadly 1"), SetAlarm("late 1", 10.0)])


def test_a_pool_that_ends_kills_its_tasks_and_starts_none_that_waits() -> None:
    world = World(size=1)
    for name in "ab":
        world.start(name)
    world.tell(Exit(PARENT, "shutdown"))
    (stop,) = [order.body for order in world.other if isinstance(order, Do) and isinstance(order.body, SendExit)]
    (ref,) = [order.number for order in world.other if isinstance(order, Do) and isinstance(order.body, Monitor)]
    world.tell(Down([ref], 101, "shutdown"))
    assert (stop, world.names(), world.other[-1]) == (SendExit(101, "shutdown"), ["a"], Leave("shutdown"))


@pytest.mark.parametrize(("fields", "trouble"), [
    ({"size": 0}, "size: must be 1 to 10000"), ({"size": MAX_POOL + 1}, "size: must be 1 to 10000"),
    ({"max_waiting": -1}, "max_waiting: must be 0 to 10000"), ({"timeout_s": 0.0}, "timeout_s: must be more than 0"),
    ({"intensity": -1}, "intensity: must be 0 to 1000"),
])  # fmt: skip
def test_a_pool_that_cannot_be_is_not_started(fields: dict[str, Any], trouble: str) -> None:
    assert World(**fields).other == [Refuse({"invalid_spec": trouble})]


def test_a_pool_may_be_of_one_of_many_with_none_that_waits_and_for_half_a_second() -> None:
    edges: list[dict[str, Any]] = [
        {"size": 1}, {"size": MAX_POOL}, {"max_waiting": 0}, {"max_waiting": MAX_POOL}, {"timeout_s": 0.5},
    ]  # fmt: skip
    assert [trouble_with_pool(PoolSpec(**fields)) for fields in edges] == [None] * 5


def test_a_pool_tells_once_that_it_refuses_and_once_more_when_it_has_taken_somebody_meanwhile() -> None:
    world = World(size=1, max_waiting=0)
    told = []
    for name in ("a", "b", "c"):
        world.start(name)
        told.append(len([order for order in world.other if isinstance(order, Send)]))
    world.end("a")
    for name in ("d", "e"):
        world.start(name)
        told.append(len([order for order in world.other if isinstance(order, Send)]))
    assert (told, world.errors()) == ([0, 1, 1, 1, 2], ["busy"] * 3)
    (first, *_) = [order for order in world.other if isinstance(order, Send)]
    assert msgspec.msgpack.decode(first.body) == ["service_told", "service_refused", {"name": "clerks", "code": "busy"}]


def test_what_is_no_task_is_refused_at_once() -> None:
    world = World(size=1)
    world.ask("start_child", {"id": "task", "process": {"start": "m:f", "init_timeout_s": 0}, "restart": "temporary"})
    assert (world.errors(), world.names()) == (["invalid_spec"], [])
