"""Links: symmetric, one per pair."""

from __future__ import annotations

from hypothesis import given, strategies as st

from actorcore.links import Links

SERIALS = st.integers(1, 5)


def test_a_link_is_symmetric_and_one_per_pair() -> None:
    links = Links()
    links.add(1, 2)
    links.add(2, 1)
    assert (links.of(1), links.of(2), links.count()) == ([2], [1], 1)
    assert links.remove(2, 1) is True
    assert links.remove(1, 2) is False
    assert links == Links()


def test_nobody_is_linked_to_itself() -> None:
    links = Links()
    links.add(1, 1)
    assert links == Links()


def test_the_dead_leaves_its_partners_in_order_and_nothing_else() -> None:
    links = Links()
    for partner in (3, 2, 4):
        links.add(1, partner)
    links.add(2, 3)
    assert links.drop(1) == [3, 2, 4]
    assert links.drop(1) == []
    assert (links.of(2), links.count()) == ([3], 1)


@given(st.lists(st.tuples(st.sampled_from(["add", "remove", "drop"]), SERIALS, SERIALS)))
def test_links_are_a_set_of_pairs(ops: list[tuple[str, int, int]]) -> None:
    links, model = Links(), set[frozenset[int]]()
    for op, a, b in ops:
        pair = frozenset((a, b))
        if op == "add":
            links.add(a, b)
            model |= {pair} if a != b else set()
        elif op == "remove":
            assert links.remove(a, b) is (pair in model)
            model -= {pair}
        else:
            mine = {pair for pair in model if a in pair}
            assert {frozenset((a, partner)) for partner in links.drop(a)} == mine
            model -= mine
        assert {frozenset((x, y)) for x in links.partners for y in links.of(x)} == model
        assert links.count() == len(model)
