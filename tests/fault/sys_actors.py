"""The processes of test_sys_daemon.py."""

from __future__ import annotations

from actorcore.gen_server import AsyncGenServer, GenServer, Reply
from actorcore.mailbox import From
from actorcore.pids import Pid
from actorcore.runtime.actor.process import Process


class Counter(GenServer):
    def init(self, *args: object) -> None:
        self.count = 0

    def handle_call(self, request: object, frm: From) -> Reply:
        self.count += 1
        return Reply(self.count)


class Asker(GenServer):
    """Asks the behaviour of another: a call is [method, pid, *arguments]."""

    def handle_call(self, request: object, frm: From) -> Reply:
        assert isinstance(request, list)
        method, to, *arguments = request
        assert isinstance(to, (Pid, str))
        return Reply(getattr(self.process.sys, str(method))(to, *arguments))


class AsyncAsker(AsyncGenServer):
    async def handle_call(self, request: object, frm: From) -> Reply:
        assert isinstance(request, list)
        method, to, *arguments = request
        return Reply(await getattr(self.process.sys, str(method))(to, *arguments))


def function(process: Process) -> None:
    while process.receive() is not None:
        pass


def times_ten(state: dict[str, int], plus: int) -> dict[str, int]:
    return {"count": state["count"] * 10 + plus}
