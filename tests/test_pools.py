"""Pools: blanks are forked again in pauses; without pauses after a bounded wait, a few at a time."""

from __future__ import annotations

import pytest

from actorcore.runtime.node.pools import BATCH, PATIENCE_S, PAUSE_S, REST_S, Pools
from actorcore.signals import Refill


def test_a_full_pool_orders_nothing_and_wakes_nobody() -> None:
    pools = Pools({"lean": 8})
    assert (pools.refills({"lean": 8}, 1.0), pools.deadline()) == ([], None)


def test_a_pool_is_refilled_in_a_pause_and_not_before() -> None:
    pools = Pools({"lean": 8})
    pools.disturb(1.0)
    assert pools.refills({"lean": 7}, 1.0) == []
    assert pools.deadline() == 1.0 + PAUSE_S
    pools.disturb(1.001)
    assert pools.refills({"lean": 7}, 1.0 + PAUSE_S) == []
    assert pools.refills({"lean": 7}, 1.001 + PAUSE_S) == [Refill("lean", 8)]


def test_a_load_without_pauses_delays_a_refill_by_a_bounded_time() -> None:
    pools = Pools({"lean": 8})
    ordered = []
    for tick in range(1, 2000):  # of 1/8192 s, exact in binary
        pools.disturb(tick / 8192)
        if pools.refills({"lean": 5}, tick / 8192):
            ordered.append(tick)
    patience = -int(-PATIENCE_S * 8192 // 1)
    assert ordered == [1 + patience, 1 + 2 * patience]


def test_a_refill_is_a_few_forks_of_each_pool_that_lacks_some() -> None:
    pools = Pools({"lean": 8, "asyncio": 2, "full": 1})
    assert pools.refills({"full": 1}, 1.0) == [Refill("lean", BATCH), Refill("asyncio", 2)]


def test_after_a_failed_fork_nothing_is_ordered_for_a_while() -> None:
    pools = Pools({"lean": 8})
    pools.disturb(2.0)
    pools.refills({"lean": 5}, 2.0)
    pools.rest(2.0)
    assert (pools.refills({}, 2.0 + REST_S / 2), pools.deadline()) == ([], 2.0 + REST_S)
    assert pools.refills({}, 2.0 + REST_S) == [Refill("lean", BATCH)]


@pytest.mark.parametrize(("pool", "low"), [(1, 0), (2, 1), (3, 1), (4, 2), (8, 2), (200, 2)])
def test_the_last_of_a_pool_are_refilled_without_a_pause_a_burst_before_them_is_not_disturbed(pool: int, low: int) -> None:
    pools = Pools({"lean": pool})
    for left in range(pool - 1, low, -1):
        pools.disturb(1.0)
        assert pools.refills({"lean": left}, 1.0) == []
    assert pools.refills({"lean": low}, 1.0) == [Refill("lean", min(pool, low + BATCH))]
    assert pools.refills({"lean": pool}, 1.0) == []


def test_an_order_that_came_to_nothing_is_not_repeated_at_once() -> None:
    pools = Pools({"lean": 8})
    assert pools.refills({}, 1.0) == [Refill("lean", BATCH)]
    assert (pools.refills({}, 1.0), pools.deadline()) == ([], 1.0 + REST_S)
    pools.disturb(1.0 + REST_S)
    assert pools.refills({}, 1.0 + REST_S) == [Refill("lean", BATCH)]
