"""multiprocessing.managers.BaseManager: a server process with one object, called through its proxy.

As docs.python.org, "Customized managers", has it. Each method call waits for its result. Death is told to nobody: a pending
call fails with EOFError; another manager is started by hand.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable
from multiprocessing.managers import BaseManager
from typing import Any

from benchmarks.peers.contract import BODY, OfPython


class Echo:
    def echo(self, body: bytes) -> bytes:
        return body

    def os_pid(self) -> int:
        return os.getpid()

    def hang(self) -> None:
        threading.Event().wait()


class EchoManager(BaseManager):
    pass


EchoManager.register("Echo", Echo)


class Served:
    """A manager and the proxy of its object."""

    await_end: Callable[[], object]

    def __init__(self) -> None:
        self.start()

    def start(self) -> None:
        self.manager = EchoManager()
        self.manager.start()
        self.proxy: Any = self.manager.Echo()  # type: ignore[attr-defined]  # made by register
        self.proxy.echo(BODY)

    def hang(self) -> Callable[[], object]:
        """Call what does not return; what is returned waits for its failure."""
        is_called = threading.Event()

        def hang() -> None:
            with contextlib.suppress(EOFError, ConnectionError):
                is_called.set()
                self.proxy.hang()

        thread = threading.Thread(target=hang)
        thread.start()
        is_called.wait()
        return thread.join


class Manager(OfPython[Served]):
    lacks = {"casts": "each method call waits for its result"}
    remarks = {"told": "a pending call fails", "replaced": "by hand", "storm": "by hand"}

    def spawn(self) -> Served:
        return Served()

    def end(self, actor: Served) -> None:
        actor.manager.shutdown()

    def calls(self, actor: Served, count: int) -> None:
        for _ in range(count):
            actor.proxy.echo(BODY)

    def os_pid(self, actor: Served) -> int:
        return int(actor.proxy.os_pid())

    def watch(self, actor: Served) -> Callable[[], object]:
        return actor.hang()

    def supervise(self) -> Served:
        actor = self.spawn()
        actor.await_end = actor.hang()
        return actor

    def await_replacement(self, actor: Served) -> None:
        actor.await_end()
        actor.manager.shutdown()
        actor.start()


PEERS = {"": Manager}
