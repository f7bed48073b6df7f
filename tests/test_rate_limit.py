"""Rate limits in virtual time: the windows themselves, and the resident that owns them."""

from __future__ import annotations

from collections import Counter

import msgspec
import pytest
from hypothesis import given, settings, strategies as st

from actorcore.exit_reason import Term
from actorcore.residents import AnswerTo, Leave, Order, Ready, Refuse
from actorcore.signals import Asking, Begin, Exit, ProcessSpec
from supervisors.services.limiter import Limiter
from supervisors.services.rate_limit import MAX_KEYS, RESUME, Rate, RateLimit, Rates, trouble_with
from supervisors.services.told import tell_manager

ASKER, PARENT = 11, 12
FIVE = Rates(default=Rate(5))


def test_acceptance_146_five_resumes_of_one_id_in_a_minute_pass_and_the_sixth_waits() -> None:
    limit = RateLimit()
    assert [limit.attempt(RESUME, "a", float(now)) for now in range(6)] == [None] * 5 + [55]


@pytest.mark.parametrize("later_s", [0.0, 0.001, 30.0, 59.0, 59.999])
def test_acceptance_146_the_wait_is_between_1_and_60_seconds(later_s: float) -> None:
    limit = RateLimit()
    for _ in range(5):
        limit.attempt(RESUME, "a", 100.0)
    wait_s = limit.attempt(RESUME, "a", 100.0 + later_s)
    assert wait_s is not None and 1 <= wait_s <= 60
    assert limit.attempt(RESUME, "a", 100.0 + later_s + wait_s) is None


def test_acceptance_148_whatever_comes_of_an_attempt_it_counts() -> None:
    """There is no second step that only those who succeed would make."""
    public = {name for name in vars(RateLimit) if not name.startswith("_")}
    assert public == {"attempt", "reset", "keys", "snapshot", "restore"}


def test_acceptance_149_twenty_in_a_minute_over_all_ids_and_four_sessions_are_not_hindered() -> None:
    limit = RateLimit()
    assert [limit.attempt(RESUME, f"id {n}", 0.0) for n in range(25)] == [None] * 20 + [60] * 5
    limit = RateLimit()
    assert {limit.attempt(RESUME, f"session {n % 4}", n * 3.0) for n in range(20)} == {None}


def test_acceptance_150_keys_and_operations_are_independent_and_a_reset_frees_one_key() -> None:
    limit = RateLimit(FIVE)
    for _ in range(5):
        assert {limit.attempt(op, key, 0.0) for op in ("save", "load") for key in "ab"} == {None}
    limit.reset("save", "a")
    limit.reset("save", "a")
    limit.reset("save", "nobody")
    found = {(op, key): limit.attempt(op, key, 0.0) for op in ("save", "load") for key in "ab"}
    assert found == {("save", "a"): None, ("save", "b"): 60, ("load", "a"): 60, ("load", "b"): 60}


def test_a_reset_does_not_help_with_the_limit_over_all_keys() -> None:
    limit = RateLimit(Rates(overall={"save": Rate(2)}))
    for _ in range(2):
        assert limit.attempt("save", "a", 0.0) is None
        limit.reset("save", "a")
    assert limit.attempt("save", "a", 0.0) == 60


def test_acceptance_151_the_wait_falls_and_then_a_call_works() -> None:
    limit = RateLimit(FIVE)
    for _ in range(5):
        limit.attempt("save", "a", 1000.0)
    assert [limit.attempt("save", "a", 1000.0 + later) for later in range(61)] == [*range(60, 0, -1), None]


def test_acceptance_153_100_000_keys_take_bounded_memory_and_nobody_forgets_a_budget_for_them() -> None:
    limit = RateLimit(FIVE)
    for _ in range(5):
        limit.attempt("save", "victim", 0.0)
    passed = Counter(limit.attempt("save", f"key {n}", 1.0) for n in range(100_000))
    assert passed == {None: MAX_KEYS - 1, 60: 100_000 - MAX_KEYS + 1}
    assert (limit.keys(), limit.attempt("save", "victim", 1.0)) == (MAX_KEYS, 59)
    assert (limit.attempt("save", "key 99999", 61.0), limit.keys()) == (None, 1)


def test_memory_is_bounded_for_whoever_resets_and_tries_again() -> None:
    limit = RateLimit(FIVE)
    for n in range(1000):
        assert limit.attempt("save", "a", n * 0.001) is None
        limit.reset("save", "a")
    ((_, _, times),) = limit.snapshot()[0]
    assert (limit.keys(), times, len(limit._due)) == (1, [], 1)


def test_a_key_that_is_tried_on_and_on_is_never_forgotten_early() -> None:
    limit = RateLimit(FIVE)
    for now in (0.0, 50.0, 50.0, 50.0, 50.0):
        limit.attempt("save", "a", now)
    assert [limit.attempt("save", "a", 60.0), limit.attempt("save", "a", 60.0)] == [None, 50]


def test_a_key_that_is_tried_on_and_on_is_forgotten_when_its_last_attempt_counts_no_more() -> None:
    limit = RateLimit(FIVE)
    remembered = []
    for key, now in (("a", 0.0), ("a", 50.0), ("b", 61.0), ("b", 109.0), ("b", 110.0)):
        limit.attempt("save", key, now)
        remembered.append([one for _, one, _ in limit.snapshot()[0]])
    assert remembered == [["a"], ["a"], ["a", "b"], ["a", "b"], ["b"]]


def test_after_a_restore_keys_are_forgotten_when_they_would_have_been() -> None:
    limit = RateLimit(FIVE)
    for key, now in (("a", 0.0), ("b", 10.0), ("a", 20.0)):
        limit.attempt("save", key, now)
    again = RateLimit(FIVE)
    again.restore(limit.snapshot())
    again.attempt("save", "c", 75.0)
    assert [key for _, key, _ in again.snapshot()[0]] == ["a", "c"]


def test_only_what_is_limited_over_all_keys_is_counted_over_all_keys() -> None:
    limit = RateLimit(Rates(overall={"save": Rate(2)}))
    limit.attempt("save", "a", 0.0)
    limit.attempt("load", "a", 0.0)
    assert limit.snapshot()[1] == {"save": [0.0]}


Attempt = tuple[int, str, str]


@settings(max_examples=200)
@given(st.lists(st.tuples(st.integers(0, 30), st.sampled_from("ab"), st.sampled_from("xyz")), max_size=60))
def test_no_window_ever_holds_more_than_its_limit_and_no_room_is_left_unused(attempts: list[Attempt]) -> None:
    rates = Rates(default=Rate(3, 10.0), overall={"a": Rate(5, 20.0)})
    limit, now = RateLimit(rates), 0.0
    passed: list[tuple[float, str, str]] = []
    for step, operation, key in attempts:
        now += step / 4
        mine = [at for at, op, k in passed if (op, k) == (operation, key) and at + 10 > now]
        all_of_a = [at for at, op, _ in passed if op == operation == "a" and at + 20 > now]
        wait_s = limit.attempt(operation, key, now)
        assert (wait_s is None) == (len(mine) < 3 and len(all_of_a) < 5)
        if wait_s is None:
            passed.append((now, operation, key))
        again = RateLimit(rates)
        again.restore(limit.snapshot())
        assert again.snapshot() == limit.snapshot()
        limit = again


@pytest.mark.parametrize(("rates", "trouble"), [
    (Rates(default=Rate(0)), "default.limit"), (Rates(per_key={"x": Rate(1, 0.0)}), "per_key.x.window_s"),
    (Rates(overall={"x": Rate(1, float("nan"))}), "overall.x.window_s"), (Rates(), None),
])  # fmt: skip
def test_rates_that_cannot_be_are_named(rates: Rates, trouble: str | None) -> None:
    found = trouble_with(rates)
    assert (found and found.partition(":")[0]) == trouble


# ---- the resident ---------------------------------------------------------------------------------------------------


def ask(limiter: Limiter, *words: Term, now: float = 0.0) -> list[Order]:
    again = Limiter()
    again.restore(limiter.snapshot())
    orders = limiter.handle(Asking(ASKER, 1, msgspec.Raw(msgspec.msgpack.encode(list(words)))), now)
    assert again.handle(Asking(ASKER, 1, msgspec.Raw(msgspec.msgpack.encode(list(words)))), now) == orders
    assert again.snapshot() == limiter.snapshot()
    return orders


def refused(code: str, detail: Term) -> list[Order]:
    return [AnswerTo(ASKER, 1, error=(code, detail))]


PASSED = [AnswerTo(ASKER, 1, True)]


def test_acceptance_147_200_calls_with_limit_5_exactly_5_pass() -> None:
    limiter = Limiter(FIVE)
    answers = [ask(limiter, "attempt", "save", "a") for _ in range(200)]
    told = tell_manager("rate_limited", operation="save", key="a", retry_after=60)
    assert answers == [PASSED] * 5 + [[*refused("rate_limit_exceeded", 60), told]] * 195
    assert ask(limiter, "statistics") == [AnswerTo(ASKER, 1, {"keys": 1, "max_keys": MAX_KEYS, "passed": 5, "refused": 195})]
    assert (ask(limiter, "reset", "save", "a"), ask(limiter, "attempt", "save", "a")) == (PASSED, PASSED)


@pytest.mark.parametrize(("words", "code"), [
    (("attempt", "", "a"), "invalid_key"), (("attempt", "save", ""), "invalid_key"),
    (("attempt", "save", "x" * 257), "invalid_key"), (("attempt", "x" * 65, "a"), "invalid_key"),
    (("attempt", "save"), "invalid_message"), (("attempt", 5, 5), "invalid_message"),
    (("nothing",), "invalid_message"), ((), "invalid_message"), (("stop", "normal"), "not_permitted"),
])  # fmt: skip
def test_junk_is_refused_and_counts_nothing(words: tuple[Term, ...], code: str) -> None:
    limiter = Limiter()
    before = limiter.snapshot()
    ((answer),) = ask(limiter, *words)
    assert isinstance(answer, AnswerTo) and answer.error is not None
    assert (answer.error[0], limiter.snapshot()) == (code, before)


@pytest.mark.parametrize(("rates", "orders"), [
    (FIVE, [Ready()]), (Rates(default=Rate(0)), [Refuse({"invalid_spec": "default.limit: must be 1 or more"})]),
])  # fmt: skip
def test_one_of_one_s_own_is_ready_or_says_what_is_wrong(rates: Rates, orders: list[Order]) -> None:
    assert Limiter(rates).handle(Begin(2, 7, 0, ProcessSpec("limiter"), PARENT), 0.0) == orders


def test_what_one_of_one_s_own_refuses_is_no_event_of_the_daemon() -> None:
    limiter = Limiter(Rates(default=Rate(1)))
    limiter.handle(Begin(2, 7, 0, ProcessSpec("limiter"), PARENT), 0.0)
    assert [ask(limiter, "attempt", "save", "a") for _ in range(2)] == [PASSED, refused("rate_limit_exceeded", 60)]


def test_one_of_one_s_own_stops_when_it_is_told_and_with_its_parent() -> None:
    limiter = Limiter()
    limiter.handle(Begin(2, 7, 0, ProcessSpec("limiter"), PARENT), 0.0)
    assert ask(limiter, "stop", "normal") == [AnswerTo(ASKER, 1, True), Leave("normal")]
    assert limiter.handle(Exit(PARENT, "shutdown"), 0.0) == [Leave("shutdown")]
    assert limiter.handle(Exit(ASKER, "shutdown"), 0.0) == []
