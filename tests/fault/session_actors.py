"""Sessions of a user's own module: each gets the record and remembers nothing."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from actorcore.errors import RequestError
from actorcore.gen_server import Continue, GenServer, NoReply, Ok, Reply
from actorcore.mailbox import From, Message
from tests.daemon_fixture import starttime


class Plain(GenServer):
    """Answers ``["pid"]``, ``["record"]``, ``["add", n]``, ``["publish", events]``, and ``["try_publish", events]``, where a
    refusal is the answer."""

    def init(self, record: dict[str, Any]) -> None:  # type: ignore[override]
        self.record = record
        self.total = 0

    def handle_call(self, request: Any, frm: From) -> Reply | NoReply:
        match request:
            case ["pid"]:
                return Reply(os.getpid())
            case ["record"]:
                return Reply(self.record)
            case ["add", number]:
                self.total += number
                return Reply(self.total)
            case ["publish", events]:
                return Reply(self.process.call("system:manager", ["publish", self.record["id"], events]))
            case ["try_publish", events]:
                try:
                    return Reply(self.process.call("system:manager", ["publish", self.record["id"], events]))
                except RequestError as error:
                    self.process.reply_error(frm, error.code, error.detail)
                    return NoReply()
            case _:
                raise ValueError(f"unknown request {request!r}")

    def handle_info(self, info: Any) -> None:
        if isinstance(info, Message) and isinstance(info.body, dict) and "record" in info.body:
            self.record = info.body["record"]


class Gated(Plain):
    """As long as there is the FIFO ``config.gate`` its init waits for somebody who writes there."""

    def init(self, record: dict[str, Any]) -> None:  # type: ignore[override]
        super().init(record)
        gate = Path(record["config"]["gate"])
        if gate.exists():
            gate.read_bytes()


class AtWork(Plain):
    """Its first message takes until somebody writes to the FIFO ``config.gate``."""

    def init(self, record: dict[str, Any]) -> Ok:  # type: ignore[override]
        super().init(record)
        return Ok(then=Continue())

    def handle_continue(self, term: object) -> None:
        Path(self.record["config"]["gate"]).read_bytes()


class Stubborn(Plain):
    """Does not end when it is asked to."""

    def terminate(self, reason: Any) -> None:
        while True:
            self.process.receive(None)  # type: ignore[attr-defined]


class Broken(GenServer):
    """Never gets ready: raises, exits, or hangs as the config says."""

    def init(self, record: dict[str, Any]) -> None:  # type: ignore[override]
        how = record["config"]["how"]
        if born := record["config"].get("born"):
            with open(born, "w") as told:
                told.write(f"{os.getpid()} {starttime(os.getpid())}")
        if how == "raise":
            raise RuntimeError("flawed")
        if how == "exit":
            os._exit(3)
        if how == "wait":
            with open(record["config"]["fifo"] + ".up", "w"):  # as soon as somebody reads
                pass
            with open(record["config"]["fifo"]):  # as soon as somebody writes
                pass
