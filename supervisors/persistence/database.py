"""The database of one session: SQLite in a folder of its own, written by the session's own process and by nobody else.

``<id>/`` (0700) holds ``head`` (see :mod:`supervisors.persistence.proof`), whose lock is held as long as the session lives and
ends with its process, ``<epoch>.db``: one signed snapshot, and ``<epoch>.db-log``: the records since. A record is durable when
:meth:`Database.append` returns: one write at the end of the log, one fdatasync. A commit of SQLite writes two pages for it and
costs three times as much. A checkpoint begins the log anew: what is in it is chained to another snapshot, and means nothing.

After a failure of the disk a database is not written any more, for what a failed sync has left is not known (RELIABILITY
C6): with the next write everything moves to a new file of the next epoch, and the head, synced, says so.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import msgspec

from actorcore.errors import RequestError
from actorcore.exit_reason import Term
from actorcore.faults import point
from actorcore.runtime.clock import wall_s
from supervisors.persistence import files, proof, snapshot as snapshots
from supervisors.persistence.database_files import (
    ENDINGS,
    HEAD_NAME,
    LOG,
    connect,
    fill,
    is_at,
    is_unfinished,
    lock,
    read,
    sync_new,
    told,
    trouble_of,
)  # fmt: skip
from supervisors.persistence.files import FileTrouble
from supervisors.persistence.log import Log
from supervisors.persistence.proof import HEAD_BYTES, Content, Head, Untrue
from supervisors.persistence.signing import Keys, chain
from supervisors.persistence.snapshot import Snapshot

_DATABASES = tuple(f".db{ending}" for ending in ENDINGS)
_FULL = (errno.ENOSPC, errno.EDQUOT)


class Database:
    """``folder`` is that of session ``id``, with ``keys``; ``newer_keys`` is asked before each snapshot."""

    def __init__(self, folder: str, id: str, keys: Keys, newer_keys: Callable[[], Keys] | None = None) -> None:
        self._folder = folder
        self._id = snapshots.check_id(id)
        self._keys = keys
        self._newer_keys = newer_keys or (lambda: keys)
        self._head_path = self._file(HEAD_NAME)
        self._head_fd = -1
        self._head_place = (0, 0)
        self._connection: sqlite3.Connection | None = None
        self._log: Log | None = None
        self._is_failed = False
        self._content: Content
        self._epoch = 0

    # ---- opening and closing ----------------------------------------------------------------------------------------

    def open(self, known_generation: int = 0) -> Content:
        """Take the session over; what is kept of it, all of it proved. ``known_generation``: no older save is believed.

        Until this returns nothing that was there is changed.

        :raises RequestError: :class:`Locked`; :class:`Untrue`; as :func:`snapshots.decode`; :class:`FileTrouble`.
        """
        with told():
            files.private_directory(self._folder)
            self._lock()
            try:
                head = proof.decode_head(files.read_all(self._head_fd, HEAD_BYTES), self._keys)
                if head is None:
                    self._create(known_generation)
                else:
                    self._epoch = head.epoch
                    self._content = self._proved(head, known_generation)
                    self._clear(self._path(head.epoch))
                    self._log = Log(f"{self._path(head.epoch)}{LOG}")
                    self._make_durable(self._path(head.epoch))
                    self._connection = connect(self._path(head.epoch))
                self._note(is_synced=True)
            except BaseException:
                self._drop()
                raise
        point("database.opened")
        return self._content

    def _lock(self) -> None:
        """Have the head, and no longer the one of a folder that is gone.

        :raises Locked, OSError, FileTrouble: another process has it; it cannot be had.
        """
        before, self._head_fd = self._head_fd, lock(self._folder, create=True)
        if before >= 0:
            os.close(before)
        found = os.fstat(self._head_fd)
        self._head_place = found.st_ino, found.st_dev

    def _make_durable(self, path: str) -> None:
        """What was read is also on the disk: who died before a sync has left what only the system knows, and we build on it."""
        for ending in ENDINGS:
            with contextlib.suppress(FileNotFoundError):
                fd = files.open_private(f"{path}{ending}", os.O_RDWR)
                try:
                    os.fdatasync(fd)
                finally:
                    os.close(fd)
        files.sync_directory(self._folder)

    def _create(self, known_generation: int) -> None:
        """Begin the session; what a creation that came to no end has left is thrown away, anything else is not."""
        if known_generation or not is_unfinished(self._folder, self._id, self._keys):
            raise Untrue("head: missing")
        self._found(Snapshot(self._id, 1, 0, wall_s(), {}, b"", []))

    def _found(self, first: Snapshot) -> None:
        """Make the first file, with ``first`` and the records after it."""
        text = snapshots.encode(msgspec.structs.replace(first, records=[]), self._keys)
        content = proof.prove(self._id, self._keys, [(first.generation, text)], [])
        key, mac = self._keys.by_number[content.key], content.mac
        for number, body in enumerate(first.records, first.number + 1):
            mac = chain(key, mac, number, body)
            content.records.append((body, mac))
        self._content = msgspec.structs.replace(content, number=first.number + len(first.records), mac=mac)
        files.sync_directory(os.path.dirname(self._folder))  # who made the folder may have died before he did that
        self._clear("")
        self._move(1)

    def install(self, first: Snapshot) -> None:
        """Make the session from a snapshot that came from elsewhere; it is not running.

        :raises RequestError: ``already_exists``; :class:`Locked`; :class:`FileTrouble`.
        """
        with told():
            files.private_directory(self._folder)
            self._lock()
            try:
                if proof.decode_head(files.read_all(self._head_fd, HEAD_BYTES), self._keys) is not None:
                    raise RequestError("already_exists", "a saved session has this id")
                self._found(first)
                self._note(is_synced=True, is_running=False)
            finally:
                self._drop()

    def _proved(self, head: Head, known_generation: int) -> Content:
        content = read(self._path(head.epoch), self._id, self._keys)
        proof.check_head(head, content)
        proof.check_generation(known_generation, content)
        return content

    def close(self) -> None:
        """The session ends in order: it will not be resumed by itself."""
        if self._connection is not None and not self._is_failed:
            with told():
                point("database.closing")
                self._note(is_synced=True, is_running=False)
                point("database.closed")
        self._drop()

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self._log is not None:
            self._log.close()
            self._log = None
        if self._head_fd >= 0:
            os.close(self._head_fd)  # and with it goes the lock
            self._head_fd = -1

    # ---- writing ----------------------------------------------------------------------------------------------------

    @property
    def content(self) -> Content:
        """What is kept now."""
        return self._content

    def append(self, bodies: Sequence[bytes]) -> int:
        """Keep these records, all or none, durably; the number of the last.

        :raises FileTrouble: none of them is kept. The next call tries anew, in a new file if the disk has failed.
        """
        before = self._content
        key = self._keys.by_number[before.key]
        number, mac, records = before.number, before.mac, []
        for body in bodies:
            number += 1
            mac = chain(key, mac, number, body)
            records.append((body, mac))
        frame = proof.encode_frame(records)
        try:
            self._ready()
            before = self._content  # where it is written may have moved
            point("database.append")
            self._write(frame, before.log_bytes)
        except (OSError, sqlite3.Error) as error:
            raise trouble_of(error) from None
        point("database.appended")
        before.records.extend(records)
        self._content = msgspec.structs.replace(before, number=number, mac=mac, log_bytes=before.log_bytes + len(frame))
        self._note()
        point("database.noted")
        return number

    def _write(self, frame: bytes, at: int) -> None:
        """Add ``frame`` to the log, durably.

        :raises OSError: it is not there.
        """
        log = self._log
        assert log is not None
        try:
            point("database.inserted")
            log.write(frame, at)
        except OSError as error:
            # A full disk is found before anything is synced, and half a frame is none: that file may go on.
            self._is_failed |= error.errno not in _FULL
            raise OSError(errno.EIO, "") if error.errno == errno.EFBIG else error from None
        try:
            point("database.written")
            log.sync()
        except OSError:
            self._is_failed = True
            log.strike(at)  # whoever finds the file has no use for what was refused
            raise

    def checkpoint(self, session: dict[str, Term], state: bytes) -> Snapshot:
        """Keep ``state`` in the place of all records so far, durably, signed with the newest key.

        :raises RequestError: ``file_too_large`` and ``json_encode_error`` before anything is touched; :class:`FileTrouble`:
            what was kept before is still kept.
        """
        before, keys = self._content, self._newer_keys()
        now = Snapshot(self._id, before.snapshot.generation + 1, before.number, wall_s(), session, state, [])
        text = snapshots.encode(now, keys)
        after = proof.prove(self._id, keys, [(now.generation, text)], [])
        with self._writing() as connection:
            point("database.checkpoint")
            connection.execute("BEGIN")
            connection.execute("DELETE FROM snapshot")
            connection.execute("DELETE FROM records")
            connection.execute("INSERT INTO snapshot VALUES (?, ?)", (now.generation, text))
            point("database.replaced")
            connection.execute("COMMIT")
        point("database.checkpointed")
        self._content, self._keys = after, keys
        self._note()
        with self._afterwards():
            assert self._connection is not None
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            assert self._log is not None
            self._log.begin_anew(before.log_bytes)
        point("database.folded")
        return now

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """The connection to write with; what fails inside is told in words, and takes nothing with it."""
        with told():
            connection = self._ready()
            try:
                yield connection
            except (sqlite3.Error, OSError) as error:
                # A full disk is found before anything is synced: that file may go on. Any other failure ends it.
                self._is_failed |= getattr(error, "sqlite_errorcode", 0) != sqlite3.SQLITE_FULL
                with self._afterwards():
                    if connection.in_transaction:
                        connection.execute("ROLLBACK")
                raise

    def _ready(self) -> sqlite3.Connection:
        """The files are there and may be written, if need be new ones.

        :raises OSError, sqlite3.Error, FileTrouble: they cannot be had.
        """
        self._look()
        if self._is_failed or self._connection is None:
            self._renew()
        assert self._connection is not None
        return self._connection

    @contextmanager
    def _afterwards(self) -> Iterator[None]:
        """Around what comes after the answer is decided: a failure there is for the next write to mend."""
        try:
            yield
        except (sqlite3.Error, OSError):
            self._is_failed = True

    def _look(self) -> None:
        """That the files still have their names: what is written to one without is lost.

        :raises OSError, FileTrouble: they have not; the next write makes them anew.
        """
        if self._is_failed:
            return
        try:
            found = os.stat(self._head_path)
        except OSError:
            self._is_failed = True
            raise
        if (found.st_ino, found.st_dev) != self._head_place:
            self._is_failed = True
            raise FileTrouble("path_not_found", "replaced")

    def _note(self, is_synced: bool = False, is_running: bool = True) -> None:
        """Write the head. Not synced, it may fail: then it is only behind."""
        content = self._content
        head = Head(self._epoch, content.snapshot.generation, content.number, content.mac, is_running)
        data = proof.encode_head(head, self._keys)
        if is_synced:
            os.pwrite(self._head_fd, data, 0)
            point("database.head")
            os.fsync(self._head_fd)
        else:
            try:
                os.pwrite(self._head_fd, data, 0)
            except OSError:
                self._is_failed = True

    # ---- a new file ---------------------------------------------------------------------------------------------------

    def _renew(self) -> None:
        """Move to a file of the next epoch, in a new folder if need be, and forget the one that failed."""
        files.private_directory(os.path.dirname(self._folder))
        files.private_directory(self._folder)
        if not is_at(self._head_fd, self._head_path):
            self._lock()
        self._move(self._epoch + 1)
        self._note(is_synced=True)
        self._clear(self._path(self._epoch))
        self._is_failed = False

    def _move(self, epoch: int) -> None:
        """Write all that is kept into a new database; the old one stays as it is until the head names the new one."""
        path, content = self._path(epoch), self._content
        for ending in ENDINGS:
            files.discard(f"{path}{ending}")
        fd = files.open_private(path, os.O_RDWR | os.O_CREAT | os.O_EXCL)
        try:
            point("database.created")
            fill(path, (content.snapshot.generation, content.text), content.records, content.snapshot.number)
            sync_new(fd)
        finally:
            os.close(fd)  # before SQLite has locks: closing any descriptor of a file ends all that a process has (fcntl(2))
        point("database.filled")
        connection, log = connect(path), None
        try:
            log = Log(f"{path}{LOG}")
            files.sync_directory(self._folder)
        except BaseException:
            connection.close()
            if log is not None:
                log.close()
            raise
        if self._connection is not None:
            self._connection.close()
        if self._log is not None:
            self._log.close()
        self._connection, self._log, self._epoch = connection, log, epoch
        self._content = msgspec.structs.replace(content, log_bytes=0)

    def _clear(self, kept: str) -> None:
        """Remove databases of other epochs than that at ``kept``."""
        others = {self._file(name) for name in os.listdir(self._folder) if name.endswith(_DATABASES)}
        for path in others - {f"{kept}{ending}" for ending in ENDINGS}:
            os.unlink(path)

    def _path(self, epoch: int) -> str:
        return self._file(f"{epoch}.db")

    def _file(self, name: str) -> str:
        return f"{self._folder}/{name}"
