"""One budget of restarts for sessions and trees; back-off in trees; partitions. The machines are driven by hand."""

from __future__ import annotations

import itertools
from typing import Any

import msgspec
import pytest
from hypothesis import given, strategies as st

from actorcore.frames import encoder
from actorcore.residents import AnswerTo, Do, Leave, Order, Ready, Refuse, SetAlarm
from actorcore.signals import Alarm, Answer, Asking, Begin, Delivery, Down, Exit, IsAlive, Monitor, Spawn, Started
from actorcore.words import RESIDENT, ProcessSpec
from supervisors.machines import MACHINES
from supervisors.tree.backoff import delay_s
from supervisors.tree.base import BaseSupervisor
from supervisors.tree.child_spec import ChildSpec
from supervisors.tree.dynamic_supervisor import DynamicSupervisor
from supervisors.tree.partition_supervisor import partition_of
from supervisors.tree.restart_budget import decide
from supervisors.tree.spec import Child, DynamicSpec, SupervisorSpec
from supervisors.tree.supervisor import Supervisor
from supervisors.tree.words import decode_request

PARENT, ASKER = 7, 9
BACKOFF = {"backoff_initial_s": 0.25, "backoff_step_s": 0.5, "backoff_max_s": 2.0}


class Run:
    """A machine whose children start at once."""

    def __init__(self, machine: BaseSupervisor) -> None:
        self.machine, self.now = machine, 0.0
        self.serials = itertools.count(100)
        self.numbers = itertools.count(1)
        self.started: list[str] = []
        self.alarms: dict[str, float] = {}
        self.answers: list[Any] = []
        self.end: object = None
        self.refs: dict[int, int] = {}
        self.refusals: list[Any] = []
        """Reasons for which the next starts fail."""
        self.tell(Begin(50, 1, 0, ProcessSpec("supervisor", template=RESIDENT), PARENT))

    def tell(self, body: Delivery) -> None:
        for order in self.machine.handle(body, self.now):
            self.obey(order)

    def obey(self, order: Order) -> None:
        match order:
            case Do(number, Spawn(spec)):
                self.started.append(spec.start)
                error = self.refusals.pop(0) if self.refusals else None
                self.tell(Started(number, next(self.serials), error))
            case Do(_, Monitor(ref, to)):
                self.refs[to] = ref
            case SetAlarm(key, at):
                self.alarms[key] = at
            case AnswerTo(_, _, value, error):
                self.answers.append(value if error is None else error[0])
            case Leave(reason) | Refuse(reason):
                self.end = reason
            case Ready():
                self.end = "ready"

    def ask(self, *words: object) -> Any:
        """The answer, or the code of the refusal; None while there is none."""
        self.answers.clear()
        self.tell(Asking(ASKER, next(self.numbers), msgspec.Raw(encoder.encode(list(words)))))
        return self.answers[0] if self.answers else None

    def serial(self, id: str) -> Any:
        return next(serial for name, serial, _ in self.ask("which_children") if name == id)

    def die(self, id: str, at: float) -> None:
        self.now = at
        self.tell(Exit(self.serial(id), "boom"))

    def ring(self) -> float:
        """The earliest alarm, and when it rang."""
        key = min(self.alarms, key=self.alarms.__getitem__)
        self.now = self.alarms.pop(key)
        self.tell(Alarm(key))
        return self.now

    def is_restored(self) -> None:
        """Its snapshot is the whole of it."""
        twin = type(self.machine)()
        twin.restore(self.machine.snapshot())
        assert twin.snapshot() == self.machine.snapshot()
        self.machine = twin


def child(name: str, **fields: Any) -> Child:
    return Child(name, ProcessSpec(name), **fields)


def run(*names: str, strategy: str = "one_for_one", intensity: int = 3, **fields: Any) -> Run:
    spec = SupervisorSpec([child(name) for name in names], strategy, intensity, 10.0, **{**BACKOFF, **fields})  # type: ignore[arg-type]
    tree = Run(Supervisor(spec))
    assert (tree.end, tree.started) == ("ready", list(names))
    tree.started.clear()
    return tree


# ---- the budget


@given(
    st.lists(st.floats(0, 30), max_size=8), st.integers(0, 6), st.none() | st.floats(0, 30), st.floats(30, 60),
    st.integers(0, 6), st.sampled_from([1.0, 5.0, 30.0]),
)  # fmt: skip
def test_a_session_and_a_tree_with_the_same_numbers_are_judged_alike(
    times: list[float], streak: int, ready_at: float | None, now: float, intensity: int, period_s: float
) -> None:
    numbers = {"intensity": intensity, "period_s": period_s, **BACKOFF}
    session = ChildSpec("a", ProcessSpec("a"), **numbers)  # type: ignore[arg-type]
    verdicts = [decide(spec, sorted(times), streak, ready_at, now) for spec in (session, SupervisorSpec(**numbers))]  # type: ignore[arg-type]
    assert verdicts[0] == verdicts[1]
    assert verdicts[0].wait_s == delay_s(verdicts[0].streak, 0.25, 0.5, 2.0)
    is_quiet = ready_at is not None and now - ready_at >= period_s
    assert verdicts[0].streak == (1 if is_quiet else streak + 1)
    assert verdicts[0].is_allowed == (sum(now <= then + period_s for then in times) < intensity)


# ---- back-off in trees


def test_the_id_of_a_child_that_waits_for_its_restart_is_present() -> None:
    tree = run("a")
    tree.die("a", 1.0)
    body = msgspec.Raw(encoder.encode(["start_child", child("a")]))
    # supervisor.erl, handle_start_child: started only with a pid, and {restarting, Pid} is none.
    assert tree.machine.handle(Asking(ASKER, 99, body), 1.0) == [AnswerTo(ASKER, 99, error=("already_present", None))]


def test_without_backoff_a_restart_waits_for_nothing() -> None:
    tree = run("a", backoff_initial_s=0.0, backoff_step_s=0.0, backoff_max_s=0.0)
    tree.die("a", 1.0)
    assert (tree.started, tree.alarms) == (["a"], {})


def test_each_restart_of_a_streak_waits_longer_and_the_child_is_listed_as_restarting() -> None:
    tree = run("a")
    for nth, wait_s in enumerate((0.25, 0.5, 1.0), 1):
        before = tree.now
        tree.die("a", before)
        assert tree.serial("a") == "restarting"
        tree.is_restored()
        assert tree.ring() == before + wait_s
        assert len(tree.started) == nth
    tree.die("a", tree.now)
    assert tree.end == "shutdown"


def test_a_period_without_a_death_ends_the_streak() -> None:
    tree = run("a")
    tree.die("a", 0.0)
    assert tree.ring() == 0.25
    tree.die("a", 10.25)
    assert tree.ring() == 10.5


def test_who_waits_can_be_stopped_and_does_not_come_back() -> None:
    tree = run("a", "b")
    tree.die("a", 1.0)
    assert tree.ask("restart_child", "a") == "restarting"
    assert tree.ask("delete_child", "a") == "restarting"
    assert tree.ask("terminate_child", "a") is True
    assert tree.serial("a") is None
    tree.ring()
    assert (tree.started, tree.serial("a")) == ([], None)


def test_who_comes_back_with_another_is_not_started_twice() -> None:
    tree = run("a", "b", strategy="one_for_all")
    tree.die("a", 1.0)
    tree.die("b", 1.1)
    assert tree.ring() == 1.25
    assert tree.started == ["a", "b"]
    assert tree.ring() == 1.35
    assert tree.started == ["a", "b"]


@pytest.mark.parametrize(("strategy", "stopped"), [("one_for_all", "ca"), ("rest_for_one", "c"), ("one_for_one", "")])
def test_the_others_go_on_until_the_wait_is_over(strategy: str, stopped: str) -> None:
    tree = run("a", "b", "c", strategy=strategy)
    serials = {name: tree.serial(name) for name in "ac"}
    tree.die("b", 1.0)
    assert tree.refs == {}
    assert {name: tree.serial(name) for name in "ac"} == serials
    tree.ring()
    for name in stopped:
        assert list(tree.refs)[-1] == serials[name]
        tree.tell(Down([tree.refs[serials[name]]], serials[name], "shutdown"))
    assert sorted(tree.started) == sorted([*stopped, "b"])


def test_a_restart_for_which_there_is_no_process_waits_and_costs_no_budget_C11() -> None:
    for tree in (run("a", intensity=1, **dict.fromkeys(BACKOFF, 0.0)), Run(DynamicSupervisor(DynamicSpec(intensity=1)))):
        if not tree.started and isinstance(tree.machine, DynamicSupervisor):
            tree.ask("start_child", msgspec.to_builtins(child("a")))
        tree.refusals = [{"resource_exhausted": "eagain"}] * 8
        tree.die("a", 1.0)
        waits = []
        while tree.alarms:
            before = tree.now
            waits.append(round(tree.ring() - before, 3))
        assert waits == [0.1, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0]
        assert isinstance(tree.serial("a"), int)


def test_a_parents_exit_ends_a_supervisor_whose_child_waits() -> None:
    tree = run("a")
    tree.die("a", 1.0)
    tree.tell(Exit(PARENT, "shutdown"))
    assert tree.end == "shutdown"


def test_a_dynamic_child_waits_too_and_keeps_its_place() -> None:
    tree = Run(DynamicSupervisor(DynamicSpec(max_children=1, **BACKOFF)))  # type: ignore[arg-type]
    serial = tree.ask("start_child", msgspec.to_builtins(child("a")))
    tree.die("a", 1.0)
    assert tree.ask("start_child", msgspec.to_builtins(child("b"))) == "max_children"
    assert tree.ring() == 1.25
    assert tree.serial("a") == serial + 1


@pytest.mark.parametrize(("fields", "trouble"), [
    ({"backoff_step_s": 20.0, "backoff_max_s": 20.0}, "is never reached"),
    ({"backoff_initial_s": 3.0}, "backoff_initial_s: must be 0 to backoff_max_s"),
    ({"backoff_step_s": 0.0001}, "backoff_step_s: must be 0, or 0.001 to backoff_max_s"),
])  # fmt: skip
def test_a_backoff_that_cannot_be_is_refused_with_its_field(fields: dict[str, float], trouble: str) -> None:
    for machine in (
        Supervisor(SupervisorSpec([child("a")], intensity=3, **{**BACKOFF, **fields})),
        DynamicSupervisor(DynamicSpec(**{**BACKOFF, **fields})),  # type: ignore[arg-type]
    ):
        refused = Run(machine).end
        assert isinstance(refused, dict)
        assert trouble in refused["invalid_spec"]


# ---- partitions


def partitions(count: int, **fields: Any) -> Run:
    inner = {"start": "dynamic_supervisor", "template": RESIDENT, "name": "workers"}
    spec = {"child": {"id": "w", "process": inner, "type": "supervisor"}, "partitions": count, **fields}
    return Run(MACHINES["partition_supervisor"]([spec]))  # type: ignore[arg-type]


def test_a_key_has_the_same_partition_everywhere_and_all_partitions_have_keys() -> None:
    tree = partitions(4)
    rows = tree.ask("which_children")
    assert [row[0] for row in rows] == ["w.0", "w.1", "w.2", "w.3"]
    assert [partition_of(number, 4) for number in (0, 1, 5, -6)] == [0, 1, 1, 2]
    found = {key: tree.ask("partition", key) for key in (*range(8), *"abcdefgh", "user-7", "é")}
    assert found == {key: [partition_of(key, 4), rows[partition_of(key, 4)][1]] for key in found}
    assert {number for number, _ in found.values()} == {0, 1, 2, 3}


def test_partitions_have_names_of_their_own() -> None:
    tree = partitions(2)
    machine = tree.machine
    assert isinstance(machine, Supervisor)
    assert [one.process.name for one in machine.spec.children] == ["workers.0", "workers.1"]


def test_a_partition_that_restarts_is_told_as_such_and_the_others_are_there() -> None:
    tree = partitions(2, **BACKOFF)
    tree.die("w.0", 1.0)
    assert (tree.ask("partition", 0), tree.ask("partition", 1)) == ("restarting", [1, tree.serial("w.1")])
    tree.is_restored()
    tree.ring()
    assert tree.ask("partition", 0) == [0, tree.serial("w.0")]


@pytest.mark.parametrize("words", [
    ["start_child", {"id": "x", "process": {"start": "m:f"}}], ["terminate_child", "w.0"], ["delete_child", "w.0"],
])  # fmt: skip
def test_partitions_are_what_they_are(words: list[Any]) -> None:
    assert partitions(2).ask(*words) == "unsupported"


def test_only_partition_supervisors_are_asked_for_partitions() -> None:
    assert run("a").ask("partition", 1) == "unsupported"
    assert Run(DynamicSupervisor()).ask("partition", 1) == "unsupported"


@pytest.mark.parametrize("count", [0, 1025])
def test_a_number_of_partitions_that_cannot_be_is_refused(count: int) -> None:
    with pytest.raises(ValueError, match="partitions: must be 1 to 1024"):
        partitions(count)


def test_a_dynamic_child_that_does_not_want_to_be_restarted_is_forgotten_and_nobody_is_told() -> None:
    it = DynamicSupervisor()
    it.handle(Begin(2, 7, 0, ProcessSpec("dynamic_supervisor"), 1), 0.0)
    child = {"id": "c", "process": {"start": "m:f"}, "restart": "permanent"}
    it.handle(Asking(5, 1, msgspec.Raw(msgspec.msgpack.encode(["start_child", child]))), 0.0)
    assert it.handle(Started(1, 101), 0.0) == [AnswerTo(5, 1, 101)]
    (spawn,) = [order for order in it.handle(Exit(101, "killed"), 0.0) if isinstance(order, Do)]
    assert it.handle(Started(spawn.number, 0, ignored=True), 0.0) == []
    counted = it.handle(Asking(5, 2, msgspec.Raw(msgspec.msgpack.encode(["count_children"]))), 0.0)
    assert counted == [AnswerTo(5, 2, {"specs": 0, "active": 0, "supervisors": 0, "workers": 0})]


@pytest.mark.parametrize("spec", [SupervisorSpec([]), DynamicSpec()])
def test_a_child_whose_first_start_fails_is_not_there(spec: SupervisorSpec | DynamicSpec) -> None:
    tree = Run(Supervisor(spec) if isinstance(spec, SupervisorSpec) else DynamicSupervisor(spec))
    tree.refusals = ["boom"]
    assert tree.ask("start_child", child("a")) == "start_failed"
    assert tree.ask("count_children") == {"specs": 0, "active": 0, "supervisors": 0, "workers": 0}


def test_a_dynamic_supervisor_may_have_no_children_and_not_less() -> None:
    assert [Run(DynamicSupervisor(DynamicSpec(max_children=most))).end for most in (0, -1)] == [
        "ready", {"invalid_spec": "max_children: must be 0 or more"}]  # fmt: skip


def test_who_ends_a_child_that_is_no_more_hears_from_the_node_whether_it_is_dead() -> None:
    spec = SupervisorSpec([child("a")], "simple_one_for_one")
    tree = Run(Supervisor(spec)).machine
    body = msgspec.Raw(encoder.encode(["terminate_child", "", 999]))
    for number, is_alive, error in ((1, False, None), (2, True, ("not_found", None))):
        (asked,) = tree.handle(Asking(ASKER, number, body), 0.0)
        assert isinstance(asked, Do) and asked.body == IsAlive(999)
        assert tree.handle(Answer(asked.number, is_alive), 0.0) == [AnswerTo(ASKER, number, None if error else True, error)]


def test_a_partition_that_was_not_restarted_does_not_run() -> None:
    inner = {"id": "w", "process": {"start": "m:f"}, "restart": "temporary"}
    tree = Run(MACHINES["partition_supervisor"]([{"child": inner, "partitions": 1}]))  # type: ignore[arg-type]
    assert tree.ask("partition", 0) == [0, 100]
    tree.tell(Exit(100, "boom"))
    assert tree.ask("partition", 0) == "not_running"


def test_what_is_no_request_of_a_supervisor_is_told_in_words() -> None:
    assert decode_request(msgspec.Raw(encoder.encode(["shout"]))) == "Invalid value 'shout' - at `$[0]`"


def test_a_start_that_nobody_has_ordered_is_none() -> None:
    tree = run("a")
    assert (tree.machine.handle(Started(99, 555), 0.0), tree.ask("which_children")) == ([], [["a", 100, "worker"]])
