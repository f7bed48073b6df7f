"""The vault: all saved sessions of a state directory, for the one process that holds the machine's secret.

::

    <state>/keys         the secrets                       0600
            index        what is known of the newest saves 0600
            sessions/    one folder per session            0700

A session that a process has is known by the lock of its head: its database is left alone. One that has none for now, because
it is suspended, waits for its restart or was given up, is known by the manager's list, and nothing of it is deleted either.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress

import msgspec

from actorcore.errors import RequestError
from actorcore.exit_reason import Term
from actorcore.runtime.clock import wall_s
from actorcore.runtime.complain import complain
from supervisors.persistence import database_files, files, proof, retention, secrets, snapshot as snapshots
from supervisors.persistence.database import Database
from supervisors.persistence.database_files import HEAD_NAME, LOG, Locked, told
from supervisors.persistence.index import Index
from supervisors.persistence.journal import records_of, session_in, session_of
from supervisors.persistence.notes import note_in
from supervisors.persistence.proof import HEAD_BYTES, Content, Head
from supervisors.persistence.retention import Cleanup, Limits
from supervisors.persistence.saved import Saved, SavedSession, line_of, newest_first, resumable
from supervisors.persistence.signing import Keys, Ring
from supervisors.persistence.snapshot import Snapshot
from supervisors.persistence.state_directory import DELETED, StateDirectory
from supervisors.persistence.store_words import Grant, SessionSaved
from supervisors.persistence.unborn import is_unborn

DEFAULT_LIMITS = Limits()
UNBORN_S = 300.0
"""So long a new session may take from its grant to its first save; then its folder is taken for that of a failed start."""


class Vault:
    """Of the state directory ``state``. Errors are RequestErrors with a code; no detail names a path or an id."""

    def __init__(
        self, state: str, limits: Limits = DEFAULT_LIMITS, chance: Callable[[int], bytes] = os.urandom,
        listed: Callable[[], Mapping[str, str]] = dict, may_go: Callable[[str], bool] = bool,
    ) -> None:  # fmt: skip
        """``listed``: the sessions that there are, with or without a process, as id → the path of the project. ``may_go``:
        asked before one is deleted; from then on nobody has it who did not ask for it later.
        """
        self._directory = StateDirectory(state)
        self._listed, self._may_go = listed, may_go
        self._limits = limits
        self._chance = chance
        self._ring: Ring | None = None
        self._index = Index(state)
        self.behind = 0
        """So many notes are not in the index yet."""

    def close(self) -> None:
        """Let another one have the directory."""
        self._directory.close()

    def prepare(self) -> None:
        """Have the directory in order; what cannot be is told when it is needed."""
        self._directory.prepare()

    def ring(self) -> Ring:
        """The machine's secrets, read once.

        :raises RequestError: ``secret_unusable``, tried again with the next call.
        """
        if self._ring is None:
            self._directory.take()
            self._ring = secrets.ring_of(self._directory.path, lambda: bool(self._directory.ids()), self._chance)
            self._index.load(self._ring)
        return self._ring

    def rotate(self) -> int:
        """Sign with a new secret from now on; its number."""
        self.ring()
        self._ring = secrets.rotate(self._directory.path, self._chance)
        return max(self._ring.secrets)

    # ---- for the sessions themselves --------------------------------------------------------------------------------

    def grant(self, id: str) -> Grant:
        """What the process of session ``id`` needs to keep it.

        :raises RequestError: ``session_limit_reached``, ``secret_unusable``, …
        """
        snapshots.check_id(id)
        keys = self.ring().keys_of(id)
        crowd = None
        if not os.path.exists(self._directory.folder(id)):
            crowd = self._admit()
            files.private_directory(self._directory.sessions)
            files.private_directory(self._directory.folder(id))  # from now on it counts
        known = self._index.lines.get(id)
        return Grant(self._directory.folder(id), dict(keys.by_number), known.generation if known else 0, crowd)

    def _admit(self) -> tuple[int, int] | None:
        """How many there are with a new one, and how many there may be, if that is nearly all; makes room if it may."""
        count = len(self._directory.ids())
        if count >= self._limits.max_saved:
            count -= self.forget_unborn(UNBORN_S)
        is_full = count >= self._limits.max_saved
        saved = self.survey().sessions if is_full and self._limits.auto_clean else []
        live = self.live() if saved else []
        admission = retention.admit(saved, count, live, self._limits)
        if admission.evicted:
            self._remove(admission.evicted)
        most = self._limits.max_saved
        return (min(count + 1, most), most) if admission.is_warning else None

    def forget_unborn(self, age_s: float = 0.0) -> int:
        """Remove what starts that came to no end have left, if it is so old; how many. What was saved there is nothing."""
        forgotten, listed = 0, self._listed()
        for id in self._directory.ids():
            if id not in listed and (not age_s or os.lstat(self._directory.folder(id)).st_mtime < wall_s() - age_s):
                with suppress(RequestError):  # it lives, or there is something, and it is bad
                    forgotten += self._remove(id, only_unborn=True)
        return forgotten

    def discard(self, id: str, refused_at: float) -> None:
        """The start of session ``id`` was refused, whose record has that ``created_at``: it leaves nothing. Another session that
        was saved under this id stays.

        :raises RequestError: ``running``, or what is there is bad.
        """
        self._remove(id, True, refused_at)

    def note(self, saved: SessionSaved) -> None:
        """A snapshot is durable: no older one of the session is believed any more, from the next :meth:`write_index` on for good.

        :raises RequestError: ``not_permitted``, that was not said by its process.
        """
        id = snapshots.check_id(saved.id)
        note = note_in(saved, self.ring().keys_of(id))
        if note is None:
            raise RequestError("not_permitted", "only the session's own process")
        known = self._index.lines.get(id)
        if known is None or note.generation >= known.generation:
            self._index.lines[id] = line_of(id, note.session, note.generation, wall_s(), True)
            self.behind += 1

    def end(self, id: str) -> None:
        """Session ``id`` is no more, whatever became of its process: the next daemon does not resume it by itself.

        :raises RequestError: ``not_found``, ``running``, or why it cannot be written.
        """
        with self._locked(id) as (head, keys, handle):
            if head.is_running:
                os.pwrite(handle, proof.encode_head(msgspec.structs.replace(head, is_running=False), keys), 0)
                os.fsync(handle)

    # ---- looking ----------------------------------------------------------------------------------------------------

    def survey(self) -> Saved:
        """All that is saved, newest first."""
        ring = self.ring()
        sessions, bad = [], {}
        for id in self._directory.ids():
            try:
                line = self._line(id, ring.keys_of(id))
            except RequestError as error:
                bad[id] = error.code
            else:
                sessions += [line] if line is not None else []
        return Saved(newest_first(sessions), bad)

    def live(self) -> list[str]:
        """The ids of those that are listed, or that a process has."""
        listed = self._listed()
        return [id for id in self._directory.ids() if id in listed or database_files.is_live(self._directory.folder(id))]

    def resumable(self) -> Saved:
        """As :meth:`survey`, without those that live and those whose project another one works in."""
        saved, live = self.survey(), set(self.live())
        paths = {line.project_path for line in saved.sessions if line.id in live} | set(self._listed().values())
        return Saved(resumable(saved.sessions, live, paths), saved.bad)

    def get(self, id: str) -> tuple[dict[str, Term], Content]:
        """The record of session ``id`` and all that is kept of it.

        :raises RequestError: ``not_found``, ``running``, and whatever keeps it from being believed.
        """
        with self._locked(id) as (head, keys, _):
            content = self._proved(id, head, keys)
            return session_of(content, records_of(content)), content

    def locate(self, id: str) -> str:
        """The path of the folder that it is saved in.

        :raises RequestError: ``not_found``, ``invalid_id``.
        """
        folder = self._directory.folder(snapshots.check_id(id))
        if not os.path.exists(f"{folder}/{HEAD_NAME}"):
            raise RequestError("not_found", "no saved session has this id")
        return folder

    def export(self, id: str) -> bytes:
        """Its signed text."""
        session, content = self.get(id)
        bodies = [body for body, _ in content.records]
        now = content.snapshot
        whole = Snapshot(id, now.generation, now.number, now.saved_at, session, now.content, bodies)
        return snapshots.encode(whole, self.ring().keys_of(id))

    # ---- changing ---------------------------------------------------------------------------------------------------

    def import_(self, data: bytes, unsigned: bool = False) -> str:
        """Save what a signed text says; its id. What was left by an import that was killed is no session, and gives way.

        :raises RequestError: as :func:`snapshots.decode`; ``already_exists``; ``session_limit_reached``.
        """
        id = snapshots.id_of(data)
        keys = self.ring().keys_of(id)
        snapshot = snapshots.decode_unsigned(data) if unsigned else snapshots.decode(data, id, keys)
        session = session_in(snapshot)
        if os.path.exists(self._directory.folder(id)) and (id in self._listed() or self._line(id, keys) is not None):
            raise RequestError("already_exists", "a saved session has this id")
        self._admit()
        Database(self._directory.folder(id), id, keys).install(snapshot)
        self._index.lines[id] = line_of(id, session, snapshot.generation, snapshot.saved_at, False)
        self.write_index()
        return id

    def delete(self, id: str) -> bool:
        """Whether it was there.

        :raises RequestError: ``running``, ``invalid_id``, or why it cannot be removed.
        """
        return self._remove(snapshots.check_id(id))

    def _remove(self, id: str, only_unborn: bool = False, refused_at: float | None = None) -> bool:
        """As :meth:`delete`, or only if it is unborn: nobody can have read anything of that, whoever begins it anew."""
        folder = self._directory.folder(id)
        if not (only_unborn or self._may_go(id)):
            raise Locked("running", "the session is not stopped")
        with told():
            try:
                handle = database_files.look(folder, create=True)
            except FileNotFoundError:
                return False
            try:
                if only_unborn and not is_unborn(folder, id, self.ring().keys_of(id), handle, refused_at):
                    return False
                shutil.rmtree(f"{folder}{DELETED}", ignore_errors=True)
                # Before its files go: a line without them is a session that somebody has made away with, and its id lost.
                if self._index.lines.pop(id, None) is not None:
                    self.write_index()
                # In one step: at no moment there is half a session.
                os.rename(folder, f"{folder}{DELETED}")
                files.sync_directory(self._directory.sessions)
            finally:
                os.close(handle)
            shutil.rmtree(f"{folder}{DELETED}")
        return True

    def clear(self) -> Cleanup:
        """Delete all that do not live, whatever is in them."""
        ids = self._directory.ids()
        return self._delete_all(ids, len(ids), {})

    def clean_up(self, days: object, now: float, spares_running: bool = False) -> Cleanup:
        """Delete those saved more than ``days`` before ``now`` (wall clock, seconds) that do not live.

        ``spares_running``: also those stay whose process has not ended in order.
        """
        saved = self.survey()
        spared = {*self.live(), *(line.id for line in saved.sessions if spares_running and line.is_running)}
        old = retention.outdated(saved.sessions, days, spared, now)
        return self._delete_all(old, len(saved.sessions), saved.bad)

    def _delete_all(self, ids: list[str], total: int, bad: dict[str, str]) -> Cleanup:
        deleted, errors, live = 0, dict(bad), 0
        for id in ids:
            try:
                deleted += self._remove(id)
            except Locked:
                live += 1
            except RequestError as error:
                errors[id] = error.code
        return Cleanup(deleted, total - len(ids) + live, len(errors), errors)

    # ---- one session ------------------------------------------------------------------------------------------------

    @contextmanager
    def _locked(self, id: str) -> Iterator[tuple[Head, Keys, int]]:
        """The head of a session that does not live, which cannot begin to meanwhile; its keys; the descriptor of its head."""
        folder = self._directory.folder(snapshots.check_id(id))
        keys = self.ring().keys_of(id)
        with told():
            try:
                handle = database_files.look(folder)
            except FileNotFoundError:
                raise RequestError("not_found", "no saved session has this id") from None
            try:
                head = proof.decode_head(files.read_all(handle, HEAD_BYTES), keys)
                if head is None:
                    raise RequestError("not_found", "no saved session has this id")
                yield head, keys, handle
            finally:
                os.close(handle)

    def _proved(self, id: str, head: Head, keys: Keys) -> Content:
        content = database_files.read(f"{self._directory.folder(id)}/{head.epoch}.db", id, keys)
        proof.check_head(head, content)
        known = self._index.lines.get(id)
        proof.check_generation(known.generation if known else 0, content)
        return content

    def _line(self, id: str, keys: Keys) -> SavedSession | None:
        """Its line; None: it is not saved, or not yet."""
        try:
            with self._locked(id) as (head, _, _):
                content = self._proved(id, head, keys)
        except Locked:
            return self._index.lines.get(id)
        except RequestError as error:
            if error.code == "not_found":
                return None
            raise
        session = session_of(content, records_of(content))
        if not session:  # it died before its first word
            return None
        folder, saved_at = self._directory.folder(id), content.snapshot.saved_at
        if content.records:  # the newest of them was saved when it was written
            with told():
                saved_at = max(saved_at, os.stat(f"{folder}/{head.epoch}.db{LOG}").st_mtime)
        return line_of(id, session, content.snapshot.generation, saved_at, head.is_running, database_files.size_bytes(folder))

    def write_index(self) -> None:
        """Make it durable. A failure is no failure of what is being told: it is in the log; the next change tries again."""
        try:
            with told():
                self._index.write(self.ring())
        except RequestError as error:
            complain(f"the list of saves is not written: {error.code}: {error.detail}")
        self.behind = 0
