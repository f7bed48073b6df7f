"""``manager``: the resident that owns all sessions: who is there, under which name, in which folder, in which state.

One owner of every check-then-act: the limit, the ids and the folders are checked and taken in one step, so of a hundred who
want the last place one gets it. It never waits and runs nobody's code; processes are the affair of ``system:sessions``, which
it asks. All it knows is in its snapshot, so it survives the death of the node, and its own, with the same ids, pids and states.
"""

from __future__ import annotations

from typing import TypeAlias, Union, assert_never

import msgspec

from actorcore.errors import CODES
from actorcore.exit_reason import Term
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
    Demonitor,
    Down,
    Ended,
    Exit,
    Hung,
    Inspected,
    Monitor,
    PeerDown,
    Reborn,
    Sent,
    Started,
)
from supervisors.services.told import ServiceReborn, ServiceTold
from supervisors.session import events, finding, proving
from supervisors.session.admissions import Asker
from supervisors.session.config import config_troubles, merged
from supervisors.session.lifecycle import Lifecycle
from supervisors.session.record import ID, SessionRecord, from_map, name_trouble, trouble_with
from supervisors.session.settings import SessionSettings
from supervisors.session.subscriptions import MAX_SUBSCRIPTIONS
from supervisors.session.words import (
    Attach,
    CountSessions,
    CreateSession,
    FailResume,
    FindSession,
    ForgetSaved,
    GetCounters,
    GetDefault,
    GetSession,
    LastTold,
    Later,
    ListIds,
    ListPids,
    ListSessions,
    ManagerRequest,
    Memory,
    Publish,
    Refusal,
    RenameSession,
    ResolveTarget,
    RestartSession,
    ResumeSession,
    Seen,
    SetDefault,
    Slot,
    StopSession,
    Subscribe,
    SuspendSession,
    TakeEnded,
    Unsubscribe,
    UpdateSession,
    WakeSession,
    decode_request,
)
from supervisors.tree.session_words import SessionTold

NEEDS = ("sessions", "limiter")
"""The residents without which there are no sessions."""

_decoder = msgspec.msgpack.Decoder(Memory, ext_hook=decode_ext)
_told_decoder = msgspec.msgpack.Decoder(SessionTold | ServiceTold | ServiceReborn, ext_hook=decode_ext)
OfOne: TypeAlias = Union[
    StopSession, RestartSession, SuspendSession, WakeSession, GetSession, RenameSession, UpdateSession, SetDefault
]  # fmt: skip


class Manager:
    """The resident."""

    def __init__(self, settings: SessionSettings | None = None, resumes: bool = False) -> None:
        """``resumes``: there may be sessions that the daemon before has left; see :mod:`supervisors.session.resuming`."""
        self._settings = settings or SessionSettings()
        self._resumes = resumes
        self._life = Lifecycle(Memory())

    def handle(self, body: Delivery, now: float) -> list[Order]:
        """React to one delivery at monotonic time ``now`` (seconds)."""
        life = self._life
        life.now, life.orders = now, []
        match body:
            case Asking():
                self._on_asking(body)
            case Answer():
                if not proving.on_answer(life, body):
                    life.on_answer(body)
            case Sent():
                self._on_sent(body)
            case ClockSet(offset_s):
                life.memory.offset_s = offset_s
                self._begin()
            case Down(refs):
                for ref in refs:
                    life.memory.subscriptions.remove(ref)
            case Exit(frm) if frm == NOBODY:  # the daemon ends; the supervisor of the sessions ends them
                life.memory.leaving = True
            case Reborn(before, after):
                life.on_reborn(before, after)
            case Alarm(key):
                life.on_alarm(key)
            case Ended(serial):
                life.on_ended(serial)
            case Inspected(_, seen):
                life.on_inspected(seen)
            case Started(number, serial):
                life.on_started(number, serial)
            case Exit() | Hung() | Channel() | PeerDown() | Begin():
                pass  # it has no process, no link and no channel
            case _:
                assert_never(body)
        is_over = life.memory.leaving and life.wind_up()
        life.spread()
        if is_over:
            life.memory.leaving = False
            life.orders.append(Leave("shutdown"))
        return life.orders

    def snapshot(self) -> bytes:
        """The whole state; equal states give equal bytes."""
        return encoder.encode(self._life.remembered())

    def restore(self, state: bytes) -> None:
        """Become what :meth:`snapshot` described; the settings stay."""
        self._life = Lifecycle(_decoder.decode(state))

    def _on_sent(self, sent: Sent) -> None:
        told = _told_decoder.decode(sent.body)
        if isinstance(told, SessionTold):
            self._life.on_told(told)
        elif isinstance(told, ServiceReborn):
            self._life.on_service_reborn(told, sent.frm)
        else:
            self._life.on_service_told(told)

    def _begin(self) -> None:
        if self._resumes and not self._life.memory.has_begun:
            self._life.send_resumer()
        self._life.memory.has_begun = True

    # ---- requests: what is returned is the answer, a tuple is a refusal, Later is answered when it has come to pass ------

    def _on_asking(self, asking: Asking) -> None:
        asker = (asking.frm, asking.number)
        request = decode_request(asking.body)
        answer = request if isinstance(request, tuple) else self._serve(asker, request)
        if isinstance(answer, tuple):
            self._life.orders.append(AnswerTo(*asker, error=answer))
        elif not isinstance(answer, Later):
            self._life.orders.append(AnswerTo(*asker, answer))

    def _serve(self, asker: Asker, request: ManagerRequest) -> Term | Refusal | Later:
        match request:
            case CreateSession(draft, is_resumed):
                return self._create(asker, draft, is_resumed)
            case ResumeSession() | FailResume():
                return self._admit(asker, request)
            case FindSession() | ResolveTarget() | GetDefault() | ListSessions() | ListIds() | ListPids() | CountSessions():
                return finding.answer(self._life, self._settings, request)
            case GetCounters(reset):
                return self._counters(reset)
            case Subscribe():
                return self._subscribe(asker[0], request)
            case Seen() | Unsubscribe():
                return self._on_subscription(asker[0], request)
            case Publish() | LastTold():
                return self._life.on_its_own(asker[0], request)
            case Attach(session) if (slot := self._life.slots.get(session)) is None or slot.record.group is None:
                return ("not_found" if slot is None else "not_permitted", None)
            case Attach() | TakeEnded() | ForgetSaved():
                return proving.look_up(self._life, asker, request)
            case SetDefault(""):
                self._life.memory.default = ""
                return True
            case _:
                slot = self._life.slots.get(request.id)
                return ("not_found", None) if slot is None else self._serve_one(asker, request, slot)

    def _serve_one(self, asker: Asker, request: OfOne, slot: Slot) -> Term | Refusal | Later:
        life = self._life
        match request:
            case GetSession():
                return slot.row()
            case RenameSession(_, name):
                return name_trouble(name) or self._replace(slot, msgspec.structs.replace(slot.record, name=name), ["name"])
            case UpdateSession():
                return self._update(slot, request)
            case SetDefault():
                life.memory.default = slot.record.id
                return slot.row()
            case StopSession():
                slot.stoppers.append(asker)
                life.stop(slot)
                return Later()
            case SuspendSession():
                slot.stoppers.append(asker)
                return Later() if life.suspend(slot) else _impossible(slot, slot.stoppers)
            case WakeSession() | RestartSession():
                if life.memory.leaving:
                    return ("shutting_down", None)
                slot.starters.append(asker)
                done = life.wake(slot) if isinstance(request, WakeSession) else life.restart(slot)
                return Later() if done else _impossible(slot, slot.starters)
            case _:
                assert_never(request)

    def _create(self, asker: Asker, draft: dict[str, Term], is_resumed: bool) -> Refusal | Later:
        at = self._life.time()
        # Only what was saved is older than this: who writes another time into a draft does not become it.
        record = from_map({"created_at": at, **draft, "updated_at": at} | ({} if is_resumed else {"created_at": at}))
        if isinstance(record, tuple):
            return record
        if self._settings.is_forbidden(record.project.path):
            return ("not_permitted", "a system directory")
        if is_resumed and not self._life.memory.admissions.take(record.id, self._life.now):
            return ("not_permitted", "ask to resume it first")
        if (refusal := self._no_room(record)) is None:
            self._life.create(asker, record, is_resumed)
            return Later()
        if is_resumed:
            self._life.tell_about(record.id, "resume_failed", {"id": record.id, "code": refusal[0]})
        return refusal

    def _no_room(self, record: SessionRecord) -> Refusal | None:
        slots = self._life.slots
        if self._life.memory.leaving:
            return ("shutting_down", None)
        if len(slots) >= self._settings.max_sessions:
            return ("session_limit_reached", f"{len(slots)}/{self._settings.max_sessions} sessions open")
        if record.id in slots:
            return ("session_exists", None)
        if any(slot.record.project.is_same_folder(record.project) for slot in slots.values()):
            return ("project_already_open", None)
        return None

    def _admit(self, asker: Asker, request: ResumeSession | FailResume) -> Term | Refusal | Later:
        life, admissions, id = self._life, self._life.memory.admissions, request.id
        if not ID.fullmatch(id):
            return ("invalid_id", None)
        if isinstance(request, FailResume):
            return self._fail_resume(id, request.code)
        if asker[0] != admissions.resumer:
            life.attempt(asker, id)
            return Later()
        admissions.admit(id, life.now)  # what was alive comes back, however much it is
        return True

    def _fail_resume(self, id: str, code: str) -> Term | Refusal:
        if code not in CODES:
            return ("invalid_message", "code: none of errors.CODES")
        if not self._life.memory.admissions.take(id, self._life.now):
            return ("not_permitted", "ask to resume it first")
        self._life.tell_about(id, "resume_failed", {"id": id, "code": code})
        return True

    def _update(self, slot: Slot, request: UpdateSession) -> Term | Refusal:
        record = slot.record
        config = merged(record.config, request.config)
        if troubles := config_troubles(config):
            return ("invalid_config", list(troubles))
        changed = msgspec.structs.replace(record, config=config, metadata=merged(record.metadata, request.metadata))
        if (trouble := trouble_with(changed)) is not None:
            return trouble
        return self._replace(slot, changed, [key for key in ("config", "metadata") if getattr(request, key)])

    def _replace(self, slot: Slot, record: SessionRecord, fields: list[str]) -> Term:
        self._life.replace(slot, record, fields)
        return slot.row()

    # ---- events -----------------------------------------------------------------------------------------------------

    def _counters(self, reset: bool) -> Term:
        counters: dict[str, Term] = {**self._life.memory.counters}
        if reset:
            self._life.memory.counters.clear()
        return counters

    def _subscribe(self, frm: int, request: Subscribe) -> Term | Refusal:
        subscriptions = self._life.memory.subscriptions
        if request.session and request.session not in self._life.slots:
            return ("not_found", None)
        if any(type_ not in events.SCHEMAS or type_ in events.MARKS for type_ in request.types):
            return ("unknown_event_type", None)
        if len(subscriptions.where) >= MAX_SUBSCRIPTIONS:
            return ("resource_exhausted", f"{MAX_SUBSCRIPTIONS} subscriptions")
        one = subscriptions.add(frm, request.session, request.types, request.after, request.token)
        self._life.do(Monitor(one.ref, frm))
        self._life.serve(one)
        return {"subscription": one.ref, "number": subscriptions.number}

    def _on_subscription(self, frm: int, request: Seen | Unsubscribe) -> bool:
        subscriptions = self._life.memory.subscriptions
        one = subscriptions.find(request.ref)
        if one is None or one.to != frm:
            return False
        if isinstance(request, Seen):
            one.seen = max(one.seen, min(request.count, one.sent))
            self._life.serve(one)
        else:
            subscriptions.remove(one.ref)
            self._life.do(Demonitor(one.ref))
        return True


def _impossible(slot: Slot, waiting: list[Asker]) -> Refusal:
    waiting.pop()
    return ("invalid_transition", slot.status)
