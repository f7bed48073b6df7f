"""The machines that may be spawned by name: as residents of the node (template ``resident``) or in processes of their own."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from actorcore.exit_reason import Term
from actorcore.grants import OpenVerbs
from actorcore.residents import Machines
from supervisors.registry.groups import Groups, GroupsSpec
from supervisors.registry.registry import Registry
from supervisors.registry.words import RegistrySpec
from supervisors.services.limiter import Limiter
from supervisors.services.rate_limit import Rates
from supervisors.services.task_pool import TaskPool
from supervisors.tree.dynamic_supervisor import DynamicSupervisor
from supervisors.tree.partition_supervisor import PartitionSpec, PartitionSupervisor
from supervisors.tree.spec import DynamicSpec, PoolSpec, SupervisorSpec
from supervisors.tree.supervisor import Supervisor

Spec = TypeVar("Spec", bound=msgspec.Struct)


def _spec_of(kind: type[Spec], args: list[Term]) -> Spec | None:
    """The one argument, a map; None when there is none.

    :raises ValueError: it is something else.
    """
    if not args:
        return None
    try:
        (data,) = args
        return msgspec.convert(data, kind)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from None


MACHINES: Machines = {
    "supervisor": lambda args: Supervisor(_spec_of(SupervisorSpec, args)),
    "registry": lambda args: Registry(_spec_of(RegistrySpec, args)),
    "limiter": lambda args: Limiter(_spec_of(Rates, args)),
    "groups": lambda args: Groups(_spec_of(GroupsSpec, args)),
    "partition_supervisor": lambda args: PartitionSupervisor(_spec_of(PartitionSpec, args)),
    "dynamic_supervisor": lambda args: DynamicSupervisor(_spec_of(DynamicSpec, args)),
    "task_supervisor": lambda args: DynamicSupervisor(_spec_of(DynamicSpec, args)),
    "task_pool": lambda args: TaskPool(_spec_of(PoolSpec, args)),
}

_LOOKS = frozenset({"which_children", "count_children", "partition"})
OPEN_VERBS: OpenVerbs = {
    "system:node": frozenset({"status"}),
    "system:services": frozenset({"ensure"}),
    "system:sessions": frozenset({"get_session", "list_sessions", "count_sessions"}),
    "system:manager": frozenset({
        "get", "find", "resolve", "list", "ids", "pids", "count", "default", "subscribe", "seen", "unsubscribe", "publish",
        "last_told", "attach",
    }),
    **dict.fromkeys(("system:limiter", "limiter"), frozenset({"attempt", "statistics"})),
    **dict.fromkeys(("supervisor", "partition_supervisor", "dynamic_supervisor", "task_supervisor", "task_pool"), _LOOKS),
    "registry": frozenset({
        "register", "unregister", "unregister_match", "update_value", "lookup", "match", "keys", "values", "count", "dispatch",
        "select",
    }),
    "groups": frozenset({"join", "leave", "members", "which_groups", "monitor", "monitor_scope", "demonitor"}),
}  # fmt: skip
"""What a process that may start nothing may ask."""
