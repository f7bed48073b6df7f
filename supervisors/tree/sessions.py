"""``sessions``: the dynamic supervisor of all sessions, a resident; each session has a one_for_one supervisor of its own.

A start waits for nobody's init and no session can use up another's restart budget. Deaths arrive as Exit, for every
process is spawned with a link and a resident traps; an Exit of a serial that is not the current one of a session
means nothing here, be it a stranger's or a late one (acceptance 67, RELIABILITY D6).

Telemetry: session_started, session_hung, session_recovered, session_crashed, session_restarted, session_gave_up,
session_stopped. A session that was announced by the first is off the list with the last, whatever happened between.
"""

from __future__ import annotations

import math
from typing import assert_never

import msgspec

from actorcore.exit_reason import Term, bounded_text
from actorcore.frames import decode_ext, encoder
from actorcore.residents import AnswerTo, Leave, Order
from actorcore.signals import (
    NOBODY,
    Alarm,
    Answer,
    Asking,
    Begin,
    Channel,
    ClockSet,
    Delivery,
    Down,
    Ended,
    Exit,
    Hung,
    Inspected,
    PeerDown,
    Reborn,
    Sent,
    Started,
)
from supervisors.services.told import STARTS, tell_reborn
from supervisors.tree.child_spec import ChildSpec, validate
from supervisors.tree.session_lives import SessionLives
from supervisors.tree.session_words import (
    MAX_PAGE_ROWS,
    STATES,
    Asker,
    CountSessions,
    GetSession,
    ListSessions,
    Memory,
    Refusal,
    RemoveSession,
    ReplaceSpec,
    RestartSession,
    Session,
    SessionRequest,
    Shutdown,
    StartSession,
    StopSession,
    WatchSession,
    decode_request,
    page,
)

MAX_SESSIONS = 1000

_decoder = msgspec.msgpack.Decoder(Memory, ext_hook=decode_ext)

SHUTDOWN_GRACE_S = 5.0
"""For all sessions together when the daemon is told to end."""


class Sessions:
    """The resident. ``max_sessions`` bounds the list, sessions that were given up included."""

    name = "sessions"

    def __init__(self, max_sessions: int = MAX_SESSIONS) -> None:
        self._max_sessions = max_sessions
        self._lives = SessionLives(Memory())

    def handle(self, body: Delivery, now: float) -> list[Order]:
        """React to one delivery at monotonic time ``now`` (seconds)."""
        lives = self._lives
        lives.now, lives.orders = now, []
        match body:
            case Asking():
                self._on_asking(body)
            case Started():
                lives.on_started(body)
            case Answer():
                if not lives.on_answer(body):
                    lives.on_started(_started_of(body))
            case Down(refs):
                lives.on_down(refs)
            case Exit(frm) if frm == NOBODY:  # the daemon ends: as the parent's exit signal to a supervisor
                if lives.closing is None:
                    lives.close(None, SHUTDOWN_GRACE_S)
                lives.leaving = True
            case Exit():
                lives.on_exit(body.frm, body.reason)
            case Alarm():
                lives.on_alarm(body.key)
            case Hung():
                lives.on_hung(body.serial, body.why)
            case Reborn(before):
                lives.lose_all()
                lives.orders.append(tell_reborn(self.name, before))
            case Channel() | PeerDown() | Begin() | Sent() | ClockSet() | Inspected() | Ended():
                pass  # it has no channel, and nobody tells it anything
            case _:
                assert_never(body)
        self._answer_shutdown()
        return lives.orders

    def snapshot(self) -> bytes:
        """The whole state; equal states give equal bytes."""
        return encoder.encode(self._lives.memory())

    def restore(self, state: bytes) -> None:
        """Become what :meth:`snapshot` described; ``max_sessions`` stays."""
        self._lives = SessionLives(_decoder.decode(state))

    # ---- requests: a refusal is returned, an answer is given here or, by SessionLives, later ------------------------

    def _on_asking(self, asking: Asking) -> None:
        asker = (asking.frm, asking.number)
        request = decode_request(asking.body)
        refusal = request if isinstance(request, tuple) else self._serve(asker, request)
        if refusal is not None:
            self._lives.orders.append(AnswerTo(*asker, error=refusal))

    def _serve(self, asker: Asker, request: SessionRequest) -> Refusal | None:
        match request:
            case StartSession():
                return self._start(asker, request.spec, asker[0] if request.watch else 0)
            case ReplaceSpec(spec):
                return validate(spec) or self._replace(asker, spec)
            case ListSessions():
                return self._list(asker, request)
            case CountSessions():
                self._answer(asker, self._counts())
                return None
            case Shutdown():
                return self._shutdown(asker, request.grace_s)
            case StopSession() | RestartSession() | RemoveSession() | GetSession() | WatchSession():
                session = self._lives.sessions.get(request.id)
                if session is None:
                    return ("not_found", bounded_text(request.id, 64))
                return self._serve_one(asker, request, session)
            case _:
                assert_never(request)

    def _serve_one(
        self, asker: Asker, request: StopSession | RestartSession | RemoveSession | GetSession | WatchSession, session: Session
    ) -> Refusal | None:
        match request:
            case StopSession():
                session.stoppers.append(asker)
                self._lives.stop(session)
                return None
            case RestartSession():
                return self._restart(asker, session)
            case RemoveSession():
                return self._remove(asker, session)
            case GetSession():
                self._answer(asker, session.row(self._lives.now))
                return None
            case WatchSession():
                session.watcher = asker[0]
                self._answer(asker, session.row(self._lives.now))
                return None
            case _:
                assert_never(request)

    def _replace(self, asker: Asker, spec: ChildSpec) -> Refusal | None:
        session = self._lives.sessions.get(spec.id)
        if session is None:
            return ("not_found", spec.id)
        process = msgspec.structs.replace(spec.process, name=session.spec.process.name)
        session.spec = msgspec.structs.replace(spec, process=process)
        self._answer(asker, session.row(self._lives.now))
        return None

    def _start(self, asker: Asker, spec: ChildSpec, watcher: int = 0) -> Refusal | None:
        lives, name = self._lives, spec.process.name
        if lives.closing is not None:
            return ("shutting_down", "no session is started any more")
        if (trouble := validate(spec)) is not None:
            return trouble
        if len(lives.sessions) >= self._max_sessions:
            return ("resource_exhausted", f"{len(lives.sessions)}/{self._max_sessions} sessions")
        if spec.id in lives.sessions:
            return ("already_exists", spec.id)
        if name is not None and name in lives.names:
            return ("already_registered", bounded_text(name, 80))
        lives.start(asker, spec, watcher, self._is_service(spec))
        return None

    def _is_service(self, spec: ChildSpec) -> bool:
        return spec.process.start in STARTS

    def _restart(self, asker: Asker, session: Session) -> Refusal | None:
        if self._lives.closing is not None:
            return ("shutting_down", "no session is started any more")
        if session.state == "stopping" and not session.comes_back:
            return ("not_running", "it is being stopped")
        self._lives.restart(asker, session)
        return None

    def _remove(self, asker: Asker, session: Session) -> Refusal | None:
        if session.state != "gave_up":
            return ("restarting" if session.state == "restarting" else "running", session.state)
        session.stoppers.append(asker)
        self._lives.stop(session)
        return None

    def _list(self, asker: Asker, request: ListSessions) -> Refusal | None:
        if not 1 <= request.limit <= MAX_PAGE_ROWS:
            return ("invalid_message", f"limit: must be 1 to {MAX_PAGE_ROWS}")
        later = [session for session in self._lives.sessions.values() if session.number > request.after]
        self._answer(asker, page(later, request.limit, self._lives.now))
        return None

    def _counts(self) -> dict[str, Term]:
        states = [session.state for session in self._lives.sessions.values()]
        counts: dict[str, Term] = {state: states.count(state) for state in STATES}
        return counts | {"total": len(states), "limit": self._max_sessions}

    def _shutdown(self, asker: Asker, grace_s: float) -> Refusal | None:
        if not 0 <= grace_s < math.inf:
            return ("invalid_message", "grace_s: must be seconds")
        if self._lives.closing is None:
            self._lives.close(asker, grace_s)
        else:
            self._lives.closing.askers.append(asker)
        return None

    def _answer_shutdown(self) -> None:
        closing = self._lives.closing
        if closing is None or self._lives.sessions:
            return
        for asker in closing.askers:
            self._answer(asker, {"stopped": closing.count})
        closing.askers.clear()
        if self._lives.leaving:
            self._lives.leaving = False
            self._lives.orders.append(Leave("shutdown"))

    def _answer(self, asker: Asker, value: Term) -> None:
        self._lives.orders.append(AnswerTo(*asker, value))


def _started_of(answer: Answer) -> Started:
    """An Answer to a Spawn says what Started says; to anything else it has a number that SessionLives drops."""
    if answer.error is None:
        serial = answer.value if isinstance(answer.value, int) else 0
        return Started(answer.number, serial, ignored=answer.value is None)
    code, detail = answer.error
    if code == "start_failed" and isinstance(detail, (str, dict)):
        return Started(answer.number, 0, error=detail)
    return Started(answer.number, 0, error={"error": {"type": code, "text": detail}})
