"""The processes of test_sys_daemon.py."""

from __future__ import annotations

import signal

from actorcore.errors import CallFailed, CallTimeout
from actorcore.gen_server import AsyncGenServer, GenServer, Info, Reply
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


class Ender(GenServer):
    """Stops another: a call is [to, reason, timeout_s]; the answer is what came of it, and what it was told besides."""

    def init(self, *args: object) -> None:
        self.told: list[str] = []

    def handle_info(self, info: Info) -> None:
        self.told.append(type(info).__name__)

    def handle_call(self, request: object, frm: From) -> Reply:
        to, reason, timeout_s = request  # type: ignore[misc]
        try:
            self.process.stop(to, reason, timeout_s)
        except CallFailed as error:
            return Reply([error.reason, self.told])
        except CallTimeout as error:
            return Reply([error.code, self.told])
        return Reply([None, self.told])


class EnderInLoop(Ender):
    async def handle_call(self, request: object, frm: From) -> Reply:  # type: ignore[override]
        to, reason, timeout_s = request  # type: ignore[misc]
        try:
            await self.process.stop(to, reason, timeout_s)  # type: ignore[func-returns-value, misc]
        except CallFailed as error:
            return Reply([error.reason, self.told])
        except CallTimeout as error:
            return Reply([error.code, self.told])
        return Reply([None, self.told])


class Stubborn(Counter):
    """Its last words have no end."""

    def terminate(self, reason: object) -> None:
        signal.pause()
