"""The record of a session: who it is, where it works, what it runs, and how it is treated when it dies.

It is plain data both ways: :func:`to_map` and :func:`from_map` are inverse, and whatever is wrong with a map has its code:
``not_a_map``, ``missing_field``, ``missing_fields``, ``empty_field``, ``invalid_field`` (also for one that there is not), and
codes of their own for the fields that people write: ``invalid_id``, ``invalid_name``, ``name_too_long``, ``invalid_config``.
"""

from __future__ import annotations

import math
import re
from typing import Literal, TypeAlias

import msgspec

from actorcore import terms
from actorcore.exit_reason import Term, bounded_text
from actorcore.frames import encoder
from actorcore.words import AUTO, ProcessSpec
from supervisors.session.config import config_trouble
from supervisors.session.group import supervisor_of
from supervisors.tree.child_spec import ChildSpec, RestartType, Shutdown_s, validate

Refusal: TypeAlias = tuple[str, Term]
"""(code, detail) of an error answer; no detail names a path or an id (acceptance 145)."""

ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
"""A UUID of version 4 as RFC 9562 writes it, in lower case."""
MAX_NAME_CHARACTERS = 50
MAX_PATH_BYTES = 4096
MAX_RECORD_BYTES = 24 << 10
"""It travels in the spec of the session's process, which has a bound of its own."""
SERVER = "supervisors.session.server:SessionServer"
SESSION = "session"
"""The template of sessions; see :mod:`supervisors.configuration`."""


class Project(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The folder of a session: its real ``path`` and what it was when the session was created."""

    path: str
    dev: int
    inode: int
    uid: int
    gid: int
    mode: int

    def is_same_folder(self, other: Project) -> bool:
        """Whether both are one directory, whatever it is called."""
        return (self.dev, self.inode) == (other.dev, other.inode) or self.path == other.path


class Policy(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How the session's process is started, watched, restarted and stopped; times are seconds. See ChildSpec, ProcessSpec.

    A session that has handled nothing for ``idle_timeout_s`` is stopped; 0: never. ``path``: a folder to import from first.
    Without ``may_spawn`` its process starts nothing and changes nothing of what others have (:mod:`actorcore.grants`).
    """

    restart: RestartType = "transient"
    shutdown_s: Shutdown_s = 5.0
    intensity: int = 3
    period_s: float = 5.0
    backoff_initial_s: float = 0.0
    backoff_step_s: float = 0.05
    backoff_max_s: float = 1.0
    start_timeout_s: float = 10.0
    busy_timeout_s: float | None = None
    when_hung: Literal["report", "kill"] = "report"
    idle_timeout_s: float = 1800.0
    template: str = AUTO
    path: str = ""
    may_spawn: bool = True


POLICY = Policy()
"""All defaults."""


class SessionRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``id`` stays for ever; times are UTC, seconds since 1970. ``module`` is the ``module:name`` that gets this record as its
    argument. ``config`` is what people tune (:mod:`supervisors.session.config`), ``metadata`` is the creator's, ``limits``
    bound what the session remembers. ``group`` describes a session of several processes, None: it is one. ``durability``:
    a message is on disk before it is acknowledged, or at the next checkpoint, or never.
    """

    id: str
    name: str
    project: Project
    created_at: float
    updated_at: float
    module: str = SERVER
    config: dict[str, Term] = {}
    metadata: dict[str, Term] = {}
    limits: dict[str, int] = {}
    policy: Policy = POLICY
    group: dict[str, Term] | None = None
    durability: Literal["message", "checkpoint", "none"] = "message"


_REQUIRED = ("id", "name", "project", "created_at", "updated_at")
_FIELDS = msgspec.structs.fields(SessionRecord)
_NEVER_EMPTY = ("id", "project", "module", "durability")
_MODULE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")


def to_map(record: SessionRecord) -> dict[str, Term]:
    """Plain data that says all of ``record``."""
    found: dict[str, Term] = msgspec.to_builtins(record)
    return found


def from_map(data: object) -> SessionRecord | Refusal:
    """The record that ``data`` says, or what is wrong with it."""
    if not isinstance(data, dict) or not all(isinstance(key, str) for key in data):
        return ("not_a_map", None)
    if missing := [name for name in _REQUIRED if name not in data]:
        return ("missing_field", missing[0]) if len(missing) == 1 else ("missing_fields", list(missing))
    for name in data:
        if name not in SessionRecord.__struct_fields__:
            return ("invalid_field", f"{bounded_text(name, 64)}: there is none of that name")
    for name in _NEVER_EMPTY:
        if data.get(name, name) in ("", {}):
            return ("empty_field", name)
    for field in _FIELDS:
        if field.name in data and (refusal := _convert_trouble(field.name, field.type, data[field.name])) is not None:
            return refusal
    record = msgspec.convert(data, SessionRecord)
    return trouble_with(record) or record


def trouble_with(record: SessionRecord) -> Refusal | None:
    """None for a record that a session can be run with."""
    if not ID.fullmatch(record.id):
        return ("invalid_id", None)
    return (
        name_trouble(record.name)
        or _project_trouble(record.project)
        or _trouble_with_data(record)
        or _trouble_with_numbers(record)
        or config_trouble(record.config)
        or _trouble_with_process(record)
    )


def name_trouble(name: object) -> Refusal | None:
    """None for a name: display text of 1 to 50 printable characters, not only blanks."""
    if not isinstance(name, str) or not name.strip() or not name.isprintable():
        return ("invalid_name", None)
    return ("name_too_long", f"at most {MAX_NAME_CHARACTERS} characters") if len(name) > MAX_NAME_CHARACTERS else None


def child_spec(record: SessionRecord) -> ChildSpec:
    """What is supervised: the session's process is registered under the session's id and begins with its record.

    :raises ValueError: its group is none, and the text names the field.
    """
    policy = record.policy
    template = SESSION if policy.template == AUTO else policy.template
    process = ProcessSpec(
        record.module, [to_map(record)], template, trap_exit=True, name=record.id, init_timeout_s=policy.start_timeout_s,
        busy_timeout_s=policy.busy_timeout_s, when_hung=policy.when_hung, path=policy.path,
        may_spawn=policy.may_spawn,
    )  # fmt: skip
    restart, shutdown_s = policy.restart, policy.shutdown_s
    if record.group is not None:
        # Its supervisor ends with the reason shutdown when it has restarted too often; that is no normal end.
        process = supervisor_of(record.group, record.id, process, shutdown_s)
        restart = "permanent" if restart == "transient" else restart
        # A supervisor has the time that its children have (supervisor(3)): killed before, it would leave those who hang.
        shutdown_s = "infinity"
    return ChildSpec(
        record.id, process, restart, shutdown_s, policy.intensity, policy.period_s, policy.backoff_initial_s,
        policy.backoff_step_s, policy.backoff_max_s,
    )  # fmt: skip


def _convert_trouble(name: str, kind: object, value: object) -> Refusal | None:
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        code = {"id": "invalid_id", "name": "invalid_name", "config": "invalid_config"}.get(name, "invalid_field")
        return (code, f"{name}: {bounded_text(str(error), 120)}")
    return None


def _project_trouble(project: Project) -> Refusal | None:
    if "\0" in project.path:
        return ("invalid_project_path", None)
    if not project.path.startswith("/"):
        return ("path_not_absolute", None)
    if len(project.path.encode("utf-8", "surrogateescape")) > MAX_PATH_BYTES:
        return ("path_too_long", f"at most {MAX_PATH_BYTES} bytes")
    if ".." in project.path.split("/"):
        return ("path_traversal_detected", None)
    return None


def _trouble_with_data(record: SessionRecord) -> Refusal | None:
    for name in ("config", "metadata", "group"):
        # First of all: encoding raises for what is nested too deeply.
        if (trouble := terms.trouble_with(getattr(record, name))) is not None:
            return ("invalid_config" if name == "config" else "invalid_field", f"{name}: {trouble}")
    size_bytes = len(encoder.encode(record))
    return ("value_too_long", f"{size_bytes} bytes, at most {MAX_RECORD_BYTES}") if size_bytes > MAX_RECORD_BYTES else None


def _trouble_with_numbers(record: SessionRecord) -> Refusal | None:
    if not 0 < record.created_at <= record.updated_at < math.inf:
        return ("invalid_timestamp", None)
    for name, limit in record.limits.items():
        if limit < 1:
            return ("invalid_field", f"limits.{bounded_text(name, 64)}: must be 1 or more")
    if not 0 <= record.policy.idle_timeout_s < math.inf:
        return ("invalid_field", "policy.idle_timeout_s: must be seconds, 0 for never")
    return None


def _trouble_with_process(record: SessionRecord) -> Refusal | None:
    if not _MODULE.fullmatch(record.module):
        return ("invalid_field", "module: must be module:name")
    try:
        trouble = validate(child_spec(record))
    except ValueError as error:
        return ("invalid_field", f"group: {bounded_text(str(error), 200)}")
    return None if trouble is None else ("invalid_field", f"policy: {trouble[1]}")
