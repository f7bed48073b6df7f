"""The actors of the benchmarks of messages."""

from __future__ import annotations

from typing import ClassVar

from actorcore.gen_server import GenServer, Reply, Result
from actorcore.mailbox import CallMessage, From
from actorcore.runtime.process import Process


def echo(process: Process) -> None:
    """Answers every call with its body."""
    while (event := process.receive()) is not None:
        if type(event) is CallMessage:
            process.reply(event.frm, event.body)


class EchoServer(GenServer):
    """The same as a GenServer; casts are counted."""

    def handle_call(self, request: object, frm: From) -> Result:
        return Reply(request)

    def handle_cast(self, request: object) -> Result:
        return None


class TypedEchoServer(EchoServer):
    """The same, with the type of its messages declared."""

    calls: ClassVar[object] = bytes
    casts: ClassVar[object] = bytes


class ViewServer(EchoServer):
    """Takes bodies as views of the buffer that they came in."""

    casts: ClassVar[object] = memoryview
