"""actorcore: a private daemon with the default pool, and a client of it; or, for messages, one of its processes and another.

As docs/operations.md recommends for what is spawned often, the module of the actors is preloaded by a template.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version

from actorcore.mailbox import CallMessage
from actorcore.pids import Pid
from actorcore.runtime.actor.process import Process
from actorcore.signals import ProcessSpec
from benchmarks.daemons import ECHO, PRELOADED, await_pool, daemon, templates
from benchmarks.peers.contract import BODY, Peer
from supervisors.client import Client
from supervisors.tree.child_spec import ChildSpec

POOL = 8
"""The default of the lean template; as many of ours."""
WAIT_S = 60.0


class Held:
    """A process, and the session that it is of, if any."""

    def __init__(self, pid: Pid, name: str = "") -> None:
        self.pid = pid
        self.name = name


class FromClient(Peer[Held]):
    client: Client
    remarks = {
        "spawn": "module preloaded, a pool of 8 waiting processes",
        "told": "DOWN of a monitor, after the ledger has it",
        "replaced": "by the sessions' supervisor, under the same name",
        "storm": "twice the pool",
    }

    def version(self) -> str:
        return version("actorcore")

    def run(self, measure: Callable[[], None]) -> None:
        with daemon(templates(POOL)) as (self.client, _):
            self.open()
            measure()

    def open(self) -> None:
        self.sessions = 0
        await_pool(self.client, 2 * POOL)

    def close(self) -> None:
        """The daemon ends at the end of :meth:`run`, and all with it."""

    def spawn(self) -> Held:
        pid = self.client.spawn(ECHO, template=PRELOADED)
        self.client.call(pid, 0)
        return Held(pid)

    def end(self, actor: Held) -> None:
        if actor.name:
            self.client.stop_session(actor.name)
        else:
            ref = self.client.monitor(actor.pid)
            self.client.exit(actor.pid, "shutdown")
            self.client.wait_down(ref)

    def calls(self, actor: Held, count: int) -> None:
        for _ in range(count):
            self.client.call(actor.pid, BODY)

    def casts(self, actor: Held, count: int) -> None:
        for _ in range(count):
            self.client.cast(actor.pid, BODY)
        self.client.call(actor.pid, BODY)

    def os_pid(self, actor: Held) -> int:
        (row,) = [row for row in self.client.processes() if row["serial"] == actor.pid.serial]
        os_pid = row["os_pid"]
        assert isinstance(os_pid, int)
        return os_pid

    def watch(self, actor: Held) -> Callable[[], object]:
        ref = self.client.monitor(actor.pid)
        return lambda: self.client.wait_down(ref)

    def supervise(self) -> Held:
        self.sessions += 1
        name = f"session-{self.sessions}"
        self.client.start_session(ChildSpec(name, ProcessSpec(ECHO, name=name, template=PRELOADED), "permanent"))
        pid = self.client.whereis(name)
        assert pid is not None
        self.client.call(pid, 0)
        return Held(pid, name)

    def await_replacement(self, actor: Held) -> None:
        while (new := self.client.whereis(actor.name)) in (None, actor.pid):
            pass
        assert new is not None
        actor.pid = new
        self.client.call(new, 0)


class BetweenProcesses(FromClient):
    """The same daemon; one of its processes talks to another, casts in batches."""

    calls_each, casts_each = 2_000, 64_000
    lacks = dict.fromkeys(("spawn", "told", "replaced", "storm", "memory"), "as from a client")
    remarks = {"casts": "in batches of 1,000"}

    def open(self) -> None:
        super().open()
        self.caller = self.client.spawn("benchmarks.peers.on_actorcore:caller", template=PRELOADED)

    def calls(self, actor: Held, count: int) -> None:
        self.client.call(self.caller, ["calls", actor.pid, count], WAIT_S)

    def casts(self, actor: Held, count: int) -> None:
        self.client.call(self.caller, ["casts", actor.pid, count], WAIT_S)


def caller(process: Process) -> None:
    """Each call ``[what, to whom, how often]`` is answered when that has been done."""
    while True:
        event = process.receive()
        assert isinstance(event, CallMessage)
        assert isinstance(event.body, list)
        what, to, count = event.body
        if what == "calls":
            for _ in range(count):
                process.call(to, BODY)
        else:
            for _ in range(count // 1000):
                with process.batch():
                    for _ in range(1000):
                        process.cast(to, BODY)
            process.call(to, BODY)
        process.reply(event.frm, None)


PEERS = {"client": FromClient, "processes": BetweenProcesses}
