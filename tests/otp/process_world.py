"""Process mode: a vector against a real daemon, with one OS process per actor and real SIGKILL (FORMAT.md §7).

The driver is a client of the daemon. Deaths are read from the node's log, where each stands before anybody is told of
it; the lines of the actors and of the node carry times of one clock, by which they are merged and cut into steps.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, TypeAlias

from actorcore.errors import CallFailed, CallTimeout, RequestError
from actorcore.pids import Pid
from actorcore.runtime.clock import monotonic_s
from actorcore.signals import IsAlive, Request, Spawn
from supervisors import client_steps, paths
from supervisors.client import Client
from supervisors.client_messages import DownMessage, ExitMessage, InfoMessage, Mail, Ref
from tests.otp import otpvec
from tests.otp.folder import Folder, name_of
from tests.otp.scene import DRIVER, ROOT, SPAWNS, labelled, start_of, told, why_of
from tests.otp.settle import TICK_S

SETTLE = 3
START_S = 20.0
LONGEST_STEP_S = 30.0
CLEAN_UP_S = 10.0
Vector: TypeAlias = dict[str, Any]


class Daemon:
    """A real daemon in a folder of its own, and its log."""

    def __init__(self, directory: str) -> None:
        self.directory = directory
        self.log = f"{directory}/{paths.LOG_NAME}"
        reader, writer = os.pipe()
        try:
            with open(self.log, "ab") as log:
                self._process = subprocess.Popen(
                    [sys.executable, "-P", "-m", "supervisors.daemon", "--dir", directory, "--ready-fd", str(writer)],
                    pass_fds=[writer], stdin=subprocess.DEVNULL, stderr=log, cwd=ROOT, start_new_session=True,
                )  # fmt: skip
            os.close(writer)
            assert os.read(reader, 1) == b"1", f"the daemon did not start: {Path(self.log).read_text()}"
        finally:
            os.close(reader)

    def __enter__(self) -> Daemon:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        try:
            with Client.connect(self.directory) as client:
                client.node("down")
            self._process.wait(CLEAN_UP_S)
        finally:
            self._process.kill()  # its own child, not reaped yet, or nothing happens
            self._process.wait()


@contextmanager
def daemon() -> Generator[Daemon, None, None]:
    with tempfile.TemporaryDirectory(prefix="otp-") as directory, Daemon(directory) as running:
        yield running


class NodeLog:
    """The deaths that the node has logged since this was made."""

    def __init__(self, path: str) -> None:
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._offset = os.fstat(self._fd).st_size
        self._rest = b""
        self.deaths: list[tuple[float, int, Any]] = []

    def close(self) -> None:
        os.close(self._fd)

    def read(self) -> None:
        """Take in what is new."""
        while data := os.pread(self._fd, 1 << 16, self._offset):
            self._offset += len(data)
            *lines, self._rest = (self._rest + data).split(b"\n")
            for line in lines:
                if not line.startswith(b'{"at_s"'):
                    continue  # an actor's complaint about its crash
                record = json.loads(line)
                assert record["dropped"] == 0, "the node could not write its log"
                if record["kind"] == "process_exited":
                    self.deaths.append((record["at_s"], record["serial"], told(record["detail"])))


class World:
    """Plays one vector; ``os_pids`` tells the OS process of each incarnation."""

    def __init__(self, vector: Vector, running: Daemon, directory: str) -> None:
        self.vector, self.directory = vector, directory
        Path(directory, "defs").write_text(json.dumps(vector["defs"]))
        self.folder = Folder(directory)
        self.node = NodeLog(running.log)
        self.client = Client.connect(running.directory)
        self.folder.introduce(self.client.pid.serial, DRIVER)
        self.refs: dict[Ref, tuple[str, str]] = {}
        self.os_pids: dict[str, int] = {}

    def close(self) -> None:
        """End what still lives, wait until it is dead, and hang up."""
        try:
            pids = [self.pid(serial) for serial, label in self.folder.labels().items() if label != DRIVER]
            refs = [self.client.monitor(pid) for pid in pids]
            for pid in pids:
                self.client.exit(pid, "kill")
            for ref in refs:  # who is dying still has its name
                self.client.wait_down(ref, CLEAN_UP_S)
        finally:
            self.client.close()
            self.node.close()
            self.folder.close()

    def pid(self, serial: int) -> Pid:
        return Pid(self.client.pid.instance, serial)

    def ask(self, body: Request) -> Any:
        """A request that the client offers no method for."""
        return self.client._driver.run(client_steps.request(self.client._core, body), LONGEST_STEP_S)

    def is_alive(self, serial: int) -> bool:
        return self.ask(IsAlive(serial)) is True

    # ---- steps ------------------------------------------------------------------------------------------------------

    def play(self) -> dict[str, Any]:
        """All steps; the raw trace of FORMAT.md §6."""
        cuts, results = [], []
        for step in self.vector["steps"]:
            cuts.append(monotonic_s())
            results.append(self.execute(step))
            self.settle(step.get("settle", SETTLE))
            self.check_processes()
        events = self.events()
        steps = [
            {"result": result, "events": [event for at_s, event in events if since <= at_s < until]}
            for result, since, until in zip(results, cuts, [*cuts[1:], float("inf")], strict=True)
        ]
        labels = self.folder.labels()
        alive = [label for serial, label in labels.items() if label != DRIVER and self.is_alive(serial)]
        return json.loads(json.dumps({"steps": steps, "final": {"alive": alive}}))  # type: ignore[no-any-return]

    def settle(self, ticks: int) -> None:
        """FORMAT.md §5: until no line has appeared for ``ticks``."""
        seen, quiet_s = self.progress(), monotonic_s()
        while (left_s := quiet_s + ticks * TICK_S - monotonic_s()) > 0:
            self.take_mail(min(left_s, TICK_S / 2))
            if (now := self.progress()) != seen:
                seen, quiet_s = now, monotonic_s()

    def progress(self) -> tuple[int, int]:
        self.node.read()
        return os.stat(f"{self.directory}/log").st_size, len(self.node.deaths)

    def take_mail(self, wait_s: float) -> None:
        """Log what comes to the driver; the first may take ``wait_s``."""
        try:
            while True:
                self.folder.write(DRIVER, *self.event(self.client.receive(wait_s)))
                wait_s = 0
        except CallTimeout:
            pass

    def event(self, mail: Mail) -> list[Any]:
        match mail:
            case InfoMessage(frm, body):
                return ["msg", self.folder.label(frm.serial), body["msg"]]  # type: ignore[index,call-overload]
            case ExitMessage(frm, reason):
                return ["exit_msg", self.folder.label(frm.serial), told(reason)]
            case DownMessage(ref, pid, reason):
                name, target = self.refs[ref]
                return ["down_msg", name, target or self.folder.label(pid.serial), told(reason)]  # type: ignore[union-attr]

    def events(self) -> list[tuple[float, list[Any]]]:
        """The lines of everybody and the deaths of ours, by time."""
        self.node.read()
        labels = self.folder.labels()
        events = [(line[0], line[1:]) for line in self.folder.lines()]
        events += [(at_s, [labels[serial], "down", why]) for at_s, serial, why in self.node.deaths if serial in labels]
        return sorted(events, key=lambda event: event[0])

    def check_processes(self) -> None:
        """Each living actor is an OS process of its own, named after its serial, under the number it gave itself."""
        labels, own = self.folder.labels(), self.folder.os_pids()
        self.os_pids.update((labels[serial], os_pid) for serial, os_pid in own.items())
        rows = {row["serial"]: row["os_pid"] for row in self.client.processes() if row["serial"] in own}
        assert all(own[serial] == os_pid for serial, os_pid in rows.items()), f"{rows} are not {own}"
        assert len(set(rows.values())) == len(rows), f"actors share an OS process: {rows}"
        strays = {serial for serial, os_pid in rows.items() if name_of(os_pid) != f"actor {serial}"}
        assert not any(self.is_alive(serial) for serial in strays), f"{strays} have no OS process"

    # ---- operations -------------------------------------------------------------------------------------------------

    def execute(self, op: dict[str, Any]) -> Any:
        """One operation of the driver (FORMAT.md §4)."""
        client, kind = self.client, op["op"]
        if kind in SPAWNS:
            return self.start(op)
        if kind == "whereis":
            pid = client.whereis(op["name"])
            return None if pid is None else self.folder.label(pid.serial)
        if kind in ("register", "unregister"):
            return self.names(op)
        try:
            to = self.resolve(op["who" if kind == "do" else "to"])
        except LookupError:
            return {"error": "no_such_actor"}
        match kind:
            case "do":
                return self.do(to, op)
            case "kill":
                self.folder.kill(to.serial)
                return True
            case "exit_signal":
                client.exit(to, op["reason"])
                return True
            case "send":
                try:
                    client.send(to, {"msg": op["msg"]})
                except CallFailed:
                    return {"raise": "badarg"}
                return "ok"
            case "monitor":
                named = isinstance(to, str)
                self.refs[client.monitor(to)] = (op["ref"], op["to"] if named else "")
                return "ok"
            case "is_alive":
                return self.is_alive(to.serial)
        return self.serve(to, op)

    def serve(self, to: Any, op: dict[str, Any]) -> Any:
        """The operations with servers."""
        client, timeout_s = self.client, op["timeout"] * TICK_S if "timeout" in op else None
        try:
            match op["op"]:
                case "call":
                    return {"reply": client.call(to, {"req": op["req"]}, 200 * TICK_S if timeout_s is None else timeout_s)}
                case "cast":
                    client.cast(to, {"req": op["req"]})
                    return "ok"
                case "info":
                    client.send(to, {"req": op["req"]})
                    return "ok"
                case "stop":
                    client.stop(to, op.get("reason", "normal"), timeout_s)
                    return "ok"
        except (CallFailed, CallTimeout) as error:
            return "ok" if op["op"] == "info" else {"exit": why_of(error)}
        raise NotImplementedError(op["op"])

    def resolve(self, target: str) -> Any:
        """A Pid, or the name in ``@name``."""
        if target.startswith("@"):
            return target[1:]
        serial = self.folder.find(target)
        if serial is None:
            raise LookupError(target)
        return self.pid(serial)

    def do(self, to: Pid, op: dict[str, Any]) -> Any:
        """Have an actor execute operations; a call tells its death."""
        if not op.get("wait", True):
            self.client.send(to, {"ops": op["ops"]})
            return "started"
        try:
            return self.client.call(to, {"ops": op["ops"]}, LONGEST_STEP_S)
        except CallFailed as failure:
            return {"down": told(failure.reason)}

    def start(self, op: dict[str, Any]) -> Any:
        kind, name = op["op"], op.get("as", op["def"])
        core, ref = self.client._core, Ref(0)
        if kind == "spawn_monitor":
            ref = Ref(core.connection.next_number())
            core.monitors[ref] = 0
            self.refs[ref] = (op["ref"], "")
        spec = start_of(self.folder, op)
        try:
            serial = self.ask(Spawn(spec, kind.endswith("_link"), ref, kind.startswith("start")))
        except RequestError as error:
            reason = told(json.loads(error.detail) if error.detail.startswith("{") else error.detail)
            return {"error": labelled(self.folder, reason)}
        return "ignore" if serial is None else {"ok": self.folder.introduce(serial, name)}

    def names(self, op: dict[str, Any]) -> Any:
        try:
            if op["op"] == "unregister":
                self.client.unregister(op["name"])
            else:
                self.client.register(op["name"], self.resolve(op["who"]) if "who" in op else None)
        except (RequestError, CallFailed):
            return {"raise": "badarg"}
        return True


def play(vector: Vector, running: Daemon) -> tuple[list[str], dict[str, int]]:
    """The differences from OTP, always compared strictly, and the OS process of each incarnation."""
    with tempfile.TemporaryDirectory(prefix="otp-scenario-") as directory:
        world = World(vector, running, directory)
        try:
            trace = world.play()
        finally:
            world.close()
        return otpvec.diff(vector, trace, strict=True), world.os_pids  # type: ignore[no-untyped-call]


def play_all(vectors: list[Vector], jobs: int, on_done: Callable[[Vector, list[str], dict[str, int]], None]) -> None:
    """Play ``vectors``, ``jobs`` at once, each job with a daemon of its own; ``on_done`` hears of each from its thread.

    A vector that breaks the runner is a failed vector; the next one gets a new daemon.
    """
    waiting: queue.SimpleQueue[Vector] = queue.SimpleQueue()
    for vector in vectors:
        waiting.put(vector)

    def work() -> None:
        while not waiting.empty():
            vector: Vector | None = None
            try:
                with daemon() as running:
                    while True:
                        vector = waiting.get_nowait()
                        differences, os_pids = play(vector, running)
                        done, vector = vector, None
                        on_done(done, differences, os_pids)
            except queue.Empty:
                return
            except Exception as error:
                if vector is None:
                    raise
                on_done(vector, [f"{type(error).__name__}: {error}"], {})

    threads = [threading.Thread(target=work) for _ in range(min(jobs, len(vectors)))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
