"""concurrent.futures.ProcessPoolExecutor: a pool of one worker for each actor.

A worker's death breaks its whole pool: what is pending fails with BrokenProcessPool, and so does all that is submitted later
(docs.python.org, ``concurrent.futures``); another pool is made by hand.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool

from benchmarks.peers.contract import BODY, OfPython


class Pool:
    """An executor, or the one after it."""

    def __init__(self) -> None:
        self.start()
        self.await_answer()

    def start(self) -> None:
        self.executor = ProcessPoolExecutor(1)
        self.first = self.executor.submit(os.getpid)

    def await_answer(self) -> None:
        self.os_pid = self.first.result()

    def restart(self) -> None:
        self.await_end()
        self.executor.shutdown()
        self.start()

    def await_end(self) -> None:
        with contextlib.suppress(BrokenProcessPool):
            self.pending.result()
            raise AssertionError("it hangs for ever")

    def hang(self) -> None:
        self.pending = self.executor.submit(hang)


def echo(body: bytes) -> bytes:
    return body


def hang() -> None:
    threading.Event().wait()


class Executor(OfPython[Pool]):
    remarks = {"told": "a pending future fails", "replaced": "by hand: another pool", "storm": "by hand, a pool each"}

    def spawn(self) -> Pool:
        return Pool()

    def end(self, actor: Pool) -> None:
        actor.executor.shutdown()

    def calls(self, actor: Pool, count: int) -> None:
        for _ in range(count):
            actor.executor.submit(echo, BODY).result()

    def casts(self, actor: Pool, count: int) -> None:
        for _ in range(count):
            last = actor.executor.submit(echo, BODY)
        last.result()

    def os_pid(self, actor: Pool) -> int:
        return actor.os_pid

    def watch(self, actor: Pool) -> Callable[[], object]:
        actor.hang()
        return actor.await_end

    def supervise(self) -> Pool:
        actor = self.spawn()
        actor.hang()
        return actor

    def await_replacement(self, actor: Pool) -> None:
        actor.restart()
        actor.await_answer()

    def await_replacements(self, actors: list[Pool]) -> None:
        for actor in actors:
            actor.restart()
        for actor in actors:
            actor.await_answer()


PEERS = {"": Executor}
