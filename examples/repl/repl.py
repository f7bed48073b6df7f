"""A Python prompt in a process of its own: what was run is remembered, and run again when the process had to be replaced."""

from __future__ import annotations

import io
from code import InteractiveInterpreter
from contextlib import redirect_stderr, redirect_stdout

from actorcore.gen_server import From, Reply
from actorcore.words import Word
from supervisors.session.requests import SendMessage, SessionRequest
from supervisors.session.server import SessionServer


class Run(Word, frozen=True, tag="run"):
    """Run ``source``, one statement or several. Answer: what it has printed. It is remembered once it has come to its end."""

    source: str


class Repl(SessionServer):
    """A session with one request of its own."""

    calls = SessionRequest | Run

    def opened(self, is_restored: bool) -> None:
        self.interpreter = InteractiveInterpreter()
        for message in self.state.conversation.messages.items:
            if message.role == "user":
                self.run(message.content)

    def handle_own(self, request: object, frm: From) -> Reply:
        assert isinstance(request, Run)
        printed = self.run(request.source)
        self.tell(SendMessage("user", request.source))
        if printed:
            self.tell(SendMessage("tool", printed))
        return Reply(printed)

    def run(self, source: str) -> str:
        """What ``source`` prints; the value of an expression is printed too."""
        out = io.StringIO()
        symbol = "single" if "\n" not in source.strip() else "exec"
        with redirect_stdout(out), redirect_stderr(out):
            self.interpreter.runsource(f"{source}\n", "<repl>", symbol)
        return out.getvalue()
