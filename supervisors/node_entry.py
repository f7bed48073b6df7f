"""The entry of the node: the residents of this daemon around the pump."""

from __future__ import annotations

import socket

from actorcore.residents import Resident
from actorcore.runtime.node import Node
from supervisors.sessions import Sessions

POOL = {"lean": 8}


def node_main(control: socket.socket, ledger: memoryview, registry: memoryview, status: memoryview) -> None:
    """Be the node; called in a process that the guardian forked."""
    Node(control, ledger, registry, status, residents, POOL).run()


def residents() -> dict[str, Resident]:
    """The residents of this daemon, fresh."""
    return {"sessions": Sessions()}
