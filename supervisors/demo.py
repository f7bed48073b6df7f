"""``make demo``: the main job on real processes, shown as it happens.

A daemon in a private directory, sessions spawned from another process (this one), every kind of kill with the reason that
a monitor was told, then the node killed under all of them. Exit status 1 when a promise was not kept.
"""

from __future__ import annotations

import json
import os
import signal
import tempfile
import uuid
from pathlib import Path

from rich.console import Console
from rich.table import Table

from actorcore.exit_reason import Reason, Term
from actorcore.runtime import clock
from actorcore.signals import ProcessSpec
from supervisors.client import Client
from supervisors.paths import SOCKET_NAME
from supervisors.private_daemon import private_daemon
from supervisors.tree.child_spec import ChildSpec

BYSTANDERS = ("ada", "barbara", "grace")
KILLS: tuple[tuple[str, signal.Signals, Reason], ...] = (
    ("kill -9", signal.SIGKILL, "killed"),
    ("a bad pointer", signal.SIGSEGV, {"signal": "SIGSEGV"}),
    ("abort", signal.SIGABRT, {"signal": "SIGABRT"}),
    ("hang-up", signal.SIGHUP, {"signal": "SIGHUP"}),
    ("CPU limit", signal.SIGXCPU, {"signal": "SIGXCPU"}),
    ("polite TERM", signal.SIGTERM, "shutdown"),
)
NODE_KILLS = 5
MARKS = {"yes": "[green]yes[/]", "NO": "[red]NO[/]"}
WAIT_S = 10.0


class Demo:
    """Runs the steps and remembers the promises that were broken."""

    def __init__(self, client: Client, console: Console) -> None:
        self.client = client
        self.console = console
        self.broken: list[str] = []
        self.shown: dict[str, list[dict[str, str]]] = {}
        """The tables, by title, as rows by heading."""

    def run(self) -> None:
        """All steps."""
        self._start_sessions()
        self._kill_sessions()
        self._kill_node()
        self._stop_sessions()

    def _expect(self, promise: str, kept: bool) -> str:
        if not kept:
            self.broken.append(promise)
        return "yes" if kept else "NO"

    def _start_sessions(self) -> None:
        for name in (*BYSTANDERS, "victim"):
            spec = ProcessSpec("supervisors.demo_actors:Counter", name=name)
            child = ChildSpec(str(uuid.uuid4()), spec, "permanent", intensity=10, backoff_step_s=0.0, backoff_max_s=0.0)
            self.client.start_session(child)
            self.client.call(name, "add")
        rows = ", ".join(f"{name} (OS pid {self._os_pid(name)})" for name in (*BYSTANDERS, "victim"))
        self.console.print(f"[bold]Sessions[/], an OS process each: {rows}\n")

    def _kill_sessions(self) -> None:
        before = self._states()
        headings = ("killed by", "told", "true?", "old pid", "new pid", "told in", "back in", "others same?")
        rows: list[tuple[str, ...]] = []
        for what, number, expected in KILLS:
            old, ref = self._os_pid("victim"), self.client.monitor("victim")
            started = clock.monotonic_s()
            _strike(old, number)
            down = self.client.wait_down(ref, WAIT_S)
            told_ms = (clock.monotonic_s() - started) * 1e3
            new = self._await_successor("victim", old)
            back_ms = (clock.monotonic_s() - started) * 1e3
            untouched = self._expect(f"{what}: bystanders untouched", self._states() == before)
            reason = self._expect(f"{what}: true reason", down.reason == expected)
            told = down.reason if isinstance(down.reason, str) else ", ".join(str(part) for part in down.reason.values())
            times = (f"{told_ms:.1f} ms", f"{back_ms:.1f} ms")
            rows.append((what, told, reason, str(old), str(new), *times, untouched))
        self._show("Killing 'victim' with real signals; its monitor is told why", headings, rows)

    def _kill_node(self) -> None:
        before = {**self._states(), "victim": self._state("victim")}
        headings = ("old node", "new node", "request answered in", "all sessions, pids, counts the same?")
        rows: list[tuple[str, ...]] = []
        for _ in range(NODE_KILLS):
            old = self._node()
            started = clock.monotonic_s()
            _strike(old, signal.SIGKILL)
            new = self._node()
            back_ms = (clock.monotonic_s() - started) * 1e3
            after = {**self._states(), "victim": self._state("victim")}
            same = self._expect("node killed: sessions untouched", after == before and new != old)
            rows.append((str(old), str(new), f"{back_ms:.1f} ms", same))
        self._show("Killing the node, the supervisor process of them all", headings, rows)

    def _stop_sessions(self) -> None:
        ids = [str(session["id"]) for session in self.client.sessions()]
        for session_id in ids:
            self.client.stop_session(session_id)
        gone = [self.client.whereis(name) is None for name in (*BYSTANDERS, "victim")]
        free = MARKS[self._expect("names are free", all(gone))]
        self.console.print(f"\nStopped {len(ids)} sessions; their names are free: {free}")

    def _show(self, title: str, headings: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
        self.shown[title] = [dict(zip(headings, row, strict=True)) for row in rows]
        table = Table(title=f"\n{title}", title_justify="left", title_style="bold", box=None, pad_edge=False)
        for heading in headings:
            table.add_column(heading, no_wrap=True)
        for row in rows:
            table.add_row(*(MARKS.get(cell, cell) for cell in row))
        self.console.print(table)

    # ---- questions --------------------------------------------------------------------------------------------------

    def _os_pid(self, name: str) -> int:
        answer = self.client.call(name, "os_pid", WAIT_S)
        assert isinstance(answer, int)
        return answer

    def _state(self, name: str) -> tuple[int, Term]:
        return self._os_pid(name), self.client.call(name, "count", WAIT_S)

    def _states(self) -> dict[str, tuple[int, Term]]:
        return {name: self._state(name) for name in BYSTANDERS}

    def _node(self) -> int:
        answer = self.client.node("status")["node_os_pid"]
        assert isinstance(answer, int)
        return answer

    def _await_successor(self, name: str, old: int) -> int:
        """The OS pid of the next incarnation: its name is found as soon as it is ready."""
        deadline = clock.monotonic_s() + WAIT_S
        while clock.monotonic_s() < deadline:
            if self.client.whereis(name) is not None:
                new = self._os_pid(name)
                if new != old:
                    return new
        self.broken.append(f"{name} is back")
        return 0


def _strike(os_pid: int, number: signal.Signals) -> None:
    handle = os.pidfd_open(os_pid)
    signal.pidfd_send_signal(handle, number)
    os.close(handle)


def main(as_json: bool = False) -> int:
    """Show it, or print what would be shown as JSON; 0 when every promise was kept."""
    console = Console(highlight=False, quiet=as_json)
    with tempfile.TemporaryDirectory(prefix="actorcore-demo-") as folder:
        with private_daemon(Path(folder) / "run") as daemon:
            console.print(f"[bold]Daemon[/] started: guardian {daemon.process.pid}, in a private directory\n")
            with daemon.connect() as client:
                demo = Demo(client, console)
                demo.run()
        clean = not (daemon.directory / SOCKET_NAME).exists() and daemon.process.returncode == 0
        console.print(f"Daemon ended, nothing left behind: {MARKS[demo._expect('clean end', clean)]}")
    if as_json:
        print(json.dumps({"kept": not demo.broken, "broken": demo.broken, "shown": demo.shown}))
    if demo.broken:
        console.print("[red]Promises broken:[/] " + "; ".join(demo.broken))
        return 1
    console.print("[green]Every promise was kept.[/]")
    return 0
