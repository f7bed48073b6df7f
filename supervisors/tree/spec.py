"""What a supervisor runs and how: OTP's supervisor flags and child specs (supervisor(3)), checked before anything starts."""

from __future__ import annotations

import math
from typing import Literal, TypeAlias

import msgspec

from actorcore.words import ProcessSpec
from supervisors.tree.child_spec import RestartType, Shutdown_s, trouble_with_fields
from supervisors.tree.restart_budget import Budget, trouble_with_numbers, trouble_with_waits

Strategy: TypeAlias = Literal["one_for_one", "one_for_all", "rest_for_one", "simple_one_for_one"]
AutoShutdown: TypeAlias = Literal["never", "any_significant", "all_significant"]

WORKER_SHUTDOWN_S = 5.0
MAX_POOL = 10_000
"""Tasks of a pool that run, and such that wait."""


class Child(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One child. ``shutdown_s``: how long a stop waits after exit signal ``shutdown`` before it kills; None is 5 s for a
    worker and for ever for a supervisor. A ``significant`` child's own end counts for ``auto_shutdown``.
    """

    id: str
    process: ProcessSpec
    restart: RestartType = "permanent"
    shutdown_s: Shutdown_s | None = None
    type: Literal["worker", "supervisor"] = "worker"
    significant: bool = False

    def grace(self) -> Shutdown_s:
        """``shutdown_s`` with its default."""
        if self.shutdown_s is not None:
            return self.shutdown_s
        return "infinity" if self.type == "supervisor" else WORKER_SHUTDOWN_S


class SupervisorSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """More than ``intensity`` restarts within ``period_s`` seconds end the supervisor with reason ``shutdown``. A restart may
    wait (:mod:`supervisors.tree.backoff`; OTP's never does): what goes with it is stopped only then.

    ``children`` are started in this order and stopped in the reverse one. With ``simple_one_for_one`` there is exactly
    one, the model of all children that are started later.
    """

    children: list[Child] = []
    strategy: Strategy = "one_for_one"
    intensity: int = 1
    period_s: float = 5.0
    backoff_initial_s: float = 0.0
    backoff_step_s: float = 0.0
    backoff_max_s: float = 0.0
    auto_shutdown: AutoShutdown = "never"


class DynamicSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Flags of a DynamicSupervisor (Elixir): children without ids, started later, at most ``max_children`` (None: any)."""

    intensity: int = 3
    period_s: float = 5.0
    backoff_initial_s: float = 0.0
    backoff_step_s: float = 0.0
    backoff_max_s: float = 0.0
    max_children: int | None = None


class PoolSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A pool of tasks: at most ``size`` at once, whoever started them, and ``max_waiting`` that wait for their turn.

    A task that takes longer than ``timeout_s`` (None: no bound) is ended with reason ``timeout``, and killed a second later.
    """

    size: int = 8
    max_waiting: int = 1024
    timeout_s: float | None = None
    intensity: int = 3
    period_s: float = 5.0


def trouble_with(spec: SupervisorSpec) -> str | None:
    """What is wrong with it, naming the field; None for a spec that can be run."""
    trouble = trouble_with_budget(spec)
    if trouble is not None:
        return trouble
    if spec.strategy == "simple_one_for_one" and len(spec.children) != 1:
        return "children: simple_one_for_one has exactly one"
    seen: set[str] = set()
    for place, child in enumerate(spec.children):
        trouble = trouble_with_child(child, spec.auto_shutdown)
        if trouble is None and child.id in seen:
            trouble = f"id: {child.id} is there twice"
        if trouble is not None:
            return f"children[{place}].{trouble}"
        seen.add(child.id)
    return None


def trouble_with_budget(spec: Budget) -> str | None:
    """As :func:`trouble_with`, for its numbers."""
    return trouble_with_numbers(spec) or trouble_with_waits(spec)


def trouble_with_pool(spec: PoolSpec) -> str | None:
    """As :func:`trouble_with`, for a pool."""
    if not 1 <= spec.size <= MAX_POOL:
        return f"size: must be 1 to {MAX_POOL}"
    if not 0 <= spec.max_waiting <= MAX_POOL:
        return f"max_waiting: must be 0 to {MAX_POOL}"
    if spec.timeout_s is not None and not 0 < spec.timeout_s < math.inf:
        return "timeout_s: must be more than 0"
    return trouble_with_budget(DynamicSpec(spec.intensity, spec.period_s))


def trouble_with_child(child: Child, auto_shutdown: AutoShutdown) -> str | None:
    """As :func:`trouble_with`, for one child."""
    if child.significant and auto_shutdown == "never":
        return "significant: means nothing with auto_shutdown never"
    if child.significant and child.restart == "permanent":
        return "significant: a permanent child never ends"
    return trouble_with_fields(child.id, child.process, child.shutdown_s)
