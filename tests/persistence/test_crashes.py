"""R1, RELIABILITY B8, C1, C2, C6, acceptance 101, 103, 126: whatever kills a saver or fails it, all acknowledged is there."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from actorcore import faults
from actorcore.errors import RequestError
from supervisors.persistence import database, files, secrets
from supervisors.persistence.database import Database
from supervisors.persistence.database_files import HEAD_NAME, Locked
from supervisors.persistence.signing import decode_ring
from tests.conftest import Size, Tell
from tests.persistence import gate
from tests.persistence.crashes import ID, KEYS, POINTS, last_of

ROOT = Path(__file__).parents[2]
FORKS = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
LOCKED = 7
WRITING = ("write", "pwrite64", "fsync", "fdatasync", "ftruncate", "unlink", "openat", "mkdir", "rename", "link")


@pytest.fixture
def root() -> Iterator[str]:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        yield folder


def struck(strikes: int, seed: int, program: str = "tests.persistence.crashes") -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", program, str(strikes), str(seed)], cwd=ROOT, capture_output=True, text=True, check=False
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


@pytest.mark.sized
def test_R1_B8_B9_C6_acceptance_101_126_no_acknowledged_record_is_lost_whatever_strikes(size: Size, tell: Tell) -> None:
    """Also in the opening of what the strike before has left."""
    strikes = size("R1_STRIKES", 10_000, 100_000, 1_000_000)
    status, said = struck(strikes, 1)
    assert status == 0, said[-2000:]
    counts = json.loads(said)
    assert [name for name in POINTS if not counts[name]] == []
    tell(f"R1: {sum(counts.values()):,} kills and failures at named points of saving, 0 acknowledged records lost")


# ---- every system call --------------------------------------------------------------------------------------------------


def session(folder: str, said: Path) -> None:
    """A short life that says what is kept, and goes on where something fails."""
    kept = Database(folder, ID, KEYS)
    last = last_of(kept.open())
    for step in range(7):
        try:
            if step == 3:
                kept.checkpoint({}, b"%d" % last)
            else:
                kept.append([b"%d" % (last + 1)])
                last += 1
                said.write_text(str(last))
        except RequestError:
            pass
    kept.close()


def strike_each_call(folder: str, said: Path, error: int | None) -> int:
    """Fail each call that writes below ``folder`` in turn, or kill at it; how many there were."""
    for nth in range(1, 1000):
        passed = 0

        def decide(seen: gate.Seen, nth: int = nth) -> int | None:
            nonlocal passed
            if seen.name not in WRITING or not place_of(seen).startswith(folder):
                return None
            passed += 1
            if passed != nth:
                return None
            if error is None:
                gate.kill(seen.os_pid)
            return error

        for name in os.listdir(folder) if os.path.isdir(folder) else ():
            os.unlink(f"{folder}/{name}")
        said.write_text("0")
        gate.run(lambda: session(folder, said), decide)
        later = Database(folder, ID, KEYS)
        kept = last_of(later.open())
        later.close()
        acknowledged = int(said.read_text() or "0")
        assert kept >= acknowledged, f"call {nth}: {kept} is kept, {acknowledged} was acknowledged"
        assert [name for name in os.listdir(folder) if name.endswith(files.TEMPORARY)] == []
        if passed < nth:
            return nth - 1
    raise AssertionError("no end")


def place_of(seen: gate.Seen) -> str:
    if seen.name in ("write", "pwrite64", "fsync", "fdatasync", "ftruncate"):
        return seen.path_of()
    return seen.text(1 if seen.name == "openat" else 0)


@FORKS
@pytest.mark.parametrize("error", [None, errno.EIO, errno.ENOSPC, errno.EDQUOT], ids=["kill", "EIO", "ENOSPC", "EDQUOT"])
def test_R1_B8_C1_C2_C6_every_system_call_of_saving_is_struck(root: str, tell: Tell, error: int | None) -> None:
    calls = strike_each_call(f"{root}/{ID}", Path(root, "said"), error)
    tell(f"R1: {calls} system calls of saving, each {'killed at' if error is None else errno.errorcode[error]}, 0 records lost")
    assert calls > 50


def rotate(folder: str) -> None:
    secrets.rotate(folder)


@FORKS
def test_acceptance_101_103_a_replaced_file_is_the_old_or_the_new_one_at_every_call(root: str) -> None:
    """And no temporary file is left by the next start."""
    for nth in range(1, 100):
        folder = f"{root}/{nth}"
        os.mkdir(folder, 0o700)
        secrets.ring_of(folder, lambda: False)
        passed = 0

        def decide(seen: gate.Seen, nth: int = nth, folder: str = folder) -> None:
            nonlocal passed
            passed += seen.name in WRITING and place_of(seen).startswith(folder)
            if passed == nth:
                gate.kill(seen.os_pid)

        gate.run(lambda folder=folder: rotate(folder), decide)  # type: ignore[misc]
        ring = decode_ring(Path(folder, secrets.NAME).read_bytes())
        files.sweep(folder)
        assert sorted(os.listdir(folder)) == [secrets.NAME, secrets.LOCK_NAME]
        if passed < nth:
            assert set(ring.secrets) == {1, 2}
            assert nth > 5
            return
    raise AssertionError("no end")


# ---- locks --------------------------------------------------------------------------------------------------------------


def in_child(act: Callable[[], None]) -> int:
    """The exit status of ``act`` in a child, which is dead when this returns."""
    if (child := os.fork()) == 0:
        try:
            act()
            os._exit(0)
        except Locked:
            os._exit(LOCKED)
        except BaseException:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def open_it(folder: str) -> None:
    Database(folder, ID, KEYS).open()


def open_it_and_die(folder: str) -> None:
    database = Database(folder, ID, KEYS)
    database.open()
    os.kill(os.getpid(), 9)


@FORKS
def test_F16_acceptance_105_a_second_process_is_refused_and_a_dead_one_holds_no_lock(root: str) -> None:
    folder = f"{root}/{ID}"
    first = Database(folder, ID, KEYS)
    first.open()
    assert in_child(lambda: open_it(folder)) == LOCKED
    first.close()
    assert in_child(lambda: open_it_and_die(folder)) == -9
    assert in_child(lambda: open_it(folder)) == 0


@FORKS
def test_acceptance_124_who_comes_in_the_middle_of_a_save_is_refused_and_finds_it_whole_later(root: str) -> None:
    folder = f"{root}/{ID}"
    (is_saving, says), (may_go, lets) = os.pipe(), os.pipe()

    def save() -> None:
        first = Database(folder, ID, KEYS)
        first.open()
        first.append([b"1"])
        faults.hook = lambda name: (os.write(says, b"x"), os.read(may_go, 1)) if name == "database.replaced" else None
        first.checkpoint({}, b"1")
        os._exit(0)

    if (child := os.fork()) == 0:
        try:
            save()
        finally:
            os._exit(1)
    os.read(is_saving, 1)
    with pytest.raises(Locked):
        Database(folder, ID, KEYS).open()
    os.write(lets, b"x")
    assert os.waitpid(child, 0)[1] == 0
    later = Database(folder, ID, KEYS)
    assert (later.open().snapshot.content, later.content.records) == (b"1", [])
    later.close()
    for fd in (is_saving, says, may_go, lets):
        os.close(fd)


def lock_without_owner(folder: str, create: bool = False) -> int:
    """Known bad: a file that says that it is locked, whoever wrote it."""
    try:
        os.close(os.open(f"{folder}/locked", os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        raise Locked("running", "") from None
    return files.open_private(f"{folder}/{HEAD_NAME}", os.O_RDWR | os.O_CREAT)


@FORKS
def test_a_lock_that_outlives_its_owner_is_caught(root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "lock", lock_without_owner)
    folder = f"{root}/{ID}"
    assert in_child(lambda: open_it_and_die(folder)) == -9
    assert in_child(lambda: open_it(folder)) == LOCKED
