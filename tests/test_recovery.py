"""A successor's first steps: what it does again, what it leaves alone, and what its rehearsal must not touch."""

from __future__ import annotations

import pytest

from actorcore.effects import Deliver, Publish, Retract
from actorcore.frames import encoder
from actorcore.kernel import Kernel
from actorcore.ledger import HEADER_BYTES, Ledger, Recovered
from actorcore.runtime.node.recovery import recover, rehearse
from actorcore.signals import Answer, Asked, Booted, Born, ClientAttached, Event, Exited, Monitor, ProcessSpec, Register, Spawn

CLIENT, PROCESS = 2, 3


def fresh() -> Kernel:
    return Kernel(7, {})


class Node:
    """A node that has appended and handled events, and performed as many of them as it says."""

    def __init__(self) -> None:
        self.memory = memoryview(bytearray(1 << 20))
        self.ledger, self.kernel = Ledger.create(self.memory), fresh()

    def do(self, *events: Event) -> None:
        for event in events:
            self.ledger.append(encoder.encode((1.0, event)))
            self.kernel.handle(event, 1.0)

    def perform(self) -> None:
        self.ledger.mark_performed(self.ledger.last)

    def live(self) -> None:
        self.do(ClientAttached(0, b"s", 1), Asked(CLIENT, 1, Spawn(ProcessSpec("m:f"))), Born(PROCESS, 9), Booted(PROCESS))


def test_unfinished_effects_are_done_again_but_names_of_the_dead_are_not_shown_once_more() -> None:
    node = Node()
    node.live()
    node.perform()
    node.do(Asked(CLIENT, 2, Monitor(1, PROCESS)), Asked(CLIENT, 3, Register("gone", PROCESS)), Exited(PROCESS, 2, 9))
    again = recover(node.memory, fresh)
    assert [effect.body for effect in again.unfinished if isinstance(effect, Deliver)][:2] == [Answer(2, True), Answer(3, True)]
    assert [effect for effect in again.unfinished if isinstance(effect, (Publish, Retract))] == []
    assert again.kernel.table.published() == node.kernel.table.published() == {"system:node": 1}
    assert again.kernel.snapshot() == node.kernel.snapshot()


def test_a_rehearsal_changes_nothing_and_the_turn_comes_to_the_same_state() -> None:
    node = Node()
    node.live()
    node.perform()
    node.ledger.snapshot(node.kernel.snapshot())
    node.do(Asked(CLIENT, 2, Register("here", PROCESS)))
    before = bytes(node.memory)
    made: list[Kernel] = []

    def counted() -> Kernel:
        made.append(fresh())
        return made[-1]

    rehearse(node.memory, counted)
    assert bytes(node.memory) == before
    assert [kernel.table.published() for kernel in made] == [{"system:node": 1}] * 3  # the snapshot, none of the events
    assert recover(node.memory, fresh).kernel.snapshot() == node.kernel.snapshot()


def test_a_rehearsal_throws_away_what_the_node_overwrites_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    node = Node()
    node.live()
    node.perform()
    node.ledger.snapshot(node.kernel.snapshot())
    load = Ledger.load

    def overtaken(ledger: Ledger) -> Recovered:
        left = load(ledger)
        for _ in range(2):  # two snapshots: the half that is being read has another one
            node.do(Asked(CLIENT, 2, Register("here", PROCESS)))
            node.perform()
            node.ledger.snapshot(node.kernel.snapshot())
        return left

    def never() -> Kernel:
        raise AssertionError("something torn is restored")

    monkeypatch.setattr(Ledger, "load", overtaken)
    rehearse(node.memory, never)


def test_a_rehearsal_with_a_snapshot_that_this_code_does_not_read_is_no_error() -> None:
    node = Node()
    node.ledger.snapshot(encoder.encode([99, b"", {}, {}, False]))
    rehearse(node.memory, fresh)


def test_a_rehearsal_over_a_half_written_ledger_is_no_error() -> None:
    node = Node()
    node.live()
    node.memory.cast("Q")[HEADER_BYTES // 8 + 2] += 8  # the end of the records, in the middle of one
    rehearse(node.memory, fresh)
