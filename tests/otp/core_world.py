"""World: a process table under virtual time, with simulated processes that speak the node's vocabulary to it.

Every decision about signals, links, monitors and names is the table's. The world plays the operating system (Fork →
Born, Kill → Exited), the library in each process (mailbox, pending requests) and the actors of a vector; it logs what
FORMAT.md §6 asks for. Switches vary what must make no difference: see :class:`Mode`.
"""

from __future__ import annotations

import heapq
import json
from collections import Counter, deque
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any

from actorcore.effects import Deliver, Effect, Fork, Kill, Report
from actorcore.exit_reason import Reason
from actorcore.process_table import ProcessTable
from actorcore.signals import (
    Answer,
    Asked,
    Begin,
    Booted,
    Born,
    ClientAttached,
    Delivery,
    Demonitor,
    Down,
    Event,
    Exit,
    Exited,
    IsAlive,
    Link,
    Monitor,
    ProcessSpec,
    Received,
    Refill,
    Register,
    Request,
    SendExit,
    Spawn,
    TrapExit,
    Undelivered,
    Unlink,
    Unregister,
    Whereis,
    Writable,
)

SETTLE = 3
CLD_EXITED, CLD_KILLED, SIGKILL = 1, 2, 9
Body = Generator[Any, Any, Any]


@dataclass(frozen=True)
class Mode:
    """``external_kill``: kill is a SIGKILL behind the table's back. ``warm``: processes come from a pool.
    ``twin``: a second table, restored from a snapshot after every event, must do the same. ``jam``: every process
    refuses each frame once, as a full socket does.
    """

    external_kill: bool = False
    warm: bool = False
    twin: bool = False
    jam: bool = False


class Ended(Exception):
    """The actor ends by itself with ``reason``; None: it returns."""

    def __init__(self, reason: Reason | None) -> None:
        self.reason = reason


@dataclass(eq=False)
class Actor:
    """The library side of one process: its mailbox, what it waits for, and which of its refs is called what."""

    serial: int
    label: str = ""
    body: Body | None = None
    waiting: str = ""
    number: int = 0
    seq: int = 0
    sleep: int = 0
    answers: dict[int, Answer] = field(default_factory=dict)
    mail: deque[list[Any]] = field(default_factory=deque)
    work: deque[tuple[list[Any], Callable[[list[Any]], None]]] = field(default_factory=deque)
    refs: dict[int, tuple[str, str]] = field(default_factory=dict)
    hidden: dict[int, Reason | None] = field(default_factory=dict)
    jammed_seqs: set[int] = field(default_factory=set)


class World:
    """``perform`` the steps of one vector; the trace is what otpvec compares."""

    def __init__(self, vector: dict[str, Any], mode: Mode) -> None:
        self.vector, self.mode = vector, mode
        self.table = ProcessTable(instance=7, pages=256)
        self.twin = ProcessTable(instance=7, pages=256)
        self.now = 0
        self.events: list[list[Any]] = []
        self.last_log = 0
        self.facts: deque[Event] = deque()
        self.ready: deque[tuple[Actor, str]] = deque()
        self.timers: list[tuple[int, int, Actor, int]] = []
        self.timer_count = 0
        self.actors: dict[int, Actor] = {}
        self.labels: dict[int, str] = {}
        self.serials: dict[str, int] = {}
        self.starts: Counter[str] = Counter()
        self.inits: Counter[str] = Counter()
        self.done: list[Any] = []
        if mode.warm:
            self.event(Refill("lean", 3))
        self.event(ClientAttached(0, b"secret", 1))
        self.driver = Actor(self.table.last_client, "driver")
        self.actors[self.driver.serial] = self.driver
        self.labels[self.driver.serial] = "driver"
        self.serials["driver"] = self.driver.serial
        self.driver.body = self.drive()
        self.ready.append((self.driver, ""))

    # ---- the table and the operating system -------------------------------------------------------------------------

    def event(self, event: Event) -> None:
        """Let the table handle it, and do what it says."""
        effects = self.table.handle(event, float(self.now))
        self.table.check_invariants()
        if self.mode.twin:
            assert self.twin.handle(event, float(self.now)) == effects, event
            assert self.twin.snapshot() == self.table.snapshot(), event
            self.twin = ProcessTable.restore(self.twin.snapshot())
        for effect in effects:  # whoever reaps logs the death before anybody is told
            if isinstance(effect, Report) and effect.kind == "process_exited":
                self.log(self.labels[effect.serial], "down", effect.detail)
        for effect in effects:
            self.perform(effect)

    def perform(self, effect: Effect) -> None:
        match effect:
            case Fork(serial):
                self.actors[serial] = Actor(serial)
                self.facts.append(Born(serial, 1000 + serial))
            case Kill(serial):
                self.kill(serial)
            case Deliver(to, seq, body) if to in self.actors:
                actor = self.actors[to]
                if self.mode.jam and actor is not self.driver and seq not in actor.jammed_seqs:
                    actor.jammed_seqs.add(seq)
                    self.facts.append(Undelivered(to, seq, body))
                    self.facts.append(Writable(to))
                    return
                assert seq == actor.seq + 1, f"frame {seq} of {actor.label} after {actor.seq}"
                actor.seq = seq
                self.deliver(actor, body)
                if actor is self.driver:
                    self.facts.append(Received(to, seq))

    def kill(self, serial: int) -> None:
        """SIGKILL: nothing more is heard of it but its death."""
        if self.actors.pop(serial, None) is not None:
            self.facts.append(Exited(serial, CLD_KILLED, SIGKILL))

    def deliver(self, actor: Actor, body: Delivery) -> None:
        match body:
            case Begin(_, _, _, spec):
                actor.body = self.live(actor, spec)
                self.ready.append((actor, actor.waiting))
            case Answer(number):
                actor.answers[number] = body
                self.wake(actor, f"answer {number}")
            case Exit(frm, reason):
                self.post(actor, ["exit_msg", self.labels[frm], reason])
            case Down(refs, pid, reason):
                for ref in refs:
                    self.down(actor, ref, pid, reason)
            case _:
                raise AssertionError(f"not expected in these vectors: {body}")

    def down(self, actor: Actor, ref: int, pid: int, reason: Reason) -> None:
        if ref in actor.hidden:
            actor.hidden[ref] = reason
            self.wake(actor, f"down {ref}")
        else:
            name, target = actor.refs[ref]
            self.post(actor, ["down_msg", name, target or self.labels[pid], reason])

    def post(self, actor: Actor, mail: list[Any]) -> None:
        actor.mail.append(mail)
        self.wake(actor, "mail")

    def wake(self, actor: Actor, waiting: str) -> None:
        if actor.waiting == waiting:
            self.ready.append((actor, waiting))

    # ---- virtual time -----------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Everything that happens at this instant."""
        while self.ready or self.facts:
            while self.ready:
                actor, waiting = self.ready.popleft()
                if actor.waiting == waiting and (actor is self.driver or self.actors.get(actor.serial) is actor):
                    self.resume(actor)
            if self.facts:
                self.event(self.facts.popleft())

    def resume(self, actor: Actor) -> None:
        assert actor.body is not None
        try:
            actor.waiting = next(actor.body)
        except Ended as ended:
            self.exit(actor, ended.reason)
        except StopIteration:
            actor.waiting = "nothing"

    def exit(self, actor: Actor, reason: Reason | None) -> None:
        del self.actors[actor.serial]
        self.facts.append(Exited(actor.serial, CLD_EXITED, 0 if reason in (None, "normal") else 1, reason))

    def advance(self) -> bool:
        """Go to the next timer; False when there is none."""
        if not self.timers:
            return False
        self.now, _, actor, sleep = heapq.heappop(self.timers)
        if actor.sleep == sleep and (actor is self.driver or self.actors.get(actor.serial) is actor):
            self.ready.append((actor, actor.waiting))
        return True

    def settle(self, ticks: int) -> None:
        """FORMAT.md §5: until no line has appeared for ``ticks``."""
        self.run()
        self.last_log = self.now
        while self.timers and self.timers[0][0] <= self.last_log + ticks:
            self.advance()
            self.run()
        self.now = max(self.now, self.last_log + ticks)

    def log(self, label: str, *event: Any) -> None:
        self.last_log = self.now
        self.events.append([label, *event])

    # ---- what an actor's code may wait for --------------------------------------------------------------------------

    def ask(self, actor: Actor, body: Request) -> Generator[str, None, Answer]:
        actor.number += 1
        number = actor.number
        waiting = actor.waiting
        actor.waiting = f"answer {number}"
        self.event(Asked(actor.serial, number, body))
        while number not in actor.answers:
            yield f"answer {number}"
        actor.waiting = waiting
        return actor.answers.pop(number)

    def pause(self, actor: Actor, ticks: int, waiting: str) -> Generator[str, None, None]:
        """Wait for ``waiting``, at most ``ticks``."""
        actor.sleep = self.timer_count = self.timer_count + 1
        heapq.heappush(self.timers, (self.now + ticks, self.timer_count, actor, actor.sleep))
        yield waiting
        actor.sleep = 0

    # ---- actors -----------------------------------------------------------------------------------------------------

    def live(self, actor: Actor, spec: ProcessSpec) -> Body:
        """What a process does: init, Booted, then one message after the other."""
        definition, name = spec.args
        self.name_of(actor.serial, str(name))
        actor.label = self.labels[actor.serial]
        self.log(actor.label, "init")
        outcomes = self.vector["defs"][definition].get("init", ["ok"])
        outcome = outcomes[min(self.inits[str(name)], len(outcomes) - 1)]
        self.inits[str(name)] += 1
        if outcome != "ok":
            raise Ended(outcome["exit"] if "exit" in outcome else {"error": outcome["crash"]})
        self.facts.append(Booted(actor.serial))
        while True:
            while not actor.work and not actor.mail:
                yield "mail"
            if actor.mail:
                self.log(actor.label, *actor.mail.popleft())
                continue
            ops, reply = actor.work.popleft()
            results = []
            for op in ops:
                results.append((yield from self.execute(actor, op)))
            reply(results)

    def name_of(self, serial: int, name: str) -> str:
        """The label of the incarnation, numbered when it is first spoken of."""
        if serial not in self.labels:
            self.starts[name] += 1
            self.labels[serial] = f"{name}#{self.starts[name]}"
            self.serials[self.labels[serial]] = self.serials[name] = serial
        return self.labels[serial]

    def drive(self) -> Body:
        yield from self.ask(self.driver, TrapExit(True))
        for step in self.vector["steps"]:
            yield "step"
            result = yield from self.do(step) if step["op"] == "do" else self.execute(self.driver, step)
            self.done.append(result)

    def do(self, step: dict[str, Any]) -> Body:
        """Have an actor execute operations, and watch it meanwhile."""
        driver = self.driver
        if step["who"] not in self.serials:
            return {"error": "no_such_actor"}
        serial = self.serials[step["who"]]
        got: list[list[Any]] = []
        actor = self.actors.get(serial)
        if not step.get("wait", True):
            if actor is not None:
                actor.work.append((step["ops"], lambda results: self.log(actor.label, "result", results)))
                self.wake(actor, "mail")
            return "started"
        ref = yield from self.watch(driver, serial)
        if actor is not None and driver.hidden[ref] is None:

            def reply(results: list[Any]) -> None:
                got.append(results)
                self.wake(driver, f"down {ref}")

            actor.work.append((step["ops"], reply))
            self.wake(actor, "mail")
        while not got and driver.hidden[ref] is None:
            yield f"down {ref}"
        yield from self.ask(driver, Demonitor(ref))
        return got[0] if got else {"down": driver.hidden[ref]}

    def watch(self, actor: Actor, serial: int) -> Generator[str, None, int]:
        """A monitor of the library's own, whose DOWN is no message."""
        ref = 1_000_000 + actor.number
        actor.hidden[ref] = None
        yield from self.ask(actor, Monitor(ref, serial))
        return ref

    def execute(self, actor: Actor, op: dict[str, Any]) -> Body:
        """One operation of FORMAT.md §4."""
        match op["op"]:
            case "start" | "start_link" | "spawn" | "spawn_link" | "spawn_monitor":
                return (yield from self.start(actor, op))
            case "exit" | "crash" | "throw" | "return":
                raise Ended(_own_reason(op))
            case "sleep":
                wanted = self.now + op["ticks"]
                while self.now < wanted:
                    yield from self.pause(actor, wanted - self.now, "sleep")
                return "ok"
            case "log":
                self.log(actor.label, "note", op["value"])
                return "ok"
            case "recv":
                return (yield from self.recv(actor, op.get("timeout", 20)))
            case "register" | "unregister" | "whereis":
                return (yield from self.names(actor, op))
            case "demonitor":
                return (yield from self.demonitor(actor, op))
            case "trap_exit":
                return (yield from self.ask(actor, TrapExit(op["on"]))).value
        target = yield from self.resolve(actor, op["to"])
        match op["op"]:
            case "kill" if self.mode.external_kill:
                self.kill(target)
                return True
            case "kill" | "exit_signal":
                yield from self.ask(actor, SendExit(target, op.get("reason", "kill")))
                return True
            case "send":
                if target is None:
                    return {"raise": "badarg"}
                if target in self.actors:
                    self.post(self.actors[target], ["msg", actor.label, op["msg"]])
                return "ok"
            case "link":
                answer = yield from self.ask(actor, Link(target))
                return answer.value if answer.error is None else {"raise": answer.error[1]}
            case "unlink":
                return (yield from self.ask(actor, Unlink(target))).value
            case "monitor":
                return (yield from self.monitor(actor, op))
            case "is_alive":
                return (yield from self.ask(actor, IsAlive(target))).value
            case "wait_dead":
                ref = yield from self.watch(actor, target)
                while actor.hidden[ref] is None:
                    yield f"down {ref}"
                return "ok"
            case other:
                raise NotImplementedError(other)

    def start(self, actor: Actor, op: dict[str, Any]) -> Body:
        definition, name = op["def"], op.get("as", op["def"])
        how = self.vector["defs"][definition]
        spec = ProcessSpec("vector:actor", [definition, name], trap_exit=how.get("trap_exit", False), name=how.get("name"))
        ref = 0
        if op["op"] == "spawn_monitor":
            ref = self.new_ref(actor, op["ref"])
        wait = op["op"].startswith("start")
        answer = yield from self.ask(actor, Spawn(spec, op["op"].endswith("_link"), ref, wait))
        if answer.error is not None:
            return {"error": answer.error[1]}
        return "ignore" if answer.value is None else {"ok": self.name_of(answer.value, name)}  # type: ignore[arg-type]

    def recv(self, actor: Actor, ticks: int) -> Body:
        until = self.now + ticks
        while not actor.mail and self.now < until:
            yield from self.pause(actor, until - self.now, "mail")
        return actor.mail.popleft() if actor.mail else None

    def names(self, actor: Actor, op: dict[str, Any]) -> Body:
        if op["op"] == "whereis":
            serial = (yield from self.ask(actor, Whereis(op["name"]))).value
            return None if serial is None else self.labels[serial]  # type: ignore[index]
        if op["op"] == "unregister":
            answer = yield from self.ask(actor, Unregister(op["name"]))
        else:
            who = (yield from self.resolve(actor, op["who"])) if "who" in op else 0
            answer = yield from self.ask(actor, Register(op["name"], who))
        return True if answer.error is None else {"raise": "badarg"}

    def new_ref(self, actor: Actor, name: str, target: str = "") -> int:
        ref = len(actor.refs) + 1
        actor.refs[ref] = (name, target)
        return ref

    def monitor(self, actor: Actor, op: dict[str, Any]) -> Body:
        named = op["to"].startswith("@")
        ref = self.new_ref(actor, op["ref"], op["to"] if named else "")
        request = Monitor(ref, name=op["to"][1:]) if named else Monitor(ref, (yield from self.resolve(actor, op["to"])))
        yield from self.ask(actor, request)
        return "ok"

    def demonitor(self, actor: Actor, op: dict[str, Any]) -> Body:
        existed: Any = False
        for ref, (name, _) in actor.refs.items():
            if name == op["ref"]:
                existed = (yield from self.ask(actor, Demonitor(ref))).value or existed
        if op.get("flush"):
            actor.mail = deque(mail for mail in actor.mail if mail[:2] != ["down_msg", op["ref"]])
        return existed if op.get("info") else True

    def resolve(self, actor: Actor, target: str) -> Body:
        """The serial of a target; None for a name that nobody has."""
        if target == "self":
            return actor.serial
        if target.startswith("@"):
            return (yield from self.ask(actor, Whereis(target[1:]))).value
        return self.serials[target]

    # ---- a whole vector ---------------------------------------------------------------------------------------------

    def play(self) -> dict[str, Any]:
        """Run all steps; the raw trace of FORMAT.md §6."""
        self.run()
        steps = []
        for number, step in enumerate(self.vector["steps"]):
            self.events = []
            self.ready.append((self.driver, self.driver.waiting))
            self.run()
            while len(self.done) <= number:
                assert self.advance(), f"step {number} never ends"
                self.run()
            self.settle(step.get("settle", SETTLE))
            while self.driver.mail:
                self.log("driver", *self.driver.mail.popleft())
            steps.append({"result": self.done[number], "events": self.events})
        alive = [self.labels[serial] for serial, actor in self.actors.items() if actor is not self.driver and actor.label]
        return json.loads(json.dumps({"steps": steps, "final": {"alive": alive}}))  # type: ignore[no-any-return]


def _own_reason(op: dict[str, Any]) -> Reason | None:
    match op["op"]:
        case "return":
            return None
        case "crash":
            return {"error": op["reason"]}
        case "throw":
            return {"throw": op["reason"]}
    return op["reason"]  # type: ignore[no-any-return]
