"""A group: a session of several processes under a supervisor of its own, with a budget of its own.

The first of them, ``state``, remembers the session: it is its record's ``module`` and has its id as registered name. The others
are started after it in their order, each with the session's id before its own arguments, registered as ``<id>.<member>``, and
ask ``state`` for what they need. So the death of an agent costs nothing that was said.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from actorcore.exit_reason import Term
from actorcore.words import RESIDENT, ProcessSpec
from supervisors.tree.child_spec import RestartType, Shutdown_s
from supervisors.tree.spec import Child, SupervisorSpec, trouble_with

STATE = "state"
MAX_MEMBER_ID = 27
"""Characters: with the session's id it is a registered name."""


class Member(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One process beside ``state``; the fields are those of ProcessSpec and Child. ``start`` is ``module:name``."""

    id: str
    start: str
    args: list[Term] = []
    restart: RestartType = "permanent"
    shutdown_s: Shutdown_s = 5.0
    template: str = "auto"
    trap_exit: bool = False
    path: str = ""
    env: dict[str, str] = {}
    limits: dict[str, int] = {}


class Group(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """More than ``intensity`` restarts within ``period_s`` seconds end the whole group, which is then the session's own crash."""

    members: list[Member]
    strategy: Literal["one_for_one", "one_for_all", "rest_for_one"] = "one_for_one"
    intensity: int = 3
    period_s: float = 5.0


def supervisor_of(data: dict[str, Term], id: str, state: ProcessSpec, shutdown_s: Shutdown_s) -> ProcessSpec:
    """The supervisor of the group that ``data`` describes; ``state`` is the process of session ``id`` with its grace time.

    :raises ValueError: it is no group, and the text names the field.
    """
    try:
        group = msgspec.convert(data, Group)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from None
    for place, member in enumerate(group.members):
        if member.id == STATE or len(member.id) > MAX_MEMBER_ID:
            raise ValueError(f"members[{place}].id: at most {MAX_MEMBER_ID} characters, and not {STATE}")
    first = Child(STATE, state, "permanent", shutdown_s)
    others = [_child(id, member, state.init_timeout_s) for member in group.members]
    spec = SupervisorSpec([first, *others], group.strategy, group.intensity, group.period_s)
    if (trouble := trouble_with(spec)) is not None:
        raise ValueError(trouble)
    args: list[Term] = [msgspec.to_builtins(spec)]
    return ProcessSpec("supervisor", args, RESIDENT, init_timeout_s=state.init_timeout_s)


def _child(id: str, member: Member, init_timeout_s: float) -> Child:
    process = ProcessSpec(
        member.start, [id, *member.args], member.template, member.trap_exit, f"{id}.{member.id}", path=member.path,
        env=member.env, limits=member.limits, init_timeout_s=init_timeout_s,
    )  # fmt: skip
    return Child(member.id, process, member.restart, member.shutdown_s)
