"""What a ``spawn`` means, and what can be seen to be wrong with a ProcessSpec before anything is forked for it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from actorcore.errors import RequestError
from actorcore.words import ProcessSpec, SpecFields

RLIMITS = ("as", "core", "cpu", "data", "fsize", "nofile", "nproc", "stack")
"""Of getrlimit(2), in its units, soft and hard at once (``cpu``: SIGXCPU after so many seconds, SIGKILL one later)."""
LEAST = {"cpu": 1, "nofile": 16}
"""A process cannot start with fewer descriptors, and no CPU time at all is no process."""
MOST = {"core": 0, "nice": 19, "oom_score_adj": 1000}
"""``nice`` is the niceness (nice(2)), ``oom_score_adj`` that of proc(5): both can only be raised. No core is ever written."""
MAX_START = 255
_MAX_LIMIT = 2**63 - 2


def trouble_with(spec: ProcessSpec) -> str | None:
    """None, or which field cannot be and why. What only the child can find out is not looked at."""
    if len(spec.start) > MAX_START:  # a row of the process table has it
        return f"start: at most {MAX_START} characters"
    # Not a number would be in nobody's order: one such deadline among the others hides them.
    if not 0 < spec.init_timeout_s < math.inf:
        return "init_timeout_s: must be more than 0"
    if spec.busy_timeout_s is not None and not 0 < spec.busy_timeout_s < math.inf:
        return "busy_timeout_s: must be more than 0"
    if spec.via and not (len(spec.via) in (2, 3) and all(isinstance(word, str) for word in spec.via[:2])):
        return "via: a registry's name, a key, maybe a value"
    if spec.task is not None and spec.task.is_awaited and not spec.task.callers:
        return "task: awaited by nobody"
    if "\0" in spec.path:
        return "path: NUL"
    for name, value in spec.env.items():
        if not name or "=" in name or "\0" in name or "\0" in value:
            return "env: a name without = and NUL, a value without NUL"
    for name, bound in spec.limits.items():
        if name not in RLIMITS and name not in MOST:
            return f"limits: one of {', '.join(sorted({*RLIMITS, *MOST}))}"
        least, most = LEAST.get(name, 0), MOST.get(name, _MAX_LIMIT)
        if not least <= bound <= most:
            return f"limits: {name}: {least} to {most}"
    return None


def spec_of(start: str | ProcessSpec, args: Sequence[object], fields: SpecFields) -> ProcessSpec:
    """The spec that the arguments of a ``spawn`` mean.

    :raises RequestError: ``invalid_spec``, a field that cannot be so, that there is not, or that is in a spec already.
    """
    if isinstance(start, ProcessSpec):
        if args or fields:
            raise RequestError("invalid_spec", "args and fields are those of the ProcessSpec")
        return start
    if isinstance(args, (str, bytes)) or not isinstance(args, Sequence):
        raise RequestError("invalid_spec", f"args: a list is needed, not {type(args).__name__}")
    try:
        return msgspec.convert({"start": start, "args": list(args), **fields}, ProcessSpec)
    except msgspec.ValidationError as error:
        raise RequestError("invalid_spec", str(error)) from None
