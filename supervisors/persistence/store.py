"""The store: the one process that holds the machine's secret, and keeper of all saved sessions that do not live.

It gives a session's process its own keys and nobody else; what that process then does with its database, nobody else does.
"""

from __future__ import annotations

import os
from typing import assert_never, cast

import msgspec

from actorcore.errors import ActorError, CallFailed, CallTimeout, RequestError
from actorcore.exit_reason import Reason, Term
from actorcore.gen_server import Continue, GenServer, NoReply, Ok, Reply, Result
from actorcore.mailbox import From, Message
from actorcore.runtime import syscalls
from actorcore.runtime.actor.process import Process
from actorcore.runtime.clock import monotonic_s, wall_s
from actorcore.runtime.complain import complain
from actorcore.signals import Processes
from supervisors.own_names import MANAGER, SESSIONS
from supervisors.paths import STATE_VARIABLE
from supervisors.persistence import predecessors, saved as lists
from supervisors.persistence.retention import Limits
from supervisors.persistence.saved import SavedSession
from supervisors.persistence.state_directory import LOCK_NAME
from supervisors.persistence.store_words import (
    MAX_PAGE_ROWS,
    CleanUp,
    ClearSaved,
    DeleteSaved,
    Export,
    FindByProject,
    GetSaved,
    Import,
    ListResumable,
    ListSaved,
    Locate,
    OpenSession,
    Rotate,
    SessionSaved,
    StoreRequest,
)
from supervisors.persistence.vault import Vault
from supervisors.session.words import ForgetSaved, ListSessions, TakeEnded

WAIT_S = 10.0
NOTES_AT_ONCE = 64
"""Saves that were told of and wait for the index to be written, which is done when there is nothing else to do."""
CLEAN_UP_S = 3600.0
"""Between two clean-ups by age; the first comes when the store starts."""


class Store(GenServer):
    """Of the state directory in ``$ACTORCORE_STATE``; its argument is a map of :class:`Limits`."""

    calls = StoreRequest
    casts = SessionSaved
    is_private = True

    def init(self, *args: object) -> Ok:
        # No other process of this user may look into this one: what it holds opens every save.
        syscalls.prctl(syscalls.PR_SET_DUMPABLE, 0)
        self._limits = msgspec.convert(args[0] if args else {}, Limits)
        state = os.environ[STATE_VARIABLE]
        self._vault = Vault(state, self._limits, listed=self._listed, may_go=self._may_go)
        if before := predecessors.holder(f"{state}/{LOCK_NAME}"):
            predecessors.await_end(before, monotonic_s() + predecessors.STORE_S)
        self._due_s = monotonic_s()
        self._is_young = True
        try:
            self._vault.prepare()
        except RequestError as error:  # whoever wants something will be told; it may be mended meanwhile
            complain(f"the store cannot be prepared: {error}")
        return Ok(then=Continue())

    def handle_continue(self, term: object) -> Result:
        """Before anybody is answered: what ended while there was no store has ended, and what never began is no more."""
        self._note_ends()
        try:
            self._vault.forget_unborn()
        except RequestError as error:
            complain(f"what never began is not removed: {error}")
        return NoReply(self._patience_s())

    def handle_call(self, request: object, frm: From) -> Result:
        try:
            answer = self._serve(request, frm)  # type: ignore[arg-type]  # what is not declared does not come here
        except RequestError as error:
            complain(f"{type(request).__name__} refused: {error}")
            self.process.reply_error(frm, error.code, error.detail)
            return NoReply(self._patience_s())
        return Reply(answer, self._patience_s())

    def handle_cast(self, request: object) -> Result:
        assert isinstance(request, SessionSaved)
        try:
            self._vault.note(request)
        except RequestError as error:
            complain(f"a save cannot be noted: {error}")
        if self._vault.behind >= NOTES_AT_ONCE:
            self._vault.write_index()
        return NoReply(self._patience_s())

    def handle_info(self, info: object) -> Result:
        """The manager says that sessions are no more. Or the inactivity timeout: it is time for a clean-up (acceptance 141)."""
        if isinstance(info, Message):
            self._note_ends()
        elif self._vault.behind:
            self._vault.write_index()
        if monotonic_s() >= self._due_s:
            self._due_s = monotonic_s() + CLEAN_UP_S
            try:
                # What was alive when the daemon before died is about to be resumed, however long ago that was.
                done = self._vault.clean_up(self._limits.max_age_days, wall_s(), spares_running=self._is_young)
                self._is_young = False
            except RequestError as error:
                complain(f"the clean-up by age fails: {error}")
            else:
                if done.deleted or done.failed:
                    complain(f"clean-up by age: {done.deleted} deleted, {done.skipped} stay, {done.failed} failed")
        return NoReply(self._patience_s())

    def _note_ends(self) -> None:
        """Of all sessions that are no more since this was done last, be it by the store before."""
        assert isinstance(self.process, Process)
        done: list[str] = []
        try:
            while ended := cast(dict[str, float | None], self.process.call(MANAGER, TakeEnded(done), WAIT_S)):
                for id, refused_at in ended.items():
                    self._end(id, refused_at)
                done = list(ended)
        except ActorError as error:
            complain(f"the ends of sessions are not noted: {error}")

    def _end(self, id: str, refused_at: float | None) -> None:
        try:
            if refused_at is None:
                self._vault.end(id)
            else:
                self._vault.discard(id, refused_at)
        except RequestError as error:
            if error.code not in ("not_found", "running"):  # it has never said anything; it was resumed meanwhile
                complain(f"the end of a session is not noted: {error}")

    def _patience_s(self) -> float:
        return 0.0 if self._vault.behind else max(0.0, self._due_s - monotonic_s())

    def terminate(self, reason: Reason) -> None:
        """The daemon ends: what was noted stays so."""
        self._note_ends()
        if self._vault.behind:
            self._vault.write_index()

    # ---- requests ---------------------------------------------------------------------------------------------------

    def _serve(self, request: StoreRequest, frm: From) -> object:
        vault = self._vault
        match request:
            case OpenSession(id):
                self._check_asker(id, frm)
                grant = vault.grant(id)
                if grant.crowd is not None:
                    complain(f"nearly as many sessions are saved as may be: {grant.crowd[0]}/{grant.crowd[1]}")
                return grant
            case ListSaved(after, limit):
                saved = vault.survey()
                return _page(saved.sessions, len(saved.bad), after, limit)
            case ListResumable():
                return self._resumable(request)
            case FindByProject(path):
                return lists.by_project_path(vault.survey().sessions, path)
            case GetSaved(id):
                session, content = vault.get(id)
                return {"session": session, "generation": content.snapshot.generation, "saved_at": content.snapshot.saved_at}
            case Locate(id):
                return vault.locate(id)
            case DeleteSaved(id):
                return vault.delete(id)
            case ClearSaved():
                return vault.clear()
            case CleanUp(days):
                return vault.clean_up(days, wall_s())
            case Export(id):
                return vault.export(id)
            case Import(data, unsigned):
                return vault.import_(data, unsigned)
            case Rotate():
                return {"key": vault.rotate()}
            case _:
                assert_never(request)

    def _resumable(self, request: ListResumable) -> dict[str, object]:
        saved = self._vault.resumable()
        wanted = [line for line in saved.sessions if line.is_running or not request.running]
        return _page(wanted, len(saved.bad), request.after, request.limit)

    def _may_go(self, id: str) -> bool:
        """Whether the manager does not list it. Who reads from now on what is saved of it comes when it is gone.

        :raises RequestError: ``not_running``, it does not answer.
        """
        assert isinstance(self.process, Process)
        try:
            return self.process.call(MANAGER, ForgetSaved(id), WAIT_S) is True
        except (CallFailed, CallTimeout):
            raise RequestError("not_running", "nobody says which sessions there are") from None

    def _listed(self) -> dict[str, str]:
        """The sessions that the manager has, as id → the path of the project.

        :raises RequestError: ``not_running``, it does not answer.
        """
        assert isinstance(self.process, Process)
        found: dict[str, str] = {}
        after: tuple[float, int] | None = (0.0, 0)
        while after is not None:
            try:
                answer = self.process.call(MANAGER, ListSessions(after), WAIT_S)
            except (CallFailed, CallTimeout):
                raise RequestError("not_running", "nobody says which sessions there are") from None
            page = msgspec.convert(answer, _Listed)
            found |= {one.id: one.project.path for one in page.sessions}
            after = page.next
        return found

    def _check_asker(self, id: str, frm: From) -> None:
        """That it is the process of session ``id``: the one of that name that the node's own supervisor of sessions has started,
        or the supervisor of a group, a resident that it has started.

        :raises RequestError: ``not_permitted``.
        """
        assert isinstance(self.process, Process)
        sessions = self.process.whereis(SESSIONS)
        row = self._row(frm.pid.serial)
        above = row.get("parent")
        if sessions is not None and above != sessions.serial:
            group = self._row(above)
            above = group.get("parent") if group.get("kind") == "resident" else None
        if row.get("name") != id or sessions is None or above != sessions.serial:
            raise RequestError("not_permitted", "only the session's own process")

    def _row(self, serial: Term) -> dict[str, Term]:
        """Of the process table; empty: there is no such process."""
        assert isinstance(self.process, Process)
        rows = self.process.request(Processes(serial - 1, 1)) if isinstance(serial, int) else None
        row = rows[0] if isinstance(rows, list) and rows else {}
        return row if isinstance(row, dict) and row.get("serial") == serial else {}


class _Folder(msgspec.Struct):
    path: str


class _Session(msgspec.Struct):
    id: str
    project: _Folder


class _Listed(msgspec.Struct):
    """A page of the manager's list, as far as it is of concern here."""

    sessions: list[_Session]
    next: tuple[float, int] | None


def _page(sessions: list[SavedSession], bad: int, after: int, limit: int) -> dict[str, object]:
    """A page of a list.

    :raises RequestError: ``invalid_field``.
    """
    if after < 0 or not 1 <= limit <= MAX_PAGE_ROWS:
        raise RequestError("invalid_field", f"after: from 0; limit: 1 to {MAX_PAGE_ROWS}")
    end = after + limit
    return {"sessions": sessions[after:end], "bad": bad, "next": end if end < len(sessions) else None}
