"""A spec that cannot be is refused before anything is forked, and the refusal names the field."""

from __future__ import annotations

import math
from typing import Any, get_type_hints

import pytest

from actorcore.errors import RequestError
from actorcore.process_spec import LEAST, MAX_START, MOST, RLIMITS, spec_of, trouble_with
from actorcore.words import ProcessSpec, SpecFields, TaskSpec

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


def test_a_spawn_takes_every_field_of_a_spec() -> None:
    fields = get_type_hints(ProcessSpec)
    assert get_type_hints(SpecFields) == {name: kind for name, kind in fields.items() if name not in ("start", "args")}
    assert spec_of("m:f", (1, "two"), {"path": "/srv", "name": "n"}) == ProcessSpec("m:f", [1, "two"], path="/srv", name="n")
    assert spec_of(ProcessSpec("m:f", [1]), (), {}) == ProcessSpec("m:f", [1])


@pytest.mark.parametrize(
    ("start", "args", "fields", "detail"),
    [
        ("m:f", "abc", {}, "args: a list is needed, not str"),
        ("m:f", 7, {}, "args: a list is needed, not int"),
        ("m:f", [], {"colour": 1}, "Object contains unknown field `colour`"),
        ("m:f", [], {"path": 1}, "Expected `str`, got `int` - at `$.path`"),
        (7, [], {}, "Expected `str`, got `int` - at `$.start`"),
        (ProcessSpec("m:f"), [1], {}, "args and fields are those of the ProcessSpec"),
        (ProcessSpec("m:f"), [], {"name": "n"}, "args and fields are those of the ProcessSpec"),
    ],
)
def test_what_no_spawn_can_mean_is_refused_before_anything_is_asked(start: Any, args: Any, fields: Any, detail: str) -> None:
    with pytest.raises(RequestError) as refused:
        spec_of(start, args, fields)
    assert (refused.value.code, refused.value.detail) == ("invalid_spec", detail)
