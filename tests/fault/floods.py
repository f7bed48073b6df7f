"""Actors of the tests of floods and of half messages."""

from __future__ import annotations

import time
from pathlib import Path

from actorcore.errors import CallFailed, RequestError
from actorcore.gen_server import Reply
from actorcore.mailbox import DownMessage, Message
from tests.fault.actors import Witness


class Talker(Witness):
    """Says much to others, and keeps in ``heard`` what others say to it; a DOWN is passed on to the watcher."""

    def init(self, *args: str) -> object:  # type: ignore[override]
        self.heard: list[object] = []
        return super().init(*args)

    def handle_cast(self, request: object) -> object:  # type: ignore[override]
        verb, argument = request  # type: ignore[misc]
        if verb in ("pour", "ask"):
            return getattr(self, verb)(*argument)
        return super().handle_cast(request)

    def handle_info(self, info: object) -> None:
        if isinstance(info, Message):
            self.heard.append(len(info.body) if isinstance(info.body, bytes) else info.body)
        elif isinstance(info, DownMessage):
            self.heard.append(["down", info.reason])
            self.process.send(self.watcher, ["down", info.reason])

    def pour(self, to: str, size: int) -> None:
        """One message of ``size`` bytes."""
        self.process.send(to, bytes(size))

    def ask(self, to: str, request: list[object]) -> None:
        """A call without a deadline; the watcher hears how it ended."""
        try:
            self.process.send(self.watcher, ["answered", len(self.process.call(to, request, None))])
        except CallFailed as error:
            self.process.send(self.watcher, ["failed", error.reason])

    def do_heard(self, _: None) -> Reply:
        return Reply(self.heard)

    def do_watch(self, name: str) -> Reply:
        return Reply(self.process.monitor(name))

    def do_give(self, size: int) -> Reply:
        return Reply(bytes(size))

    def do_give_when(self, argument: list[object]) -> Reply:
        """After somebody has opened FIFO ``gate`` and closed it."""
        gate, size = argument
        Path(gate).read_bytes()
        return Reply(bytes(size))

    def do_count(self, _: None) -> Reply:
        return Reply(len(self.heard))

    def do_flood(self, argument: list[object]) -> Reply:
        """Numbers, or bodies of ``size``, one message each: how many were taken, the refusal and the seconds until it came."""
        to, count, size = argument
        number, since = 0, time.monotonic()
        try:
            for number in range(count):
                since = time.monotonic()
                self.process.send(to, bytes(size) if size else number)
        except RequestError as error:
            return Reply([number, error.code, time.monotonic() - since])
        return Reply([count, None, 0.0])

    def do_in_order(self, count: int) -> Reply:
        """Whether the numbers up to ``count`` were heard, each once and in order."""
        return Reply(self.heard == list(range(count)))
