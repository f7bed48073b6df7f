"""The actor of process mode: a plain process that interprets the operations of a vector, in an OS process of its own.

Everything that it does before others can know of it, it writes into the scenario's folder: its incarnation into
``labels``, each event into ``log``, with the time of the system-wide monotonic clock, by one write.
"""

from __future__ import annotations

import os
import signal
from collections import deque
from pathlib import Path
from typing import Any

import msgspec

from actorcore.errors import RequestError
from actorcore.exit_reason import Reason
from actorcore.gen_server import Continue, GenServer, InitResult, Ok, Result, Stop
from actorcore.mailbox import CallMessage, DownMessage, Event, ExitMessage, Message
from actorcore.pids import Pid
from actorcore.runtime.clock import monotonic_s
from actorcore.runtime.node_requests import StartFailed
from actorcore.signals import ProcessSpec
from tests.otp.settle import TICK_S, sleep_ticks

ROOT = str(Path(__file__).parents[2])
START = "tests.otp.process_actor:Actor"
DRIVER = "driver"
SPAWNS = frozenset({"start", "start_link", "spawn", "spawn_link", "spawn_monitor"})


class Crash(Exception):
    """What the op ``crash`` raises; its text is the vector's reason as JSON."""


class Folder:
    """A scenario's folder: who is who, and what happened. Shared by all its processes, through files alone."""

    def __init__(self, directory: str) -> None:
        self.directory = directory
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        self._log = os.open(f"{directory}/log", flags, 0o600)
        self._labels = os.open(f"{directory}/labels", flags, 0o600)

    def close(self) -> None:
        os.close(self._log)
        os.close(self._labels)

    def write(self, label: str, *event: object) -> None:
        """Log ``event`` before the action that it announces."""
        os.write(self._log, msgspec.json.encode([monotonic_s(), label, *event]) + b"\n")

    def lines(self) -> list[list[Any]]:
        return _lines(self._log)

    def introduce(self, serial: int, name: str, os_pid: int = 0) -> str:
        """Write down that ``serial`` is an incarnation of ``name``; its label."""
        os.write(self._labels, msgspec.json.encode([serial, name, os_pid]) + b"\n")
        return self.labels()[serial]

    def labels(self) -> dict[int, str]:
        """serial → label, in order of incarnations: the first line about a serial numbers it."""
        found: dict[int, str] = {}
        counts: dict[str, int] = {}
        for serial, name, _ in _lines(self._labels):
            if serial not in found:
                counts[name] = counts.get(name, 0) + 1
                found[serial] = name if name == DRIVER else f"{name}#{counts[name]}"
        return found

    def os_pids(self) -> dict[int, int]:
        """serial → OS pid, as each process said itself."""
        return {serial: os_pid for serial, _, os_pid in _lines(self._labels) if os_pid}

    def label(self, serial: int) -> str:
        return self.labels()[serial]

    def find(self, target: str) -> int | None:
        """The serial of ``a#2``, or of the latest incarnation of ``a``."""
        found = [serial for serial, label in self.labels().items() if target in (label, label.split("#")[0])]
        return found[-1] if found else None

    def kill(self, serial: int) -> None:
        """A real SIGKILL from outside, of which the runtime is not told."""
        os_pid = self.os_pids()[serial]
        try:
            handle = os.pidfd_open(os_pid)
        except ProcessLookupError:
            return
        try:
            if name_of(os_pid) == f"actor {serial}":  # else it is dead, and its number may be a stranger's
                send_kill(handle)
        finally:
            os.close(handle)


def name_of(os_pid: int) -> str:
    try:
        return Path(f"/proc/{os_pid}/comm").read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def send_kill(pidfd: int) -> None:
    try:
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    except ProcessLookupError:
        pass


def spec_of(definitions: dict[str, Any], op: dict[str, Any], directory: str) -> ProcessSpec:
    """The spec of the actor that a start op wants."""
    definition, name = op["def"], op.get("as", op["def"])
    how = definitions[definition]
    return ProcessSpec(
        START, [directory, definition, name], trap_exit=how.get("trap_exit", False), name=how.get("name"), path=ROOT
    )


def told(reason: Reason) -> Any:
    """``reason`` in the words of FORMAT.md §2: an uncaught Crash is the error that its text says."""
    error = reason.get("error") if isinstance(reason, dict) else None
    if isinstance(error, dict) and error["type"] == Crash.__name__:
        return {"error": msgspec.json.decode(str(error["text"]))}
    return reason


def _lines(fd: int) -> list[list[Any]]:
    """All whole lines; each was written by one write."""
    data = os.pread(fd, os.fstat(fd).st_size, 0)
    return [msgspec.json.decode(line) for line in data.split(b"\n") if line]


class Actor(GenServer):
    """A proc. It is a server only for its init, whose outcome the starter hears; then it reads its mailbox itself."""

    def init(self, directory: str, definition: str, name: str) -> InitResult:  # type: ignore[override]
        self.folder = Folder(directory)
        self.definitions = msgspec.json.decode(Path(directory, "defs").read_bytes())
        self.refs: dict[int, tuple[str, str]] = {}
        self.postponed: deque[Event] = deque()
        self.serial = self.process.self_pid.serial
        self.label = self.folder.introduce(self.serial, name, os.getpid())
        inits = sum(line[1].split("#")[0] == name and line[2] == "init" for line in self.folder.lines())
        self.folder.write(self.label, "init")
        outcomes = self.definitions[definition].get("init", ["ok"])
        outcome = outcomes[min(inits, len(outcomes) - 1)]
        if isinstance(outcome, dict) and "exit" in outcome:
            self.process.exit_self(outcome["exit"])
        if isinstance(outcome, dict) and "crash" in outcome:
            raise Crash(msgspec.json.encode(outcome["crash"]).decode())
        if outcome != "ok":
            raise NotImplementedError(outcome)
        return Ok(then=Continue())

    def handle_continue(self, term: object) -> Result:
        while True:
            event = self.postponed.popleft() if self.postponed else self.process.receive()
            assert event is not None
            if isinstance(event, (Message, CallMessage)) and "ops" in event.body:  # type: ignore[operator]
                work: dict[str, Any] = event.body  # type: ignore[assignment]
                results = []
                for op in work["ops"]:
                    if op["op"] == "return":
                        return Stop("normal")
                    results.append(self.execute(op))
                self.answer(event, results)
            else:
                self.folder.write(self.label, *self.event(event))

    def answer(self, event: Message | CallMessage, results: list[Any]) -> None:
        if isinstance(event, CallMessage):
            self.process.reply(event.frm, results)
        else:
            self.folder.write(self.label, "result", results)

    def event(self, event: Event) -> list[Any]:
        """The event as FORMAT.md §6 writes it."""
        match event:
            case ExitMessage(frm, reason):
                return ["exit_msg", self.folder.label(frm.serial), told(reason)]
            case DownMessage(ref, pid, reason):
                name, target = self.refs[ref]
                return ["down_msg", name, target or self.folder.label(pid.serial), told(reason)]
            case Message(frm, body):
                return ["msg", self.folder.label(frm.serial), body["msg"]]  # type: ignore[index]
        raise AssertionError(event)

    # ---- operations -------------------------------------------------------------------------------------------------

    def execute(self, op: dict[str, Any]) -> Any:
        """One operation of FORMAT.md §4."""
        process = self.process
        match op["op"]:
            case kind if kind in SPAWNS:
                return self.start(op)
            case "exit":
                process.exit_self(op["reason"])
            case "crash":
                raise Crash(msgspec.json.encode(op["reason"]).decode())
            case "throw":
                process.exit_self({"throw": op["reason"]})
            case "sleep":
                sleep_ticks(op["ticks"])
                return "ok"
            case "log":
                self.folder.write(self.label, "note", op["value"])
                return "ok"
            case "recv":
                return self.recv(op.get("timeout", 20))
            case "trap_exit":
                return process.trap_exit(op["on"])
            case "whereis":
                pid = process.whereis(op["name"])
                return None if pid is None else self.folder.label(pid.serial)
            case "register" | "unregister":
                return self.names(op)
            case "demonitor":
                existed = [process.demonitor(ref, op.get("flush", False)) for ref in self.refs_called(op["ref"])]
                return any(existed) if op.get("info") else True
        return self.aim(op)

    def aim(self, op: dict[str, Any]) -> Any:
        """The operations with a target."""
        process, to = self.process, self.resolve(op["to"])
        match op["op"]:
            case "send" if to is None:
                return {"raise": "badarg"}
            case "monitor":
                named = op["to"].startswith("@")
                ref = process.monitor(op["to"][1:] if named or to is None else to)
                self.refs[ref] = (op["ref"], op["to"] if named else "")
                return "ok"
        if to is None:
            return {"error": "no_such_actor"}
        match op["op"]:
            case "send":
                process.send(to, {"msg": op["msg"]})
                return "ok"
            case "kill":
                self.folder.kill(to.serial)
                return True
            case "exit_signal":
                process.exit(to, op["reason"])
                return True
            case "link":
                try:
                    process.link(to)
                except RequestError as error:
                    return {"raise": "noproc"} if error.code == "process_not_alive" else {"raise": error.code}
                return True
            case "unlink":
                process.unlink(to)
                return True
            case "is_alive":
                return process.is_alive(to)
            case "wait_dead":
                self.wait_dead(to)
                return "ok"
        raise NotImplementedError(op["op"])

    def start(self, op: dict[str, Any]) -> Any:
        kind, name = op["op"], op.get("as", op["def"])
        spec = spec_of(self.definitions, op, self.folder.directory)
        pid: Pid | None
        if kind == "spawn_monitor":
            pid, ref = self.process.spawn_monitor(spec)
            self.refs[ref] = (op["ref"], "")
        else:
            try:
                pid = self.process.spawn(spec, link=kind.endswith("_link"), wait_init=kind.startswith("start"))
            except StartFailed as failure:
                return {"error": told(failure.reason)}
        return "ignore" if pid is None else {"ok": self.folder.introduce(pid.serial, name)}

    def recv(self, ticks: float) -> Any:
        """The next event that is no work for later."""
        until_s = monotonic_s() + ticks * TICK_S
        while (event := self.process.receive(max(0.0, until_s - monotonic_s()))) is not None:
            if isinstance(event, (Message, CallMessage)) and "ops" in event.body:  # type: ignore[operator]
                self.postponed.append(event)
                continue
            return self.event(event)
        return None

    def names(self, op: dict[str, Any]) -> Any:
        try:
            if op["op"] == "unregister":
                self.process.unregister(op["name"])
            else:
                self.process.register(op["name"], self.resolve(op["who"]) if "who" in op else None)
        except RequestError:
            return {"raise": "badarg"}
        return True

    def refs_called(self, name: str) -> list[int]:
        return [ref for ref, (called, _) in self.refs.items() if called == name]

    def resolve(self, target: str) -> Pid | None:
        if target == "self":
            return self.process.self_pid
        if target.startswith("@"):
            return self.process.whereis(target[1:])
        serial = self.folder.find(target)
        return None if serial is None else Pid(self.process.self_pid.instance, serial)

    def wait_dead(self, to: Pid) -> None:
        """Wait for a DOWN of our own; other mail stays in order."""
        process = self.process
        ref = process.monitor(to)
        while not process.mailbox.remove_down(ref):
            process.pump(None)
