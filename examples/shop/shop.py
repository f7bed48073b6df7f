"""The actors of the shop: a Shelf knows its own pieces, the Till sells and has its clerks count."""

from __future__ import annotations

from actorcore.gen_server import From, GenServer, InitResult, Reply, Result
from actorcore.pids import Pid
from actorcore.runtime.actor.process import Process, current
from actorcore.runtime.actor.tasks import Tasks
from actorcore.task import TaskValue

SHELVES = ("apples", "pears")


class Shelf(GenServer):
    """``["take", n]`` → how many were left to take; ``"count"`` → how many there are."""

    def init(self, *args: object) -> InitResult:
        (self.pieces,) = args
        return None

    def handle_call(self, request: object, frm: From) -> Result:
        match request:
            case ["take", int(wanted)]:
                taken = min(wanted, self.pieces)
                self.pieces -= taken
                return Reply(taken)
        return Reply(self.pieces)


class Till(GenServer):
    """``["sell", shelf, n]`` → how many were sold; ``["audit"]`` → what is on each shelf, counted side by side."""

    process: Process

    def init(self, *args: object) -> InitResult:
        self.clerks = Tasks(self.process, "clerks")
        return None

    def handle_call(self, request: object, frm: From) -> Result:
        match request:
            case ["sell", str(what), int(wanted)]:
                return Reply(self.process.call(shelf(self.process, what), ["take", wanted]))
        counts = self.clerks.async_stream("shop:count", SHELVES)
        return Reply({what: n.value for what, n in zip(SHELVES, counts, strict=True) if isinstance(n, TaskValue)})


def count(what: str) -> object:
    """A clerk: runs in a process of its own."""
    process = current()
    return process.call(shelf(process, what), "count")


def shelf(process: Process, what: str) -> Pid:
    """Who keeps ``what`` now."""
    ((serial, _),) = process.call("shelves", ["lookup", what])
    return Pid(process.self_pid.instance, serial)
