"""A spec that cannot be is refused before anything is forked, and the refusal names the field."""

from __future__ import annotations

import math
from typing import Any

import pytest

from actorcore.process_spec import LEAST, MAX_START, MOST, RLIMITS, trouble_with
from actorcore.words import ProcessSpec, TaskSpec

ENV = "env: a name without = and NUL, a value without NUL"
VIA = "via: a registry's name, a key, maybe a value"
LARGEST = 2**63 - 2


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"start": "m:" + "f" * (MAX_START - 2)},
        {"init_timeout_s": 1e-9},
        {"busy_timeout_s": 1e-9},
        {"via": ["registry", "key"]},
        {"via": ["registry", "key", {"any": "value"}]},
        {"task": TaskSpec([2], is_awaited=True)},
        {"task": TaskSpec([], is_awaited=False)},
        {"path": "a:b"},
        {"env": {"A": "", "B": "c=d"}},
        {"limits": {"cpu": 1, "nofile": 16, "core": 0, "nice": 19, "oom_score_adj": 1000, "as": 0, "stack": LARGEST}},
    ],
)
def test_a_spec_within_its_bounds_is_no_trouble(fields: dict[str, Any]) -> None:
    assert trouble_with(ProcessSpec(**{"start": "m:f", **fields})) is None


@pytest.mark.parametrize(
    ("fields", "trouble"),
    [
        ({"start": "m:" + "f" * (MAX_START - 1)}, "start: at most 255 characters"),
        *(({"init_timeout_s": at}, "init_timeout_s: must be more than 0") for at in (0.0, -1.0, math.inf, math.nan)),
        *(({"busy_timeout_s": at}, "busy_timeout_s: must be more than 0") for at in (0.0, -1.0, math.inf, math.nan)),
        *(({"via": via}, VIA) for via in (["registry"], ["registry", 1], [1, "key"], ["registry", "key", 1, 2])),
        ({"task": TaskSpec([], is_awaited=True)}, "task: awaited by nobody"),
        ({"path": "a\0b"}, "path: NUL"),
        *(({"env": {"fine": "x", **env}}, ENV) for env in ({"": "x"}, {"a=b": "x"}, {"a\0": "x"}, {"a": "\0"})),
        ({"limits": {"cpu": 1, "colour": 1}}, f"limits: one of {', '.join(sorted({*RLIMITS, *MOST}))}"),
        *(({"limits": {name: least - 1}}, f"limits: {name}: {least} to {LARGEST}") for name, least in LEAST.items()),
        *(({"limits": {name: most + 1}}, f"limits: {name}: 0 to {most}") for name, most in MOST.items()),
        ({"limits": {"as": -1}}, f"limits: as: 0 to {LARGEST}"),
        ({"limits": {"as": LARGEST + 1}}, f"limits: as: 0 to {LARGEST}"),
    ],
)
def test_what_cannot_be_is_named(fields: dict[str, Any], trouble: str) -> None:
    assert trouble_with(ProcessSpec(**{"start": "m:f", **fields})) == trouble
