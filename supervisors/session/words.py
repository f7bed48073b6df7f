"""What one can ask of ``system:manager``, and what it remembers: all of it is data, nothing here decides."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias, Union

import msgspec

from actorcore.exit_reason import Reason, Term, bounded_text
from actorcore.frames import DECODE_ERRORS, decode_ext, encoder
from actorcore.words import Word
from supervisors.session.admissions import Admissions, Asker
from supervisors.session.endings import Endings
from supervisors.session.record import SessionRecord, to_map
from supervisors.session.state import WITH_PROCESS, Status
from supervisors.session.subscriptions import Subscriptions

MAX_PAGE_ROWS = 500
MAX_TOKEN_BYTES = 64
PAGE_BYTES = 16 << 10
"""A page ends with the row that passes this size: with the largest record it still fits into one datagram."""

# ---- requests -------------------------------------------------------------------------------------------------------


class CreateSession(Word, frozen=True, tag="create"):
    """``draft``: a record's map. Answered with its row when it is active; then, and not before, it is reached under its id.
    ``is_resumed``: it is the session that was saved under this id, created when the draft says; ResumeSession comes first.

    Checked in this order: the draft, not_permitted (the project's folder; nobody was admitted to resume it), shutting_down,
    session_limit_reached, session_exists (id), project_already_open. A refused one starts no process. Errors of the start:
    start_failed with the reason, session_exists (another one is saved under this id), and then nothing of it is left.
    """

    draft: dict[str, Term]
    is_resumed: bool = False


class ResumeSession(Word, frozen=True, tag="resume"):
    """Somebody is about to resume saved session ``id``: that counts as an attempt, whatever comes of it, and admits one
    CreateSession of it within ADMITTED_S, or one FailResume. Answer: True. Errors: invalid_id, rate_limit_exceeded with the
    seconds to wait.
    """

    id: str


class FailResume(Word, frozen=True, tag="fail_resume"):
    """What was to be resumed cannot be, because of ``code``, one of errors.CODES: whoever watches is told (``resume_failed``).

    Answer: True. Errors: not_permitted (nobody was admitted to resume it), invalid_message.
    """

    id: str
    code: str


class StopSession(Word, frozen=True, tag="stop"):
    """It saves itself and ends; answered with its last row when nothing of it is left. Error: not_found.

    Who asks later, while it is ending, gets not_found at that moment.
    """

    id: str


class RestartSession(Word, frozen=True, tag="restart"):
    """A new process under the same id, outside of the restart budget; answered with the row when it is active.

    One that was given up gets a fresh budget. Errors: not_found, invalid_transition, start_failed.
    """

    id: str


class SuspendSession(Word, frozen=True, tag="suspend"):
    """Its process saves itself and ends; the session stays listed with its place and its path. Answer: the row, when the
    process is gone. Errors: not_found, invalid_transition.
    """

    id: str


class WakeSession(Word, frozen=True, tag="wake"):
    """A process for a suspended session; answer: the row when it is active. Errors: as of RestartSession."""

    id: str


class GetSession(Word, frozen=True, tag="get"):
    """Answer: its row. Error: not_found."""

    id: str


class FindSession(Word, frozen=True, tag="find"):
    """Answer: the row of the session with this id, project path or exact name, the oldest of several. Error: not_found."""

    by: Literal["id", "path", "name"]
    value: str


class ResolveTarget(Word, frozen=True, tag="resolve"):
    """Answer: the row of whom a person means; see :mod:`supervisors.session.targets`.

    Errors: not_found, ambiguous_target with the names.
    """

    target: str


class ListSessions(Word, frozen=True, tag="list"):
    """Answer: ``{"sessions": rows by created_at, oldest first, "next": the ``after`` of the next page or None}``."""

    after: tuple[float, int] = (0.0, 0)
    limit: int = 100


class ListIds(Word, frozen=True, tag="ids"):
    """Answer: every id, in the order of the list."""


class ListPids(Word, frozen=True, tag="pids"):
    """Answer: the serial of every session that has a process, in the order of the list."""


class CountSessions(Word, frozen=True, tag="count"):
    """Answer: ``{"total", "limit", "status": {status: how many}}``."""


class RenameSession(Word, frozen=True, tag="rename"):
    """Answer: the row. Errors: not_found, invalid_name, name_too_long."""

    id: str
    name: str


class UpdateSession(Word, frozen=True, tag="update"):
    """Merge these keys into its config and metadata (None takes one out); answer: the row. Its process is told.

    Errors, and then nothing is changed: not_found, and everything that is wrong with the config at once.
    """

    id: str
    config: dict[str, Term] = {}
    metadata: dict[str, Term] = {}


class SetDefault(Word, frozen=True, tag="set_default"):
    """From now on that is the default session as long as it is there; an empty id: none is. Error: not_found."""

    id: str


class GetDefault(Word, frozen=True, tag="default"):
    """Answer: the row of the default session, else of the oldest. Error: no_sessions."""


class Subscribe(Word, frozen=True, tag="subscribe"):
    """The asker is sent all events of ``session``, or (empty) the lifecycle of all sessions; ``types``: of these only, and
    of all sessions. ``after``: also what came after that number, as far as the history goes (``events_gap`` says how far).

    A message is ``{"subscription": ref, "token": …, "event": …}``; answer: ``{"subscription": ref, "number": of the last
    event}``. ``token`` is known to nobody else: anybody may send a map like an event. At most WINDOW events are sent ahead of
    Seen. Ends with the session or its subscriber. Errors: not_found, unknown_event_type, resource_exhausted.
    """

    session: str = ""
    types: list[str] = []
    after: int | None = None
    token: Annotated[bytes, msgspec.Meta(max_length=MAX_TOKEN_BYTES)] = b""


class Seen(Word, frozen=True, tag="seen"):
    """The subscriber has taken in so many messages of subscription ``ref``. Answer: whether there still is one."""

    ref: int
    count: int


class Unsubscribe(Word, frozen=True, tag="unsubscribe"):
    """Nothing of it is sent after the answer, which says whether there was one."""

    ref: int


class Publish(Word, frozen=True, tag="publish"):
    """The asker, the process of ``session``, tells its subscribers; each is (type, data). ``record``: the number of the last of
    its records that is told with these; None: as before. Answer: the last number.

    All or none. Errors: not_found, not_permitted (also for what only the daemon knows), unknown_event_type,
    missing_required_fields, invalid_types, value_too_long.
    """

    session: str
    events: list[tuple[str, dict[str, Term]]]
    record: int | None = None


class LastTold(Word, frozen=True, tag="last_told"):
    """By the process of ``session``: the ``record`` that it, or the process before it, has told last; None: nobody knows.

    Errors: not_found, not_permitted.
    """

    session: str


class Attach(Word, frozen=True, tag="attach"):
    """The asker is the process ``state`` of ``session``, which is a group: it speaks for it, and is told what is new.

    Answer: True. Errors: not_found, not_permitted (it is not, or the session is one process).
    """

    session: str


class TakeEnded(Word, frozen=True, tag="take_ended"):
    """By the store: sessions that are no more, ENDED_AT_ONCE at most, until it says that they are ``done``: ``{id: refused_at}``,
    see Endings.

    Error: not_permitted (the asker is not the store).
    """

    done: list[str] = []


class ForgetSaved(Word, frozen=True, tag="forget_saved"):
    """By the store. Answer: whether session ``id`` is not listed; then what is saved of it is deleted next, and who was admitted
    to resume it, and has read what is saved, is so no more: else he had an empty session under its id.

    Error: not_permitted (the asker is not the store).
    """

    id: str


class GetCounters(Word, frozen=True, tag="counters"):
    """Answer: ``{event type: how many since the last reset}``; ``reset``: count from 0 from now on."""

    reset: bool = False


ManagerRequest: TypeAlias = Union[
    CreateSession, ResumeSession, FailResume, StopSession, RestartSession, SuspendSession, WakeSession, GetSession,
    FindSession, ResolveTarget, ListSessions, ListIds, ListPids, CountSessions, RenameSession, UpdateSession, SetDefault,
    GetDefault, Subscribe, Seen, Unsubscribe, Publish, LastTold, Attach, TakeEnded, ForgetSaved, GetCounters,
]  # fmt: skip
Refusal: TypeAlias = tuple[str, Term]


class Later(msgspec.Struct, frozen=True):
    """In the place of an answer, which comes when it has come to pass."""


_decoder = msgspec.msgpack.Decoder(ManagerRequest, ext_hook=decode_ext)


def decode_request(body: msgspec.Raw) -> ManagerRequest | Refusal:
    """The request in ``body``, or ``("invalid_message", why)``."""
    try:
        request: ManagerRequest = _decoder.decode(body)
    except DECODE_ERRORS as error:
        return ("invalid_message", bounded_text(str(error), 200))
    return request


# ---- memory ---------------------------------------------------------------------------------------------------------


class Slot(msgspec.Struct):
    """One session. ``number``: its place in the order of creation. ``serial``: its process, 0 for none; ``restarts``: how
    often it was restarted. ``start``: the last errand to bring it up; what is heard of an older one is of no concern.
    ``seq``: of its last event. ``began_at``, ``ready_at``: since when its process is being started, and is ready (monotonic
    seconds). ``is_new``: it was never there before, and is not yet. ``ending``: it is suspended and its process is on its
    way out. ``stale``: its process began with an older record. ``is_woken``: it was suspended, and its process is not ready
    yet. ``state``: of a group, the process that remembers; ``above``: its supervisor. ``failure``: with what its start is
    refused as soon as its process is gone. ``handled``: messages when it was looked at last; ``active_at``: the last look
    that found something done. ``told``: the last of its records that was told; None: nobody knows. ``starters``,
    ``stoppers``: who waits.
    """

    number: int
    record: SessionRecord
    status: Status = "initializing"
    serial: int = 0
    restarts: int = 0
    reason: Reason | None = None
    seq: int = 0
    start: int = 0
    began_at: float = 0.0
    ready_at: float | None = None
    ending: bool = False
    stale: bool = False
    is_woken: bool = False
    state: int = 0
    above: int = 0
    is_resumed: bool = False
    failure: tuple[str, Term] | None = None
    handled: int = 0
    active_at: float = 0.0
    told: int | None = None
    is_new: bool = False
    starters: list[Asker] = []
    stoppers: list[Asker] = []

    def row(self) -> dict[str, Term]:
        """What is told about it: the record's fields and how it is."""
        has_process = self.status in WITH_PROCESS or self.status == "terminating"
        return {
            **to_map(self.record), "status": self.status, "serial": self.serial if has_process else 0,
            "restarts": self.restarts, "reason": self.reason,
        }  # fmt: skip

    def voice(self) -> int:
        """Who speaks for the session and is spoken to."""
        return self.serial if self.record.group is None else self.state

    def place(self) -> tuple[float, int]:
        """Its place in the list."""
        return self.record.created_at, self.number


Errand: TypeAlias = Literal["start", "wake", "stop", "restart", "watch", "resumer", "farewell", "none"]


class Memory(msgspec.Struct):
    """The whole state of the resident. ``orders``, ``slots``: the last numbers used; ``errands``: what was asked of others,
    by number, and for whom; ``unproved``: who waits until it is known who he is. ``seq``: of the last event that was none
    of a session; ``reborn``: how often a resident was killed, by name. ``offset_s``: of the wall clock. ``last_at``: the
    last time that was given to a session.
    """

    orders: int = 0
    slots: int = 0
    sessions: list[Slot] = []
    errands: dict[int, tuple[Errand, str]] = {}
    admissions: Admissions = msgspec.field(default_factory=Admissions)
    endings: Endings = msgspec.field(default_factory=Endings)
    unproved: dict[int, tuple[Asker, Attach | TakeEnded | ForgetSaved]] = {}
    seq: int = 0
    reborn: dict[str, int] = {}
    subscriptions: Subscriptions = msgspec.field(default_factory=Subscriptions)
    counters: dict[str, int] = {}
    default: str = ""
    offset_s: float = 0.0
    last_at: float = 0.0
    leaving: bool = False
    has_begun: bool = False


def page(slots: list[Slot], limit: int) -> dict[str, Term]:
    """The answer to ListSessions: the first of ``slots`` as far as ``limit`` and size allow."""
    rows: list[Term] = []
    size_bytes = 0
    for slot in slots:
        if len(rows) == limit or size_bytes > PAGE_BYTES:
            return {"sessions": rows, "next": list(slots[len(rows) - 1].place())}
        rows.append(slot.row())
        size_bytes += len(encoder.encode(rows[-1]))
    return {"sessions": rows, "next": None}
