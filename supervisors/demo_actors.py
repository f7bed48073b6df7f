"""Actors of the demo and of the tests: small, and each shows one thing."""

from __future__ import annotations

import os

from actorcore.exit_reason import Term
from actorcore.gen_server import GenServer, Reply


class Counter(GenServer):
    """Counts; knows its OS pid; fails when asked to."""

    def init(self, *args: Term) -> None:
        self.count = 0

    def handle_call(self, request: object, frm: object) -> Reply:
        """``"add"`` → the new count, ``"os_pid"`` → the process's number, ``"fail"`` → an uncaught error."""
        if request == "fail":
            raise RuntimeError("asked to fail")
        if request == "add":
            self.count += 1
            return Reply(self.count)
        if request == "os_pid":
            return Reply(os.getpid())
        return Reply(request)
