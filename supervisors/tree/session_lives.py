"""The lives of sessions: start, death, restart, stop. Pure; what is to be done is appended to ``orders``.

A session's process is known by its serial from Started to Exit, and by the number of its Spawn before; everything that
arrives under another serial or number belongs to the past and changes nothing.

A session is not restarted beside itself: where its supervisor was killed and a child of that still saves, under a name that the
next one needs, the restart comes when the child has ended, of itself or at its shutdown time, and costs no more than the one
that the death has cost (OTP: each try that finds the name taken counts).
"""

from __future__ import annotations

import msgspec

from actorcore.exit_reason import KILL, KILLED, NORMAL, SHUTDOWN, Reason, Term, is_abnormal
from actorcore.frames import encoder
from actorcore.residents import AnswerTo, CancelAlarm, Do, EndStart, Order, Send, SetAlarm, Tell
from actorcore.signals import Answer, Monitor, Processes, Release, Request, SendExit, Spawn, Started
from supervisors.services.told import tell_life
from supervisors.tree.child_spec import ChildSpec, is_restarted
from supervisors.tree.restart_budget import decide, is_shortage, shortage_wait_s
from supervisors.tree.session_words import Asker, Closing, Memory, Session, SessionTold, State, short_reason
from supervisors.tree.survivors import Survivor, parent_in, survivor_in

CLOSING = ":closing"
"""Key of the alarm that ends the common grace time; no session's key begins with a colon."""


class SessionLives:
    """All sessions in start order, by id; ``names`` are the registered names in their specs, reserved while listed."""

    def __init__(self, memory: Memory) -> None:
        self.now = 0.0
        self.orders: list[Order] = []
        self.closing = memory.closing
        self.leaving = memory.leaving
        self.sessions = {session.spec.id: session for session in memory.sessions}
        self.names = {name: id for id, session in self.sessions.items() if (name := session.spec.process.name) is not None}
        self._by_serial = {session.serial: session for session in memory.sessions if session.serial}
        self._by_spawn = {session.spawn: session for session in memory.sessions if session.spawn}
        self._by_survivor = {session.survivor.number: session for session in memory.sessions if session.survivor is not None}
        self._last_order, self._last_start, self._last_alarm = memory.orders, memory.starts, memory.alarms

    def memory(self) -> Memory:
        """Everything that the next incarnation of this object needs."""
        return Memory(
            orders=self._last_order, starts=self._last_start, alarms=self._last_alarm,
            sessions=list(self.sessions.values()), closing=self.closing, leaving=self.leaving,
        )  # fmt: skip

    # ---- what askers want -------------------------------------------------------------------------------------------

    def start(self, asker: Asker, spec: ChildSpec, watcher: int = 0, is_service: bool = False) -> None:
        self._last_start += 1
        session = Session(number=self._last_start, spec=spec, starters=[asker], watcher=watcher, is_service=is_service)
        self.sessions[spec.id] = session
        if spec.process.name is not None:
            self.names[spec.process.name] = spec.id
        self._spawn(session, "starting")

    def stop(self, session: Session) -> None:
        """Bring it to its end, from whatever state."""
        session.comes_back = False
        if session.state == "stopping":
            return
        if session.has_process():
            self._set_state_stopping(session)
        else:  # given up, or a restart is waiting: there is nothing to wait for (B11)
            self._remove(session)

    def restart(self, asker: Asker, session: Session) -> None:
        """A new incarnation that costs no budget; one that is already on its way is joined."""
        session.starters.append(asker)
        if session.state in ("active", "unresponsive"):
            session.comes_back = True
            self._set_state_stopping(session)
        elif session.state == "gave_up":
            session.times, session.streak = [], 0
            self._spawn(session, "restarting")
        elif session.state == "restarting" and not session.has_process():
            self._spawn(session, "restarting")

    def close(self, asker: Asker | None, grace_s: float) -> None:
        """Stop all, asked in reverse start order, and kill who is left after ``grace_s``."""
        self.closing = Closing(count=len(self.sessions), askers=[] if asker is None else [asker])
        for session in reversed(list(self.sessions.values())):
            self.stop(session)
        if self.sessions:
            self.orders.append(SetAlarm(CLOSING, self.now + grace_s))

    # ---- what happens to processes ----------------------------------------------------------------------------------

    def on_started(self, fact: Started) -> None:
        session = self._by_spawn.pop(fact.number, None)
        if session is None:
            return
        session.spawn = 0
        if fact.error is not None or fact.ignored:
            self._on_not_started(session, fact)
            return
        session.serial = fact.serial
        self._by_serial[fact.serial] = session
        if session.state != "stopping":
            self._on_ready(session)
        elif not session.was_asked:  # to end, in its init: the code before a reload did not yet
            self._set_state_stopping(session)

    def on_exit(self, serial: int, reason: Reason) -> None:
        session = self._by_serial.pop(serial, None)
        if session is None:
            return
        self._cancel_alarm(session)
        session.serial, session.last_serial, session.before, session.reason = 0, serial, serial, short_reason(reason)
        if session.state != "stopping":
            self._on_unasked_death(session, serial, reason)
        elif session.comes_back:
            session.comes_back = False
            self._spawn(session, "restarting")
        else:
            self._remove(session)

    def lose_all(self) -> None:
        """The supervisor was killed: its children die of that by their links, and the next one begins with none (OTP)."""
        for session in list(self.sessions.values()):
            session.serial, session.spawn, session.survivor, session.reason = 0, 0, None, KILLED
            self._remove(session)
        for known in (self._by_serial, self._by_spawn, self._by_survivor):
            known.clear()

    def on_hung(self, serial: int, why: str) -> None:
        """It hangs, or goes on (``why`` is empty). Whether it dies of it is said in its spec and told by its death."""
        session = self._by_serial.get(serial)
        if session is None:
            return
        if why and session.state == "active":
            session.state = "unresponsive"
            self._tell("session_hung", session, serial, why=why)
        elif not why and session.state == "unresponsive":
            session.state = "active"
            self._tell("session_recovered", session, serial)

    def on_alarm(self, key: str) -> None:
        if key == CLOSING and self.closing is not None:
            self.closing.is_over = True
            for session in self.sessions.values():
                if session.has_process():
                    self._kill(session)
            return
        owner = self.sessions.get(key.rpartition(":")[0])
        if owner is None or owner.alarm != key:
            return
        owner.alarm = ""
        if owner.state == "stopping" or owner.survivor is not None:
            self._kill(owner)
        else:
            self._spawn(owner, "restarting")

    def _on_ready(self, session: Session) -> None:
        session.state, session.ready_at, session.shortages = "active", self.now, 0
        if session.was_ready:
            self._tell("session_restarted", session, session.serial, old=session.last_serial, new=session.serial,
                       count=session.restarts)  # fmt: skip
        else:
            self._tell("session_started", session, session.serial)
        session.was_ready = True
        self._answer(session.starters, session.row(self.now))

    def _on_not_started(self, session: Session, fact: Started) -> None:
        reason = NORMAL if fact.error is None else fact.error
        session.last_serial = fact.serial
        session.reason = short_reason(reason)
        survivor = survivor_in(session.spec.process, reason) if session.before else None
        if survivor is None:
            self._on_failed_start(session, fact.error)
        else:
            self._follow(session, survivor, Processes(survivor.serial - 1, 1))

    def _on_failed_start(self, session: Session, error: Reason | None) -> None:
        if session.state != "stopping":
            self._answer(session.starters, error=None if error is None else ("start_failed", session.reason))
        if session.state != "restarting" or error is None:
            self._remove(session)
        elif session.spec.restart == "temporary":
            self._tell("session_crashed", session, session.last_serial, reason=session.reason)
            self._remove(session)
        elif is_shortage(error):
            self._wait_out(session)
        else:  # OTP tries again whatever the reason was (supervisor.erl, try_again_restart)
            self._on_crash(session, session.last_serial)

    # ---- who survives the supervisor of a session -------------------------------------------------------------------

    def on_answer(self, answer: Answer) -> bool:
        """Whether this says whose child it is that keeps a session from its restart."""
        session = self._by_survivor.get(answer.number)
        if session is None or (survivor := session.survivor) is None or survivor.is_ours:
            return False
        parent = parent_in(answer.value, survivor.serial)
        if parent == session.before:
            self._await_survivor(session, survivor)
        else:
            self._let_go(session)
            if parent is None:
                self._on_survived(session)
            else:  # a stranger has taken the name
                self._on_failed_start(session, session.reason)
        return True

    def on_down(self, refs: list[int]) -> None:
        """It has ended."""
        for session in [self._by_survivor[ref] for ref in refs if ref in self._by_survivor]:
            self._let_go(session)
            self._on_survived(session)

    def _await_survivor(self, session: Session, survivor: Survivor) -> None:
        self._let_go(session)
        survivor.is_ours = True
        self._follow(session, survivor, Monitor(self._last_order + 1, survivor.serial))
        if survivor.shutdown_s == "brutal_kill":
            self._kill(session)
        elif self.closing is None and not isinstance(survivor.shutdown_s, str):
            self._set_alarm(session, survivor.shutdown_s)

    def _on_survived(self, session: Session) -> None:
        if session.state == "stopping":
            self._remove(session)
        else:
            self._spawn(session, "restarting")

    def _follow(self, session: Session, survivor: Survivor, request: Processes | Monitor) -> None:
        session.survivor = survivor
        survivor.number = self._do(request)
        self._by_survivor[survivor.number] = session

    def _let_go(self, session: Session) -> None:
        assert session.survivor is not None
        self._cancel_alarm(session)
        del self._by_survivor[session.survivor.number]
        session.survivor = None

    # ---- crashes ----------------------------------------------------------------------------------------------------

    def _wait_out(self, session: Session) -> None:
        """The machine has no process left for it: that costs it no restart, however long it takes (C11)."""
        session.shortages += 1
        self._set_alarm(session, shortage_wait_s(session.shortages))

    def _on_unasked_death(self, session: Session, serial: int, reason: Reason) -> None:
        if is_restarted(session.spec.restart, reason):
            self._on_crash(session, serial)
            return
        if is_abnormal(reason):
            self._tell("session_crashed", session, serial, reason=session.reason)
        self._remove(session)

    def _on_crash(self, session: Session, serial: int) -> None:
        """Restart it at once, after its back-off, or never again."""
        spec = session.spec
        self._tell("session_crashed", session, serial, reason=session.reason)
        verdict = decide(spec, session.times, session.streak, session.ready_at, self.now)
        session.times = verdict.times
        if not verdict.is_allowed and spec.give_up == "after_intensity":
            session.state = "gave_up"
            self._tell("session_gave_up", session, serial, reason=session.reason)
            return
        session.streak = verdict.streak
        session.restarts += 1
        session.state, session.ready_at = "restarting", None
        self._tell_watcher("session_restarting", session, serial, {"in_s": verdict.wait_s})
        if verdict.wait_s > 0:
            self._set_alarm(session, verdict.wait_s)
        else:
            self._spawn(session, "restarting")

    # ---- steps ------------------------------------------------------------------------------------------------------

    def _spawn(self, session: Session, state: State) -> None:
        self._cancel_alarm(session)
        session.state, session.ready_at, session.began_at = state, None, self.now
        session.was_asked = session.was_killed = False
        session.spawn = self._do(Spawn(session.spec.process, link=True, wait_init=True, reserve=True))
        self._by_spawn[session.spawn] = session

    def _set_state_stopping(self, session: Session) -> None:
        session.state = "stopping"
        if session.survivor is not None:  # it is ending, and its time runs
            return
        grace = session.spec.shutdown_s
        if grace == "brutal_kill" or (self.closing is not None and self.closing.is_over):
            self._kill(session)
            return
        self._send_exit(session, SHUTDOWN)
        if self.closing is None and not isinstance(grace, str):  # a shutdown has one grace time for all
            self._set_alarm(session, grace)

    def _kill(self, session: Session) -> None:
        if not session.was_killed:
            session.was_killed = True
            self._send_exit(session, KILL)

    def _send_exit(self, session: Session, reason: Reason) -> None:
        """To its process, also while that is in its init and has no serial here yet."""
        session.was_asked = True
        if session.serial or session.survivor is not None:
            self._do(SendExit(session.serial if session.survivor is None else session.survivor.serial, reason))
        else:
            self._last_order += 1
            self.orders.append(EndStart(self._last_order, session.spawn, reason))

    def _remove(self, session: Session) -> None:
        """It is over: off the list, its name is free, everybody who waits for it is answered."""
        self._cancel_alarm(session)
        del self.sessions[session.spec.id]
        if session.spec.process.name is not None:
            del self.names[session.spec.process.name]
            self._do(Release(session.spec.process.name))
        session.state = "stopped"
        if session.was_ready:
            self._tell("session_stopped", session, session.last_serial, reason=session.reason)
        else:
            self._tell_watcher("session_stopped", session, session.last_serial, {"reason": session.reason})
        self._answer(session.stoppers[:1], session.row(self.now))
        self._answer(session.stoppers[1:], error=("not_found", session.spec.id))
        self._answer(session.starters, error=("start_failed" if self.closing is None else "shutting_down", SHUTDOWN))
        if self.closing is not None and not self.sessions:
            self.orders.append(CancelAlarm(CLOSING))

    def _do(self, request: Request) -> int:
        self._last_order += 1
        self.orders.append(Do(self._last_order, request))
        return self._last_order

    def _set_alarm(self, session: Session, in_s: float) -> None:
        self._last_alarm += 1
        session.alarm = f"{session.spec.id}:{self._last_alarm}"
        self.orders.append(SetAlarm(session.alarm, self.now + in_s))

    def _cancel_alarm(self, session: Session) -> None:
        if session.alarm:
            self.orders.append(CancelAlarm(session.alarm))
            session.alarm = ""

    def _tell(self, kind: str, session: Session, serial: int, **detail: Term) -> None:
        if kind not in ("session_hung", "session_recovered"):
            since = session.began_at if kind in ("session_started", "session_restarted") else session.ready_at
            detail |= {"restarts": session.restarts, "duration_s": 0.0 if since is None else self.now - since}
        self.orders.append(Tell(kind, serial, {"id": session.spec.id, **detail}))
        self._tell_watcher(kind, session, serial, detail)

    def _tell_watcher(self, kind: str, session: Session, serial: int, detail: dict[str, Term]) -> None:
        if session.is_service and kind != "session_restarting":
            self.orders.append(tell_life(kind, session.spec.id, serial, detail))
        if session.watcher:
            told = SessionTold(kind, session.spec.id, serial, detail)
            self.orders.append(Send(session.watcher, msgspec.Raw(encoder.encode(told))))

    def _answer(self, askers: list[Asker], value: Term = None, error: tuple[str, Term] | None = None) -> None:
        self.orders.extend(AnswerTo(frm, number, value, error) for frm, number in askers)
        askers.clear()
