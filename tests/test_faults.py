"""Points and plans: who passes a point, and what a plan may say."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from actorcore import faults


@pytest.fixture
def passed() -> Iterator[list[str]]:
    """The points that were passed while a plan was armed."""
    names: list[str] = []
    faults.hook = names.append
    yield names
    faults.hook = None


def test_a_point_is_passed_by_whoever_is_armed_and_not_in_a_life_that_is_only_played(passed: list[str]) -> None:
    def play() -> None:
        faults.point("node.held")
        raise KeyError

    faults.point("node.fork")
    with pytest.raises(KeyError):
        faults.unarmed(play)
    faults.point("node.born")
    assert passed == ["node.fork", "node.born"]


def test_a_point_costs_nothing_and_says_nothing_when_nobody_is_armed() -> None:
    assert faults.hook is None
    faults.point("node.fork")


def test_a_plan_is_points_with_the_time_and_the_action() -> None:
    text = "node.fork:1:kill\n file.named:20:enospc supervisor.done:3:stop\n"
    assert faults.parse(text) == [("node.fork", 1, "kill"), ("file.named", 20, "enospc"), ("supervisor.done", 3, "stop")]
    assert faults.parse("") == []


@pytest.mark.parametrize(
    "line", ["node.nowhere:1:kill", "node.fork:x:kill", "node.fork::kill", "node.fork:1:dance", "node.fork", ":1:kill"]
)
def test_a_line_that_names_no_point_number_or_action_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match="not point:nth:action: ") as refused:
        faults.parse(f"node.fork:1:kill {line}")
    assert str(refused.value) == f"not point:nth:action: {line!r}"
