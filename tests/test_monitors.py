"""Monitors: one-way, any number per pair, each fires once or is removed."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from actorcore.monitors import Monitors

SERIALS = st.integers(1, 4)


def test_a_death_fires_all_refs_grouped_by_watcher_and_only_once() -> None:
    monitors = Monitors()
    for watcher, ref in ((5, 1), (4, 9), (5, 2)):
        monitors.add(watcher, ref, 7)
    assert monitors.fire(7) == [(5, [1, 2]), (4, [9])]
    assert monitors == Monitors()


def test_a_ref_is_used_once_per_watcher() -> None:
    monitors = Monitors()
    monitors.add(1, 1, 7)
    with pytest.raises(ValueError, match="in use"):
        monitors.add(1, 1, 8)
    monitors.add(2, 1, 7)
    assert monitors.count() == 2


def test_demonitor_tells_whether_it_existed() -> None:
    monitors = Monitors()
    monitors.add(1, 1, 7)
    assert (monitors.remove(1, 1), monitors.remove(1, 1)) == (True, False)
    assert monitors.fire(7) == []


def test_the_monitors_of_a_dead_watcher_are_gone() -> None:
    monitors = Monitors()
    monitors.add(1, 1, 7)
    monitors.add(1, 2, 1, is_late=True)
    monitors.drop(1)
    assert monitors == Monitors()


@given(st.lists(st.tuples(st.sampled_from(["add", "remove", "fire", "drop"]), SERIALS, SERIALS, SERIALS)))
def test_monitors_are_a_map_of_refs(ops: list[tuple[str, int, int, int]]) -> None:
    monitors, model = Monitors(), dict[tuple[int, int], int]()
    for op, watcher, ref, target in ops:
        if op == "add" and (watcher, ref) not in model:
            monitors.add(watcher, ref, target)
            model[watcher, ref] = target
        elif op == "remove":
            assert monitors.remove(watcher, ref) is (model.pop((watcher, ref), None) is not None)
        elif op == "fire":
            fired = {(who, which) for who, refs in monitors.fire(target) for which in refs}
            assert fired == {key for key, value in model.items() if value == target}
            model = {key: value for key, value in model.items() if value != target}
        elif op == "drop":
            monitors.drop(watcher)
            model = {key: value for key, value in model.items() if key[0] != watcher}
        assert monitors.count() == len(model)
        watchers_of = list(monitors.refs.values())
        assert all([*monitors.targets.values(), *watchers_of, *(refs for watchers in watchers_of for refs in watchers.values())])
        assert {(w, r): t for t, watchers in monitors.refs.items() for w, refs in watchers.items() for r in refs} == model
