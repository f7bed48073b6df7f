"""Process mode: a vector against a real daemon, with one OS process per actor and real SIGKILL (FORMAT.md §7).

Supervisors and registries are residents of the node or processes too: that is the placement. The driver is a client of
the daemon. Deaths, and the inits of residents, are read from the node's log, where each stands before anybody is told of
it; the lines of the actors and of the node carry times of one clock, by which they are merged and cut into steps.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, TypeAlias

from actorcore.errors import CallFailed, CallTimeout, RequestError, StartFailed
from actorcore.pids import Pid
from actorcore.runtime.clock import monotonic_s
from actorcore.signals import IsAlive, Request, Spawn
from supervisors import paths
from supervisors.client import Client
from supervisors.clients import steps
from supervisors.clients.messages import DownMessage, ExitMessage, InfoMessage, Mail, Ref
from tests.daemon_fixture import sleep_of
from tests.otp import otpvec
from tests.otp.asking import Asks
from tests.otp.corpus import is_timed
from tests.otp.folder import RESIDENT_INIT, Folder, name_of
from tests.otp.groups import group_operation
from tests.otp.scene import DRIVER, ROOT, SPAWNS, labelled, start_of, told, why_of
from tests.otp.settle import TICK_S, sleep_ticks
from tests.watchdog import VARIABLE

SETTLE = 3
LONGER = 2
"""Ticks: a runner may wait so much longer (FORMAT.md §5: up to 5); a busy machine needs it."""
LONGEST = 5
"""While somebody is awake: what he has to say may come with his turn."""
START_S = 20.0
LONGEST_STEP_S = 30.0
CLEAN_UP_S = 10.0
Vector: TypeAlias = dict[str, Any]
Part: TypeAlias = tuple[Vector, str]
"""A vector, and the placement of its supervisors and registries."""


class Daemon:
    """A real daemon in a folder of its own, and its log."""

    def __init__(self, directory: str) -> None:
        self.directory = directory
        self.log = f"{directory}/{paths.LOG_NAME}"
        reader, writer = os.pipe()
        try:
            with open(self.log, "ab") as log:
                self._process = subprocess.Popen(
                    [sys.executable, "-P", "-m", "tests.otp.daemon", "--dir", directory, "--config", self.configuration(),
                     "--ready-fd", str(writer)],
                    pass_fds=[writer], stdin=subprocess.DEVNULL, stderr=log, cwd=ROOT, start_new_session=True,
                    env={**os.environ, "PYTHONPATH": ROOT},
                )  # fmt: skip
            os.close(writer)
            assert os.read(reader, 1) == b"1", f"the daemon did not start: {Path(self.log).read_text()}"
        finally:
            os.close(reader)

    def asleep(self) -> dict[str, int]:
        """Which sleep each of its processes is in, the guardian and its children; empty when one of them is awake.

        Who is in the same ones a while later has done nothing meanwhile. One look would not do: who has just seen that there is
        nothing to do, and is interrupted before he sleeps, is asleep for proc(5), also when he has been told something since.
        """
        guardian = self._process.pid
        try:
            children = Path(f"/proc/{guardian}/task/{guardian}/children").read_text().split()
            sleeps = {os_pid: sleep_of(int(os_pid)) for os_pid in (str(guardian), *children)}
        except (FileNotFoundError, ProcessLookupError):  # of one that has just ended
            return {}
        return {} if 0 in sleeps.values() else sleeps

    def configuration(self) -> str:
        """A template that has the actors imported already: a start takes clearly less than three ticks (FORMAT.md §5)."""
        file = Path(self.directory, "config.toml")
        file.write_text(f'[templates.{Folder.template}]\npreload = ["tests.otp.announced"]\npool = 4\n')
        return str(file)

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
    with tempfile.TemporaryDirectory(prefix="otp-", dir=os.environ.get(VARIABLE)) as directory, Daemon(directory) as running:
        yield running


class NodeLog:
    """What the node has logged since this was made, of deaths and of residents that begin."""

    def __init__(self, path: str) -> None:
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._offset = os.fstat(self._fd).st_size
        self._rest = b""
        self.events: list[tuple[float, int, list[Any]]] = []

    def close(self) -> None:
        os.close(self._fd)

    def read(self) -> None:
        """Take in what is new."""
        while data := os.pread(self._fd, 1 << 16, self._offset):
            self._offset += len(data)
            *lines, self._rest = (self._rest + data).split(b"\n")
            for line in lines:
                if not line.startswith(b'{"time"'):
                    continue  # an actor's complaint about its crash
                record = json.loads(line)
                assert record["dropped"] == 0, "the node could not write its log"
                if record["kind"] in ("process_exited", "resident_exited"):
                    self.events.append((record["at_s"], record["serial"], ["down", told(record["detail"])]))
                elif record["kind"] == RESIDENT_INIT:
                    self.events.append((record["at_s"], record["serial"], ["init"]))


class World(Asks):
    """Plays one vector; ``os_pids`` tells the OS process of each incarnation."""

    def __init__(self, vector: Vector, placement: str, running: Daemon, directory: str) -> None:
        self.vector, self.running, self.directory = vector, running, directory
        self.is_timed = is_timed([vector["defs"], vector["steps"]])
        Path(directory, "scenario").write_text(json.dumps({"defs": vector["defs"], "placement": placement}))
        self.folder = self.scene = Folder(directory)
        self.node = NodeLog(running.log)
        self.client = Client.connect(running.directory)
        self.folder.introduce(self.client.pid.serial, DRIVER)
        self.refs: dict[Ref, tuple[str, str]] = {}
        self.groups: dict[int, str] = {}
        self.os_pids: dict[str, int] = {}
        self.still = 0
        """Who is not to run on before the next step, if that is a signal too."""

    def close(self) -> None:
        """End what still lives, wait until it is dead, and hang up."""
        try:
            # Parents come first; what a supervisor has started until it was dead comes with the next turn.
            while pids := self.alive():
                refs = [self.client.monitor(pid) for pid in pids]
                for pid in pids:
                    self.client.exit(pid, "kill")
                for ref in refs:  # who is dying still has its name
                    self.client.wait_down(ref, CLEAN_UP_S)
        finally:
            self.client.close()
            self.node.close()
            self.folder.close()

    def alive(self) -> list[Pid]:
        """Everybody but the driver, in order of birth."""
        actors = [serial for serial, label in self.folder.labels().items() if label != DRIVER]
        return [self.pid(serial) for serial in actors if self.is_alive(serial)]

    def pid(self, serial: int) -> Pid:
        return Pid(self.client.pid.instance, serial)

    def request(self, body: Request) -> Any:
        """A request that the client offers no method for."""
        return self.client._driver.run(steps.request(self.client._core, body), LONGEST_STEP_S)

    def is_alive(self, serial: int) -> bool:
        return self.request(IsAlive(serial)) is True

    # ---- steps ------------------------------------------------------------------------------------------------------

    def play(self) -> dict[str, Any]:
        """All steps; the raw trace of FORMAT.md §6."""
        cuts, results = [], []
        for step in self.vector["steps"]:
            cuts.append(monotonic_s())
            still, self.still = self.still, 0
            if step["op"] != "kill":
                self.folder.signal(still, signal.SIGCONT)
            results.append(self.execute(step))
            self.folder.signal(still, signal.SIGCONT)
            if settle := step.get("settle", SETTLE):
                self.settle(settle)
                self.check_processes()
        events = self.events()
        taken = [
            {"result": result, "events": [event for at_s, event in events if since <= at_s < until]}
            for result, since, until in zip(results, cuts, [*cuts[1:], float("inf")], strict=True)
        ]
        alive = [self.folder.label(pid.serial) for pid in self.alive()]
        return json.loads(json.dumps({"steps": taken, "final": {"alive": alive}}))  # type: ignore[no-any-return]

    def settle(self, ticks: int) -> None:
        """Until all has happened that this step brings about.

        Where nothing waits for a time everybody sleeps then, however slow the machine is, and sleeps on while the driver takes
        what has come to him. Else FORMAT.md §5: until no line has appeared for ``ticks``, and a bit longer.
        """
        least_s, most_s = ((ticks + LONGER) * TICK_S, (ticks + LONGEST) * TICK_S) if self.is_timed else (0.0, LONGEST_STEP_S)
        seen, quiet_s = self.progress(), monotonic_s()
        while (silence_s := monotonic_s() - quiet_s) < most_s:
            asleep = self.running.asleep() if silence_s >= least_s else {}
            self.take_mail(TICK_S / 8)
            if (now := self.progress()) != seen:
                seen, quiet_s = now, monotonic_s()
            elif asleep and self.running.asleep() == asleep:
                break

    def progress(self) -> tuple[int, int]:
        self.node.read()
        return os.stat(f"{self.directory}/log").st_size, len(self.node.events)

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
                return ["exit_msg", self.folder.label(frm.serial), labelled(self.folder, told(reason))]
            case DownMessage(ref, pid, reason):
                name, target = self.refs[ref]
                return ["down_msg", name, target or self.folder.label(pid.serial), labelled(self.folder, told(reason))]  # type: ignore[union-attr]

    def events(self) -> list[tuple[float, list[Any]]]:
        """The lines of everybody and the deaths of ours, by time."""
        self.node.read()
        labels = self.folder.labels()
        events = [(line[0], line[1:]) for line in self.folder.lines()]
        deaths = [(at_s, labels[serial], what) for at_s, serial, what in self.node.events if serial in labels]
        events += [(at_s, [label, *labelled(self.folder, what)]) for at_s, label, what in deaths]
        return sorted(events, key=lambda event: event[0])

    def check_processes(self) -> None:
        """Each living actor is an OS process of its own, named after its serial, under the number it gave itself."""
        labels, own = self.folder.labels(), self.folder.os_pids()
        for serial in own:
            self.folder.hold(serial)
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
        if kind == "sleep":
            sleep_ticks(op["ticks"] if "ticks" in op else op["seconds"] / TICK_S)
            return "ok"
        if "sup" in op:
            return self.supervise(op)
        if "reg" in op:
            return self.register_in(op)
        if "pg" in op:
            return group_operation(self, op)
        try:
            to = self.resolve(op["who" if kind == "do" else "to"])
        except LookupError:
            return self.nobody(op)
        match kind:
            case "do":
                return self.do(to, op)
            case "kill":
                if not self.folder.kill(to.serial):
                    client.exit(to, "kill")
                return True
            case "exit_signal" if op.get("settle") == 0:
                # At once: exit/2 waits for nothing, and in OTP nobody runs between two signals of one sender in one breath.
                self.still = to.serial
                self.folder.signal(to.serial, signal.SIGSTOP)
                client._core.forget(next(steps.send_exit(client._core, to, op["reason"])))
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
        serial = self.find(target)
        if serial is None:
            raise LookupError(target)
        return self.pid(serial)

    def nobody(self, op: dict[str, Any]) -> Any:
        """The result of an operation without a target."""
        if not op.get("to", "").startswith("via:"):
            return {"error": "no_such_actor"}
        return "ok" if op["op"] in ("cast", "info") else {"exit": "noproc"}

    def find(self, target: str) -> int | None:
        if target.startswith("@"):
            pid = self.client.whereis(target[1:])
            return None if pid is None else pid.serial
        return self.holder(target) if target.startswith("via:") else self.folder.find(target)

    def ask(self, to: int | str, words: list[Any]) -> Any:
        return self.client.call(self.pid(to) if isinstance(to, int) else to, words, LONGEST_STEP_S)

    def tell(self, to: int, message: Any) -> None:
        self.client.send(self.pid(to), message)

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
            serial = self.request(Spawn(spec, kind.endswith("_link"), ref, kind.startswith("start")))
        except StartFailed as failure:
            return {"error": labelled(self.folder, told(failure.reason))}
        except RequestError as error:
            return {"error": error.code}
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


def play(vector: Vector, placement: str, running: Daemon) -> tuple[list[str], dict[str, int]]:
    """The differences from OTP, always compared strictly, and the OS process of each incarnation."""
    with tempfile.TemporaryDirectory(prefix="otp-scenario-") as directory:
        world = World(vector, placement, running, directory)
        try:
            trace = world.play()
        finally:
            world.close()
        return otpvec.diff(vector, trace, strict=True), world.os_pids  # type: ignore[no-untyped-call]


def play_all(parts: list[Part], jobs: int, on_done: Callable[[Part, list[str], dict[str, int]], None]) -> None:
    """Play ``parts``, ``jobs`` at once, each job with a daemon of its own; ``on_done`` hears of each from its thread.

    A vector that breaks the runner is a failed vector; the next one gets a new daemon.
    """
    waiting: queue.SimpleQueue[Part] = queue.SimpleQueue()
    for part in sorted(parts, key=lambda part: not is_timed(part[0]["steps"])):  # who only waits leaves the processors to others
        waiting.put(part)

    def work() -> None:
        while not waiting.empty():
            part: Part | None = None
            try:
                with daemon() as running:
                    while True:
                        part = waiting.get_nowait()
                        differences, os_pids = play(*part, running)
                        done, part = part, None
                        on_done(done, differences, os_pids)
            except queue.Empty:
                return
            except Exception as error:
                if part is None:
                    raise
                on_done(part, [f"{type(error).__name__}: {error}"], {})

    threads = [threading.Thread(target=work) for _ in range(min(jobs, len(parts)))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
