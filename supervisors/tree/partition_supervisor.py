"""PartitionSupervisor: the same child several times over, and for each key one of them (Elixir's PartitionSupervisor).

One supervisor starts one child after the other, and one process does one thing at a time: where that is too slow, a number
of them share the keys. Which is which, anybody can work out: see :func:`partition_of`.
"""

from __future__ import annotations

from zlib import crc32

import msgspec
from msgspec import structs

from actorcore.residents import AnswerTo
from supervisors.tree.base import Refusal
from supervisors.tree.spec import Child, SupervisorSpec
from supervisors.tree.supervisor import Supervisor
from supervisors.tree.words import Asker, Partition, SupervisorRequest

MAX_PARTITIONS = 1024


class PartitionSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``partitions`` times ``child``, with ``.0``, ``.1``, … behind its id, and behind its name if it has one; one_for_one.

    The other fields are those of SupervisorSpec.
    """

    child: Child
    partitions: int
    intensity: int = 3
    period_s: float = 5.0
    backoff_initial_s: float = 0.0
    backoff_step_s: float = 0.0
    backoff_max_s: float = 0.0


def partition_of(key: int | str, partitions: int) -> int:
    """The number of the partition that has ``key``: the same in every process, and for as long as there are as many."""
    return (abs(key) if isinstance(key, int) else crc32(key.encode())) % partitions


class PartitionSupervisor(Supervisor):
    """The machine: a Supervisor that is asked for partitions instead of being told of children."""

    def __init__(self, spec: PartitionSpec | None = None) -> None:
        """Raises ValueError for a number of partitions that cannot be."""
        super().__init__(None if spec is None else _whole(spec))

    def _serve(self, asker: Asker, request: SupervisorRequest) -> Refusal | None:
        if not isinstance(request, Partition):
            return ("unsupported", "the partitions are what they are")
        number = partition_of(request.key, len(self.spec.children))
        life = self._find(self.spec.children[number].id)
        if life is None or not life.serial:
            return ("restarting" if life is not None and life.restarting else "not_running", number)
        self.orders.append(AnswerTo(*asker, [number, life.serial]))
        return None


def _whole(spec: PartitionSpec) -> SupervisorSpec:
    if not 1 <= spec.partitions <= MAX_PARTITIONS:
        raise ValueError(f"partitions: must be 1 to {MAX_PARTITIONS}")
    return SupervisorSpec(
        [_numbered(spec.child, number) for number in range(spec.partitions)], "one_for_one", spec.intensity, spec.period_s,
        spec.backoff_initial_s, spec.backoff_step_s, spec.backoff_max_s,
    )  # fmt: skip


def _numbered(child: Child, number: int) -> Child:
    name = child.process.name
    process = child.process if name is None else structs.replace(child.process, name=f"{name}.{number}")
    return structs.replace(child, id=f"{child.id}.{number}", process=process)
