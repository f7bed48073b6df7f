"""What a node has to tell its kernel of itself: whether its state is crowded, once each time that changes."""

from __future__ import annotations

from actorcore.runtime.node.facts import CROWDED_BYTES, NodeFacts
from actorcore.signals import Crowded


def crowded(facts: NodeFacts) -> list[Crowded]:
    return [fact for fact in facts.new(0.0) if isinstance(fact, Crowded)]


def test_a_large_snapshot_is_told_once_and_a_small_one_after_it_too() -> None:
    facts = NodeFacts()
    assert crowded(facts) == []
    for size_bytes, told in (
        (0, [Crowded(False)]), (CROWDED_BYTES, []), (CROWDED_BYTES + 1, [Crowded(True)]), (CROWDED_BYTES * 2, []),
        (CROWDED_BYTES, [Crowded(False)]),
    ):  # fmt: skip
        facts.snapshot_taken(size_bytes)
        assert crowded(facts) == told, size_bytes
