"""Actors that live by the thousand: this module imports nothing that a lean process has not got already."""

from __future__ import annotations

from actorcore.gen_server import GenServer, Reply, Result, Stop
from actorcore.mailbox import From
from actorcore.runtime.actor.process import Process


class Echo(GenServer):
    """Answers with the request; ends normally at any cast."""

    def handle_call(self, request: object, frm: From) -> Reply:
        return Reply(request)

    def handle_cast(self, request: object) -> Result:
        return Stop()


class Count(GenServer):
    """Answers with how often it was called: a lost or a repeated call shows."""

    def init(self, *args: object) -> None:
        self.count = 0

    def handle_call(self, request: object, frm: From) -> Reply:
        self.count += 1
        return Reply(self.count)


def idle(process: Process) -> None:
    """Live until killed."""
    while True:
        process.receive()
