"""The entry of the node: the residents of this daemon around the pump."""

from __future__ import annotations

import socket

from actorcore.residents import Resident
from actorcore.runtime.node import Node
from supervisors.sessions import Sessions


def node_main(control: socket.socket, ledger: memoryview, registry: memoryview, status: memoryview) -> None:
    """Be the node; called in a process that the guardian forked."""
    Node(control, ledger, registry, status, residents).run()


def residents() -> dict[str, Resident]:
    """The residents of this daemon, fresh."""
    return {"sessions": Sessions()}
