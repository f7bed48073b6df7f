"""The daemon with a machine more, ``poison``: a request that kills whatever node handles it."""

from __future__ import annotations

import signal
import socket
import sys

from actorcore.frames import term_decoder
from actorcore.kernel import Kernel
from actorcore.residents import AnswerTo, Leave, Order, Ready
from actorcore.runtime.node.node import Node
from actorcore.signals import Asking, Begin, Delivery, Exit
from supervisors import daemon, node_entry
from supervisors.configuration import BUILT_IN
from supervisors.services.limiter import Limiter
from supervisors.services.services import Services
from supervisors.session.manager import Manager
from supervisors.tree.sessions import Sessions


class Poison:
    """Asked ``die`` it does not survive it; anything else is the answer."""

    def handle(self, body: Delivery, now: float) -> list[Order]:
        match body:
            case Begin():
                return [Ready()]
            case Asking(frm, number, raw):
                request = term_decoder.decode(raw)
                if request == "die":
                    signal.raise_signal(signal.SIGKILL)
                return [AnswerTo(frm, number, request)]
            case Exit():
                return [Leave("shutdown")]
            case _:
                return []

    def snapshot(self) -> bytes:
        return b""

    def restore(self, state: bytes) -> None:
        """There is nothing to remember."""


def kernel(instance: int) -> Kernel:
    """The daemon's own residents, and one more."""
    services = {"sessions": Sessions(), "limiter": Limiter(), "manager": Manager(), "services": Services()}
    return node_entry.kernel_of(instance, {**services, "poison": Poison()})


def node_main(control: socket.socket, ledger: memoryview, registry: memoryview, status: memoryview) -> None:
    Node(control, ledger, registry, status, kernel, BUILT_IN).run()


if __name__ == "__main__":
    sys.exit(daemon.main("tests.fault.poisoned:node_main"))
