"""Deadlines: one per key, earliest first."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, strategies as st

from actorcore.timers import Deadlines


def test_due_keys_come_earliest_first_and_equal_ones_as_they_were_set() -> None:
    deadlines = Deadlines[int]()
    for key, at in ((3, 5.0), (2, 4.0), (1, 5.0), (4, 6.0)):
        deadlines.set(key, at)
    assert deadlines.earliest() == 4.0
    assert deadlines.pop_due(5.0) == [2, 3, 1]
    assert (deadlines.earliest(), list(deadlines.live)) == (6.0, [4])


def test_a_later_deadline_of_a_key_replaces_the_earlier() -> None:
    deadlines = Deadlines[int]()
    deadlines.set(1, 1.0)
    deadlines.set(1, 9.0)
    assert deadlines.pop_due(8.0) == []
    deadlines.cancel(1)
    deadlines.cancel(1)
    assert deadlines.earliest() is None


def test_cancelled_deadlines_do_not_pile_up() -> None:
    deadlines = Deadlines[int]()
    for key in range(100_000):
        deadlines.set(key, 1e9 - key)
        deadlines.cancel(key)
    assert len(deadlines.heap) <= 100


@pytest.mark.parametrize(("live", "most"), [(1, 66), (3, 70)])
def test_the_heap_is_sorted_anew_when_it_has_twice_as_many_as_live_and_64_more(live: int, most: int) -> None:
    deadlines = Deadlines[int]()
    for key in range(1, live):
        deadlines.set(key, 1.0)
    sizes = []
    for at in range(200):
        deadlines.set(0, float(at))
        sizes.append(len(deadlines.heap))
    assert (max(sizes), sizes[most - live], sizes[most - live + 1]) == (most, most, live)


@given(st.lists(st.tuples(st.sampled_from(["set", "cancel", "due"]), st.integers(0, 5), st.integers(0, 20))), st.integers(0, 99))
def test_deadlines_are_a_map_of_times_also_across_a_snapshot(ops: list[tuple[str, int, int]], cut: int) -> None:
    deadlines, model = Deadlines[int](), dict[int, float]()
    for number, (op, key, at) in enumerate(ops):
        if number == cut:
            deadlines = msgspec.msgpack.decode(msgspec.msgpack.encode(deadlines), type=Deadlines[int])
        if op == "set":
            model.pop(key, None)
            deadlines.set(key, float(at))
            model[key] = float(at)
        elif op == "cancel":
            deadlines.cancel(key)
            model.pop(key, None)
        else:
            due = sorted((when, place, key) for place, (key, when) in enumerate(model.items()) if when <= at)
            assert deadlines.pop_due(at) == [key for _, _, key in due]
            model = {key: when for key, when in model.items() if when > at}
        assert deadlines.earliest() == min(model.values(), default=None)
