"""Pools: blanks are forked again in pauses; without pauses after a bounded wait, a few at a time."""

from __future__ import annotations

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


def test_half_a_pool_is_refilled_without_a_pause() -> None:
    pools = Pools({"lean": 8})
    pools.disturb(1.0)
    assert pools.refills({"lean": 5}, 1.0) == []
    assert pools.refills({"lean": 4}, 1.0) == [Refill("lean", 8)]
    assert pools.refills({"lean": 8}, 1.0) == []


def test_an_order_that_came_to_nothing_is_not_repeated_at_once() -> None:
    pools = Pools({"lean": 8})
    assert pools.refills({}, 1.0) == [Refill("lean", BATCH)]
    assert (pools.refills({}, 1.0), pools.deadline()) == ([], 1.0 + REST_S)
    pools.disturb(1.0 + REST_S)
    assert pools.refills({}, 1.0 + REST_S) == [Refill("lean", BATCH)]
