"""Actors of the demo and of the tests: small, and each shows one thing."""

from __future__ import annotations

import os

from actorcore.gen_server import GenServer, Reply
from actorcore.mailbox import From


class Counter(GenServer):
    """Counts; knows its OS pid; fails when asked to."""

    def init(self, *args: object) -> None:
        self.count = 0

    def handle_call(self, request: object, frm: From) -> Reply:
        """``"add"`` → the new count, ``"count"``, ``"os_pid"`` → the process's number, ``"fail"`` → an uncaught error."""
        if request == "fail":
            raise RuntimeError("asked to fail")
        if request == "add":
            self.count += 1
            return Reply(self.count)
        if request == "count":
            return Reply(self.count)
        if request == "os_pid":
            return Reply(os.getpid())
        return Reply(request)


class AsyncCounter(Counter):
    """The same in an asyncio loop: one ``async def`` callback is enough."""

    async def handle_call(self, request: object, frm: From) -> Reply:  # type: ignore[override]
        """As Counter's."""
        return super().handle_call(request, frm)
