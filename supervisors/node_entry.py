"""The entry of the node: the kernel of this daemon, and the pump around it."""

from __future__ import annotations

import socket

from actorcore.kernel import Kernel
from actorcore.runtime.node import Node
from supervisors.limiter import Limiter
from supervisors.machines import MACHINES
from supervisors.services import Services
from supervisors.sessions import Sessions


def node_main(control: socket.socket, ledger: memoryview, registry: memoryview, status: memoryview) -> None:
    """Be the node; called in a process that the guardian forked."""
    Node(control, ledger, registry, status, kernel).run()


def kernel(instance: int) -> Kernel:
    """The kernel of this daemon, fresh: its residents, and those that may be spawned."""
    return Kernel(instance, {"sessions": Sessions(), "limiter": Limiter(), "services": Services()}, MACHINES)
