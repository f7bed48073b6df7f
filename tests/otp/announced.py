"""The machines of the product with an init that the scenario can see and decide, in the node and in processes of their own."""

from __future__ import annotations

import os
import socket
from typing import Any

import msgspec

from actorcore.exit_reason import Term
from actorcore.gen_server import Ignore, InitResult
from actorcore.kernel import Kernel
from actorcore.residents import Machines, Order, Refuse, Resident
from actorcore.runtime.node.node import Node
from actorcore.signals import Begin, Delivery
from supervisors.machines import MACHINES
from supervisors.tree.process import SupervisorProcess
from supervisors.tree.sessions import Sessions
from tests.otp.actors import SCENES
from tests.otp.scene import SERVICES, Crash, outcome_of


class Announced:
    """A resident: ``machine`` of the product, of the first of ``args``; the others say who it is in the scenario."""

    def __init__(self, machine: str, args: list[Term]) -> None:
        self._args = args
        self._make = MACHINES[machine]
        self._resident: Resident = self._make([])

    def handle(self, body: Delivery, now: float) -> list[Order]:
        if not isinstance(body, Begin):
            return self._resident.handle(body, now)
        spec, token, definition, name = self._args[:4]
        its = SCENES[-1](str(token))
        try:
            outcome = outcome_of(its, str(definition), str(name))
            label = its.introduce(body.serial, str(name), definition=str(definition))
            announced = [] if its.definitions[str(definition)]["kind"] in SERVICES else its.announce(body.serial, label)
        finally:
            its.close()
        if outcome == "ignore":
            return [*announced, Refuse(None)]
        if outcome != "ok":
            return [*announced, Refuse(outcome["exit"] if "exit" in outcome else {"error": outcome["crash"]})]
        try:
            self._resident = self._make([spec])
        except ValueError as error:
            return [*announced, Refuse({"invalid_spec": str(error)})]
        return [*announced, *self._resident.handle(body, now)]

    def snapshot(self) -> bytes:
        return self._resident.snapshot()

    def restore(self, state: bytes) -> None:
        self._resident.restore(state)


ANNOUNCED: Machines = {name: lambda args, name=name: Announced(name, args) for name in MACHINES}  # type: ignore[misc]


class Host(SupervisorProcess):
    """The same in a process."""

    def init(self, *args: Any) -> InitResult:
        machine, spec, token, definition, name = args[:5]
        its = SCENES[-1](token)
        outcome = outcome_of(its, definition, name)
        label = its.introduce(self.process.self_pid.serial, name, os.getpid(), definition)
        if its.definitions[definition]["kind"] not in SERVICES:
            its.write(label, "init")
        match outcome:
            case "ok":
                return super().init(machine, spec)
            case "ignore":
                return Ignore()
            case {"exit": reason}:
                self.process.exit_self(reason)
        raise Crash(msgspec.json.encode(outcome["crash"]).decode())


def node_main(control: socket.socket, ledger: memoryview, registry: memoryview, status: memoryview) -> None:
    """Be the node of a daemon that plays scenarios."""
    Node(control, ledger, registry, status, kernel).run()


def kernel(instance: int) -> Kernel:
    """As the product's, with announced machines."""
    return Kernel(instance, {"sessions": Sessions()}, ANNOUNCED, f"{Host.__module__}:{Host.__name__}")
