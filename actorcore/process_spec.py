"""What can be seen to be wrong with a ProcessSpec before anything is forked for it."""

from __future__ import annotations

import math

from actorcore.words import ProcessSpec

LIMITS = frozenset(
    "AS CORE CPU DATA FSIZE MEMLOCK MSGQUEUE NICE NOFILE NPROC OFILE RSS RTPRIO RTTIME SIGPENDING STACK".split()
)
"""setrlimit(2), without the prefix."""
_MAX_LIMIT = 2**63 - 1


def trouble_with(spec: ProcessSpec) -> str | None:
    """None, or which field cannot be and why. What only the child can find out is not looked at."""
    # Not a number would be in nobody's order: one such deadline among the others hides them.
    if not 0 < spec.init_timeout_s < math.inf:
        return "init_timeout_s: must be more than 0"
    if spec.busy_timeout_s is not None and not 0 < spec.busy_timeout_s < math.inf:
        return "busy_timeout_s: must be more than 0"
    if "\0" in spec.path:
        return "path: NUL"
    for name, value in spec.env.items():
        if not name or "=" in name or "\0" in name or "\0" in value:
            return "env: a name without = and NUL, a value without NUL"
    for limit, bound in spec.limits.items():
        if limit not in LIMITS:
            return f"limits: one of {', '.join(sorted(LIMITS))}"
        if not -1 <= bound <= _MAX_LIMIT:
            return "limits: -1 (none) to 2**63 - 1"
    return None
