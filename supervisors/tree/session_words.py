"""What one can ask of ``sessions``, and what it remembers: all of it is data, nothing here decides."""

from __future__ import annotations

from typing import Literal, TypeAlias, Union

import msgspec

from actorcore.exit_reason import Reason, Term, bounded_text
from actorcore.frames import DECODE_ERRORS, decode_ext, encoder
from actorcore.signals import Word
from supervisors.tree.child_spec import ChildSpec
from supervisors.tree.survivors import Survivor

MAX_PAGE_ROWS = 500
PAGE_BYTES = 32 << 10
"""A page ends with the row that passes this size, so that it fits into one frame (E17)."""
MAX_REASON_BYTES = 2048
"""Of a reason that is kept and shown; the watchers of a process got the whole one."""

# ---- requests -------------------------------------------------------------------------------------------------------


class StartSession(Word, frozen=True, tag="start_session"):
    """Answered with the session's row when it is ready, with None when its init said ignore. With ``watch`` the asker is
    sent a SessionTold of everything that becomes of it.

    Errors: invalid_spec, shutting_down, resource_exhausted, already_exists (id), already_registered (name),
    start_failed with the reason: then nothing of it is left.
    """

    spec: ChildSpec
    watch: bool = False


class WatchSession(Word, frozen=True, tag="watch_session"):
    """The asker is sent a SessionTold of everything that becomes of it, in place of who was. Answer: its row.

    Error: not_found.
    """

    id: str


class ReplaceSpec(Word, frozen=True, tag="replace_spec"):
    """From its next start on the session of that id has this spec, under the name that it has. Answer: its row.

    Errors: not_found, invalid_spec.
    """

    spec: ChildSpec


class StopSession(Word, frozen=True, tag="stop_session"):
    """Answered with the session's last row (state ``stopped``, reason of its death) when it is really dead.

    Who asks later gets ``not_found`` at the same moment. A session that was given up is removed. Error: not_found.
    """

    id: str


class RestartSession(Word, frozen=True, tag="restart_session"):
    """Stop and start under the same id, outside of the restart budget; answered with the row when it is ready.

    A start that is already under way is joined; a session that was given up gets a fresh budget. Errors: not_found,
    shutting_down, not_running (it is being stopped), and start_failed with the reason: restarts within the budget then
    follow, except for a temporary session.
    """

    id: str


class RemoveSession(Word, frozen=True, tag="remove_session"):
    """Take a session that was given up off the list. Errors: not_found, restarting, running (any other state)."""

    id: str


class GetSession(Word, frozen=True, tag="get_session"):
    """Answer: its row. Error: not_found."""

    id: str


class ListSessions(Word, frozen=True, tag="list_sessions"):
    """Answer: ``{"sessions": rows in start order, "next": the ``after`` of the next page or None}``.

    At most ``limit`` (1 to 500) rows, fewer when they are large. A session that lives through the whole listing is on
    exactly one of its pages.
    """

    after: int = 0
    limit: int = 100


class CountSessions(Word, frozen=True, tag="count_sessions"):
    """Answer: the number of sessions per state, their ``total`` and the ``limit``."""


class Shutdown(Word, frozen=True, tag="shutdown"):
    """Stop every session, asked in reverse start order and waited for together; after ``grace_s`` they are killed.

    Answered ``{"stopped": n}`` when all are dead; nothing starts from the request on. A second one joins the first.
    """

    grace_s: float = 5.0


SessionRequest: TypeAlias = Union[
    StartSession, StopSession, RestartSession, RemoveSession, GetSession, ListSessions, CountSessions, Shutdown,
    WatchSession, ReplaceSpec,
]  # fmt: skip
Refusal: TypeAlias = tuple[str, Term]
"""(code, detail) of an error answer."""

_decoder = msgspec.msgpack.Decoder(SessionRequest, ext_hook=decode_ext)


def decode_request(body: msgspec.Raw) -> SessionRequest | Refusal:
    """The request in ``body``, or ``("invalid_message", why)``."""
    try:
        request: SessionRequest = _decoder.decode(body)
    except DECODE_ERRORS as error:
        return ("invalid_message", bounded_text(str(error), 200))
    return request


class SessionTold(Word, frozen=True, tag="session_told"):
    """To who watches session ``id``: its telemetry as it is reported, and ``session_restarting`` (``in_s``: the back-off)."""

    kind: str
    id: str
    serial: int
    detail: dict[str, Term]


# ---- memory ---------------------------------------------------------------------------------------------------------

Asker: TypeAlias = tuple[int, int]
"""(frm, number) of an Asking that is still to be answered."""

State: TypeAlias = Literal["starting", "active", "unresponsive", "restarting", "stopping", "gave_up", "stopped"]
"""``stopped`` is seen in the last answer only. In ``restarting`` one of ``spawn``, ``alarm``, ``survivor`` is set.
``unresponsive``: active, and its process hangs (see ProcessSpec)."""

STATES: tuple[State, ...] = ("starting", "active", "unresponsive", "restarting", "stopping", "gave_up")


class Session(msgspec.Struct):
    """One session and its own one_for_one supervisor.

    ``number``: its place in the start order. ``serial``: its live process, 0 for none; ``last_serial``: the one before.
    ``spawn``: the Do whose Started is awaited. ``alarm``: the key of its timer, which ends a back-off or a grace time.
    ``times``: see restart_intensity; ``streak``: restarts since it was last up for a whole period. ``began_at``,
    ``ready_at``: since when its process is being started, and is ready. ``was_ready``: it has been announced.
    ``comes_back``: a stop is the first half of a restart. ``was_asked``, ``was_killed``: its process has an exit signal of
    ours. ``shortages``: how often in a row there was no process for a restart. ``before``: its last process that was ready;
    ``survivor``: a child of that one which the restart waits for. ``watcher``: who is told what becomes of it;
    ``is_service``: everybody is, as far as he subscribes to that.
    """

    number: int
    spec: ChildSpec
    state: State = "starting"
    serial: int = 0
    last_serial: int = 0
    spawn: int = 0
    alarm: str = ""
    restarts: int = 0
    times: list[float] = []
    streak: int = 0
    ready_at: float | None = None
    began_at: float = 0.0
    reason: Reason | None = None
    was_ready: bool = False
    comes_back: bool = False
    was_asked: bool = False
    was_killed: bool = False
    shortages: int = 0
    before: int = 0
    survivor: Survivor | None = None
    starters: list[Asker] = []
    stoppers: list[Asker] = []
    watcher: int = 0
    is_service: bool = False

    def has_process(self) -> bool:
        """Whether something of it lives, or is being started."""
        return bool(self.serial or self.spawn or self.survivor is not None)

    def row(self, now: float) -> dict[str, Term]:
        """What is told about it at ``now``. ``uptime_s``: since its process is ready; None without one. ``reason``: why the
        process before died; ``previous``: which one that was, 0 for none.
        """
        return {
            "id": self.spec.id, "name": self.spec.process.name, "serial": self.serial, "state": self.state,
            "uptime_s": now - self.ready_at if self.serial and self.ready_at is not None else None,
            "restarts": self.restarts, "restart": self.spec.restart, "reason": self.reason, "previous": self.last_serial,
        }  # fmt: skip


class Closing(msgspec.Struct):
    """A Shutdown under way or done: ``count`` sessions were asked; ``is_over``: the grace time has passed."""

    count: int
    askers: list[Asker] = []
    is_over: bool = False


class Memory(msgspec.Struct):
    """The whole state of the resident; ``orders``, ``starts``, ``alarms`` are the last numbers used, ``leaving``: it ends
    itself as soon as the last session is gone.
    """

    orders: int = 0
    starts: int = 0
    alarms: int = 0
    sessions: list[Session] = []
    closing: Closing | None = None
    leaving: bool = False


def page(sessions: list[Session], limit: int, now: float) -> dict[str, Term]:
    """The answer to ListSessions: the first of ``sessions`` as far as ``limit`` and size allow."""
    rows: list[Term] = []
    size_bytes = 0
    for session in sessions:
        if len(rows) == limit or size_bytes > PAGE_BYTES:
            return {"sessions": rows, "next": sessions[len(rows) - 1].number}
        rows.append(session.row(now))
        size_bytes += len(encoder.encode(rows[-1]))
    return {"sessions": rows, "next": None}


def short_reason(reason: Reason) -> Reason:
    """``reason``, or only its kind when it is too large to be kept."""
    if isinstance(reason, str):
        return bounded_text(reason, MAX_REASON_BYTES // 4)
    if len(encoder.encode(reason)) <= MAX_REASON_BYTES:
        return reason
    return {bounded_text(key, 64): "truncated" for key in list(reason)[:1]}
