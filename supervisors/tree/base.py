"""What all supervisors have in common: children that are started and stopped one step after the other, deaths, restarts.

A supervisor is a process that waits: for the init of a child, for the death of one that it stops. Everything else that
arrives meanwhile queues, as in OTP. What it still has to do is an agenda of steps, so its whole state is data and it may
run as a resident of the node or in a process of its own.
"""

from __future__ import annotations

from collections import deque

import msgspec

from actorcore.exit_reason import KILL, SHUTDOWN, Reason, Term
from actorcore.frames import decode_ext, encoder
from actorcore.residents import AnswerTo, CancelAlarm, Do, Leave, Order, Ready, Refuse, SetAlarm, Tell
from actorcore.signals import (
    NOBODY,
    Alarm,
    Answer,
    Asking,
    Begin,
    Delivery,
    Down,
    Exit,
    IsAlive,
    Monitor,
    Request,
    SendExit,
    Spawn,
    Started,
    Unlink,
)
from supervisors.tree.child_spec import is_restarted
from supervisors.tree.restart_budget import Budget, decide, is_shortage, shortage_wait_s
from supervisors.tree.spec import Child
from supervisors.tree.words import (
    AnswerStep,
    Asker,
    BackoffOver,
    CountChildren,
    Counting,
    Dying,
    LeaveStep,
    Life,
    Memory,
    Message,
    ReadyStep,
    StartStep,
    Step,
    Stop,
    StopAllStep,
    StopStep,
    SupervisorRequest,
    TryAgain,
    WhichChildren,
    decode_request,
)

Refusal = tuple[str, Term]
BACKOFF = "backoff "
"""Begins the key of an alarm that ends the wait of a child; the others are refs of monitors."""


class BaseSupervisor:
    """The machine without its strategy: what subclasses decide are the methods that raise NotImplementedError."""

    budget: Budget
    _is_dynamic = True
    """Whether it counts its list, or asks who of it lives (supervisor.erl, handle_call count_children)."""

    def __init__(self) -> None:
        self.now = 0.0
        self.orders: list[Order] = []
        self.children: dict[int, Life] = {}
        self._parent = NOBODY
        self._last_number = self._last_key = 0
        self._times: list[float] = []
        self._agenda: deque[Step] = deque()
        self._mail: deque[Message] = deque()
        self._starting = 0
        self._start: StartStep | None = None
        self._dying: dict[int, Dying] = {}
        self._counting: Counting | None = None
        self._probes: dict[int, Asker] = {}

    # ---- what a kind of supervisor decides --------------------------------------------------------------------------

    def _first_steps(self) -> list[Step] | str:
        """What to do before it is ready, or what is wrong with the spec."""
        raise NotImplementedError

    def _restart(self, life: Life) -> list[Step]:
        """The steps of a restart that is within the budget."""
        raise NotImplementedError

    def _stop_all(self) -> list[Step]:
        raise NotImplementedError

    def _serve(self, asker: Asker, request: SupervisorRequest) -> Refusal | None:
        """A request that not every kind answers alike."""
        raise NotImplementedError

    def _on_start_refused(self, life: Life, step: StartStep, reason: Reason) -> None:
        """Its init said no."""
        raise NotImplementedError

    def _on_ignored(self, life: Life, step: StartStep) -> None:
        """Its init said ignore."""
        raise NotImplementedError

    def _is_end(self, life: Life) -> bool:
        """``life`` has ended by itself for good: whether that ends the supervisor (auto_shutdown)."""
        return False

    def _forget(self, life: Life) -> None:
        """It is not restarted: it leaves the list, or stays as one that is stopped."""
        raise NotImplementedError

    def _resume(self) -> bool:
        """Nothing is to be done: whether something that was put off can be, and is on the agenda now."""
        return False

    # ---- the resident -----------------------------------------------------------------------------------------------

    def handle(self, body: Delivery, now: float) -> list[Order]:
        """React to one delivery at monotonic time ``now`` (seconds)."""
        self.now, self.orders = now, []
        self._receive(body)
        while not self._is_waiting():
            if self._agenda:
                self._take(self._agenda.popleft())
            elif self._mail:
                self._process(self._mail.popleft())
            elif not self._resume():
                break
        return self.orders

    def _receive(self, body: Delivery) -> None:
        match body:
            case Begin():
                self._parent = body.parent
                steps = self._first_steps()
                self._agenda.extend([LeaveStep({"invalid_spec": steps}, True)] if isinstance(steps, str) else steps)
            case Started(number) if number == self._starting and number:
                self._on_started(body)
            case Down(refs, _, reason):
                for ref in refs:
                    self._on_dead(ref, reason)
            case Alarm(key) if key.startswith(BACKOFF):
                self._mail.append(BackoffOver(int(key.removeprefix(BACKOFF))))
            case Alarm(key):
                self._on_late(int(key))
            case Answer(number, value):
                self._on_answer(number, value is True)
            case Asking() | Exit():
                self._mail.append(body)
            case _:
                pass  # of no concern to a supervisor

    def _is_waiting(self) -> bool:
        return bool(self._starting or self._dying or self._counting)

    # ---- messages ---------------------------------------------------------------------------------------------------

    def _process(self, message: Message) -> None:
        match message:
            case Asking(frm, number, body):
                request = decode_request(body)
                refusal = ("invalid_message", request) if isinstance(request, str) else self._answer((frm, number), request)
                if refusal is not None:
                    self.orders.append(AnswerTo(frm, number, error=refusal))
            case Exit(frm, reason) if frm in (self._parent, NOBODY):  # nobody's: the daemon ends
                self._leave(reason)
            case Exit(frm, reason):
                life = next((life for life in self.children.values() if life.serial == frm), None)
                if life is not None:  # else a stranger's: no concern of a supervisor
                    self._on_death(life, reason)
            case TryAgain(key):
                tried = self.children.get(key)
                if tried is not None and tried.restarting:
                    self._try_restart(tried)
            case BackoffOver(key):
                waiting = self.children.get(key)
                if waiting is not None and waiting.restarting:  # else it was stopped, or came back with another
                    self._agenda.extend(self._restart(waiting))

    def _answer(self, asker: Asker, request: SupervisorRequest) -> Refusal | None:
        match request:
            case WhichChildren():
                rows: list[Term] = [
                    [life.spec.id, "restarting" if life.restarting else life.serial or None, life.spec.type]
                    for life in self.children.values()
                ]
                self.orders.append(AnswerTo(*asker, rows))
            case CountChildren():
                serials = [life.serial for life in self.children.values() if life.serial]
                if self._is_dynamic:
                    self._counting = Counting(asker, [], len(serials))
                else:
                    self._counting = Counting(asker, [self._do(IsAlive(serial)) for serial in serials])
                self._end_count()
            case Stop(reason):
                self._leave(reason, asker)
            case _:
                return self._serve(asker, request)
        return None

    def _leave(self, reason: Reason, asker: Asker | None = None) -> None:
        self._agenda.clear()
        self._agenda.extend(self._stop_all())
        if asker is not None:
            self._agenda.append(AnswerStep(asker))
        self._agenda.append(LeaveStep(reason))

    def _on_death(self, life: Life, reason: Reason) -> None:
        life.last_serial, life.serial = life.serial, 0
        if is_restarted(life.spec.restart, reason):
            self._tell("child_crashed", life, reason)
            self._try_restart(life)
            return
        self._tell("child_ended", life, reason)
        self._forget(life)
        if self._is_end(life):
            self._leave(SHUTDOWN)

    def _try_restart(self, life: Life) -> None:
        verdict = decide(self.budget, self._times, life.streak, life.ready_at, self.now)
        self._times, life.streak, life.ready_at = verdict.times, verdict.streak, None
        if not verdict.is_allowed:
            self._tell("restart_limit_reached", life, SHUTDOWN)
            life.restarting = False
            self._leave(SHUTDOWN)
        elif verdict.wait_s > 0:
            life.restarting = True
            self.orders.append(SetAlarm(f"{BACKOFF}{life.key}", self.now + verdict.wait_s))
        else:
            self._agenda.extend(self._restart(life))

    # ---- steps ------------------------------------------------------------------------------------------------------

    def _take(self, step: Step) -> None:
        match step:
            case StartStep(key):
                self._start, self._starting = step, self._do(Spawn(self.children[key].spec.process, link=True))
            case StopStep(key, forget):
                self._stop_child(self.children[key], forget)
            case StopAllStep():
                for life in list(self.children.values()):
                    self._stop_child(life, True)
            case AnswerStep(asker):
                self.orders.append(AnswerTo(*asker, True))
            case ReadyStep():
                self.orders.append(Ready())
            case LeaveStep(reason, refused):
                self.orders.append(Refuse(reason) if refused else Leave(reason))

    def _stop_child(self, life: Life, forget: bool) -> None:
        """OTP's shutdown of a child: by monitor, so that one that has unlinked itself does not escape (supervisor.erl). One that
        somebody has killed meanwhile is waited for too (a monitor of the dying): what is below it ends only with it."""
        life.restarting = False
        if not life.serial:
            self._drop(life, forget)
            return
        ref = self._do(Monitor(self._last_number + 1, life.serial))
        grace = life.spec.grace()
        self._do(SendExit(life.serial, KILL if grace == "brutal_kill" else SHUTDOWN))
        # Behind the signal: who is killed between the two leaves no child that nobody ends.
        self._do(Unlink(life.serial))
        self._dying[ref] = Dying(life.key, life.serial, forget)
        if not isinstance(grace, str):
            self.orders.append(SetAlarm(str(ref), self.now + grace))

    def _on_late(self, ref: int) -> None:
        if (dying := self._dying.get(ref)) is not None:
            self._do(SendExit(dying.serial, KILL))

    def _on_dead(self, ref: int, reason: Reason) -> None:
        dying = self._dying.pop(ref, None)
        if dying is None:
            return
        self.orders.append(CancelAlarm(str(ref)))
        life = self.children[dying.key]
        # It may have died before it was unlinked.
        self._mail = deque(mail for mail in self._mail if not (isinstance(mail, Exit) and mail.frm == dying.serial))
        life.serial = 0
        self._tell("child_stopped", life, reason)
        self._drop(life, dying.forget)

    def _drop(self, life: Life, forget: bool) -> None:
        if forget or life.spec.restart == "temporary":
            del self.children[life.key]

    def _on_started(self, fact: Started) -> None:
        step, self._start, self._starting = self._start, None, 0
        assert step is not None
        life = self.children[step.key]
        if fact.error is not None:
            self._on_start_refused(life, step, fact.error)
            return
        life.restarting, life.ready_at, life.shortages = False, self.now, 0
        if fact.ignored:
            self._on_ignored(life, step)
            return
        life.serial = fact.serial
        if step.why == "request":
            self.orders.append(AnswerTo(*step.asker, life.serial))

    def _retry(self, life: Life, reason: Reason) -> None:
        """As OTP does: the next try comes after what is in the mailbox already. What fails for want of a process costs no
        budget, however long it takes (C11)."""
        life.restarting = True
        if is_shortage(reason):
            life.shortages += 1
            self.orders.append(SetAlarm(f"{BACKOFF}{life.key}", self.now + shortage_wait_s(life.shortages)))
        else:
            self._mail.append(TryAgain(life.key))

    def _probe(self, asker: Asker, serial: int) -> None:
        """``asker`` is told True if ``serial`` is dead, else ``not_found``."""
        self._probes[self._do(IsAlive(serial))] = asker

    def _on_answer(self, number: int, is_alive: bool) -> None:
        if (asker := self._probes.pop(number, None)) is not None:
            self.orders.append(AnswerTo(*asker, error=("not_found", None)) if is_alive else AnswerTo(*asker, True))
            return
        counting = self._counting
        if counting is not None and number in counting.open:
            counting.open.remove(number)
            counting.active += is_alive
            self._end_count()

    def _end_count(self) -> None:
        counting = self._counting
        if counting is None or counting.open:
            return
        types = [life.spec.type for life in self.children.values()]
        self._counting = None
        self.orders.append(AnswerTo(*counting.asker, {
            "specs": self._specs(), "active": counting.active,
            "supervisors": types.count("supervisor"), "workers": types.count("worker"),
        }))  # fmt: skip

    def _find_serial(self, serial: int) -> Life | None:
        """The child that runs as ``serial``, or did before its restart began."""
        for life in self.children.values():
            if serial and serial == (life.last_serial if life.restarting else life.serial):
                return life
        return None

    def _specs(self) -> int:
        return len(self.children)

    # ---- small things -----------------------------------------------------------------------------------------------

    def _add(self, spec: Child) -> Life:
        self._last_key += 1
        life = self.children[self._last_key] = Life(self._last_key, spec)
        return life

    def _do(self, request: Request) -> int:
        self._last_number += 1
        self.orders.append(Do(self._last_number, request))
        return self._last_number

    def _tell(self, kind: str, life: Life, reason: Reason) -> None:
        self.orders.append(Tell(kind, life.serial or life.last_serial, {"id": life.spec.id, "reason": reason}))

    # ---- memory -----------------------------------------------------------------------------------------------------

    def _memory(self, spec: msgspec.Struct) -> bytes:
        return encoder.encode(Memory(
            msgspec.Raw(encoder.encode(spec)), self._parent, self._last_number, self._last_key, self._times,
            list(self.children.values()), list(self._agenda), list(self._mail), self._starting, self._start,
            self._dying, self._counting, self._probes,
        ))  # fmt: skip

    def _recall(self, state: bytes) -> msgspec.Raw:
        """Take all but the spec out of ``state``; the spec."""
        memory = _decoder.decode(state)
        self._parent, self._last_number, self._last_key = memory.parent, memory.last_number, memory.last_key
        self._times, self._starting, self._start = memory.times, memory.starting, memory.start
        self._dying, self._counting, self._probes = memory.dying, memory.counting, memory.probes
        self.children = {life.key: life for life in memory.children}
        self._agenda, self._mail = deque(memory.agenda), deque(memory.mail)
        return memory.spec


_decoder = msgspec.msgpack.Decoder(Memory, ext_hook=decode_ext)
