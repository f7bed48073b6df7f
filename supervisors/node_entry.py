"""The entry of the node: the kernel of this daemon, and the pump around it."""

from __future__ import annotations

import os
import socket

import msgspec

from actorcore.kernel import Kernel
from actorcore.residents import Resident
from actorcore.runtime.node.node import Node
from supervisors.configuration import BUILT_IN
from supervisors.machines import MACHINES, OPEN_VERBS
from supervisors.persistence.retention import Limits
from supervisors.services.limiter import Limiter
from supervisors.services.services import Services, services_with
from supervisors.session.manager import NEEDS, Manager
from supervisors.session.settings import SessionSettings
from supervisors.tree.sessions import MAX_SESSIONS, Sessions

SETTINGS_VARIABLE = "ACTORCORE_NODE_SETTINGS"
"""What the daemon has read from its configuration, for its nodes: also one that is made of the code on disk has it."""

HOST = "supervisors.tree.process:SupervisorProcess"
"""Its name only: the node runs no code of processes."""


def node_main(control: socket.socket, ledger: memoryview, registry: memoryview, status: memoryview) -> None:
    """Be the node; called in a process that the guardian forked."""
    Node(control, ledger, registry, status, kernel, BUILT_IN).run()


def kernel(instance: int) -> Kernel:
    """The kernel of this daemon, fresh: its residents, and those that may be spawned."""
    settings = msgspec.json.decode(os.environ.get(SETTINGS_VARIABLE, "{}"), type=SessionSettings)
    sessions = Sessions(MAX_SESSIONS + settings.max_sessions)  # nobody's plain processes take the place of a session
    manager = Manager(settings, settings.resume)
    limits = Limits(settings.max_saved, settings.warn_saved, settings.auto_clean, settings.max_age_days)
    services = Services(services_with(limits))
    return kernel_of(instance, {"sessions": sessions, "limiter": Limiter(), "manager": manager, "services": services})


def kernel_of(instance: int, residents: dict[str, Resident]) -> Kernel:
    """A kernel with these residents.

    :raises ValueError: a service that sessions need is not among them, and the text names it.
    """
    if missing := [name for name in NEEDS if name not in residents]:
        raise ValueError(f"missing service: {', '.join(missing)}")
    return Kernel(instance, residents, MACHINES, HOST, Services.name, OPEN_VERBS)  # the store is told how each session has ended
