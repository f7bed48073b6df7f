"""Who hangs is decided by the process table, in virtual time: one sentence per rule."""

from __future__ import annotations

import pytest

from actorcore.effects import Deliver, Effect, Kill, Look, Report
from actorcore.signals import Booted, Born, Continued, Event, Hung, Looked, ProcessSpec, Refill, Spawn, Started, Stopped, Ticked
from actorcore.table.hangs import LATE_S, STOPPED_LIMIT_S, UNRESPONSIVE
from tests.table_driver import Driver, bodies, without_reports


class World(Driver):
    """A driver whose Look effects are answered from ``busy`` (serial → since when), as the node does."""

    def __init__(self) -> None:
        super().__init__()
        self.busy: dict[int, float] = {}
        self.looks = 0

    def run(self, seconds: float) -> list[Effect]:
        """Let time pass from deadline to deadline; what happened, looks left out."""
        until, seen = self.now + seconds, list[Effect]()
        while (due := self.table.next_deadline()) is not None and due <= until:
            self.now = max(self.now, due)
            seen += self._looked(self.do(Ticked()))
        self.now = until
        return seen

    def _looked(self, effects: list[Effect]) -> list[Effect]:
        for effect in list(effects):
            if isinstance(effect, Look):
                self.looks += 1
                effects.remove(effect)
                effects += self.do(Looked({serial: self.busy.get(serial, 0.0) for serial in effect.pages}))
        return effects

    def phase(self, serial: int) -> str:
        row = self.table.row(serial)
        assert row is not None
        return row.phase


def hung(serial: int, why: str, world: World) -> list[Effect]:
    """What a hang of ``serial`` is, apart from a kill; the driver's root is the parent."""
    said = world.table._state.entries[world.root].seq
    return [Report("process_hung", serial, why), Deliver(world.root, said, Hung(serial, why))]


def recovered(serial: int, world: World) -> list[Effect]:
    said = world.table._state.entries[world.root].seq
    return [Report("process_recovered", serial), Deliver(world.root, said, Hung(serial, ""))]


def test_a_process_hangs_when_it_has_been_stopped_for_the_limit() -> None:
    world = World()
    serial = world.start()
    assert world.do(Stopped(serial)) == [Report("process_stopped", serial)]
    assert (world.run(STOPPED_LIMIT_S - 0.001), world.phase(serial)) == ([], "running")
    assert world.run(0.001) == hung(serial, "stopped", world)
    assert world.phase(serial) == "unresponsive"
    assert world.run(1000) == []


def test_who_is_judged_late_by_just_so_much_is_judged_and_by_more_has_its_time_again() -> None:
    for late_s, happened in ((LATE_S, True), (LATE_S + 0.001, False)):
        world = World()
        world.now = 128.0
        serial = world.start()
        world.do(Stopped(serial))
        world.now += STOPPED_LIMIT_S + late_s
        assert (world.do(Ticked()) == hung(serial, "stopped", world), world.phase(serial) == "unresponsive") == (happened,) * 2


def test_who_goes_on_before_the_limit_never_hung() -> None:
    world = World()
    serial = world.start(ProcessSpec("m:f", when_hung="kill"))
    for _ in range(100):
        world.do(Stopped(serial))
        assert world.run(STOPPED_LIMIT_S - 0.001) == []
        assert world.do(Continued(serial)) == [Report("process_continued", serial)]
    assert world.run(1000) == []
    assert world.table.next_deadline() is None


def test_a_stop_that_is_told_again_is_a_new_one() -> None:
    """waitid(2) keeps only the last change: between two stops it ran."""
    world = World()
    serial = world.start()
    for _ in range(3):
        world.do(Stopped(serial))
        assert world.run(1.0) == []
    assert world.run(0.5) == hung(serial, "stopped", world)


def test_one_that_hangs_and_goes_on_is_responsive_again() -> None:
    world = World()
    serial = world.start()
    world.do(Stopped(serial))
    world.run(2.0)
    assert world.do(Continued(serial)) == [Report("process_continued", serial), *recovered(serial, world)]
    assert world.phase(serial) == "running"
    world.do(Stopped(serial))
    assert world.run(STOPPED_LIMIT_S) == hung(serial, "stopped", world)


def test_it_dies_of_it_when_its_spec_says_so_after_all_have_been_told() -> None:
    world = World()
    serial = world.start(ProcessSpec("m:f", when_hung="kill"), link=True)
    world.do(Stopped(serial))
    assert world.run(STOPPED_LIMIT_S) == [*hung(serial, "stopped", world), Kill(serial)]
    assert world.phase(serial) == "dying"
    [end] = bodies(world.kill(serial), world.root)
    assert (end.frm, end.reason) == (serial, UNRESPONSIVE)  # type: ignore[union-attr]


def test_who_goes_on_when_it_has_to_die_is_not_responsive_again() -> None:
    world = World()
    serial = world.start(ProcessSpec("m:f", when_hung="kill"))
    world.do(Stopped(serial))
    world.run(STOPPED_LIMIT_S)
    assert world.do(Continued(serial)) == [Report("process_continued", serial)]
    assert world.phase(serial) == "dying"


def test_a_process_stopped_in_init_fails_its_start_when_its_spec_says_so() -> None:
    world = World()
    serial = world.fork(ProcessSpec("m:f", when_hung="kill"))
    world.do(Born(serial, 7))
    world.do(Stopped(serial))
    assert world.run(STOPPED_LIMIT_S) == [*hung(serial, "stopped", world), Kill(serial)]
    assert bodies(world.kill(serial), world.root) == [Started(1, serial, UNRESPONSIVE)]


def test_a_blank_that_is_stopped_is_replaced_before_it_gets_a_spec() -> None:
    world = World()
    world.do(Refill("lean", 1))
    world.do(Born(2, 7))
    assert world.do(Stopped(2))[-1] == Kill(2)
    assert without_reports(world.ask(world.root, Spawn(ProcessSpec("m:f")))) == ["Fork"]


def test_one_message_may_take_as_long_as_the_spec_allows() -> None:
    world = World()
    serial = world.start(ProcessSpec("m:f", busy_timeout_s=10.0))
    world.busy[serial] = world.now + 3.0
    assert world.run(12.9) == []
    assert world.run(0.3) == hung(serial, "busy", world)
    assert world.phase(serial) == "unresponsive"


def test_a_long_message_that_ends_makes_it_responsive_again() -> None:
    world = World()
    serial = world.start(ProcessSpec("m:f", busy_timeout_s=1.0))
    world.busy[serial] = world.now
    assert world.run(1.2) == hung(serial, "busy", world)
    world.busy[serial] = world.now  # the next message
    assert world.run(0.9) == recovered(serial, world)
    world.busy[serial] = 0.0
    assert (world.run(100.0), world.phase(serial)) == ([], "running")


def test_a_busy_process_is_killed_when_its_spec_says_so() -> None:
    world = World()
    serial = world.start(ProcessSpec("m:f", busy_timeout_s=1.0, when_hung="kill"))
    world.busy[serial] = world.now
    assert world.run(1.25) == [*hung(serial, "busy", world), Kill(serial)]
    assert world.table.next_deadline() is None


def test_only_processes_with_a_timeout_are_looked_at_once_in_that_time() -> None:
    world = World()
    for _ in range(30):
        world.start()
        world.start(ProcessSpec("m:f", busy_timeout_s=10.0))
        world.now += 0.001
    world.run(1000.0)
    assert world.looks <= 200  # in no more than two groups, as they were started on both sides of a multiple


def test_processes_that_work_are_no_hang_however_long_they_do() -> None:
    world = World()
    serial = world.start(ProcessSpec("m:f", busy_timeout_s=1.0, when_hung="kill"))
    for _ in range(100):
        world.busy[serial] = world.now
        assert world.run(0.9) == []


def test_a_stopped_process_is_no_busy_one() -> None:
    world = World()
    serial = world.start(ProcessSpec("m:f", busy_timeout_s=0.5))
    world.busy[serial] = world.now
    world.do(Stopped(serial))
    assert world.run(1.0) == []
    world.do(Continued(serial))
    assert world.run(0.0) == hung(serial, "busy", world)


@pytest.mark.parametrize("claim", [0.0, 1e300, float("inf")])
def test_a_claim_that_no_message_can_have_made_is_none(claim: float) -> None:
    world = World()
    serial = world.start(ProcessSpec("m:f", busy_timeout_s=1.0, when_hung="kill"))
    world.busy[serial] = claim
    assert world.run(100.0) == []
    assert 75 <= world.looks <= 101


@pytest.mark.parametrize("timeout_s", [1e-300, 1e-6, 1e300, 1.7e308])
def test_timeouts_may_be_of_any_length(timeout_s: float) -> None:
    world = World()
    serial = world.start(ProcessSpec("m:f", busy_timeout_s=timeout_s))
    world.busy[serial] = world.now
    assert world.table.next_deadline() is not None
    assert world.run(1.0) == (hung(serial, "busy", world) if timeout_s < 1.0 else [])
    assert world.looks <= 11


def test_D2_a_node_that_did_not_run_itself_gives_everybody_his_time_again() -> None:
    """After a freeze of the whole machine, or a node that was stopped, nobody else is to blame."""
    world = World()
    stopped, busy = world.start(ProcessSpec("m:f", when_hung="kill")), world.start(ProcessSpec("m:f", busy_timeout_s=5.0))
    world.busy[busy] = world.now
    world.do(Stopped(stopped))
    world.now += 1000.0
    assert without_reports(world.do(Ticked())) == []
    assert world.run(STOPPED_LIMIT_S) == [*hung(stopped, "stopped", world), Kill(stopped)]
    assert world.run(5.0) == hung(busy, "busy", world)


def test_an_answer_about_the_dead_or_the_stopped_changes_nothing() -> None:
    world = World()
    serial = world.start(ProcessSpec("m:f", busy_timeout_s=1.0))
    world.do(Stopped(serial))
    late: Event = Looked({serial: 1.0, 77: 1.0})
    assert world.do(late) == []
    world.kill(serial)
    assert world.do(late) == []


def test_a_parent_that_is_no_resident_is_told_nothing() -> None:
    world = World()
    client = world.client()
    world.ask(client, Spawn(ProcessSpec("m:f")))
    serial = client + 1
    world.do(Born(serial, 7))
    world.do(Booted(serial))
    world.do(Stopped(serial))
    assert world.run(STOPPED_LIMIT_S) == [Report("process_hung", serial, "stopped")]
