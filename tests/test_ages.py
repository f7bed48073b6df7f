"""Times as people say them."""

from __future__ import annotations

import pytest

from supervisors.session.ages import length, moment, text, time_of_day


@pytest.mark.parametrize(
    ("age_s", "words"),
    [(0, "just now"), (59.9, "just now"), (60, "1 min ago"), (3599, "59 min ago"), (3600, "1 hour ago"), (7200, "2 hours ago"),
     (86399, "23 hours ago"), (86400, "yesterday"), (172800, "2 days ago")],
)  # fmt: skip
def test_ages_are_told_as_people_do(age_s: float, words: str) -> None:
    assert text(age_s) == words


@pytest.mark.parametrize(
    ("span_s", "words"),
    [(0.0, "0 s"), (59.9, "59 s"), (60, "1 min 0 s"), (3599, "59 min 59 s"), (3600, "1 h 0 min"), (86399, "23 h 59 min"),
     (86400, "1 d 0 h"), (3 * 86400 + 7199, "3 d 1 h")],
)  # fmt: skip
def test_spans_are_told_in_two_units(span_s: float, words: str) -> None:
    assert length(span_s) == words


def test_a_time_is_that_of_the_day() -> None:
    times = [0.0, 59.9, 60.0, 3661.9, 86399.0, 86400.0]
    assert [time_of_day(at) for at in times] == ["00:00:00Z", "00:00:59Z", "00:01:00Z", "01:01:01Z", "23:59:59Z", "00:00:00Z"]


def test_a_moment_is_a_day_and_its_time() -> None:
    assert [moment(at) for at in (0.0, 951868799.9, 1795321920.5)] == [
        "1970-01-01 00:00:00Z", "2000-02-29 23:59:59Z", "2026-11-22 04:32:00Z"]  # fmt: skip
