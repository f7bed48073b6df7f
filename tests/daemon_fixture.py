"""A real daemon in a directory of its own, a desk to watch sessions from, and the proof that nothing is left of it."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from actorcore.errors import CallTimeout
from actorcore.guardian_words import MANY
from actorcore.signals import ProcessSpec
from actorcore.words import LEAN
from supervisors.client import Client
from supervisors.clients.messages import DownMessage, InfoMessage, Mail
from supervisors.tree.child_spec import ChildSpec

ROOT = Path(__file__).parent.parent
WITNESS = "tests.fault.actors:Witness"
BYSTANDERS = ("ada", "barbara", "grace")
WAIT_S = 20.0


def starttime(os_pid: int) -> int:
    """Field 22 of stat(5); 0 when there is no such process."""
    fields = _stat(os_pid)
    return int(fields[19]) if fields else 0


def _stat(os_pid: int) -> list[str]:
    try:
        return Path(f"/proc/{os_pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def descendants(root: int) -> dict[int, int]:
    """OS pid → start time of everything below ``root``."""
    parents: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit() and (fields := _stat(int(name))):
            parents.setdefault(int(fields[1]), []).append(int(name))
    found: dict[int, int] = {}
    todo = [root]
    while todo:
        for child in parents.get(todo.pop(), []):
            found[child] = starttime(child)
            todo.append(child)
    return found


def children(parent: int) -> list[int]:
    """Its children, dead ones that it has not reaped included (proc(5), ``children``)."""
    return [int(word) for word in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]


def comm(os_pid: int) -> str:
    """The name that the process bears (proc(5), ``comm``); empty when it is gone."""
    try:
        return Path(f"/proc/{os_pid}/comm").read_text().strip()
    except OSError:
        return ""


def zombies(root: int) -> list[int]:
    """Children of ``root`` that are dead and not reaped yet; what a session leaves unreaped is its own affair."""
    return [os_pid for os_pid in descendants(root) if (fields := _stat(os_pid)) and fields[:2] == ["Z", str(root)]]


def still_there(some: dict[int, int]) -> list[int]:
    """Which of ``some`` live on."""
    return [os_pid for os_pid, started in some.items() if started and starttime(os_pid) == started]


def send_signal(os_pid: int, number: int) -> None:
    """A signal through a pidfd."""
    handle = os.pidfd_open(os_pid)
    try:
        signal.pidfd_send_signal(handle, number)
    finally:
        os.close(handle)


@contextmanager
def watched(os_pids: list[int]) -> Iterator[list[int]]:
    """pidfds of living processes, closed in the end."""
    handles = [os.pidfd_open(os_pid) for os_pid in os_pids]
    try:
        yield handles
    finally:
        for handle in handles:
            os.close(handle)


def await_deaths(handles: list[int], timeout_s: float = WAIT_S) -> bool:
    """Whether all of these pidfds tell a death in time."""
    for handle in handles:
        poll = select.poll()
        poll.register(handle, select.POLLIN)
        if not poll.poll(timeout_s * 1000):
            return False
    return True


@contextmanager
def stopped(os_pid: int) -> Iterator[None]:
    """It stands still by job control until the end of the block, unless it is killed meanwhile: so is a node after 5 s."""
    with watched([os_pid]) as (handle,):
        signal.pidfd_send_signal(handle, signal.SIGSTOP)
        try:
            yield
        finally:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(handle, signal.SIGCONT)


def await_taken(os_pid: int, number: int) -> None:
    """Until the process has taken a signal that was sent to it."""
    while True:
        text = Path(f"/proc/{os_pid}/status").read_text()
        if not int(text.partition("ShdPnd:\t")[2].split()[0], 16) & 1 << (number - 1):
            return
        os.sched_yield()


class Daemon:
    """Started on entry, stopped and looked after on exit."""

    def __init__(
        self, directory: Path, root: Path = ROOT, module: str = "supervisors.daemon", options: Sequence[str] = (),
        configuration: str = "",
    ) -> None:  # fmt: skip
        """``root``: the folder of the code to run; ``module``: what to run there, with ``options``."""
        configured = directory.parent / f"{directory.name}.toml"
        configured.write_text(configuration)
        self.directory = directory
        self.root = root
        self.command = [sys.executable, "-m", module, "--dir", str(directory), *options]
        self.log = directory.parent / f"{directory.name}.log"
        self.environment = {**os.environ, "PYTHONPATH": f"{root}:{ROOT}", "ACTORCORE_CONFIG": str(configured)}
        self.stderr: int | None = None
        """What it gets instead of the file ``log``."""
        self._clients: list[Client] = []

    def __enter__(self) -> Daemon:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        for client in self._clients:
            client.close()
        left = descendants(self.guardian_pid)
        if self.process.poll() is None:
            self.stop()
        assert (self.process.returncode, still_there(left)) == (0, [])
        assert not (self.directory / "actorcore.sock").exists()

    def start(self) -> None:
        """Start a daemon; it serves when this returns."""
        ready, told = os.pipe()
        argv = [*self.command, "--ready-fd", str(told)]
        with open(self.log, "ab") as log:
            stderr = log.fileno() if self.stderr is None else self.stderr
            self.process = subprocess.Popen(
                argv, pass_fds=[told], cwd=self.root, stderr=stderr, env=self.environment, start_new_session=True
            )  # fmt: skip
        os.close(told)
        try:
            readable = select.select([ready], [], [], WAIT_S)[0]
            assert readable and os.read(ready, 1) == b"1", self.log.read_text()[-2000:]
        except BaseException:
            self.process.kill()  # and with it whatever it has started
            self.process.wait()
            raise
        finally:
            os.close(ready)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Signal the guardian and wait for its end; its exit status."""
        with watched([self.guardian_pid]) as handles:
            send_signal(self.guardian_pid, number)
            assert await_deaths(handles), self.log.read_text()[-2000:]
        return self.process.wait()

    @property
    def guardian_pid(self) -> int:
        return self.process.pid

    def client(self) -> Client:
        """A client that is closed with the daemon at the latest."""
        self._clients.append(Client.connect(self.directory, WAIT_S))
        return self._clients[-1]

    def zygote_pid(self, template: str = "lean") -> int:
        """The zygote of ``template`` that serves.

        For a moment there may be none: one that no processor has run for two seconds is taken to be stuck, and replaced.
        """
        while not (found := {started: p for p, name in zygotes(children(self.guardian_pid)).items()
                             if name == template and (started := starttime(p))
                             and comm(p) == "actor-zygote" and has_zygote_descriptors(p)}):  # fmt: skip
            os.sched_yield()
        return found[min(found)]  # a newborn has its descriptors for a moment

    def bystanders(self) -> None:
        """Start the sessions that no fault may touch, each with a count of its own."""
        with Client.connect(self.directory, WAIT_S) as client:
            for count, name in enumerate(BYSTANDERS, 1):
                client.start_session(ChildSpec(id=name, process=ProcessSpec(WITNESS, name=name), restart="permanent"))
                client.call(name, ["add", count], WAIT_S)


def cmdline(os_pid: int) -> bytes:
    """Its program and arguments, each with a NUL behind it; empty when it is gone."""
    try:
        return Path(f"/proc/{os_pid}/cmdline").read_bytes()
    except OSError:
        return b""


def zygotes(some: list[int]) -> dict[int, str]:
    """OS pid → template of those among ``some`` that run a zygote's program; whoever was forked from one does as well."""
    found = {}
    for os_pid in some:
        _, program, arguments = cmdline(os_pid).partition(b"\0actorcore.runtime.zygote.zygote\0")
        _, template, _, _, _, forks, *_ = [*arguments.decode().split("\0"), *[""] * 6]
        if program and forks == MANY:
            found[os_pid] = template
    return found


def has_zygote_descriptors(os_pid: int) -> bool:
    """A zygote keeps the descriptors 3, 4 and 5; a newborn keeps its socket only."""
    try:
        return {"3", "4", "5"} <= set(os.listdir(f"/proc/{os_pid}/fd"))
    except OSError:
        return False


class Desk:
    """A client with a name that sessions report to, and the invariants of every cell."""

    def __init__(self, daemon: Daemon) -> None:
        self.daemon = daemon
        self.client = Client.connect(daemon.directory, WAIT_S)
        self.name = f"watcher{self.client.pid.serial}"
        self.client.register(self.name)
        self.ups: list[tuple[str, int]] = []
        self.mail: list[Mail] = []
        self.started: list[str] = []
        self.before = self.untouched()

    def close(self) -> None:
        """Stop what was started."""
        known = {str(row["id"]) for row in self.client.sessions()}
        for session in self.started:
            if session in known:
                self.client.stop_session(session)
        self.client.close()

    def node_os_pid(self) -> int:
        found = self.client.node("status")["node_os_pid"]
        assert isinstance(found, int)
        return found

    def start(self, session: str, *args: str, trap_exit: bool = False, **fields: Any) -> int:
        """A session of Witness; its OS pid when it has reported."""
        spec = ProcessSpec(WITNESS, [self.name, *args], name=session, trap_exit=trap_exit)
        policy = {"restart": "permanent", "intensity": 1000, "backoff_step_s": 0.0, "backoff_max_s": 0.0, **fields}
        self.started.append(session)
        self.client.start_session(ChildSpec(id=session, process=spec, **policy))
        return self.await_up(session)

    def await_up(self, session: str) -> int:
        """The OS pid of the next incarnation that reports itself."""
        while True:
            for at, (name, os_pid) in enumerate(self.ups):
                if name == session:
                    del self.ups[at]
                    return os_pid
            mail = self.client.receive(WAIT_S)
            if isinstance(mail, InfoMessage) and isinstance(mail.body, dict):
                self.ups.append((str(mail.body["up"]), int(str(mail.body["os_pid"]))))
            else:
                self.mail.append(mail)

    def signal(self, session: str, os_pid: int, number: int) -> DownMessage:
        """What a monitor of ``session`` is told when its OS process gets a real signal."""
        ref = self.client.monitor(session)
        send_signal(os_pid, number)
        return self.client.wait_down(ref, WAIT_S)

    def loop(self, session: str, fifo: Path) -> None:
        """Send ``session`` into an endless loop; it is there when this returns."""
        self.hang(session, fifo, "loop")

    def hang(self, session: str, fifo: Path, how: str) -> None:
        """Have ``session`` stand still as fault.actors says; it does when this returns."""
        if not fifo.exists():
            os.mkfifo(fifo)
        self.client.cast(session, [how, str(fifo)])
        fifo.read_bytes()

    def row(self, session: str) -> dict[str, Any]:
        return self.client.session(session)

    def untouched(self) -> dict[str, Any]:
        """OS pid and count of each bystander that there is."""
        known = {str(row["name"]) for row in self.client.sessions()}
        return {name: self.client.call(name, ["state", None], WAIT_S) for name in BYSTANDERS if name in known}

    def check(self) -> None:
        """I1, I3, I4, I6: bystanders as before, no zombie, no mail but what was awaited, shared registry equals table."""
        assert self.untouched() == self.before
        self.client.node("status", WAIT_S)  # what was told before this answer has come
        with_mail: list[Mail] = [*self.mail]
        try:
            with_mail.append(self.client.receive(0))
        except CallTimeout:
            pass
        assert (with_mail, self.ups) == ([], [])
        while zombies(self.daemon.guardian_pid):
            self.client.node("status", WAIT_S)
        if BYSTANDERS[0] in self.before:
            while any(row["name"] and row["phase"] in ("forking", "booting") for row in self.client.processes()):
                pass  # a restart that nobody waited for: its name is not found before its init has run
            processes = [row for row in self.client.processes() if row["kind"] == "process" and row["phase"] != "dying"]
            names = {row["name"]: row["serial"] for row in processes if row["name"]}
            assert {name: self.client.call(BYSTANDERS[0], ["lookup", name], WAIT_S) for name in names} == names


@contextmanager
def desk_of(daemon: Daemon) -> Iterator[Desk]:
    """A desk whose invariants hold at the end of the block."""
    desk = Desk(daemon)
    try:
        yield desk
        desk.check()
    finally:
        desk.close()


def descriptors_beyond(desk: Desk) -> int:
    """How many fds guardian and node have beyond two per process of the table and per zygote, when nobody is being born or
    waits to be reaped, and spare and zygote are there; counted while both sleep, for what one is telling the other has a
    descriptor on one side only."""
    guardian = desk.daemon.guardian_pid
    while True:
        rows = [row for row in desk.client.processes() if row["kind"] == "process"]
        both = (desk.node_os_pid(), guardian)
        while 0 in (slept := [sleep_of(os_pid) for os_pid in both]):
            os.sched_yield()
        known, below = {int(str(row["os_pid"])) for row in rows}, children(guardian)
        keepers = zygotes([os_pid for os_pid in below if os_pid not in known])
        serving = [template for os_pid, template in keepers.items() if comm(os_pid) == "actor-zygote"]
        others = [comm(os_pid) for os_pid in below if os_pid not in known | keepers.keys()]
        counts = [len(os.listdir(f"/proc/{os_pid}/fd")) for os_pid in both]
        if slept != [sleep_of(os_pid) for os_pid in both]:
            continue
        again = [row for row in desk.client.processes() if row["kind"] == "process"]
        if rows == again and known <= set(below) and LEAN in serving and others == ["actor-node"] * 2:
            return sum(counts) - 4 * len(rows) - 2 * len(keepers)


def sleep_of(os_pid: int) -> int:
    """The number of the sleep that the process is in; 0 when it is awake, as it is from the moment it is told something."""
    text = Path(f"/proc/{os_pid}/status").read_text()
    return int(text.partition("\nvoluntary_ctxt_switches:")[2].split()[0]) if "\nState:\tS" in text else 0
