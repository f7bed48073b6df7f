"""The durable journal: the Journal of a session (:mod:`supervisors.session.journal`) in its database."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import msgspec

from actorcore.errors import ActorError, RequestError
from actorcore.exit_reason import Term
from actorcore.frames import DECODE_ERRORS
from actorcore.process_face import ProcessFace
from actorcore.runtime.complain import complain
from supervisors.own_names import STORE
from supervisors.persistence.asking import ask_store
from supervisors.persistence.database import Database
from supervisors.persistence.notes import saved_note
from supervisors.persistence.proof import Content, Untrue
from supervisors.persistence.signing import Keys
from supervisors.persistence.snapshot import Snapshot
from supervisors.persistence.store_words import Grant, OpenSession
from supervisors.session.journal import JournalError, Kept
from supervisors.session.records import Record, SessionChanged, decode_record, encode_record


class DurableJournal:
    """``known_generation`` is that of the newest save that the store knows of; ``on_saved`` is told of each later one; ``crowd``:
    see Kept."""

    def __init__(
        self, database: Database, known_generation: int = 0,
        on_saved: Callable[[int, dict[str, Term]], None] = lambda generation, session: None, crowd: tuple[int, int] | None = None,
    ) -> None:  # fmt: skip
        self._database = database
        self._known_generation = known_generation
        self._on_saved = on_saved
        self._crowd = crowd
        self._session: dict[str, Term] = {}

    def load(self) -> Kept:
        """As :class:`supervisors.session.journal.Journal`: the session is this process's until it closes or ends."""
        content = self._database.open(self._known_generation)
        try:
            records = records_of(content)
        except BaseException:
            self._database.close()
            raise
        self._session = session_of(content, records)
        if self._session:  # else it is new, and nothing can be said of it yet
            self._on_saved(content.snapshot.generation, self._session)
        return Kept(content.snapshot.content or None, records, self._crowd, content.number)

    def append(self, records: Sequence[Record]) -> None:
        try:
            self._database.append([encode_record(record) for record in records])
        except RequestError as error:
            raise JournalError(error.code, error.detail) from None
        for record in records:
            if isinstance(record, SessionChanged):
                self._session = record.session
                self._on_saved(self._database.content.snapshot.generation, self._session)

    def checkpoint(self, state: bytes) -> None:
        with _journal_errors():
            snapshot = self._database.checkpoint(self._session, state)
        self._on_saved(snapshot.generation, self._session)

    def close(self) -> None:
        with _journal_errors():
            self._database.close()


def records_of(content: Content) -> list[Record]:
    """The records after the snapshot.

    :raises Untrue: what was signed is none; only other code than this can have done that.
    """
    try:
        return [decode_record(body) for body, _ in content.records]
    except DECODE_ERRORS:
        raise Untrue("records: of another version") from None


def session_of(content: Content, records: Sequence[Record]) -> dict[str, Term]:
    """The session's own record as it was last."""
    changed = [record.session for record in records if isinstance(record, SessionChanged)]
    return changed[-1] if changed else content.snapshot.session


def session_in(snapshot: Snapshot) -> dict[str, Term]:
    """The session's own record in a snapshot from elsewhere.

    :raises RequestError: ``invalid_field``, it is that of another session, or of none.
    """
    try:
        changed = [one.session for one in map(decode_record, snapshot.records) if isinstance(one, SessionChanged)]
    except DECODE_ERRORS:
        raise RequestError("invalid_field", "records") from None
    session = changed[-1] if changed else snapshot.session
    if session.get("id") != snapshot.id:
        raise RequestError("invalid_field", "session")
    return session


@contextmanager
def _journal_errors() -> Iterator[None]:
    try:
        yield
    except RequestError as error:
        raise JournalError(error.code, error.detail) from None


# ---- in the session's own process -------------------------------------------------------------------------------------

for _kind in (Grant, Snapshot):  # what they are is found out here once, and not by each session that is forked
    msgspec.msgpack.Decoder(_kind)


def open_journal(process: ProcessFace, id: str) -> DurableJournal:
    """The journal of session ``id``, for the process that bears this name; nothing is read before ``load``.

    :raises RequestError: the store refuses (``session_limit_reached``, ``secret_unusable``, ``not_permitted``, …).
    :raises CallFailed, CallTimeout: there is no store.
    """
    first = _grant(process, id)
    latest = [first]

    def keys() -> Keys:
        try:  # there may be newer ones, and this is no reason to fail
            latest[0] = _grant(process, id)
        except ActorError as error:
            complain(f"the store does not answer: {error}")
        return Keys(latest[0].keys)

    def tell(generation: int, session: dict[str, Term]) -> None:
        try:
            process.cast(STORE, saved_note(id, Keys(latest[0].keys), generation, session))
        except ActorError as error:
            complain(f"the store is not told of a save: {error}")

    return DurableJournal(Database(first.folder, id, Keys(first.keys), keys), first.generation, tell, first.crowd)


def _grant(process: ProcessFace, id: str) -> Grant:
    return msgspec.convert(ask_store(process, OpenSession(id)), Grant)
