"""The echoing processes of p7_call."""

from __future__ import annotations

from actorcore.gen_server import GenServer, Reply, Result
from actorcore.mailbox import CallMessage, From
from actorcore.runtime.process import Process


def echo(process: Process) -> None:
    """Answers every call with its body."""
    while (event := process.receive()) is not None:
        if type(event) is CallMessage:
            process.reply(event.frm, event.body)


class EchoServer(GenServer):
    """The same as a GenServer."""

    def handle_call(self, request: object, frm: From) -> Result:
        return Reply(request)
