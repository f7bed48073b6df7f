"""Who talks to sessions in the fault tests.

Who tells a watcher something lives on until it is killed: who ends waits for a second only until it is heard.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

from actorcore.errors import CallFailed, RequestError
from actorcore.gen_server import Ok, Reply
from actorcore.runtime.actor.process import Process
from supervisors.session.requests import CacheDelete, CacheGet, CachePut, GetMessages, SendMessage, StreamChunk
from supervisors.session.server import SessionServer
from tests.fault.actors import Witness, idle


def sender(process: Process, watcher: str, session: str, mine: int, count: int) -> None:
    """Send ``count`` messages, each when the one before was accepted; tell ``watcher`` their numbers."""
    receipts = [process.call(session, SendMessage("user", f"{mine}/{n}"), 60.0) for n in range(count)]
    process.send(watcher, [mine, [receipt["seq"] for receipt in receipts]])  # type: ignore[index, call-overload]
    idle(process)


def hammer(process: Process, watcher: str, cache: str, seed: int, turns: int) -> None:
    """Put, delete and look, at random; tell ``watcher`` what the looks found that nobody can have put."""
    random, strange = Random(seed), []
    for _ in range(turns):
        key = f"k{random.randrange(5)}"
        match random.randrange(4):
            case 0:
                process.call(cache, CachePut(key, key, random.choice([None, 1e-6, 1e-3])))
            case 1:
                process.call(cache, CacheDelete(key))
            case _:
                found = process.call(cache, CacheGet(key))
                if found not in (["hit", key], ["not_found", None], ["expired", None]):
                    strange.append(found)
    process.send(watcher, strange)
    idle(process)


def resumer(process: Process, watcher: str, key: str, turns: int) -> None:
    """Attempt a resume of ``key`` so many times; tell ``watcher`` the answers, a refusal as its text."""
    answers: list[object] = []
    for _ in range(turns):
        try:
            answers.append(process.call("system:limiter", ["attempt", "resume", key]))
        except RequestError as error:
            answers.append(str(error))
    process.send(watcher, answers)
    idle(process)


class Member(Witness):
    """A member of a session's group: a Witness that asks the session what was said."""

    def init(self, session: str, watcher: str) -> Ok:  # type: ignore[override]
        return super().init(watcher)

    def do_said(self, session: str) -> Reply:
        page = self.process.call(session, GetMessages())
        return Reply([message["content"] for message in page["items"]])  # type: ignore[index, call-overload]


class State(SessionServer):
    """A session that tells ``metadata.watcher`` whenever it is ready."""

    def opened(self, is_restored: bool) -> None:
        watcher = self.state.session["metadata"]["watcher"]  # type: ignore[index, call-overload]
        with suppress(CallFailed):  # it may not have come yet, or have left
            self.process.send(str(watcher), {"up": self.id, "os_pid": os.getpid()})


class Gated(SessionServer):
    """A session that stands still before it is ready and before it ends, as long as there is the FIFO ``metadata.gate``: it
    writes there, then waits until somebody else does."""

    def opened(self, is_restored: bool) -> None:
        self.stand()

    def terminate(self, reason: object) -> None:
        self.stand()
        super().terminate(reason)  # type: ignore[arg-type]

    def stand(self) -> None:
        gate = Path(str(self.state.session["metadata"]["gate"]))  # type: ignore[index, call-overload]
        if gate.exists():
            gate.write_bytes(b"1")
            gate.read_bytes()


class Unlucky(SessionServer):
    """A session that says something as it opens, and then, unless there is the file ``metadata.luck``, ends as
    ``metadata.end`` says."""

    def opened(self, is_restored: bool) -> None:
        self.tell(SendMessage("assistant", f"hello {self.state.conversation.last_seq}"))
        metadata: Any = self.state.session["metadata"]
        if not Path(metadata["luck"]).exists():
            if metadata["end"] == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            raise RuntimeError("no luck")


def streamer(process: Process, watcher: str, session: str) -> None:
    """Send a chunk and, right behind it, a question; tell ``watcher`` before that the chunk is on its way."""
    process.cast(session, StreamChunk("x"))
    process.send(watcher, "sent")
    process.call(session, GetMessages(), 60.0)
