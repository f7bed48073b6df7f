"""R2, RELIABILITY F11', B8, acceptance 102: no disk that a power failure can leave loses what was acknowledged."""

from __future__ import annotations

import os
import sqlite3
import tempfile
import uuid
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from actorcore import faults
from actorcore.errors import RequestError
from supervisors.persistence import database, database_files, files, proof, secrets
from supervisors.persistence.database import Database
from supervisors.persistence.proof import Content, Head
from supervisors.persistence.signing import InvalidRing, Ring, decode_ring
from supervisors.persistence.snapshot import Snapshot
from supervisors.persistence.vault import Vault
from tests.conftest import Size, Tell
from tests.persistence.powerloss import BLOCK_BYTES, Content as Blocks, Disk, Found, Op, explore, record

RING = Ring({1: b"s" * 32})
ID = str(uuid.UUID(int=7, version=4))
KEYS = RING.keys_of(ID)
FORKS = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
ENDINGS = database_files.ENDINGS[:4]
"""The fifth is there only while somebody reads."""
Say = Callable[[bytes], None]


@pytest.fixture
def root() -> Iterator[str]:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        yield folder


# ---- a session's database ---------------------------------------------------------------------------------------------


class Life:
    """A session that notes numbers and says each as soon as it is kept."""

    def __init__(self, root: str, say: Say) -> None:
        self._folder, self._say, self._last = f"{root}/{ID}", say, 0
        self.open()

    def open(self) -> None:
        self.database = Database(self._folder, ID, KEYS)
        self.database.open()

    def add(self, count: int = 1, size_bytes: int = 200) -> None:
        numbers = range(self._last + 1, self._last + count + 1)
        self.database.append([body_of(number, size_bytes) for number in numbers])
        self._last += count
        self._say(b"%d" % self._last)

    def die(self, point: str) -> None:
        """At that point of writing; and live again, with what the system knows and no disk does."""
        faults.hook = partial(fall_at, point)
        with pytest.raises(Killed):
            if point == "database.written":
                self._last += 1
                self.database.append([body_of(self._last)])
            else:
                self.save()
        faults.hook = None
        self.database._drop()
        self.open()

    def save(self) -> None:
        self.database.checkpoint({}, b"%d" % self._last)


class Killed(BaseException):
    """Here one died."""


def fall_at(point: str, name: str) -> None:
    if name == point:
        raise Killed


def body_of(number: int, size_bytes: int = 200) -> bytes:
    return (b"%d " % number).ljust(size_bytes, b"x")


def work(root: str, rounds: int) -> Callable[[Say], None]:
    """Everything that a session's database goes through: first file, records, folding, a new epoch, an end, a new life.

    The head is not synced in the rounds: of the records that they make, each may be the one that it shows.
    """

    def act(say: Say) -> None:
        life = Life(root, say)
        for _ in range(rounds):
            for _ in range(10):
                life.add()
            life.save()
        life.add(12, 900)
        life.save()
        life.add(12, 900)
        life.database._is_failed = True  # as after a failure of the disk: all moves to a new file
        life.add(3)
        life.save()
        life.add()
        life.database.close()
        life.open()
        life.add(2)
        life.save()
        life.add()
        life.die("database.written")
        life.add()
        life.die("database.replaced")
        life.add()

    return act


class Judge:
    """Loads disks with the code of the product. Of disks that differ in nothing but the head, SQLite reads one."""

    def __init__(self, root: str) -> None:
        self._folder = f"{root}/loaded"
        os.mkdir(self._folder)
        self._read: dict[tuple[Blocks | None, ...], tuple[Content | str, int | str]] = {}
        self._there: dict[str, Blocks | None] = {}
        self._heads: dict[bytes, Head | str | None] = {}
        self.loads = 0

    @staticmethod
    def check(last: object, said: list[bytes]) -> str | None:
        if isinstance(last, int):
            return None if not said or last >= int(said[-1]) else f"{last} is kept, {int(said[-1])} was acknowledged"
        if last is None:
            return None if not said else f"nothing is there, {int(said[-1])} was acknowledged"
        return str(last)

    def load(self, disk: Disk) -> int | str | None:
        data = b"".join(disk.get("head", ()))
        if data not in self._heads:
            try:
                self._heads[data] = proof.decode_head(data, KEYS)
            except RequestError as error:
                self._heads[data] = str(error)
        head = self._heads[data]
        if not isinstance(head, Head):
            return head
        names = [f"{head.epoch}.db{ending}" for ending in ENDINGS]
        key = tuple(disk.get(name) for name in names)
        if key not in self._read:
            content = self._load(key)
            self._read[key] = content, content if isinstance(content, str) else self._number_of(content)
        content, number = self._read[key]
        if isinstance(content, str):
            return content
        try:
            proof.check_head(head, content)
        except RequestError as error:
            return str(error)
        return number

    def _load(self, contents: tuple[Blocks | None, ...]) -> Content | str:
        self.loads += 1
        path = f"{self._folder}/x.db"
        for ending, content in zip(ENDINGS, contents, strict=True):
            self._put(f"{path}{ending}", content)
        try:
            return database_files.read(path, ID, KEYS)
        except (RequestError, sqlite3.Error) as error:
            return f"{type(error).__name__}: {error}"

    def _put(self, path: str, content: Blocks | None) -> None:
        """Make ``path`` have this content, writing what differs from the one before."""
        before = self._there.get(path)
        self._there[path] = content
        if content is None:
            if before is not None:
                os.unlink(path)
            return
        fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        old = () if before is None else before
        for at, block in enumerate(content):
            if at >= len(old) or old[at] is not block:
                os.pwrite(fd, block, at * BLOCK_BYTES)
        os.ftruncate(fd, sum(map(len, content)))
        os.close(fd)

    @staticmethod
    def _number_of(content: Content) -> int | str:
        """The last number, where all before it are there."""
        last = int(content.snapshot.content or b"0")
        for body, _ in content.records:
            if int(body.split()[0]) != last + 1:
                return f"{last} is followed by {body[:10]!r}"
            last += 1
        return last


@pytest.fixture(scope="module")
def recorded() -> list[Op]:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        return record(f"{folder}/{ID}", work(folder, 1))


@FORKS
@pytest.mark.sized
def test_F11_B8_acceptance_102_R2_no_power_failure_loses_an_acknowledged_record(
    root: str, size: Size, tell: Tell
) -> None:
    enough = size("R2_DISKS", 1_000_000, 3_000_000, 10_000_000)
    os.mkdir(f"{root}/recorded", 0o700)
    recorded = record(f"{root}/recorded/{ID}", work(f"{root}/recorded", size("R2_ROUNDS", 80, 150, 280)))
    judge = Judge(root)
    found = explore(recorded, judge.load, judge.check, size("R2_VARIANTS", 160, 500, 1200))
    tell(f"R2: {found.disks:,} distinct disks ({judge.loads:,} read by SQLite), {found.violations} violate")
    assert (found.bad, found.violations) == ([], 0)
    assert found.disks >= enough


def sync_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    pragmas = tuple("synchronous=OFF" if pragma == "synchronous=FULL" else pragma for pragma in database_files._PRAGMAS)
    monkeypatch.setattr(database_files, "_PRAGMAS", pragmas)
    leave_the_log_unsynced(monkeypatch)


def leave_the_log_unsynced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fdatasync", lambda fd: None)


def leave_a_checkpoint_unsynced(monkeypatch: pytest.MonkeyPatch) -> None:
    pragmas = tuple("synchronous=OFF" if pragma == "synchronous=FULL" else pragma for pragma in database_files._PRAGMAS)
    monkeypatch.setattr(database_files, "_PRAGMAS", pragmas)


def leave_a_new_file_unsynced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "sync_new", lambda fd: None)


def build_on_what_a_dead_one_did_not_sync(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Database, "_make_durable", lambda self, path: None)


def name_the_new_file_before_it_is_filled(monkeypatch: pytest.MonkeyPatch) -> None:
    move = Database._move

    def early(self: Database, epoch: int) -> None:
        before, self._epoch = self._epoch, epoch
        if before:
            self._note(is_synced=True)
        self._epoch = before
        move(self, epoch)

    monkeypatch.setattr(Database, "_move", early)


def remove_the_old_file_before_the_head_is_synced(monkeypatch: pytest.MonkeyPatch) -> None:
    note = Database._note

    def unsynced(self: Database, is_synced: bool = False, is_running: bool = True) -> None:
        note(self, False, is_running)

    monkeypatch.setattr(Database, "_note", unsynced)


def is_caught(ops: list[Op], root: str) -> bool:
    judge = Judge(root)
    return explore(ops, judge.load, judge.check, 16, lambda found: found.violations > 0).violations > 0


@FORKS
@pytest.mark.parametrize(
    "spoil",
    [
        sync_nothing, leave_the_log_unsynced, leave_a_checkpoint_unsynced, leave_a_new_file_unsynced,
        build_on_what_a_dead_one_did_not_sync, name_the_new_file_before_it_is_filled,
        remove_the_old_file_before_the_head_is_synced,
    ],
)
def test_known_bad_databases_are_caught(root: str, monkeypatch: pytest.MonkeyPatch, spoil: Callable[[object], None]) -> None:
    with monkeypatch.context() as patch:
        spoil(patch)
        os.mkdir(f"{root}/bad", 0o700)
        ops = record(f"{root}/bad/{ID}", work(f"{root}/bad", 1))
    assert is_caught(ops, root)


def test_a_database_whose_directory_is_not_synced_is_caught(root: str, recorded: list[Op]) -> None:
    assert is_caught([op for op in recorded if (op.kind, op.path) != ("sync", ".")], root)


def test_the_workload_is_whole(recorded: list[Op]) -> None:
    """What is explored has every kind of file in it, and a second epoch."""
    assert {op.path.rpartition("/")[2] for op in recorded if op.kind == "create"} == {
        "head", "1.db", "1.db-wal", "1.db-log", "2.db", "2.db-wal", "2.db-log"
    }  # fmt: skip


def first_sync_of(ops: list[Op], path: str) -> bool:
    """Whether ``path`` was synced before anything was acknowledged."""
    kinds = [op.kind for op in ops]
    return Op("sync", path) in ops[: kinds.index("say")]


@FORKS
@pytest.mark.parametrize("how", ["opened", "imported"])
def test_F11_a_folder_whose_maker_was_killed_before_he_synced_it_is_synced_by_who_acknowledges_what_is_in_it(
    root: str, how: str
) -> None:
    """The weak disk has no directories of its own, so it is the order of the calls that shows this."""
    os.makedirs(f"{root}/sessions/{ID}", 0o700)  # and here the store died

    def act(say: Say) -> None:
        if how == "imported":
            Database(f"{root}/sessions/{ID}", ID, KEYS).install(Snapshot(ID, 1, 0, 1.0, {}, b"", []))
            say(b"1")
        else:
            Life(f"{root}/sessions", say).add()

    assert first_sync_of(record(f"{root}/sessions", act), ".")


@FORKS
def test_F11_the_folder_of_all_sessions_too(root: str) -> None:
    os.mkdir(f"{root}/state", 0o700)
    os.mkdir(f"{root}/state/sessions", 0o700)  # and here the store died

    def act(say: Say) -> None:
        Vault(f"{root}/state").prepare()
        say(b"1")

    assert first_sync_of(record(f"{root}/state", act), ".")


# ---- files that are replaced as a whole ---------------------------------------------------------------------------------


def rotate_keys(root: str) -> Callable[[Say], None]:
    def act(say: Say) -> None:
        secrets.ring_of(root, lambda: False, lambda size: b"\1" * size)
        say(b"1")
        for number in range(2, 12):
            secrets.rotate(root, lambda size, byte=number: bytes([byte]) * size)
            say(b"%d" % number)

    return act


def load_keys(disk: Disk) -> object:
    if secrets.NAME not in disk:
        return None
    data = b"".join(disk[secrets.NAME])
    try:
        ring = decode_ring(data)
    except InvalidRing as error:
        return f"keys: {error}"
    last = max(ring.secrets)
    return last if ring.secrets == {number: bytes([number]) * 32 for number in range(1, last + 1)} else f"{ring} is not whole"


def explored_keys(root: str) -> Found:
    return explore(record(root, rotate_keys(root)), load_keys, Judge.check)


@FORKS
def test_F11_F9_no_power_failure_loses_or_tears_a_key_ring(root: str, tell: Tell) -> None:
    found = explored_keys(root)
    tell(f"F11: {found.disks} disks with key rings, {found.violations} violate")
    assert (found.bad, found.disks > 40) == ([], True)


def write_in_place(path: str, data: bytes, name: str) -> None:
    fd = files.open_private(path, os.O_WRONLY | os.O_CREAT)
    os.ftruncate(fd, 0)
    files.write_all(fd, data)
    os.fsync(fd)
    os.close(fd)
    files.sync_directory(os.path.dirname(path))


def rename_unsynced(path: str, data: bytes, name: str) -> None:
    fd = files.open_private(f"{path}.tmp", os.O_WRONLY | os.O_CREAT)
    files.write_all(fd, data)
    os.close(fd)
    os.replace(f"{path}.tmp", path)
    files.sync_directory(os.path.dirname(path))


@FORKS
@pytest.mark.parametrize("bad", [write_in_place, rename_unsynced])
def test_known_bad_ways_to_replace_a_file_are_caught(root: str, monkeypatch: pytest.MonkeyPatch, bad: object) -> None:
    monkeypatch.setattr(files, "replace_private", bad)
    assert explored_keys(root).violations > 0


@FORKS
def test_a_missing_sync_of_the_directory_is_caught(root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "sync_directory", lambda path: None)
    assert explored_keys(root).violations > 0
