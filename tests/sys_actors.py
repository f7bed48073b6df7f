"""The processes that test_sys.py asks; with a loop: sys_async_actors."""

from __future__ import annotations

from typing import Any

from actorcore.exit_reason import Reason, Term
from actorcore.gen_server import Continue, GenServer, Info, NoReply, Ok, Reply, Result, Stop
from actorcore.mailbox import From, Timeout
from actorcore.pids import Pid
from actorcore.runtime.actor.process import Process

INSTANCE, TESTER = 7, 99


class Counter(GenServer):
    """Its state is a count, a password that no status shows, and a thing that is no data."""

    def init(self, *args: object) -> Ok:
        self.count, self.password, self.lock = 0, "secret", object()
        return Ok(hibernate=True)

    def handle_call(self, request: object, frm: From) -> Result:
        if request == "later":
            return NoReply(then=Continue(frm))
        if request == "timeout":
            return Reply("soon", timeout_s=0.01)
        if request == "stop":
            return Stop("normal", reply="bye")
        self.count += 1
        return Reply(self.count, hibernate=True)

    def handle_cast(self, request: object) -> Result:
        self.count += 1
        return Stop(reply="nobody waits") if request == "bad" else None

    def handle_info(self, info: Info) -> Result:
        if isinstance(info, Timeout):
            self.count += 100
        return None

    def handle_continue(self, term: object) -> Result:
        assert isinstance(term, From)
        self.process.reply(term, "late")
        return None

    def format_status(self, status: dict[str, Term]) -> dict[str, Term]:
        assert isinstance(status["state"], dict)
        if status["state"]["count"] == 13:
            raise ValueError("unlucky")
        return status | {"state": status["state"] | {"password": "…"}}

    def terminate(self, reason: Reason) -> None:
        self.process.send(Pid(INSTANCE, TESTER), ["terminate", reason])


class Private(Counter):
    is_private = True


class Slotted(GenServer):
    __slots__ = ("count",)

    def init(self, *args: object) -> None:
        self.count, self.other = 1, 2


def function(process: Process) -> None:
    while process.receive() is not None:
        pass


def merged(state: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    return {**state, **changes}


def raising(state: dict[str, Any]) -> dict[str, Any]:
    state["count"] = -1
    raise SystemExit(3)


def no_state(state: dict[str, Any]) -> int:
    return 1
