"""pykka: an actor is a thread of this process; nothing is isolated, so nothing here can be killed alone."""

from __future__ import annotations

import importlib.metadata
from typing import Any

import pykka

from benchmarks.peers.contract import BODY, Peer


class Echo(pykka.ThreadingActor):
    def on_receive(self, message: Any) -> Any:
        return message


class Pykka(Peer[Any]):
    lacks = dict.fromkeys(("told", "replaced", "storm"), "threads: kill -9 takes all of them")
    idle_actors = 100

    def version(self) -> str:
        return importlib.metadata.version("pykka")

    def open(self) -> None:
        pass

    def close(self) -> None:
        pykka.ActorRegistry.stop_all()

    def spawn(self) -> Any:
        actor = Echo.start()
        actor.ask(BODY)
        return actor

    def end(self, actor: Any) -> None:
        actor.stop()

    def calls(self, actor: Any, count: int) -> None:
        for _ in range(count):
            actor.ask(BODY)

    def casts(self, actor: Any, count: int) -> None:
        for _ in range(count):
            actor.tell(BODY)
        actor.ask(BODY)


PEERS = {"": Pykka}
