"""The session that fault_injection kills."""

from __future__ import annotations

import os
from contextlib import suppress

from actorcore.errors import CallFailed
from actorcore.gen_server import Continue, GenServer, Ok, Reply
from actorcore.mailbox import From


class Reporter(GenServer):
    """Tells the process named ``watcher`` its OS pid as soon as it is ready; echoes."""

    def init(self, watcher: str) -> Ok:  # type: ignore[override]
        self.watcher = watcher
        return Ok(then=Continue())

    def handle_continue(self, term: object) -> None:
        with suppress(CallFailed):  # it may have left
            self.process.send(self.watcher, os.getpid())

    def handle_call(self, request: object, frm: From) -> Reply:
        return Reply(request)
