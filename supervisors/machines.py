"""The machines that may be spawned by name: as residents of the node (template ``resident``) or in processes of their own."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from actorcore.exit_reason import Term
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
