"""The process that a machine of callbacks runs in, in the hands of a test: what it was told to say, and the time."""

from __future__ import annotations

from collections.abc import Callable

from actorcore.exit_reason import Term
from actorcore.mailbox import From, Mailbox
from actorcore.pids import Pid
from actorcore.runtime.actor import code


class Host:
    """``now`` is the time; ``replies``, ``errors`` and ``events`` are what was sent, and to whom."""

    load = staticmethod(code.load)

    def __init__(self) -> None:
        self.mailbox = Mailbox()
        self.self_pid = Pid(7, 1)
        self.parent_pid: Pid | None = Pid(7, 98)
        self.now = 1000.0
        self.replies: list[tuple[From, object]] = []
        self.errors: list[tuple[From, str, str]] = []
        self.events: list[tuple[int, Term]] = []

    def post_reply(self, frm: From, value: object) -> None:
        self.replies.append((frm, value))

    def post_error(self, frm: From, code: str, detail: str) -> None:
        self.errors.append((frm, code, detail))

    def post_event(self, to: int, event: Term) -> bool:
        self.events.append((to, event))
        return True

    def renew(self, module: str, kind: type) -> tuple[type, Term, Callable[[], None]]:
        raise ImportError(module)

    def now_s(self) -> float:
        return self.now

    def cpu_s(self) -> float:
        return 0.0
