"""Thespian on its multiprocTCPBase, the one that its guide recommends for what has to be robust.

``ActorSystem.ask`` is a call, ``tell`` is not answered. A death is told to the actor that created the dead one
(ChildActorExited), which may create another: that is what the Parent here does, as the guide's section on exits has it.
"""

from __future__ import annotations

import importlib.metadata
import os
from collections.abc import Callable
from typing import Any

from thespian.actors import Actor, ActorExitRequest, ActorSystem, ChildActorExited

from benchmarks.peers.contract import BODY, Peer

CAST = BODY[:-1] + b"!"
WAIT_S = 30


class Echo(Actor):
    def receiveMessage(self, message: Any, sender: Any) -> None:
        if message == "os_pid":
            self.send(sender, os.getpid())
        elif isinstance(message, bytes) and message != CAST:
            self.send(sender, message)


class Parent(Actor):
    """Told whether it replaces, it creates a child and answers with its address once the child has answered it."""

    def receiveMessage(self, message: Any, sender: Any) -> None:
        if isinstance(message, bool):
            self.asker, self.replaces = sender, message
            self.send(self.createActor(Echo), BODY)
        elif isinstance(message, bytes):
            self.send(self.asker, sender)
        elif isinstance(message, ChildActorExited) and self.replaces:
            self.send(self.createActor(Echo), BODY)
        elif isinstance(message, ChildActorExited):
            self.send(self.asker, "dead")


class Family:
    """An actor, and its parent where it has one of ours."""

    def __init__(self, actor: Any, parent: Any = None) -> None:
        self.actor = actor
        self.parent = parent


class Thespian(Peer[Family]):
    calls_each, casts_each = 50, 200
    remarks = {"told": "the parent, which tells us", "replaced": "by the parent, by hand", "storm": "by a parent each"}

    def version(self) -> str:
        return importlib.metadata.version("thespian")

    def open(self) -> None:
        self.system = ActorSystem("multiprocTCPBase")

    def close(self) -> None:
        self.system.shutdown()

    def spawn(self) -> Family:
        actor = self.system.createActor(Echo)
        self.ask(actor, BODY)
        return Family(actor)

    def ask(self, actor: Any, message: object) -> Any:
        answer = self.system.ask(actor, message, WAIT_S)
        assert answer is not None, "no answer"
        return answer

    def end(self, actor: Family) -> None:
        self.system.tell(actor.parent or actor.actor, ActorExitRequest())

    def calls(self, actor: Family, count: int) -> None:
        for _ in range(count):
            self.ask(actor.actor, BODY)

    def casts(self, actor: Family, count: int) -> None:
        for _ in range(count):
            self.system.tell(actor.actor, CAST)
        self.ask(actor.actor, BODY)

    def os_pid(self, actor: Family) -> int:
        return int(self.ask(actor.actor, "os_pid"))

    def spawn_watched(self) -> Family:
        return self.family(replaces=False)

    def watch(self, actor: Family) -> Callable[[], object]:
        return lambda: self.await_replacement(actor)

    def supervise(self) -> Family:
        return self.family(replaces=True)

    def family(self, replaces: bool) -> Family:
        parent = self.system.createActor(Parent)
        return Family(self.ask(parent, replaces), parent)

    def await_replacement(self, actor: Family) -> None:
        """One of them; whose does not matter."""
        assert self.system.listen(WAIT_S) is not None, "no answer"


PEERS = {"": Thespian}
