"""Which numbers are a time to wait."""

from __future__ import annotations

import math

import pytest

from actorcore.deadline import deadline_of
from actorcore.errors import RequestError


@pytest.mark.parametrize(("timeout_s", "deadline_s"), [
    (None, None), (math.inf, None), (2.5, 12.5), (0, 10.0), (-3, 7.0), (-math.inf, -math.inf), (1e300, 1e300),
])  # fmt: skip
def test_a_wait_ends_when_its_time_is_over_or_never(timeout_s: float | None, deadline_s: float | None) -> None:
    assert deadline_of(timeout_s, 10.0) == deadline_s


def test_nan_is_no_time() -> None:
    with pytest.raises(RequestError) as refused:
        deadline_of(math.nan, 10.0)
    assert (refused.value.code, refused.value.detail) == ("invalid_field", "timeout_s: nan is no time")
