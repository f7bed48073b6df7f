"""Strikes: real signals to who is chosen by chance, written into the book before."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from typing import Any

from actorcore.errors import CallFailed, RequestError
from supervisors.client import Client
from supervisors.own_names import STORE
from tests.daemon_fixture import BYSTANDERS, Daemon, cmdline, comm, descendants, has_zygote_descriptors, send_signal
from tests.torture.chaos.book import Book, check
from tests.torture.chaos.plan import Plan, Strike
from tests.torture.chaos.worker import IDLE, WAIT_S

Row = dict[str, Any]
SPARED = (IDLE, "tests.torture.chaos.actors:boss", "tests.torture.chaos.actors:async_boss")
"""Their acts could not say what must come of it."""


def is_actor(row: Row) -> bool:
    return row["start"].startswith(("tests.", "supervisors.services.")) and row["start"] not in SPARED


VICTIMS: dict[str, Callable[[Row], bool]] = {
    "actor": is_actor,
    "supervisor": lambda row: row["start"] == "supervisor",
    "session": lambda row: "session.server" in row["start"],
    "store": lambda row: row["name"] == STORE,
    "blank": lambda row: row["start"] == "",
}
STRIKES: dict[str, int] = {
    "kill node": 4, "stop node": 1, "kill spare": 1, "kill zygote": 3, "stop zygote": 1, "hold guardian": 1, "hang up": 1,
    "reload": 1, "poison": 1, "kill actor": 8, "stop actor": 2, "kill supervisor": 2, "kill session": 4, "kill store": 2,
    "kill blank": 2,
}  # fmt: skip
"""What is struck and how, with weights."""


class Nemesis:
    """Strikes as the plan says, in a thread; ``raised`` is what went wrong."""

    def __init__(self, daemon: Daemon, plan: Plan, book: Book) -> None:
        self._daemon, self._plan, self._book = daemon, plan, book
        self._client = Client.connect(daemon.directory, WAIT_S)
        self._never = threading.Event()
        self.raised: BaseException | None = None
        self.struck = 0
        self._thread = threading.Thread(target=self._run, name="nemesis")
        self._thread.start()

    def finish(self) -> None:
        """And hang up, so that a node knows of it that lives. A reload that a HUP began is over when another one is: whoever
        says goodbye to a node that is about to yield is waited for by its successor."""
        self._thread.join()
        self._client = self._fresh()
        self._reload()
        self._client = self._fresh()
        self._client.close()

    def _fresh(self) -> Client:
        """The client, or another: one that waits for nothing does not notice the death of its node, and expires."""
        try:
            self._client.node("status", WAIT_S)
        except CallFailed:
            self._client.close()
            return Client.connect(self._daemon.directory, WAIT_S)
        return self._client

    def _run(self) -> None:
        try:
            for strike in self._plan.strikes:
                if not self._book.wait_step(strike.at):
                    return
                self._book.note("nemesis", f"{strike}")
                self._client = self._fresh()
                self.struck += self._strike(strike)
        except BaseException as error:
            self.raised = error

    def _strike(self, strike: Strike) -> bool:
        verb, _, whom = strike.kind.partition(" ")
        if strike.kind == "hold guardian":
            return self._signal(self._daemon.guardian_pid, "stop", strike.hold_s)
        if strike.kind == "hang up":
            return self._signal(self._daemon.guardian_pid, "hup", 0.0)
        if strike.kind == "reload":
            return self._reload()
        if strike.kind == "poison":
            return self._poison()
        if whom in VICTIMS:
            return self._strike_row(verb, whom, strike)
        found = self._machinery(whom)
        return bool(found) and self._signal(found[int(strike.pick * len(found))], verb, strike.hold_s)

    def _machinery(self, whom: str) -> list[int]:
        node = self._client.node("status", WAIT_S)["node_os_pid"]
        if whom == "node":
            assert isinstance(node, int)
            return [node]
        born = descendants(self._daemon.guardian_pid)
        if whom == "spare":
            return [os_pid for os_pid in sorted(born) if comm(os_pid) == "actor-node" and os_pid != node]
        zygotes: dict[bytes, int] = {}
        for os_pid in sorted(born, key=lambda os_pid: (-born[os_pid], -os_pid)):  # a newborn is called as its zygote for a moment
            if comm(os_pid) == "actor-zygote" and has_zygote_descriptors(os_pid):
                zygotes[cmdline(os_pid)] = os_pid
        return [os_pid for program, os_pid in sorted(zygotes.items()) if program]

    def _strike_row(self, verb: str, whom: str, strike: Strike) -> bool:
        rows = [row for row in self._client.processes() if row["kind"] == "process" and row["os_pid"]]
        found: list[Row] = [row for row in rows if VICTIMS[whom](row) and row["name"] not in BYSTANDERS]
        if not found:
            return False
        row = found[int(strike.pick * len(found))]
        if verb == "kill":
            self._book.hit(row["serial"], row["name"] or "", row["start"])
        return self._signal(row["os_pid"], verb, strike.hold_s)

    def _signal(self, os_pid: int, verb: str, hold_s: float) -> bool:
        """False: it was gone."""
        try:
            send_signal(os_pid, {"kill": signal.SIGKILL, "stop": signal.SIGSTOP, "hup": signal.SIGHUP}[verb])
            if verb == "stop":
                self._never.wait(hold_s)
                send_signal(os_pid, signal.SIGCONT)
        except (ProcessLookupError, OSError):
            return False
        return True

    def _reload(self) -> bool:
        """The spare may have been killed just before: it says so and nothing has changed."""
        try:
            self._client.node("reload", WAIT_S)
        except RequestError as error:
            check(error.code in ("reload_failed", "busy"), "reload", error)
        return True

    def _poison(self) -> bool:
        """Whoever handles it dies; that is tried twice."""
        try:
            answer = self._client.call("system:poison", "die", WAIT_S)
        except (RequestError, CallFailed) as error:
            check(str(error) == "internal_error: this request was skipped", "poison", error)
        else:
            check(False, "poison was answered with", answer)
        return True
