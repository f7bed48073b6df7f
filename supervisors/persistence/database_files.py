"""The files of a session's database: their lock, their one writer, and how they are read without being changed."""

from __future__ import annotations

import errno
import fcntl
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from actorcore.errors import RequestError
from supervisors.persistence import files, proof
from supervisors.persistence.files import FileTrouble
from supervisors.persistence.proof import Content, Untrue
from supervisors.persistence.signing import Keys

HEAD_NAME = "head"
MAX_FILE_BYTES = 64 << 20
"""Of a database or its log that is read: a session checkpoints long before."""
KEPT = ".kept"
LOG = "-log"
ENDINGS = ("", "-wal", "-journal", LOG, f"-wal{KEPT}")
"""Of the names of the files of one database: SQLite's, and our log of the records that came after what is in it."""
SCHEMA = (
    "CREATE TABLE snapshot (generation INTEGER PRIMARY KEY, text BLOB NOT NULL)",
    "CREATE TABLE records (number INTEGER PRIMARY KEY, body BLOB NOT NULL, mac BLOB NOT NULL)",
)
_PRAGMAS = (
    "locking_mode=EXCLUSIVE", "journal_mode=WAL", "synchronous=FULL", "wal_autocheckpoint=256", "temp_store=MEMORY",
    "trusted_schema=OFF",
)  # fmt: skip


class Locked(RequestError):
    """``running``: another process has this session."""


_HOLD, _LOOK = 0, 1
"""Bytes of the head that are locked (fcntl(2)): by the process of the session as long as it lives; by who comes or looks."""


def lock(folder: str, create: bool = False) -> int:
    """The head of ``folder``, locked: the lock ends with the descriptor or with the process that has it.

    :raises Locked: another process has it.
    :raises OSError, FileTrouble: it cannot be had.
    """
    fd = look(folder, create)
    try:
        fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _HOLD)
        fcntl.lockf(fd, fcntl.LOCK_UN, 1, _LOOK)
    except BaseException:
        os.close(fd)
        raise
    return fd


def look(folder: str, create: bool = False) -> int:
    """The head of a session that no process has: as long as the descriptor is open who wants it waits. It is soon closed.

    :raises Locked: a process has it.
    :raises OSError, FileTrouble: it cannot be had.
    """
    path = f"{folder}/{HEAD_NAME}"
    while True:
        fd = files.open_private(path, os.O_RDWR | (os.O_CREAT if create else 0))
        try:
            fcntl.lockf(fd, fcntl.LOCK_EX, 1, _LOOK)
            if not is_at(fd, path):  # deleted while we waited
                os.close(fd)
                continue
            fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _HOLD)
            fcntl.lockf(fd, fcntl.LOCK_UN, 1, _HOLD)
        except OSError as error:
            os.close(fd)
            if error.errno in (errno.EAGAIN, errno.EACCES):
                raise Locked("running", "another process has this session") from None
            raise
        return fd


def is_live(folder: str) -> bool:
    """Whether a process has the session."""
    try:
        os.close(look(folder))
    except Locked:
        return True
    except (OSError, RequestError):
        return False
    return False


def is_at(fd: int, path: str) -> bool:
    """Whether the open file still has that name."""
    try:
        found, held = os.stat(path), os.fstat(fd)
    except FileNotFoundError:
        return False
    return (found.st_ino, found.st_dev) == (held.st_ino, held.st_dev)


def size_bytes(folder: str) -> int:
    """Of all files of a session."""
    return sum(os.lstat(f"{folder}/{name}").st_size for name in os.listdir(folder))


def connect(path: str) -> sqlite3.Connection:
    """A writer of the database at ``path``, the only one of its process."""
    connection = sqlite3.connect(path, isolation_level=None, cached_statements=16)
    try:
        for pragma in _PRAGMAS:
            connection.execute(f"PRAGMA {pragma}").fetchall()
    except BaseException:
        connection.close()
        raise
    return connection


_UNSYNCED = ("locking_mode=EXCLUSIVE", "journal_mode=OFF", "synchronous=OFF", "temp_store=MEMORY", "trusted_schema=OFF")


def fill(path: str, text: tuple[int, bytes], records: Sequence[tuple[bytes, bytes]], number: int) -> None:
    """Write a new database at ``path``, where an empty file is: the snapshot ``text`` = (generation, bytes) and the records after
    record ``number``. Nothing is synced and a failure leaves half of it: it is nobody's yet.
    """
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        for pragma in _UNSYNCED:
            connection.execute(f"PRAGMA {pragma}").fetchall()
        connection.execute("BEGIN")
        for statement in SCHEMA:
            connection.execute(statement)
        connection.execute("INSERT INTO snapshot VALUES (?, ?)", text)
        rows = [(at, body, mac) for at, (body, mac) in enumerate(records, number + 1)]
        connection.executemany("INSERT INTO records VALUES (?, ?, ?)", rows)
        connection.execute("COMMIT")
        connection.execute("PRAGMA journal_mode=WAL").fetchall()
    finally:
        connection.close()


def sync_new(fd: int) -> None:
    """What :func:`fill` wrote is durable, before a head names it."""
    os.fdatasync(fd)


def read(path: str, id: str, keys: Keys) -> Content:
    """What the database at ``path`` and its log prove to hold. Not a byte of it is changed; its folder must be locked.

    :raises RequestError: as :func:`proof.prove`; ``file_too_large``; :class:`Untrue`.
    :raises OSError: it cannot be read.
    """
    with _kept(f"{path}-wal"):
        for name in (path, f"{path}-wal"):
            _check(name, is_needed=name == path)
        texts, records = _rows(path)
    try:
        log = files.read_private(f"{path}{LOG}", MAX_FILE_BYTES)
    except FileNotFoundError:  # never had one, or lost it: the head knows
        log = b""
    if not all(isinstance(value, bytes) for row in (*texts, *records) for value in row[1:]):
        raise Untrue("database: types")
    return proof.follow(proof.prove(id, keys, texts, records), keys, log)


def is_unfinished(folder: str, id: str, keys: Keys) -> bool:
    """Whether the database in ``folder``, which has no head, was never finished, or nothing was said to it."""
    names = [name for name in os.listdir(folder) if name.endswith(".db")]
    if names != ["1.db"]:
        return not names
    try:
        found = read(f"{folder}/1.db", id, keys)
    except (RequestError, sqlite3.Error):  # torn as it was made
        return True
    return (found.snapshot.generation, found.number) == (1, 0)


def _check(path: str, is_needed: bool) -> None:
    try:
        fd = files.open_private(path, os.O_RDONLY, links=1 if is_needed else 2)
    except FileNotFoundError:
        if is_needed:
            raise Untrue("database: missing") from None
        return
    try:
        size = os.fstat(fd).st_size
    finally:
        os.close(fd)
    if size > MAX_FILE_BYTES:
        raise FileTrouble("file_too_large", f"{size} bytes, at most {MAX_FILE_BYTES}")
    if not size and is_needed:
        raise Untrue("database: empty")


def _rows(path: str) -> tuple[list[tuple[int, bytes]], list[tuple[int, bytes, bytes]]]:
    # unix-none: SQLite's own locks want a descriptor to write with; the lock of the head keeps everybody else out.
    connection = sqlite3.connect(f"file:{_quoted(path)}?mode=ro&vfs=unix-none", uri=True, isolation_level=None)
    try:
        for pragma in ("locking_mode=EXCLUSIVE", "trusted_schema=OFF", "cell_size_check=ON", "temp_store=MEMORY"):
            connection.execute(f"PRAGMA {pragma}").fetchall()
        if connection.execute("SELECT sql FROM sqlite_master ORDER BY rowid").fetchall() != [(text,) for text in SCHEMA]:
            raise Untrue("database: schema")
        texts = connection.execute("SELECT generation, text FROM snapshot").fetchall()
        return texts, connection.execute("SELECT number, body, mac FROM records ORDER BY number").fetchall()
    except (sqlite3.DatabaseError, sqlite3.DataError, OverflowError, UnicodeDecodeError) as error:
        if _number_of(error) is None:
            raise Untrue("database: malformed") from None
        raise
    finally:
        connection.close()


@contextmanager
def _kept(log: str) -> Iterator[None]:
    """Nobody takes ``log`` away: SQLite, also when it only reads, removes one in which it finds nothing of worth.

    What it cannot make sense of may be damaged, and somebody may mend it. A second name holds it meanwhile.
    """
    name = f"{log}{KEPT}"
    try:
        if os.path.exists(log):
            files.discard(name)  # of one who died here
        else:
            os.rename(name, log)
    except FileNotFoundError:
        pass
    try:
        os.link(log, name)
    except FileNotFoundError:
        yield
        return
    try:
        yield
    finally:
        if os.path.exists(log):
            os.unlink(name)
        else:
            os.rename(name, log)


@contextmanager
def told() -> Iterator[None]:
    """Failures of the system and of SQLite leave as :class:`FileTrouble`."""
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        raise trouble_of(error) from None


def trouble_of(error: OSError | sqlite3.Error) -> FileTrouble:
    """The same as a value."""
    if isinstance(error, OSError):
        return FileTrouble.of(error)
    number = _number_of(error)
    return FileTrouble.of(OSError(errno.EIO if number is None else number, ""))


_NUMBERS = {
    sqlite3.SQLITE_FULL: errno.ENOSPC, sqlite3.SQLITE_IOERR: errno.EIO, sqlite3.SQLITE_READONLY: errno.EROFS,
    sqlite3.SQLITE_CANTOPEN: errno.EMFILE, sqlite3.SQLITE_NOMEM: errno.ENOMEM, sqlite3.SQLITE_PERM: errno.EACCES,
    sqlite3.SQLITE_BUSY: errno.EIO, sqlite3.SQLITE_INTERRUPT: errno.EIO,
}  # fmt: skip
"""SQLite keeps errno to itself; what it could not open we have just opened, but for descriptors."""


def _number_of(error: Exception) -> int | None:
    """The errno behind an error of SQLite; None: the database itself is at fault."""
    return _NUMBERS.get(getattr(error, "sqlite_errorcode", 0) & 0xFF)


def _quoted(path: str) -> str:
    return path.replace("%", "%25").replace("?", "%3f").replace("#", "%23")
