"""The actors of the vectors: what FORMAT.md §3 and §4 say that a proc and a server do. They run in processes of the product.

Which scene they belong to is the first argument of their init.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec

from actorcore.errors import CallFailed, CallTimeout, RequestError, StartFailed
from actorcore.exit_reason import Reason
from actorcore.gen_server import Continue, GenServer, Ignore, InitResult, NoReply, Ok, Reply, Result, Stop
from actorcore.mailbox import CallMessage, DownMessage, Event, ExitMessage, From, Message, TaskReply, Timeout
from actorcore.pids import Pid
from actorcore.runtime.actor.process import Process, current
from actorcore.runtime.clock import monotonic_s
from tests.otp.asking import Asks
from tests.otp.folder import Folder
from tests.otp.groups import group_operation
from tests.otp.scene import SPAWNS, Crash, Scene, labelled, outcome_of, start_of, told, why_of
from tests.otp.tasks import TaskOperations

SCENES: list[Callable[[str], Scene]] = [Folder]
"""The last one finds the scene that a token names."""


class Operations(GenServer, Asks):
    """What both kinds can do inside a handler."""

    process: Process  # type: ignore[assignment]

    def enter(self, token: str, definition: str, name: str, instance: str = "") -> Any:
        """Log the init; its outcome by the vector. ``instance``: the name of a child of simple_one_for_one."""
        name = instance or name
        self.scene = SCENES[-1](token)
        self.how = self.scene.definitions.get(definition, {})
        self.refs: dict[int, tuple[str, str]] = {}
        self.tasks = TaskOperations(self)
        self.groups: dict[int, str] = {}
        self.serial = self.process.self_pid.serial
        outcome = outcome_of(self.scene, definition, name)
        self.label = self.scene.introduce(self.serial, name, os.getpid(), definition)
        self.scene.write(self.label, "init")
        while isinstance(outcome, dict) and "sleep" in outcome:
            self.scene.sleep(self.serial, outcome["sleep"])
            outcome = outcome.get("then", "ok")
        return outcome

    def become(self, outcome: Any) -> InitResult:
        """The result of init."""
        match outcome:
            case "ok":
                return Ok()
            case "ignore":
                return Ignore()
            case {"stop": reason}:
                return Stop(reason)
            case {"exit": reason}:
                self.process.exit_self(reason)
            case {"crash": reason}:
                raise Crash(msgspec.json.encode(reason).decode())
            case {"bad": value}:
                return value  # type: ignore[no-any-return]
            case {"continue": term}:
                return Ok(then=Continue(term))
            case {"timeout": ticks}:
                return Ok(timeout_s=ticks * self.scene.tick_s)
        raise NotImplementedError(outcome)

    def event(self, event: Event) -> list[Any]:
        """The event as FORMAT.md §6 writes it."""
        match event:
            case ExitMessage(frm, reason):
                return ["exit_msg", self.scene.label(frm.serial), labelled(self.scene, told(reason))]
            case DownMessage(ref, pid, reason):
                name, target = self.refs[ref]
                return ["down_msg", name, target or self.scene.label(pid.serial), labelled(self.scene, told(reason))]
            case Message(_, [int(ref), str(change), str(group), list(pids)]):
                return ["pg_event", self.groups[ref], change, group, sorted(self.scene.label(pid.serial) for pid in pids)]
            case Message(frm, body):
                return ["msg", self.scene.label(frm.serial), body["msg"]]  # type: ignore[index]
            case TaskReply(ref, value):
                return ["task_reply", self.refs[ref][0], value]
        raise AssertionError(event)

    def execute_all(self, ops: list[dict[str, Any]]) -> list[Any]:
        return [self.execute(op) for op in ops]

    # ---- operations -------------------------------------------------------------------------------------------------

    def execute(self, op: dict[str, Any]) -> Any:
        """One operation of FORMAT.md §4."""
        process, scene = self.process, self.scene
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
                scene.sleep(self.serial, op["ticks"] if "ticks" in op else op["seconds"] / scene.tick_s)
                return "ok"
            case "log":
                scene.write(self.label, "note", op["value"])
                return "ok"
            case "trap_exit":
                return process.trap_exit(op["on"])
            case "whereis":
                pid = process.whereis(op["name"])
                return None if pid is None else scene.label(pid.serial)
            case "register" | "unregister":
                return self.names(op)
            case "demonitor":
                existed = [process.demonitor(ref, op.get("flush", False)) for ref in self.refs_called(op["ref"])]
                return any(existed) if op.get("info") else True
            case kind if "task" in kind:
                return self.tasks.execute(op)
            case kind if "pg" in op:
                return group_operation(self, op)
            case kind if "sup" in op:
                return self.supervise(op)
            case kind if "reg" in op:
                return self.register_in(op)
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
            case "cast" | "info" if to is None:
                return "ok"
            case "call" | "stop" if to is None and op["to"].startswith(("@", "via:")):
                return self.failed(op, "noproc")
        if to is None:
            return {"error": "no_such_actor"}
        match op["op"]:
            case "send":
                process.send(to, {"msg": op["msg"]})
            case "kill":
                if not self.scene.kill(to.serial):
                    process.exit(to, "kill")
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
            case "call":
                return self.call(op, to)
            case "cast":
                process.cast(to, {"req": op["req"]})
            case "info":
                process.send(to, {"req": op["req"]})
            case "stop":
                return self.stop_other(op, to)
            case other:
                raise NotImplementedError(other)
        return "ok"

    def call(self, op: dict[str, Any], to: Pid) -> Any:
        try:
            return {"reply": self.process.call(to, {"req": op["req"]}, op.get("timeout", 200) * self.scene.tick_s)}
        except (CallFailed, CallTimeout) as error:
            if not op.get("catch", True):
                raise
            return {"exit": why_of(error)}

    def failed(self, op: dict[str, Any], reason: Reason) -> Any:
        if not op.get("catch", True):
            raise CallFailed(reason)
        return {"exit": reason}

    def stop_other(self, op: dict[str, Any], to: Pid) -> Any:
        wanted = op.get("reason", "normal")
        try:
            self.process.stop(to, wanted, op["timeout"] * self.scene.tick_s if "timeout" in op else None)
        except (CallFailed, CallTimeout) as error:
            return {"exit": why_of(error)}
        return "ok"

    def start(self, op: dict[str, Any]) -> Any:
        kind, name = op["op"], op.get("as", op["def"])
        spec = start_of(self.scene, op)
        if "timeout" in op:
            spec = msgspec.structs.replace(spec, init_timeout_s=op["timeout"] * self.scene.tick_s)
        pid: Pid | None
        if kind == "spawn_monitor":
            pid, ref = self.process.spawn_monitor(spec)
            self.refs[ref] = (op["ref"], "")
        else:
            try:
                pid = self.process.spawn(spec, link=kind.endswith("_link"), wait_init=kind.startswith("start"))
            except StartFailed as failure:
                return {"error": labelled(self.scene, told(failure.reason))}
            except RequestError as error:
                return {"error": "timeout" if error.code == "start_timeout" else error.code}
        return "ignore" if pid is None else {"ok": self.scene.introduce(pid.serial, name)}

    def names(self, op: dict[str, Any]) -> Any:
        try:
            if op["op"] == "unregister":
                self.process.unregister(op["name"])
            else:
                self.process.register(op["name"], self.resolve(op["who"]) if "who" in op else None)
        except RequestError:
            return {"raise": "badarg"}
        return True

    # ---- whom one can call ------------------------------------------------------------------------------------------

    def ask(self, to: int | str, words: list[Any]) -> Any:
        return self.process.call(self.pid(to) if isinstance(to, int) else to, words, None)

    def tell(self, to: int, message: Any) -> None:
        self.process.send(self.pid(to), message)

    def pid(self, serial: int) -> Pid:
        return Pid(self.process.self_pid.instance, serial)

    def find(self, target: str) -> int | None:
        found = self.resolve(target)
        return None if found is None else found.serial

    # ---- targets ----------------------------------------------------------------------------------------------------

    def refs_called(self, name: str) -> list[int]:
        return [ref for ref, (called, _) in self.refs.items() if called == name]

    def resolve(self, target: str) -> Pid | None:
        if target == "self":
            return self.process.self_pid
        if target.startswith("@"):
            return self.process.whereis(target[1:])
        serial = self.holder(target) if target.startswith("via:") else self.scene.find(target)
        return None if serial is None else self.pid(serial)

    def wait_dead(self, to: Pid) -> None:
        """Wait for a DOWN of our own; other mail stays in order."""
        process = self.process
        ref = process.monitor(to)
        while process.mailbox.take_down(ref) is None:
            process.pump(None)


class Proc(Operations):
    """A plain process. It is a server only for its init, whose outcome the starter hears; then it reads its mailbox itself."""

    def init(self, *args: Any) -> InitResult:
        self.postponed: deque[Event] = deque()
        result = self.become(self.enter(*args))
        return Ok(then=Continue()) if isinstance(result, Ok) else result

    def handle_continue(self, term: object) -> Result:
        while True:
            event = self.postponed.popleft() if self.postponed else self.process.receive()
            assert event is not None
            if isinstance(event, (Message, CallMessage)) and "ops" in event.body:  # type: ignore[operator]
                results = []
                for op in event.body["ops"]:  # type: ignore[index]
                    if op["op"] == "return":
                        return Stop("normal")
                    results.append(self.execute(op))
                if isinstance(event, CallMessage):
                    self.process.reply(event.frm, results)
                else:
                    self.scene.write(self.label, "result", results)
            else:
                self.scene.write(self.label, *self.event(event))

    def execute(self, op: dict[str, Any]) -> Any:
        if op["op"] == "recv":
            return self.recv(op.get("timeout", 20))
        return super().execute(op)

    def recv(self, ticks: float) -> Any:
        """The next event that is no work for later."""
        until_s = monotonic_s() + ticks * self.scene.tick_s
        while (event := self.process.receive(max(0.0, until_s - monotonic_s()))) is not None:
            if isinstance(event, (Message, CallMessage)) and "ops" in event.body:  # type: ignore[operator]
                self.postponed.append(event)
                continue
            return self.event(event)
        return None


class Server(Operations):
    """A gen_server."""

    def init(self, *args: Any) -> InitResult:
        self.held: dict[str, From] = {}
        self.later: list[tuple[float, From, Any]] = []
        return self.become(self.enter(*args))

    def next_later(self) -> tuple[float, From, Any]:
        return min(self.later, key=lambda one: one[0])

    def with_later(self, result: Any) -> Any:
        """``result``, which waits no longer than until the next answer is due: OTP's recorder has timers for that."""
        if not self.later or not isinstance(result, (Reply, NoReply)) or result.then is not None:
            return result
        due_s = max(0.0, self.next_later()[0] - monotonic_s())
        is_earlier = result.timeout_s is not None and result.timeout_s < due_s
        return result if is_earlier else msgspec.structs.replace(result, timeout_s=due_s)

    def handle_call(self, request: Any, frm: From) -> Result:
        if "ops" in request:
            return Reply(self.execute_all(request["ops"]))
        return self.with_later(self.handle("call", request["req"], frm))  # type: ignore[no-any-return]

    def handle_cast(self, request: Any) -> Result:
        return self.with_later(self.handle("cast", request["req"], None))  # type: ignore[no-any-return]

    def handle_info(self, info: Any) -> Result:
        match info:
            case Timeout() if self.later and self.next_later()[0] <= monotonic_s():
                _, frm, value = first = self.next_later()
                self.later.remove(first)
                self.process.reply(frm, value)
            case Timeout():
                self.scene.write(self.label, "timeout")
            case Message(_, {"ops": ops}):
                self.scene.write(self.label, "result", self.execute_all(ops))
            case Message(_, {"req": req}):
                return self.with_later(self.handle("info", req, None))  # type: ignore[no-any-return]
            case _:
                self.scene.write(self.label, *self.event(info))
                if isinstance(info, ExitMessage) and self.how.get("on_exit_msg") == "stop":
                    return Stop(info.reason)
                if isinstance(info, DownMessage) and self.how.get("on_down_msg") == "stop":
                    return Stop(info.reason)
        return self.with_later(NoReply())  # type: ignore[no-any-return]

    def handle(self, kind: str, req: dict[str, Any], frm: From | None) -> Any:
        """A request, by its keys in the order of FORMAT.md §4."""
        if "tag" in req:
            self.scene.write(self.label, kind, req["tag"])
        if "sleep" in req:
            self.scene.sleep(self.serial, req["sleep"])
        results = self.execute_all(req["ops"]) if "ops" in req else []
        timeout_s = req["timeout"] * self.scene.tick_s if "timeout" in req else None
        then = Continue(req["continue"]) if "continue" in req else None
        match req:
            case {"stop": reason}:
                return Stop(reason, req["reply"]) if "reply" in req else Stop(reason)
            case {"exit": reason}:
                self.process.exit_self(reason)
            case {"crash": reason}:
                raise Crash(msgspec.json.encode(reason).decode())
            case {"throw": value}:
                return value  # gen_server catches it and takes it for the callback's result
            case {"bad": value}:
                return value
            case {"hold": key}:
                assert frm is not None
                self.held[key] = frm
                return NoReply()
            case {"release": key}:
                self.process.reply(self.held.pop(key), req.get("value"))
                return Reply("ok") if frm is not None else NoReply()
            case {"later": ticks}:
                assert frm is not None
                self.later.append((monotonic_s() + ticks * self.scene.tick_s, frm, req.get("reply")))
            case {"noreply": True}:
                return NoReply(timeout_s, then)
            case {"reply_ops": True}:
                return Reply(results)
            case {"reply": value}:
                return Reply(value, timeout_s, then)
        if "later" in req:
            return NoReply()
        return Reply("ok", timeout_s, then) if frm is not None else NoReply(timeout_s, then)

    def handle_continue(self, term: Any) -> Result:
        if isinstance(term, str):
            self.scene.write(self.label, "continue", term)
            return self.with_later(NoReply())  # type: ignore[no-any-return]
        self.scene.write(self.label, "continue", term["tag"])
        if "sleep" in term:
            self.scene.sleep(self.serial, term["sleep"])
        if "crash" in term:
            raise Crash(msgspec.json.encode(term["crash"]).decode())
        if "stop" in term:
            return Stop(term["stop"])
        return self.with_later(NoReply(then=Continue(term["next"]) if "next" in term else None))  # type: ignore[no-any-return]

    def terminate(self, reason: Reason) -> None:
        self.scene.write(self.label, "terminate", told(reason))
        match self.how.get("terminate"):
            case {"sleep": ticks}:
                self.scene.sleep(self.serial, ticks)
                self.scene.write(self.label, "terminate_done")
            case {"exit": why}:
                self.process.exit_self(why)
            case {"crash": why}:
                raise Crash(msgspec.json.encode(why).decode())


class Script(Operations):
    """A task: some operations, and the value of the last one."""

    def __init__(self, token: str, name: str) -> None:
        self.process = current()
        self.enter(token, "", name)

    def run(self, ops: list[dict[str, Any]]) -> Any:
        result: Any = None
        for op in ops:
            result = op["value"] if op["op"] == "return" else self.execute(op)
        return result


def run_script(work: dict[str, Any], token: str) -> Any:
    """``work`` is what the operations ``task`` and ``task_stream`` say of one task."""
    return Script(token, work["as"]).run(work["script"])
