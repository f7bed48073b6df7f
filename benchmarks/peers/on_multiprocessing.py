"""multiprocessing: a Process and a Pipe, by each of its three ways to start one.

As the library's programming guidelines have it (docs.python.org, ``multiprocessing``): the ends of pipes that one does
not use are closed, a process is joined, ``Process.sentinel`` is waited for with ``connection.wait``; with forkserver the
module is preloaded. Nothing restarts a process: that is written by hand here, in the shortest way.
"""

from __future__ import annotations

from collections.abc import Callable
from multiprocessing import connection, get_context
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from typing import Any

from benchmarks.peers.contract import BODY, OfPython

CAST = BODY[:-1] + b"!"


class Worker:
    """A process and our end of its pipe."""

    def __init__(self, context: Any) -> None:
        self.context = context
        self.start()
        self.await_answer()

    def start(self) -> None:
        self.pipe, theirs = self.context.Pipe()
        self.process = self.context.Process(target=serve, args=(theirs,), daemon=True)
        self.process.start()
        theirs.close()
        self.pipe.send_bytes(b"?")

    def await_answer(self) -> None:
        self.pipe.recv_bytes()

    def await_end(self) -> None:
        connection.wait([self.process.sentinel])

    def restart(self) -> None:
        self.await_end()
        self.process.join()
        self.pipe.close()
        self.start()


def serve(pipe: Connection) -> None:
    while True:
        body = pipe.recv_bytes()
        if body != CAST:
            pipe.send_bytes(body)


class Fork(OfPython[Worker]):
    method = "fork"
    remarks = {"told": "Process.sentinel", "replaced": "by hand: sentinel, join, start", "storm": "by hand"}

    def open(self) -> None:
        self.context = get_context(self.method)
        if isinstance(self.context, ForkServerContext):
            self.context.set_forkserver_preload([__name__])

    def spawn(self) -> Worker:
        return Worker(self.context)

    def end(self, actor: Worker) -> None:
        actor.process.terminate()
        actor.process.join()
        actor.pipe.close()

    def calls(self, actor: Worker, count: int) -> None:
        for _ in range(count):
            actor.pipe.send_bytes(BODY)
            actor.pipe.recv_bytes()

    def casts(self, actor: Worker, count: int) -> None:
        for _ in range(count):
            actor.pipe.send_bytes(CAST)
        self.calls(actor, 1)

    def os_pid(self, actor: Worker) -> int:
        os_pid = actor.process.pid
        assert isinstance(os_pid, int)
        return os_pid

    def watch(self, actor: Worker) -> Callable[[], object]:
        return actor.await_end

    def await_replacement(self, actor: Worker) -> None:
        actor.restart()
        actor.await_answer()

    def await_replacements(self, actors: list[Worker]) -> None:
        for actor in actors:
            actor.restart()
        for actor in actors:
            actor.await_answer()


class ForkServer(Fork):
    method = "forkserver"


class Spawn(Fork):
    method = "spawn"


PEERS = {"fork": Fork, "forkserver": ForkServer, "spawn": Spawn}
