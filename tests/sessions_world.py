"""A world in one object: it plays kernel to ``Sessions`` in virtual time and holds it to its promises at every step.

Before each delivery the resident is copied through its snapshot; the copy must answer with the same orders and end in
the same state, so every test that uses the world also shows that nothing is remembered outside of the snapshot.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

import msgspec

from actorcore.exit_reason import Reason
from actorcore.residents import AnswerTo, CancelAlarm, Do, EndStart, Order, SetAlarm, Tell
from actorcore.signals import Alarm, Answer, Asking, Delivery, Exit, ProcessSpec, Release, SendExit, Spawn, Started
from supervisors.tree.child_spec import ChildSpec
from supervisors.tree.session_words import GetSession, SessionRequest, StartSession
from supervisors.tree.sessions import Sessions

CLIENT = 1
BAD_INIT: Reason = {"error": {"type": "BadInit", "text": ""}}


def spec(id: str, kind: str = "ok", name: str | None = None, **fields: Any) -> ChildSpec:
    """``kind``: ``ok``, ``slow`` (ready when :meth:`World.boot` says so; it traps exits, and ends by one when it is ready),
    ``quick`` (slow, and traps none), ``stubborn`` (ignores exit signals) or ``lingering`` (stubborn, and killed only at
    :meth:`World.reap`: it hangs in the kernel)."""
    return ChildSpec(id, ProcessSpec(f"m:{kind}", args=[id], name=name), **fields)


@dataclass
class Process:
    """``id``: the session's; ``serial`` 0: still in init. ``ordered``: the exit signal that it has trapped there."""

    id: str
    kind: str
    name: str | None
    serial: int = 0
    ordered: Reason | None = None


class World:
    """``failing``: ids whose start fails, for the reason ``why``. ``kept``: names that are kept for it. ``tells``,
    ``sent`` (serial, reason), ``ended`` (number of the start, reason), ``answers`` are what was observed."""

    def __init__(self, max_sessions: int = 1000) -> None:
        self.max_sessions = max_sessions
        self.resident = self.new_resident()
        self.now = 100.0
        self.failing: set[str] = set()
        self.why: Reason = BAD_INIT
        self.booting: dict[int, Process] = {}
        self.alive: dict[int, Process] = {}
        self.dying: list[int] = []
        self.alarms: dict[str, float] = {}
        self.tells: list[Tell] = []
        self.told_at: list[float] = []
        self.sent: list[tuple[int, Reason]] = []
        self.ended: list[tuple[int, Reason]] = []
        self.answers: dict[int, AnswerTo] = {}
        self.asked: dict[int, SessionRequest | bytes] = {}
        self.kept: set[str] = set()
        self._queue: deque[Delivery] = deque()
        self._last_serial = 40

    def new_resident(self) -> Sessions:
        return Sessions(self.max_sessions)

    # ---- stimuli ----------------------------------------------------------------------------------------------------

    def ask(self, request: SessionRequest | bytes) -> int:
        """Ask and let everything happen that needs no time; the number finds the answer in ``answers``."""
        number = len(self.asked) + 1
        self.asked[number] = request
        body = request if isinstance(request, bytes) else msgspec.msgpack.encode(request)
        self.deliver(Asking(CLIENT, number, msgspec.Raw(body)))
        return number

    def value(self, request: SessionRequest | bytes) -> Any:
        answer = self.answers[self.ask(request)]
        assert answer.error is None, answer
        return answer.value

    def error(self, request: SessionRequest | bytes) -> Any:
        answer = self.answers[self.ask(request)]
        assert answer.error is not None, answer
        return answer.error

    def start(self, id: str, kind: str = "ok", name: str | None = None, **fields: Any) -> int:
        """Start a session; its serial."""
        serial = self.value(StartSession(spec(id, kind, name, **fields)))["serial"]
        assert isinstance(serial, int)
        return serial

    def row(self, id: str) -> Any:
        return self.value(GetSession(id))

    def state(self, id: str) -> Any:
        answer = self.answers[self.ask(GetSession(id))]
        return answer.value["state"] if isinstance(answer.value, dict) else None

    def serial(self, id: str) -> int:
        """The one live process of the session."""
        (serial,) = [process.serial for process in self.alive.values() if process.id == id]
        return serial

    def die(self, serial: int, reason: Reason) -> None:
        """The process dies now and its Exit is delivered."""
        del self.alive[serial]
        self.deliver(Exit(serial, reason))

    def boot(self, id: str, error: Reason | None = None, ignored: bool = False) -> None:
        """The slow init of the session's process comes to its end."""
        (number,) = [number for number, process in self.booting.items() if process.id == id]
        self._end_init(number, error, ignored)
        self._settle()

    def reap(self) -> None:
        """The killed processes that linger are dead at last."""
        for serial in self.dying:
            if serial in self.alive:
                self.die(serial, "killed")
        self.dying.clear()

    def advance(self, seconds: float) -> None:
        """Time passes; alarms ring in their order."""
        until = self.now + seconds
        while self.alarms and min(self.alarms.values()) <= until:
            key = min(self.alarms, key=lambda key: (self.alarms[key], key))
            self.now = max(self.now, self.alarms.pop(key))
            self.deliver(Alarm(key))
        self.now = until

    def deliver(self, body: Delivery) -> None:
        """Hand ``body`` to the resident, and whatever follows from it."""
        self._queue.append(body)
        self._settle()

    # ---- the kernel -------------------------------------------------------------------------------------------------

    def _settle(self) -> None:
        while self._queue:
            body = self._queue.popleft()
            twin = self.new_resident()
            before = self.resident.snapshot()
            twin.restore(before)
            orders = self.resident.handle(body, self.now)
            assert twin.handle(body, self.now) == orders, f"after restore {body} had another effect"
            assert twin.snapshot() == self.resident.snapshot()
            self.on_orders(orders)
            for order in orders:
                self._perform(order)
            self.check()

    def on_orders(self, orders: list[Order]) -> None:
        """A place for a test to look at the orders of one delivery."""

    def _perform(self, order: Order) -> None:
        match order:
            case Do(number, Spawn(start, link=True, wait_init=True, reserve=True)):
                if start.name is not None:
                    self.kept.add(start.name)
                self._spawn(number, start)
            case Do(number, Release(name)):
                self.kept.remove(name)
                self._queue.append(Answer(number, True))
            case Do(number, SendExit(to, reason)):
                assert (to, reason) not in self.sent, f"{to} was told {reason} twice"
                self.sent.append((to, reason))
                self._queue.append(Answer(number, True))
                self._signal(to, reason)
            case EndStart(number, start, reason):
                assert (start, reason) not in self.ended, f"the start {start} was told {reason} twice"
                self.ended.append((start, reason))
                self._queue.append(Answer(number, True))
                process = self.booting[start]
                process.ordered = reason
                if reason == "kill" or process.kind == "quick":
                    self._end_init(start, "killed" if reason == "kill" else reason, False)
            case AnswerTo(frm, number):
                assert frm == CLIENT
                assert number not in self.answers, f"{self.asked[number]!r} was answered twice"
                self.answers[number] = order
            case SetAlarm(key, at):
                self.alarms[key] = at
            case CancelAlarm(key):
                self.alarms.pop(key, None)
            case Tell():
                self.tells.append(order)
                self.told_at.append(self.now)
            case _:
                raise AssertionError(order)

    def _signal(self, serial: int, reason: Reason) -> None:
        process = self.alive.get(serial)
        if process is None or (reason != "kill" and process.kind in ("stubborn", "lingering")):
            return
        if process.kind == "lingering":
            self.dying.append(serial)
            return
        del self.alive[serial]
        self._queue.append(Exit(serial, "killed" if reason == "kill" else reason))

    def _spawn(self, number: int, process: ProcessSpec) -> None:
        id, kind = process.args[0], process.start.removeprefix("m:")
        assert isinstance(id, str)
        self.booting[number] = Process(id, kind, process.name)
        if kind not in ("slow", "quick"):
            self._end_init(number, self.why if id in self.failing else None, False)

    def _end_init(self, number: int, error: Reason | None, ignored: bool) -> None:
        process = self.booting.pop(number)
        self._last_serial += 1
        if error is not None or ignored:
            self._queue.append(Started(number, self._last_serial, error, ignored))
            return
        process.serial = self._last_serial
        self.alive[process.serial] = process
        self._queue.append(Started(number, process.serial))
        if process.ordered is not None:
            del self.alive[process.serial]
            self._queue.append(Exit(process.serial, process.ordered))

    # ---- promises ---------------------------------------------------------------------------------------------------

    def check(self) -> None:
        """What holds after every step, whatever happened."""
        processes = [*self.alive.values(), *self.booting.values()]
        ids = [process.id for process in processes]
        assert len(ids) == len(set(ids)), "two processes of one session"
        names = [process.name for process in processes if process.name is not None]
        assert len(names) == len(set(names)), "two processes of one name"
        listed = {session.spec.id: session for session in self.resident._lives.sessions.values()}
        assert set(ids) <= set(listed), "a process of no session"
        reserved = [session.spec.process.name for session in listed.values() if session.spec.process.name is not None]
        assert sorted(reserved) == sorted(self.resident._lives.names), "names in specs are reserved while listed"
        assert self.kept == set(reserved), "and kept in the table"
        assert len(listed) <= self.max_sessions
        for session in listed.values():
            waits = session.state in ("active", "unresponsive", "gave_up")
            assert not (waits and (session.starters or session.stoppers)), f"{session} leaves somebody waiting"
            is_under_way = session.has_process() or session.alarm != ""
            assert is_under_way == (session.state != "gave_up"), f"{session} is stuck"

    def kinds(self, id: str) -> list[str]:
        """The telemetry of one session."""
        return [tell.kind for tell in self.tells if isinstance(tell.detail, dict) and tell.detail["id"] == id]
