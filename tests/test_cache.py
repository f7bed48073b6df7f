"""The cache in virtual time."""

from __future__ import annotations

import pytest
from hypothesis import given, settings, strategies as st

from supervisors.session.cache import MAX_KEY_BYTES, Cache, CacheStatistics, Look, RequestError
from supervisors.session.looks import look_up
from supervisors.session.requests import CacheClear, CacheDelete, CacheGet, CachePut, CacheRequest, GetCacheStatistics

MISS, EXPIRED = Look("not_found"), Look("expired")


def put(cache: Cache, key: str, value: object = 1, size: int = 1, ttl_s: float | None = None, now: float = 0.0) -> None:
    cache.put(key, value, size, ttl_s, now)


def found(cache: Cache, keys: str, now: float = 0.0) -> str:
    return "".join(key for key in keys if cache.get(key, now).outcome == "hit")


def test_acceptance_170_one_look_tells_a_hit_from_a_miss_from_what_has_expired() -> None:
    cache = Cache(10, 100)
    assert cache.get("k", 0.0) == MISS
    put(cache, "k", "v", ttl_s=5.0)
    assert [cache.get("k", now) for now in (0.0, 4.999, 5.0, 500.0)] == [Look("hit", "v")] * 2 + [EXPIRED] * 2
    put(cache, "k", "again", now=500.0)
    assert cache.get("k", 501.0) == Look("hit", "again")
    assert (cache.delete("k", 501.0), cache.get("k", 501.0), cache.delete("k", 501.0)) == (True, MISS, False)


def test_a_deleted_key_that_had_expired_is_a_plain_miss() -> None:
    cache = Cache(10, 100)
    put(cache, "k", ttl_s=1.0)
    assert (cache.delete("k", 2.0), cache.get("k", 2.0)) == (False, MISS)


def test_a_value_of_none_is_a_hit() -> None:
    cache = Cache(10, 100)
    put(cache, "k", None)
    assert cache.get("k", 0.0) == Look("hit", None)


@pytest.mark.parametrize("ttl_s", [0.0, -1.0, float("inf"), float("nan")])
def test_acceptance_171_a_ttl_that_means_nothing_is_refused(ttl_s: float) -> None:
    cache = Cache(10, 100)
    put(cache, "k", "before")
    with pytest.raises(RequestError, match="ttl_s") as error:
        put(cache, "k", "after", ttl_s=ttl_s)
    assert (error.value.code, cache.get("k", 0.0)) == ("invalid_ttl", Look("hit", "before"))


def test_acceptance_171_at_capacity_the_oldest_goes_and_overwriting_evicts_nobody() -> None:
    cache = Cache(3, 100)
    for key in "abc":
        put(cache, key)
    put(cache, "a")
    assert found(cache, "abc") == "abc"
    put(cache, "d")
    assert found(cache, "abcd") == "acd"  # a had been put again, so b was the oldest
    assert cache.statistics(0.0) == CacheStatistics(3, 3, 6, 1, 0, 1)


def test_acceptance_98_bytes_are_bounded_too() -> None:
    cache = Cache(100, 10)
    for key, size in (("a", 4), ("b", 4), ("c", 4)):
        put(cache, key, size=size)
    assert (found(cache, "abc"), cache.statistics(0.0).size_bytes) == ("bc", 8)
    with pytest.raises(RequestError, match="at most 10") as error:
        put(cache, "d", size=11)
    assert (error.value.code, found(cache, "abcd")) == ("value_too_long", "bc")


def test_what_has_expired_takes_no_room_of_what_has_not() -> None:
    cache = Cache(2, 100)
    put(cache, "a")
    put(cache, "b", ttl_s=1.0)
    put(cache, "c", now=2.0)
    assert (found(cache, "abc", 2.0), cache.get("b", 2.0)) == ("ac", EXPIRED)


@pytest.mark.parametrize("key", ["", "x" * (MAX_KEY_BYTES + 1)])
def test_a_key_has_bounds(key: str) -> None:
    with pytest.raises(RequestError) as error:
        put(Cache(10, 100), key)
    assert error.value.code == "invalid_key"


def test_all_below_a_prefix_go_together() -> None:
    cache = Cache(10, 100)
    keys = ("file:a", "file:a:ast", "file:b", "other")
    for key in keys:
        put(cache, key)
    assert cache.delete_below("file:a", 0.0) == 2
    assert [key for key in keys if cache.get(key, 0.0).outcome == "hit"] == ["file:b", "other"]
    assert (cache.clear(0.0), cache.statistics(0.0).entries) == (2, 0)


Step = tuple[str, str, int | None, int]
STEPS = st.lists(st.tuples(st.sampled_from(["put", "get", "delete"]), st.sampled_from("abcde"), st.sampled_from([None, 1, 3, 9]),
                           st.integers(0, 4)), max_size=80)  # fmt: skip


@settings(max_examples=300)
@given(STEPS)
def test_acceptance_170_every_look_agrees_with_a_list_of_all_that_was_put(steps: list[Step]) -> None:
    """The model: puts in order; the newest MAX live ones are there."""
    most, cache, now = 3, Cache(3, 1000), 0.0
    live: dict[str, tuple[int, float]] = {}
    gone: dict[str, None] = {}
    for place, (verb, key, ttl_s, step) in enumerate(steps):
        now += step
        for _, _, name in sorted((until, number, name) for name, (number, until) in live.items() if until <= now):
            del live[name]
            gone[name] = None
        while len(gone) > most:
            del gone[next(iter(gone))]
        if verb == "put":
            cache.put(key, place, 1, ttl_s, now)
            live.pop(key, None)
            gone.pop(key, None)
            live[key] = (place, float("inf") if ttl_s is None else now + ttl_s)
            if len(live) > most:
                del live[next(iter(live))]
        elif verb == "get":
            expected = Look("hit", live[key][0]) if key in live else EXPIRED if key in gone else MISS
            assert cache.get(key, now) == expected
        else:
            assert cache.delete(key, now) == (key in live)
            live.pop(key, None)
            gone.pop(key, None)
        assert cache.statistics(now).entries == len(live)


def test_the_clock_of_expiries_stays_small_however_often_a_key_is_put_again() -> None:
    cache = Cache(10, 100)
    for now in range(10_000):
        put(cache, "k", now, ttl_s=20_000.0, now=float(now))
    assert (len(cache._due) <= 21, cache.get("k", 19_999.0), cache.get("k", 29_999.0)) == (True, Look("hit", 9999), EXPIRED)


def test_built_anew_the_clock_still_rings_for_the_earliest_first() -> None:
    cache = Cache(4, 100)
    put(cache, "d")
    assert cache._due == []
    for key, ttl_s in (("a", 30.0), ("b", 20.0), ("c", 10.0)):
        put(cache, key, ttl_s=ttl_s)
    for _ in range(7):
        put(cache, "a", ttl_s=30.0)
    assert (sorted(cache._due), [found(cache, "abcd", now) for now in (9.0, 10.0, 20.0, 30.0)]) == (
        [(10.0, 4, "c"), (20.0, 3, "b"), (30.0, 11, "a")], ["abcd", "abd", "ad", "d"])  # fmt: skip


def test_one_value_may_fill_the_cache_and_what_has_expired_is_not_counted() -> None:
    cache = Cache(3, 10)
    put(cache, "a", size=10, ttl_s=1.0)
    assert cache.statistics(0.5) == CacheStatistics(1, 10, 0, 0, 0, 0)
    assert cache.statistics(1.0) == CacheStatistics(0, 0, 0, 0, 0, 0)


def test_as_many_keys_as_have_room_are_known_to_have_expired_and_each_look_at_one_is_counted() -> None:
    cache = Cache(2, 10)
    for now, key in enumerate("abc"):
        put(cache, key, ttl_s=1.0, now=float(now))
    assert [cache.get(key, 9.0) for key in "abc"] == [MISS, EXPIRED, EXPIRED]
    assert cache.statistics(9.0) == CacheStatistics(0, 0, 0, 1, 2, 0)


def test_what_a_session_answers_to_who_uses_its_cache() -> None:
    cache = Cache(3, 10)
    steps: list[tuple[CacheRequest, object]] = [
        (CachePut("a", "xyz"), True), (CacheGet("a"), ["hit", "xyz"]), (CacheGet("b"), ["not_found", None]),
        (CacheDelete("a"), True), (CacheDelete("a"), False), (CachePut("b", 1), True), (CacheClear("b"), 1),
    ]  # fmt: skip
    assert [look_up(cache, request, 0.0) for request, _ in steps] == [answer for _, answer in steps]
    look_up(cache, CachePut("key", "x" * 6), 0.0)  # the key, and the text with its head
    assert look_up(cache, GetCacheStatistics(), 0.0) == {
        "entries": 1, "size_bytes": 10, "hits": 1, "not_found": 1, "expired": 0, "evicted": 0}  # fmt: skip
