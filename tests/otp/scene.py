"""Scene: what the actors of a scenario share, however they run: who is who, what happened, and how long a tick is."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import msgspec

from actorcore.errors import ActorError, CallFailed, CallTimeout, RequestError
from actorcore.exit_reason import Reason
from actorcore.residents import Order
from actorcore.words import RESIDENT, ProcessSpec

DRIVER = "driver"
ROOT = str(Path(__file__).parents[2])
LONGEST_S = 3600.0
SPAWNS = frozenset({"start", "start_link", "spawn", "spawn_link", "spawn_monitor"})
ACTORS = {"proc": "tests.otp.actors:Proc", "server": "tests.otp.actors:Server"}
MACHINES = {
    "sup": "supervisor", "dynsup": "dynamic_supervisor", "registry": "registry", "task_sup": "task_supervisor", "pg": "groups",
}  # fmt: skip
SERVICES = frozenset({"registry", "task_sup", "pg"})
"""Of the runtime: they have a label, and no init event (FORMAT.md §7)."""
PLACEMENTS = ("resident", "process")
"""Where supervisors and registries run."""


class Scene(Protocol):
    """One scenario. Everything is written before others can know of it."""

    definitions: dict[str, Any]
    tick_s: float
    token: str
    """By which a process finds its scene."""
    placement: str
    """Of supervisors and registries: one of PLACEMENTS."""
    template: str
    """Of processes."""

    def write(self, label: str, *event: object) -> None: ...

    def announce(self, serial: int, label: str) -> list[Order]:
        """Log the init of a resident; what it has to order for that."""

    def close(self) -> None: ...

    def introduce(self, serial: int, name: str, os_pid: int = 0, definition: str = "") -> str:
        """Write down that ``serial`` is an incarnation of ``name``, which is made by ``definition``; its label."""

    def label(self, serial: int) -> str: ...

    def find(self, target: str) -> int | None:
        """The serial of ``a#2``, or of the latest incarnation of ``a``."""

    def inits(self, name: str) -> int:
        """How often an instance called ``name`` has begun its init."""

    def kill(self, serial: int) -> bool:
        """A SIGKILL from outside, of which the runtime is not told; False: it has no OS process."""

    def sleep(self, serial: int, ticks: float) -> None:
        """Stay busy."""

    def definition_of(self, name: str) -> str:
        """Of the instance called ``name``."""


def outcome_of(scene: Scene, definition: str, name: str) -> Any:
    """What the next init of the instance called ``name`` comes to; to be asked before it is introduced."""
    outcomes = scene.definitions.get(definition, {}).get("init", ["ok"])
    return outcomes[min(scene.inits(name), len(outcomes) - 1)]


class Crash(Exception):
    """What the op ``crash`` raises; its text is the vector's reason as JSON."""


def told(reason: Reason) -> Any:
    """``reason`` in the words of FORMAT.md §2: an uncaught Crash is the error that its text says."""
    if not isinstance(reason, dict):
        return reason
    error = reason.get("error")
    if isinstance(error, dict) and error.get("type") == Crash.__name__:
        return {"error": msgspec.json.decode(str(error["text"]))}
    if isinstance(inner := reason.get("shutdown"), dict) and "failed_to_start_child" in inner:
        id, why = inner["failed_to_start_child"]  # type: ignore[misc]
        return {"shutdown": {"failed_to_start_child": [id, told(why)]}}  # type: ignore[arg-type]
    if "call" in reason:
        return {"call": told(reason["call"])}  # type: ignore[arg-type]
    return reason


def labelled(scene: Scene, reason: Any) -> Any:
    """A reason in which a serial stands for a process, at any depth."""
    if isinstance(reason, list):
        return [labelled(scene, item) for item in reason]
    if not isinstance(reason, dict):
        return reason
    if isinstance(serial := reason.get("already_registered"), int):
        return {"already_started": scene.label(serial)}
    return {key: labelled(scene, item) for key, item in reason.items()}


def why_of(error: ActorError) -> Any:
    """How a failed call exits its caller."""
    if isinstance(error, CallTimeout):
        return "timeout"
    if isinstance(error, CallFailed):
        return told(error.reason)
    assert isinstance(error, RequestError), error
    return "noproc" if error.code == "process_not_alive" else error.code


def start_of(scene: Scene, op: dict[str, Any]) -> ProcessSpec:
    """The spec of what a start op or a child spec wants to be started."""
    definitions, token = scene.definitions, scene.token
    definition, name = op["def"], op.get("as", op.get("id", op["def"]))
    how = definitions[definition]
    if how["kind"] in MACHINES:
        return ProcessSpec(
            MACHINES[how["kind"]], [flags_of(scene, how), token, definition, name],
            template=RESIDENT if scene.placement == "resident" else scene.template, path=ROOT, init_timeout_s=LONGEST_S,
            name=name if how["kind"] == "registry" else how.get("name"),
        )  # fmt: skip
    return ProcessSpec(
        ACTORS[how["kind"]], [token, definition, name], trap_exit=how.get("trap_exit", False), name=how.get("name"),
        path=ROOT, template=scene.template, init_timeout_s=LONGEST_S, via=how.get("via", []),
    )  # fmt: skip


def flags_of(scene: Scene, how: dict[str, Any]) -> dict[str, Any]:
    """A supervisor's spec, as plain data: what is wrong in the vector is wrong here."""
    names = ("strategy", "intensity", "period_s", "auto_shutdown", "max_children", "keys")
    flags = {name: how[name] for name in names if name in how}
    if how["kind"] == "sup":
        flags["children"] = [child_of(scene, child) for child in how.get("children", [])]
    return flags


def child_of(scene: Scene, child: dict[str, Any]) -> dict[str, Any]:
    """A child spec as plain data; shutdown times are ticks."""
    found = {key: child[key] for key in ("restart", "significant") if key in child}
    found["id"] = child.get("id", child["def"])
    found["process"] = msgspec.to_builtins(start_of(scene, child))
    kind = "supervisor" if scene.definitions[child["def"]]["kind"] in MACHINES else "worker"
    found["type"] = child.get("type", kind)
    shutdown = child.get("shutdown")
    if shutdown is not None:
        found["shutdown_s"] = shutdown if isinstance(shutdown, str) else shutdown * scene.tick_s
    return found
