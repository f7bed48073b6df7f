"""The states of a session, and what may happen in each: one table, everything else is ``invalid_transition``.

::

    initializing ─ ready ► active ◄─► idle ─ stop ► terminating ─ gone ► terminated
         │                 │    ▲ suspend, wake
         │ crash           │    └──────► suspended
         ▼                 ▼ crash (from everything that has a process)
       failed ─ retry ► restarting ─ ready ► active;   failed ─ give_up ► gave_up
"""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

Status: TypeAlias = Literal[
    "initializing", "active", "idle", "suspended", "unresponsive", "restarting", "terminating", "terminated", "failed", "gave_up"
]  # fmt: skip
Happening: TypeAlias = Literal[
    "ready", "rest", "act", "hang", "recover", "crash", "retry", "give_up", "suspend", "wake", "stop", "gone"
]  # fmt: skip
"""``rest``, ``act``: nothing, or something again, to do. ``retry``: another incarnation is on its way. ``wake``: of what was
suspended. ``gone``: nothing of it is left."""

STATUSES: tuple[Status, ...] = get_args(Status)
HAPPENINGS: tuple[Happening, ...] = get_args(Happening)
WITH_PROCESS: frozenset[Status] = frozenset({"active", "idle", "unresponsive"})
"""A process of it answers, or should."""

TRANSITIONS: dict[tuple[Status, Happening], Status] = {
    ("initializing", "ready"): "active",
    ("initializing", "crash"): "failed",
    ("initializing", "stop"): "terminating",
    ("active", "rest"): "idle",
    ("active", "hang"): "unresponsive",
    ("active", "crash"): "failed",
    ("active", "retry"): "restarting",
    ("active", "suspend"): "suspended",
    ("active", "stop"): "terminating",
    ("idle", "act"): "active",
    ("idle", "hang"): "unresponsive",
    ("idle", "crash"): "failed",
    ("idle", "retry"): "restarting",
    ("idle", "suspend"): "suspended",
    ("idle", "stop"): "terminating",
    ("unresponsive", "recover"): "active",
    ("unresponsive", "crash"): "failed",
    ("unresponsive", "retry"): "restarting",
    ("unresponsive", "suspend"): "suspended",
    ("unresponsive", "stop"): "terminating",
    ("restarting", "ready"): "active",
    ("restarting", "crash"): "failed",
    ("restarting", "suspend"): "suspended",
    ("restarting", "stop"): "terminating",
    ("failed", "retry"): "restarting",
    ("failed", "give_up"): "gave_up",
    ("failed", "stop"): "terminating",
    ("failed", "gone"): "terminated",
    ("gave_up", "retry"): "restarting",
    ("gave_up", "stop"): "terminating",
    ("suspended", "wake"): "restarting",
    ("suspended", "stop"): "terminating",
    ("terminating", "crash"): "terminating",
    ("terminating", "gone"): "terminated",
}
"""``terminated`` is final. Who is being ended and crashes goes on being ended."""


def next_status(status: Status, happening: Happening) -> Status | None:
    """The status that follows; None: this cannot happen now, and nothing changes (``invalid_transition``)."""
    return TRANSITIONS.get((status, happening))
