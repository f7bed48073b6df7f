"""Criteria: which values with attributes are wanted. ``[[path, comparison, operand], …]``, all of which must hold.

``path`` is a key, or keys joined by dots: ``health.score``. What a value does not have, or cannot be compared, does not hold.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, TypeAlias

Criterion: TypeAlias = tuple[list[str], Callable[[Any, Any], bool], object]

COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
    "in": lambda value, some: value in some,
}  # fmt: skip
MAX_CRITERIA = 64


def read_criteria(said: object) -> list[Criterion] | str:
    """The criteria, or what is wrong with them."""
    if not isinstance(said, list) or len(said) > MAX_CRITERIA:
        return f"a list of at most {MAX_CRITERIA}"
    criteria: list[Criterion] = []
    for place, one in enumerate(said):
        match one:
            case [str(path), str(word), operand] if word in COMPARISONS:
                if not all(path.split(".")):
                    return f"criteria[{place}]: {path[:60]!r} is no path"
                if word == "in" and not isinstance(operand, list):
                    return f"criteria[{place}]: in wants a list"
                criteria.append((path.split("."), COMPARISONS[word], operand))
            case [str(), str(word), _]:
                return f"criteria[{place}]: {word[:60]!r} is not one of {' '.join(COMPARISONS)}"
            case _:
                return f"criteria[{place}]: not [path, comparison, operand]"
    return criteria


def is_met(criteria: list[Criterion], value: object) -> bool:
    """Whether ``value`` meets all of them."""
    return all(_holds(criterion, value) for criterion in criteria)


def _holds(criterion: Criterion, value: object) -> bool:
    path, compare, operand = criterion
    for key in path:
        if not isinstance(value, dict) or key not in value:
            return False
        value = value[key]
    try:
        return compare(value, operand)
    except TypeError:
        return False
