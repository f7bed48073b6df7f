"""``sessions`` restart nobody beside himself: children that survive a killed supervisor are waited for, and cost no budget."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from actorcore.exit_reason import Reason
from actorcore.residents import Do, Order
from actorcore.signals import NOBODY, Answer, Down, Monitor, Processes, ProcessSpec
from actorcore.words import RESIDENT
from supervisors.tree.child_spec import ChildSpec
from supervisors.tree.session_words import RestartSession, Shutdown, StartSession, StopSession
from supervisors.tree.spec import Child, SupervisorSpec
from supervisors.tree.survivors import Survivor, survivor_in
from tests.sessions_world import Process, World

STATE, STRANGER, ABOVE = 7, 8, 3
"""Serials: two who may hold the name of the state, and who has started the second."""
GRACE_S = 5.0
INTENSITY = 1


def group(shutdown_s: Any = GRACE_S) -> ProcessSpec:
    tree = SupervisorSpec([Child("state", ProcessSpec("m:State", name="a"), shutdown_s=shutdown_s)])
    return ProcessSpec("supervisor", [msgspec.to_builtins(tree)], RESIDENT)


def refusal(holder: int) -> Reason:
    return {"shutdown": {"failed_to_start_child": ["state", {"already_registered": holder}]}}


class Groups(World):
    """Its session is a group of one. ``parents``: of those who hold the name of its state; ``are_quick``: they end as soon as
    the next supervisor was refused."""

    def __init__(self) -> None:
        super().__init__()
        self.parents: dict[int, int] = {}
        self.refs: dict[int, int] = {}
        self.are_quick = False

    def create(self, **fields: Any) -> int:
        fields = {"process": group(), "intensity": INTENSITY, "backoff_step_s": 0.0, "restart": "permanent", **fields}
        self.value(StartSession(ChildSpec("a", **fields)))
        return self.serial("a")

    def kill_supervisor(self, survivor: int | None = STATE) -> None:
        """Its state survives it and keeps its name, unless that is None."""
        before = self.serial("a")
        if survivor is not None:
            self.parents[survivor] = before if survivor == STATE else ABOVE
        self.die(before, "killed")

    def end(self, survivor: int = STATE) -> None:
        """It has ended, and whoever watches is told."""
        del self.parents[survivor]
        for ref in [ref for ref, serial in self.refs.items() if serial == survivor]:
            del self.refs[ref]
            self.deliver(Down([ref], survivor, "killed"))

    def _perform(self, order: Order) -> None:
        match order:
            case Do(number, Processes(after, limit)):
                assert limit == 1
                if self.are_quick:
                    self.parents.clear()
                found = [{"serial": serial, "parent": above} for serial, above in sorted(self.parents.items()) if serial > after]
                self._queue.append(Answer(number, found[:1]))  # type: ignore[arg-type]
            case Do(number, Monitor(ref, serial)):
                self.refs[ref] = serial
                self._queue.append(Answer(number, True))
            case _:
                super()._perform(order)

    def _signal(self, serial: int, reason: Reason) -> None:
        if serial in self.parents and reason == "kill":
            self.end(serial)
        else:
            super()._signal(serial, reason)

    def _spawn(self, number: int, process: ProcessSpec) -> None:
        self.booting[number] = Process("a", "ok", None)
        self._end_init(number, refusal(min(self.parents)) if self.parents else None, False)


@pytest.fixture
def world() -> Groups:
    return Groups()


def test_a_survivor_is_waited_for_and_the_restart_is_one(world: Groups) -> None:
    before = world.create()
    world.kill_supervisor()
    world.advance(GRACE_S - 0.1)
    assert (world.state("a"), world.row("a")["restarts"], len(world.alive)) == ("restarting", 1, 0)
    world.end()
    assert (world.state("a"), world.row("a")["restarts"], world.row("a")["previous"] > before) == ("active", 1, True)
    assert world.kinds("a") == ["session_started", "session_crashed", "session_restarted"]
    assert [order for order in world.sent if order[0] == STATE] == []


def test_a_survivor_that_stays_is_killed_when_its_supervisor_would_have_done_so(world: Groups) -> None:
    world.create()
    world.kill_supervisor()
    world.advance(GRACE_S)
    assert (world.sent, world.state("a"), world.row("a")["restarts"]) == ([(STATE, "kill")], "active", 1)


def test_a_survivor_with_a_brutal_kill_is_killed_at_once_and_one_with_infinity_never(world: Groups) -> None:
    world.create(process=group("brutal_kill"))
    world.kill_supervisor()
    assert (world.sent, world.state("a")) == ([(STATE, "kill")], "active")
    other = Groups()
    other.create(process=group("infinity"))
    other.kill_supervisor()
    other.advance(1e6)
    assert (other.sent, other.state("a"), other.alarms) == ([], "restarting", {})


def test_each_of_several_survivors_is_waited_for_and_the_budget_pays_for_kills_only(world: Groups) -> None:
    world.create()
    world.parents[STATE + 30] = world.serial("a")
    world.kill_supervisor()
    world.end()
    assert world.state("a") == "restarting"
    world.end(STATE + 30)
    assert world.state("a") == "active"
    world.kill_supervisor(None)
    assert world.state("a") == "gave_up"


def test_one_that_has_ended_meanwhile_is_not_waited_for(world: Groups) -> None:
    world.are_quick = True
    world.create()
    world.kill_supervisor()
    assert (world.state("a"), world.row("a")["restarts"], world.refs) == ("active", 1, {})


def test_a_stranger_that_has_taken_the_name_is_not_waited_for_and_never_killed(world: Groups) -> None:
    world.create()
    world.kill_supervisor(STRANGER)
    world.advance(10 * GRACE_S)
    assert (world.state("a"), world.sent, world.refs) == ("gave_up", [], {})


def test_a_stop_meanwhile_is_over_when_the_survivor_is(world: Groups) -> None:
    world.create()
    world.kill_supervisor()
    asked = world.ask(StopSession("a"))
    assert asked not in world.answers
    world.end()
    answer: Any = world.answers[asked].value
    assert (answer["state"], world.state("a"), world.alarms) == ("stopped", None, {})


def test_a_stop_meanwhile_kills_the_survivor_at_its_time_and_the_daemon_s_end_at_its_own(world: Groups) -> None:
    world.create()
    world.kill_supervisor()
    world.ask(StopSession("a"))
    world.advance(GRACE_S)
    assert (world.sent, world.state("a")) == ([(STATE, "kill")], None)
    other = Groups()
    other.create(process=group("infinity"))
    other.kill_supervisor()
    asked = other.ask(Shutdown(1.0))
    other.advance(1.0)
    assert (other.sent, other.answers[asked].value) == ([(STATE, "kill")], {"stopped": 1})


def test_a_restart_that_is_asked_for_meanwhile_joins_the_one_that_waits(world: Groups) -> None:
    world.create()
    world.kill_supervisor()
    asked = world.ask(RestartSession("a"))
    assert asked not in world.answers
    world.end()
    answer: Any = world.answers[asked].value
    assert (answer["state"], answer["restarts"]) == ("active", 1)


def test_a_first_start_waits_for_nobody(world: Groups) -> None:
    world.parents[STATE] = NOBODY
    assert world.error(StartSession(ChildSpec("a", group()))) == ("start_failed", refusal(STATE))
    assert (world.state("a"), world.parents) == (None, {STATE: NOBODY})


@pytest.mark.parametrize(("spec", "reason"), [
    (ProcessSpec("m:supervisor"), refusal(STATE)), (ProcessSpec("supervisor"), refusal(STATE)), (group(), refusal(0)),
    (group(), "normal"), (group(), "killed"), (group(), {"shutdown": 1}), (group(), {"already_registered": STATE}),
    (group(), {"shutdown": {"failed_to_start_child": ["other", {"already_registered": STATE}]}}),
    (group(), {"shutdown": {"failed_to_start_child": ["state", {"already_registered": "a"}]}}),
])  # fmt: skip
def test_another_reason_and_another_start_name_no_survivor(spec: ProcessSpec, reason: Reason) -> None:
    assert survivor_in(spec, reason) is None


def test_a_survivor_has_the_time_that_its_spec_gives_it() -> None:
    assert survivor_in(group(2.5), refusal(STATE)) == Survivor(STATE, 2.5)
    assert survivor_in(group(None), refusal(STATE)) == Survivor(STATE, 5.0)
