"""The actors of the benchmarks of messages."""

from __future__ import annotations

import time
from typing import ClassVar

from actorcore.gen_server import GenServer, Reply, Result
from actorcore.mailbox import CallMessage, DownMessage, From
from actorcore.pids import Pid
from actorcore.runtime.actor.process import Process


def echo(process: Process) -> None:
    """Answers every call with its body."""
    while True:  # a condition here would keep CPython 3.11 from specialising what is entered once
        event = process.receive()
        if type(event) is CallMessage:
            process.reply(event.frm, event.body)


class EchoServer(GenServer):
    """The same as a GenServer; casts are counted."""

    def handle_call(self, request: object, frm: From) -> Result:
        return Reply(request)

    def handle_cast(self, request: object) -> Result:
        return None


class AsyncEchoServer(EchoServer):
    """The same in a loop."""

    async def handle_call(self, request: object, frm: From) -> Result:  # type: ignore[override]
        return Reply(request)


class TypedEchoServer(EchoServer):
    """The same, with the type of its messages declared."""

    calls: ClassVar[object] = bytes
    casts: ClassVar[object] = bytes


class ViewServer(EchoServer):
    """Takes bodies as views of the buffer that they came in."""

    casts: ClassVar[object] = memoryview


def watcher(process: Process, report_to: int) -> None:
    """Each call ``[serials, monitors of each]`` sets monitors; then the time of the last DOWN goes to ``report_to``."""
    instance = process.self_pid.instance
    while True:
        event = process.receive()
        assert isinstance(event, CallMessage)
        assert isinstance(event.body, list)
        serials, each = event.body
        left = len([process.monitor(Pid(instance, serial)) for serial in serials for _ in range(each)])
        process.reply(event.frm, left)
        while left:
            left -= type(process.receive()) is DownMessage
        process.send(Pid(instance, report_to), time.monotonic())


def asker(process: Process, report_to: int) -> None:
    """Each message makes it ask the node something; it tells ``report_to`` before, and when it has been answered."""
    to = Pid(process.self_pid.instance, report_to)
    while process.receive() is not None:
        process.send(to, 0)
        process.is_alive(process.self_pid)
        process.send(to, 1)
