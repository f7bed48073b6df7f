"""Debug: what sys watches of one process, OTP's debug options as data.

Events are lists: ``["in", kind, body, from]`` before a message is handled, ``["out", value, to]`` after an answer.
"""

from __future__ import annotations

import msgspec

from actorcore.exit_reason import Term
from actorcore.frames import DECODE_ERRORS, term_decoder
from actorcore.mailbox import DownMessage, ExitMessage, Item, Raw, Timeout
from actorcore.pids import pid_of
from actorcore.system_words import MAX_LOG, Log, Statistics


class Count(msgspec.Struct):
    """What is counted since ``start_time`` (monotonic seconds); ``start_cpu_s`` is the CPU time used by then."""

    start_time: float
    start_cpu_s: float = 0.0
    messages_in: int = 0
    messages_out: int = 0


class Debug(msgspec.Struct):
    """Off unless somebody asked: ``log_size`` events are kept, ``tracers`` are the serials of those who are told."""

    is_suspended: bool = False
    count: Count | None = None
    log_size: int = 0
    events: list[Term] = []
    tracers: list[int] = []

    def is_idle(self) -> bool:
        """Messages need not come past here."""
        return not (self.is_suspended or self.is_watching())

    def is_watching(self) -> bool:
        """Somebody wants events, or their number."""
        return self.count is not None or self.log_size > 0 or bool(self.tracers)

    def watch(self, event: list[Term]) -> None:
        """Count and keep it; telling the tracers is up to who has a way to them."""
        if self.count is not None:
            if event[0] == "in":
                self.count.messages_in += 1
            else:
                self.count.messages_out += 1
        if self.log_size:
            self.events.append(event)
            del self.events[: -self.log_size]

    def trace(self, who: int, on: bool) -> None:
        """``who`` is told of events, or not."""
        if who in self.tracers:
            self.tracers.remove(who)
        if on:
            self.tracers.append(who)

    def on_log(self, request: Log) -> Term:
        """The answer to it."""
        if request.size is None:
            return list(self.events)
        self.log_size = min(max(0, request.size), MAX_LOG)
        del self.events[: max(0, len(self.events) - self.log_size)]
        return True

    def on_statistics(self, request: Statistics, now_s: float, cpu_s: float = 0.0) -> Term:
        """The answer to it."""
        if request.what == "on":
            self.count = Count(now_s, cpu_s)
            return True
        if request.what == "off":
            self.count = None
            return True
        if self.count is None:
            return None
        count = self.count
        return {
            "start_time": count.start_time, "current_time": now_s, "messages_in": count.messages_in,
            "messages_out": count.messages_out, "cpu_s": cpu_s - count.start_cpu_s,
        }  # fmt: skip


def event_of(instance: int, item: Item | Timeout) -> list[Term]:
    """What is told of an item: kind, body, sender."""
    match item:
        case Raw(frm, message):
            try:
                body: Term = term_decoder.decode(message.body)
            except DECODE_ERRORS:
                body = "<undecodable>"
            return [type(message).__name__.lower(), body, pid_of(instance, frm)]  # type: ignore[list-item]
        case ExitMessage(frm, reason):
            return ["exit", reason, frm]  # type: ignore[list-item]
        case DownMessage(ref, pid, reason):
            return ["down", [ref, reason], pid]  # type: ignore[list-item]
    return ["timeout", None, None]
