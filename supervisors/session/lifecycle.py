"""The course of sessions: what is asked of their supervisor, what it tells, the status that follows and the events of it.

Pure; what is to be done is appended to ``orders``. The supervisor (``system:sessions``) owns the processes: it restarts, gives
up, kills after the grace time. Here are the sessions as people know them; both live in the same node and see the same
events in the same order, so neither ever knows less than the other.
"""

from __future__ import annotations

import msgspec

from actorcore.exit_reason import NOPROC, NORMAL, Reason, Term
from actorcore.frames import encoder
from actorcore.residents import AnswerTo, AwaitEnd, CancelAlarm, Consult, Glance, Send, SetAlarm
from actorcore.signals import Answer, Monitor, ProcessSpec, Spawn
from supervisors.services.services import Ensure, Services
from supervisors.services.told import ServiceReborn
from supervisors.session.admissions import Asker
from supervisors.session.endings import NOTED_S, ring
from supervisors.session.record import SESSION, SessionRecord, child_spec, to_map
from supervisors.session.refusals import reason_in, refusal_of
from supervisors.session.state import WITH_PROCESS, Happening, next_status
from supervisors.session.telling import Telling
from supervisors.session.words import Errand, Memory, Slot
from supervisors.tree import session_words as supervisor

SUPERVISOR = "sessions"
LIMITER = "limiter"
RESUMING = "supervisors.session.resuming:main"
STARTS: tuple[Errand, ...] = ("start", "wake", "restart")
LOOKS_PER_TIMEOUT = 4
"""How exactly idleness is known: to a quarter of the timeout."""
FAREWELL = ":farewell"
"""Key of the alarm that ends the wait for the store; no id begins with a colon."""
CLOCK_STEP_S = 1e-6
"""Between two times that are given to sessions, however the wall clock is set."""


class Lifecycle(Telling):
    """All sessions by id, in the order of their creation."""

    def remembered(self) -> Memory:
        """Everything that the next incarnation of this object needs."""
        self.memory.sessions = list(self.slots.values())
        return self.memory

    def listed(self) -> list[Slot]:
        """Oldest first."""
        return sorted(self.slots.values(), key=Slot.place)

    def time(self) -> float:
        """The wall clock, and later than any time that was given to a session before."""
        self.memory.last_at = max(self.now + self.memory.offset_s, self.memory.last_at + CLOCK_STEP_S)
        return self.memory.last_at

    # ---- what people want -------------------------------------------------------------------------------------------

    def create(self, asker: Asker, record: SessionRecord, is_resumed: bool) -> None:
        self.memory.slots += 1
        self.memory.endings.begin(record.id)
        seq, told = self.memory.subscriptions.last_of(record.id, is_resumed)
        slot = Slot(self.memory.slots, record, began_at=self.now, starters=[asker], is_resumed=is_resumed, seq=seq, told=told,
                    is_new=not is_resumed)  # fmt: skip
        self.slots[record.id] = slot
        self.tell(slot, "session_created", name=record.name, metadata=record.metadata)
        self._consult("start", slot, supervisor.StartSession(child_spec(record), watch=True))

    def attempt(self, asker: Asker, id: str) -> None:
        """Have the limiter count that somebody wants to resume ``id``; he is answered when it has."""
        self.memory.orders += 1
        body = self.memory.admissions.ask(self.memory.orders, asker, id)
        self.orders.append(Consult(self.memory.orders, LIMITER, msgspec.Raw(encoder.encode(body))))

    def send_resumer(self) -> None:
        """Start the process that resumes what the daemon before has left."""
        self.do(Spawn(ProcessSpec(RESUMING, template=SESSION), wait_init=False))
        self.memory.errands[self.memory.orders] = ("resumer", "")

    def stop(self, slot: Slot) -> None:
        """Bring it to its end, from whatever status; who waits is in its ``stoppers``."""
        if slot.status == "terminating":
            return
        self.advance(slot, "stop")
        self._consult("stop", slot, supervisor.StopSession(slot.record.id))

    def suspend(self, slot: Slot) -> bool:
        """Let go of its process; False: that cannot be now."""
        if not self.advance(slot, "suspend"):
            return False
        slot.ending = True
        self._answer(slot.starters, error=("not_running", None))  # who says something else later is heard
        self._consult("stop", slot, supervisor.StopSession(slot.record.id))
        return True

    def wake(self, slot: Slot) -> bool:
        """A process for it, as soon as the one before is gone; False: that cannot be now."""
        if slot.ending:
            return True  # the one that waits in ``starters`` wakes it then
        if not self.advance(slot, "wake"):
            return False
        slot.began_at, slot.stale, slot.is_woken = self.now, False, True
        self._consult("wake", slot, supervisor.StartSession(child_spec(slot.record), watch=True))
        return True

    def restart(self, slot: Slot) -> bool:
        """Another process for it; one that is on its way is joined. False: that cannot be now."""
        if slot.status != "restarting" and not self.advance(slot, "retry"):
            return False
        slot.began_at = self.now
        self._consult("restart", slot, supervisor.RestartSession(slot.record.id))
        return True

    def replace(self, slot: Slot, record: SessionRecord, fields: list[str]) -> None:
        """The session has another record: its process is told, the next ones begin with it."""
        slot.record = msgspec.structs.replace(record, updated_at=self.time())
        self.tell(slot, "session_updated", fields=list(fields))
        if slot.status != "suspended":
            self._consult("none", slot, supervisor.ReplaceSpec(child_spec(slot.record)))
        if slot.status in WITH_PROCESS:
            self._send_record(slot)
        else:
            slot.stale = True

    def attach(self, slot: Slot, state: int, above: int) -> bool:
        """The process that remembers a group is another one now, a child of ``above``; it began with the record that its group
        began with. False: that is not the group's supervisor.
        """
        if slot.status in WITH_PROCESS and above != slot.serial:
            return False
        slot.state, slot.above, slot.handled, slot.active_at = state, above, 0, self.now
        self._send_record(slot)
        self._look_later(slot)
        return True

    def wind_up(self) -> bool:
        """The daemon ends: who sleeps does so for good. Whether nothing is left of anybody, and the store has noted it."""
        endings = self.memory.endings
        for slot in self.slots.values():
            if slot.status == "suspended" and not slot.ending:
                self.stop(slot)
        if self.slots:
            return False
        if endings.ids and endings.farewell == "none":
            endings.farewell = "said"
            self.memory.orders += 1
            self.memory.errands[self.memory.orders] = ("farewell", "")
            self.orders.append(Consult(self.memory.orders, Services.name, msgspec.Raw(encoder.encode(Ensure("store")))))
            self.orders.append(SetAlarm(FAREWELL, self.now + NOTED_S))
        return not endings.ids or endings.farewell == "over"

    # ---- what the supervisor says -----------------------------------------------------------------------------------

    def on_told(self, told: supervisor.SessionTold) -> None:
        slot = self.slots.get(told.id)
        if slot is None:
            return
        match told.kind:
            case "session_started":
                self._on_ready(slot, told.serial)
            case "session_restarted":
                slot.restarts = int(str(told.detail["count"]))
                self._on_ready(slot, told.serial)
                self.tell(slot, "session_restarted", old_pid=told.detail["old"] or None, new_pid=told.serial,
                          restart_count=slot.restarts, duration_s=self.now - slot.began_at)  # fmt: skip
            case "session_crashed":
                self._on_crash(slot, told.serial, reason_in(told.detail))
            case "session_restarting":
                self.advance(slot, "retry")
            case "session_gave_up":
                self.advance(slot, "give_up")
                self.tell(slot, "session_gave_up", reason=slot.reason, restart_count=slot.restarts)
            case "session_hung":
                self.advance(slot, "hang")
                self.tell(slot, "session_hung", why=told.detail["why"])
            case "session_recovered":
                self.advance(slot, "recover")
                self.tell(slot, "session_recovered")
            case "session_stopped" if slot.failure is not None:
                self._await_end(slot, told.serial)
            case "session_stopped":
                slot.reason = reason_in(told.detail)
                self._on_gone(slot)
            case _:
                raise AssertionError(f"unknown news {told.kind}")

    def on_started(self, number: int, serial: int) -> None:
        """A process that was spawned here runs: the one that resumes."""
        if self.memory.errands.pop(number, None) == ("resumer", ""):
            self.memory.admissions.resumer = serial

    def on_answer(self, answer: Answer) -> None:
        """To something that was asked of the supervisor or the limiter, or to an order that nobody waits for."""
        if answer.number in self.memory.admissions.asked:
            asker, id = self.memory.admissions.asked.pop(answer.number)
            if answer.error is None:
                self.memory.admissions.admit(id, self.now)
            self.orders.append(AnswerTo(*asker, answer.value, answer.error))
            return
        errand, id = self.memory.errands.pop(answer.number, ("none", ""))
        if errand == "farewell":
            if answer.error is None:
                self.orders.append(ring())
            else:
                self.memory.endings.farewell = "over"
        slot = self.slots.get(id)
        if slot is None or (errand in STARTS and answer.number != slot.start):
            return
        failed = answer.error if answer.error is not None or answer.value is not None else ("start_failed", "ignore")
        match errand:
            case "start" if failed is not None and slot.status == "initializing":
                self._on_not_started(slot, failed)
            case "wake" if failed is not None and slot.status == "restarting":
                self.advance(slot, "suspend")
                self._answer(slot.starters, error=refusal_of(failed))
            case "restart" if answer.error is not None:
                self._answer(slot.starters, error=refusal_of(answer.error))
            case "stop" if slot.status in ("terminating", "suspended"):  # of a process that the supervisor has not, or no more
                self._on_gone(slot)
            case "watch" if answer.error is not None:
                slot.reason = NOPROC
                self._on_gone(slot)
            case _:
                pass

    def on_reborn(self, before: int, after: int) -> None:
        """The manager was killed: nobody waits for it any more, and it hears of nothing unless it asks again."""
        self.memory.errands.clear()
        self.memory.admissions.asked.clear()
        self.memory.unproved.clear()
        if self.memory.endings.ids:
            self.memory.endings.farewell = "none"
            self.orders.append(ring())
        for slot in self.slots.values():
            slot.starters, slot.stoppers = [], []
            if slot.failure is not None:
                self.orders.append(AwaitEnd(slot.serial))
            elif slot.status != "suspended" or slot.ending:
                self._consult("watch", slot, supervisor.WatchSession(slot.record.id))
        self.on_service_reborn(ServiceReborn("manager", before), after)
        for one in self.memory.subscriptions.all():
            self.do(Monitor(one.ref, one.to))

    def _on_ready(self, slot: Slot, serial: int) -> None:
        slot.serial, slot.ready_at, slot.reason, slot.handled, slot.active_at = serial, self.now, None, 0, self.now
        slot.is_woken = slot.is_new = False
        if slot.above != serial:  # of an older group, or of a stranger that said so while this one was being started
            slot.state = 0
        self.advance(slot, "ready", self.now - slot.began_at)
        if slot.is_resumed:
            slot.is_resumed = False
            self.tell(slot, "session_resumed", duration_s=self.now - slot.began_at)
        if slot.stale:
            self._send_record(slot)
        self._look_later(slot)
        self._answer(slot.starters, slot.row())

    def _on_crash(self, slot: Slot, serial: int, reason: Reason) -> None:
        slot.reason = reason
        self.advance(slot, "crash")
        self.tell(slot, "session_crashed", reason=reason, pid=serial or None, duration_s=self._uptime(slot),
                  restart_count=slot.restarts)  # fmt: skip
        slot.serial, slot.ready_at, slot.began_at = 0, None, self.now

    def _on_not_started(self, slot: Slot, error: tuple[str, Term]) -> None:
        code, detail = error
        has_process = code == "start_failed"  # that did begin; the supervisor's news of its end follow
        slot.reason = detail if has_process and isinstance(detail, (str, dict)) else {code: detail}
        slot.failure = refusal_of(error)
        self.advance(slot, "crash")
        if slot.is_resumed:
            self.tell(slot, "resume_failed", id=slot.record.id, code=slot.failure[0])
        if not has_process:
            self._end(slot)

    def _await_end(self, slot: Slot, serial: int) -> None:
        """Its process has refused or was killed, and is on its way out: place and folder are free when that is over."""
        slot.serial = serial
        self.orders.append(AwaitEnd(serial))

    def on_ended(self, serial: int) -> None:
        """Nothing is left of a process that did not become a session."""
        for slot in list(self.slots.values()):
            if slot.failure is not None and slot.serial == serial:
                self._end(slot)

    def _on_gone(self, slot: Slot) -> None:
        """Its process is no more, and none will follow by itself."""
        if slot.status == "suspended":
            if slot.ending:
                slot.ending, slot.serial = False, 0
                self._answer(slot.stoppers, slot.row())
                if slot.starters:
                    self.wake(slot)
            return
        if slot.is_woken and self.advance(slot, "suspend"):  # it sleeps again: it did when somebody wanted to wake it
            self._answer(slot.starters, error=("start_failed", slot.reason))
            return
        if slot.status != "failed":  # it has ended by itself, or is being ended
            self.advance(slot, "stop")
        self._end(slot)

    def _end(self, slot: Slot) -> None:
        self.advance(slot, "gone")
        self.tell(slot, "session_terminated", reason=NORMAL if slot.reason is None else slot.reason,
                  restart_count=slot.restarts, duration_s=self._uptime(slot))  # fmt: skip
        self.orders.append(CancelAlarm(slot.record.id))
        if slot.record.durability != "none" and not (slot.is_resumed and slot.failure):  # that stays as it was
            self.orders.append(self.memory.endings.add(slot.record.id, slot.record.created_at if slot.is_new else None))
        del self.slots[slot.record.id]
        row = {**slot.row(), "serial": 0}
        self._answer(slot.stoppers[:1], row)
        self._answer(slot.stoppers[1:], error=("not_found", None))
        self._answer(slot.starters, error=slot.failure or ("start_failed", slot.reason))

    # ---- idleness ---------------------------------------------------------------------------------------------------

    def on_alarm(self, id: str) -> None:
        """It is time to look whether the session has something to do; or the store does not come."""
        if id == FAREWELL:
            self.memory.endings.farewell = "over"
        slot = self.slots.get(id)
        if slot is not None and slot.status in WITH_PROCESS:
            self.orders.append(Glance(slot.voice()))

    def on_inspected(self, seen: dict[int, tuple[float, int]]) -> None:
        """Since the last look it has handled something, or is at it; or else it rests, and some time it is stopped."""
        for slot in self.slots.values():
            if slot.voice() not in seen or slot.status not in WITH_PROCESS:
                continue
            busy_since, handled = seen[slot.voice()]
            if busy_since or handled != slot.handled:
                slot.handled, slot.active_at = handled, self.now
                self.advance(slot, "act")
            elif self.now - slot.active_at >= slot.record.policy.idle_timeout_s:
                self.stop(slot)
                continue
            else:
                self.advance(slot, "rest")
            self._look_later(slot)

    def _look_later(self, slot: Slot) -> None:
        timeout_s = slot.record.policy.idle_timeout_s
        if timeout_s:
            at = min(self.now + timeout_s / LOOKS_PER_TIMEOUT, slot.active_at + timeout_s)
            self.orders.append(SetAlarm(slot.record.id, at))

    # ---- steps ------------------------------------------------------------------------------------------------------

    def advance(self, slot: Slot, happening: Happening, duration_s: float | None = None) -> bool:
        """Change its status by the table and tell of it; False: nothing has changed."""
        status = next_status(slot.status, happening)
        if status is None:
            return False
        previous, slot.status = slot.status, status
        if status != previous:
            took: dict[str, Term] = {} if duration_s is None else {"duration_s": duration_s}
            self.tell(slot, "session_status", status=status, previous_status=previous, **took)
        return True

    def _consult(self, errand: Errand, slot: Slot, body: supervisor.SessionRequest) -> None:
        self.memory.orders += 1
        self.memory.errands[self.memory.orders] = (errand, slot.record.id)
        if errand in STARTS:
            slot.start = self.memory.orders
        self.orders.append(Consult(self.memory.orders, SUPERVISOR, msgspec.Raw(encoder.encode(body))))

    def _send_record(self, slot: Slot) -> None:
        slot.stale = False
        self.orders.append(Send(slot.voice(), msgspec.Raw(encoder.encode({"record": to_map(slot.record)}))))

    def _uptime(self, slot: Slot) -> float:
        return 0.0 if slot.ready_at is None else self.now - slot.ready_at

    def _answer(self, askers: list[Asker], value: Term = None, error: tuple[str, Term] | None = None) -> None:
        self.orders.extend(AnswerTo(frm, number, value, error) for frm, number in askers)
        askers.clear()
