"""Restart intensity, back-off and child specs: the limit is OTP's, and a spec that cannot reach it is refused."""

from __future__ import annotations

import math
from fractions import Fraction

import msgspec
import pytest
from hypothesis import given, strategies as st

from actorcore.exit_reason import Reason
from actorcore.frames import encoder
from actorcore.signals import ProcessSpec
from supervisors.tree.backoff import delay_s, is_limit_reachable, shortest_time_to_limit_s
from supervisors.tree.child_spec import MAX_SPEC_BYTES, ChildSpec, RestartType, is_restarted, validate
from supervisors.tree.restart_intensity import add_restart

PROCESS = ProcessSpec("m:ok")


def given_up_at(times: list[float], intensity: int, period_s: float) -> int | None:
    """The index of the first death that is over the limit."""
    kept: list[float] = []
    for index, now in enumerate(times):
        kept, is_allowed = add_restart(kept, now, intensity, period_s)
        if not is_allowed:
            return index
    return None


@pytest.mark.parametrize(
    ("times", "intensity", "period_s", "index"),
    [
        ([0.0], 0, 5.0, 0),
        ([0.0, 1.0], 1, 5.0, 1),
        ([0.0, 0.0, 0.0], 3, 5.0, None),
        ([0.0, 0.0, 0.0, 0.0], 3, 5.0, 3),
        ([0.0, 5.0], 1, 5.0, 1),  # OTP's inPeriod: Now =< Then + Period
        ([0.0, 5.001], 1, 5.0, None),
        ([0.0, 3.0, 6.0, 9.0, 12.0, 15.0], 2, 5.0, None),
        ([0.0, 1.0, 6.5, 7.0, 7.5, 8.0], 3, 5.0, 5),
    ],
)
def test_more_than_intensity_restarts_within_the_period_give_up(
    times: list[float], intensity: int, period_s: float, index: int | None
) -> None:
    assert given_up_at(times, intensity, period_s) == index


@given(st.lists(st.integers(0, 40), max_size=30), st.integers(0, 5), st.integers(1, 10))
def test_the_limit_agrees_with_counting_every_death_ever_and_keeps_a_bounded_list(
    steps: list[int], intensity: int, period: int
) -> None:
    times = [sum(steps[: n + 1]) / 4 for n in range(len(steps))]
    kept: list[float] = []
    for index, now in enumerate(times):
        kept, is_allowed = add_restart(kept, now, intensity, period)
        in_period = [then for then in times[: index + 1] if now - then <= period]
        assert is_allowed == (len(in_period) <= intensity)
        assert kept == in_period[-(intensity + 1) :]


def test_back_off_starts_at_once_then_doubles_up_to_its_maximum() -> None:
    assert [delay_s(nth, 0.0, 0.05, 1.0) for nth in range(1, 9)] == [0.0, 0.05, 0.1, 0.2, 0.4, 0.8, 1.0, 1.0]
    assert [delay_s(nth, 0.15, 0.05, 0.3) for nth in range(1, 7)] == [0.15, 0.15, 0.15, 0.2, 0.3, 0.3]
    assert delay_s(10**9, 0.0, 0.001, 3600.0) == 3600.0
    assert [delay_s(nth, 0.0, 0.0, 0.0) for nth in (1, 2, 50)] == [0.0, 0.0, 0.0]


def is_given_up_when_it_dies_at_once(spec: ChildSpec, deaths: int) -> bool:
    """Plays the deaths in exact time: the judge of F14, which knows nothing of how ``validate`` computes."""
    times = [Fraction(0)]
    for nth in range(1, deaths):
        times.append(times[-1] + Fraction(delay_s(nth, spec.backoff_initial_s, spec.backoff_step_s, spec.backoff_max_s)))
    window, period = spec.intensity, Fraction(spec.period_s)
    return any(times[i + window] - times[i] < period for i in range(deaths - window))


@given(
    st.integers(0, 12),
    st.sampled_from([0.15, 0.35, 1.0, 5.0, 30.0]),
    st.sampled_from([0.0, 0.05, 0.5]),
    st.sampled_from([0.0, 0.05, 0.5]),
    st.sampled_from([0.5, 1.0, 60.0]),
)
def test_f14_a_back_off_is_refused_exactly_when_a_process_that_dies_at_once_is_never_given_up(
    intensity: int, period_s: float, initial_s: float, step_s: float, max_s: float
) -> None:
    spec = ChildSpec("a", PROCESS, "transient", 5.0, intensity, period_s, initial_s, step_s, max_s)
    assert (validate(spec) is None) == is_given_up_when_it_dies_at_once(spec, 100)
    never = msgspec.structs.replace(spec, give_up="never")
    assert (validate(never) is None) == (initial_s > 0 or step_s > 0)


def test_f14_delays_that_fill_the_period_exactly_are_unreachable_and_one_step_less_is_not() -> None:
    # 0 + 0.25 + 0.5, all exact in binary
    assert shortest_time_to_limit_s(3, 0.0, 0.25, 1.0) == Fraction(3, 4)
    assert not is_limit_reachable(3, 0.75, 0.0, 0.25, 1.0)
    assert is_limit_reachable(3, math.nextafter(0.75, 1.0), 0.0, 0.25, 1.0)


def test_f14_the_refusal_names_the_numbers_and_the_way_out() -> None:
    spec = ChildSpec("a", PROCESS, intensity=3, period_s=5.0, backoff_initial_s=2.0, backoff_max_s=10.0)
    assert validate(spec) == (
        "invalid_spec",
        "backoff: 4 deaths take 6 s or more, so the limit of 3 restarts in 5 s is never reached; "
        "write give_up=never if that is meant",
    )


def test_the_defaults_are_the_production_budget_of_3_in_5_seconds_acceptance_68() -> None:
    spec = ChildSpec("0c9f1a52-5a3e-4c06-9f1e-2f1c7f9d8a11", PROCESS)
    assert (spec.restart, spec.intensity, spec.period_s, spec.shutdown_s, spec.give_up) == (
        "transient", 3, 5.0, 5.0, "after_intensity",
    )  # fmt: skip
    assert validate(spec) is None


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", ""), ("id", "-a"), ("id", "A"), ("id", "a/b"), ("id", "a\n"), ("id", "a:b"), ("id", "a" * 65),
        ("shutdown_s", -1.0), ("shutdown_s", math.nan), ("shutdown_s", math.inf),
        ("intensity", -1), ("intensity", 1001),
        ("period_s", 0.0), ("period_s", math.nan), ("period_s", math.inf),
        ("backoff_max_s", -1.0), ("backoff_max_s", math.nan), ("backoff_max_s", 3601.0),
        ("backoff_initial_s", -0.1), ("backoff_initial_s", 1.1), ("backoff_initial_s", math.nan),
        ("backoff_step_s", -0.1), ("backoff_step_s", 1.1), ("backoff_step_s", math.nan), ("backoff_step_s", 1e-9),
        ("process", ProcessSpec("m:ok", args=[b"x" * MAX_SPEC_BYTES])),
        ("process", ProcessSpec("m:ok", args=[{1: "x"}])),  # type: ignore[dict-item]
    ],
)  # fmt: skip
def test_a_spec_that_makes_no_sense_is_refused_and_the_field_named(field: str, value: object) -> None:
    refusal = validate(msgspec.structs.replace(ChildSpec("a", PROCESS), **{field: value}))
    assert refusal is not None
    assert refusal[0] == "invalid_spec"
    assert refusal[1].startswith(f"{field}")


def test_never_giving_up_without_any_back_off_is_refused_acceptance_51() -> None:
    spec = ChildSpec("a", PROCESS, give_up="never", backoff_step_s=0.0)
    assert validate(spec) == ("invalid_spec", "give_up: never needs a back-off")


def test_arguments_nested_beyond_what_a_snapshot_can_hold_are_refused() -> None:
    deep: list[object] = []
    for _ in range(200):
        deep = [deep]
    refusal = validate(ChildSpec("a", ProcessSpec("m:ok", args=deep)))  # type: ignore[arg-type]
    assert refusal == ("invalid_spec", "process.args: nested deeper than 32")


REASONS: list[tuple[Reason, bool]] = [
    ("normal", False), ("shutdown", False), ({"shutdown": "done"}, False), ("killed", True), ("kill", True),
    ({"signal": "SIGSEGV"}, True), ({"exit": 3}, True), ({"error": {"type": "E", "text": ""}}, True), ({"killed": "oom"}, True),
]  # fmt: skip


@pytest.mark.parametrize(("reason", "is_abnormal"), REASONS)
@pytest.mark.parametrize("restart", ["permanent", "transient", "temporary"])
def test_restart_types_are_otps_acceptance_45_46_47(restart: RestartType, reason: Reason, is_abnormal: bool) -> None:
    assert is_restarted(restart, reason) == {"permanent": True, "transient": is_abnormal, "temporary": False}[restart]


def test_a_spec_has_so_many_bytes_and_not_one_more() -> None:
    room = MAX_SPEC_BYTES - len(encoder.encode(ChildSpec("s", ProcessSpec("m:ok", args=["x" * 1000])))) + 1000
    assert validate(ChildSpec("s", ProcessSpec("m:ok", args=["x" * room]))) is None
    assert validate(ChildSpec("s", ProcessSpec("m:ok", args=["x" * (room + 1)]))) == (
        "invalid_spec", f"process: {MAX_SPEC_BYTES + 1} bytes encoded, at most {MAX_SPEC_BYTES}")  # fmt: skip
