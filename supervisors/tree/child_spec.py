"""Child specs: what a supervisor runs, when it restarts it, how it ends it (OTP supervisor(3), ``child_spec()``)."""

from __future__ import annotations

import math
import re
from typing import Literal, TypeAlias, Union

import msgspec

from actorcore import process_spec, terms
from actorcore.exit_reason import Reason, is_abnormal
from actorcore.frames import encoder
from actorcore.signals import ProcessSpec
from supervisors.tree.restart_budget import trouble_with_numbers, trouble_with_waits

RestartType: TypeAlias = Literal["permanent", "transient", "temporary"]
Shutdown_s: TypeAlias = Union[float, Literal["brutal_kill", "infinity"]]

MAX_SPEC_BYTES = 32 << 10
"""A spec must fit into the one datagram that tells a child what to become, and stays in the snapshot."""

ID = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")

_RESTARTS: dict[tuple[RestartType, bool], bool] = {
    ("permanent", False): True, ("permanent", True): True,
    ("transient", False): False, ("transient", True): True,
    ("temporary", False): False, ("temporary", True): False,
}  # fmt: skip
"""By restart type and whether the reason is abnormal."""


class ChildSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``id`` is a lower-case UUID or any text that :data:`ID` matches; times are seconds.

    ``shutdown_s``: how long a stop waits after exit signal ``shutdown`` before it kills. More than ``intensity`` restarts
    within ``period_s`` give the child up, unless ``give_up`` is ``never``. Back-off: see :mod:`supervisors.tree.backoff`.
    """

    id: str
    process: ProcessSpec
    restart: RestartType = "transient"
    shutdown_s: Shutdown_s = 5.0
    intensity: int = 3
    period_s: float = 5.0
    backoff_initial_s: float = 0.0
    backoff_step_s: float = 0.05
    backoff_max_s: float = 1.0
    give_up: Literal["after_intensity", "never"] = "after_intensity"


def is_restarted(restart: RestartType, reason: Reason) -> bool:
    """Whether a child of this restart type is started again after dying of ``reason`` (OTP supervisor(3))."""
    return _RESTARTS[restart, is_abnormal(reason)]


def validate(spec: ChildSpec) -> tuple[str, str] | None:
    """None for a spec that can be run, else ``("invalid_spec", what is wrong with which field)``."""
    trouble = _trouble_with_size(spec) or trouble_with_numbers(spec) or _trouble_with_backoff(spec)
    return None if trouble is None else ("invalid_spec", trouble)


def trouble_with_fields(id: str, process: ProcessSpec, shutdown_s: Shutdown_s | None) -> str | None:
    """What is wrong with what every child has, of sessions and of supervisors, naming the field."""
    if not ID.fullmatch(id):
        return "id: must match [a-z0-9][a-z0-9._-]{0,63}"
    if not isinstance(shutdown_s, str | None) and not 0 <= shutdown_s < math.inf:
        return "shutdown_s: must be seconds, brutal_kill or infinity"
    # Before anybody encodes it, here or in a snapshot: that raises for what is nested too deeply.
    if (trouble := terms.trouble_with(process.args)) is not None:
        return f"process.args: {trouble}"
    trouble = process_spec.trouble_with(process)
    return None if trouble is None else f"process.{trouble}"


def _trouble_with_size(spec: ChildSpec) -> str | None:
    if (trouble := trouble_with_fields(spec.id, spec.process, spec.shutdown_s)) is not None:
        return trouble
    size_bytes = len(encoder.encode(spec))
    return f"process: {size_bytes} bytes encoded, at most {MAX_SPEC_BYTES}" if size_bytes > MAX_SPEC_BYTES else None


def _trouble_with_backoff(spec: ChildSpec) -> str | None:
    if spec.give_up == "never":
        # Without a limit the delay alone keeps a child that dies as it starts from taking a whole CPU.
        return "give_up: never needs a back-off" if spec.backoff_step_s == 0 and spec.backoff_initial_s == 0 else None
    trouble = trouble_with_waits(spec)
    return None if trouble is None else f"{trouble}; write give_up=never if that is meant"
