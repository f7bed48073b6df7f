"""The registry between real processes: sealed, killed, stopped, starved, and read all the while."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import itertools
import mmap
import os
import resource
import signal
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from actorcore import registry_writer
from actorcore.errors import ProtocolError, RequestError
from actorcore.registry_layout import registry_bytes
from actorcore.registry_reader import RegistryReader
from actorcore.registry_writer import RegistryWriter
from actorcore.runtime.memory import PAGE_BYTES, PROT_READ, PROT_WRITE, address_of, create_memfd, map_shared, seal, unmap
from actorcore.runtime.shared_registry import AttachedRegistry, SharedRegistry
from tests.daemon_fixture import ROOT
from tests.registry_torture import fork, heard, torture
from tests.test_registry_layout import BatchPerSlot, Forgetful, InPlace

KILLS = 250
LOOKUPS = 10_000
FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE = 1, 2
MADV_REMOVE = 9
libc = ctypes.CDLL(None, use_errno=True)


@pytest.fixture
def registry() -> Iterator[SharedRegistry]:
    made = SharedRegistry(instance=7, slots=64)
    yield made
    made.close()


def open_fds() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


def refused(act: Callable[[], object]) -> int:
    """The errno of the refusal."""
    try:
        act()
    except OSError as error:
        return error.errno or 0
    return 0


def libc_call(function: str, *arguments: object) -> None:
    if getattr(libc, function)(*arguments) != 0:
        raise OSError(ctypes.get_errno(), function)


def write_memory(at: int) -> None:
    """As a debugger does, whom no protection of a private page stops (proc(5), ``mem``)."""
    fd = os.open("/proc/self/mem", os.O_RDWR)
    try:
        os.pwrite(fd, b"x", at)
    finally:
        os.close(fd)


# ---- seals ----


@pytest.mark.parametrize("reopened", [False, True], ids=["as handed out", "reopened O_RDWR through /proc"])
def test_acceptance_27_C16_nothing_but_the_writer_can_change_the_registry(registry: SharedRegistry, reopened: bool) -> None:
    writer = registry.writer()
    writer.apply([("a", 1), ("b", 2)])
    image = bytes(registry.memory)
    fd = os.open(f"/proc/self/fd/{registry.fd}", os.O_RDWR) if reopened else os.dup(registry.fd)
    not_writable = errno.EPERM if reopened else errno.EBADF
    view = map_shared(fd, len(image), writable=False)
    at = ctypes.c_void_p(address_of(view))
    hole = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE
    assert {
        "map": refused(lambda: map_shared(fd, PAGE_BYTES, writable=True)),
        "mprotect": refused(lambda: libc_call("mprotect", at, PAGE_BYTES, PROT_READ | PROT_WRITE)),
        "write": refused(lambda: os.write(fd, b"x")),
        "pwrite": refused(lambda: os.pwrite(fd, b"x", 0)),
        "shrink": refused(lambda: os.ftruncate(fd, 0)),
        "grow": refused(lambda: os.ftruncate(fd, len(image) * 2)),
        "punch": refused(lambda: libc_call("fallocate", fd, hole, ctypes.c_long(0), ctypes.c_long(PAGE_BYTES))),
        "remove": refused(lambda: libc_call("madvise", at, PAGE_BYTES, MADV_REMOVE)),
        "unseal": refused(lambda: fcntl.fcntl(fd, fcntl.F_ADD_SEALS, 0)),
        "mem": refused(lambda: write_memory(address_of(view))),
    } == {
        "map": errno.EPERM if reopened else errno.EACCES,
        "mprotect": errno.EACCES,
        "write": not_writable,
        "pwrite": not_writable,
        "shrink": errno.EPERM if reopened else errno.EINVAL,
        "grow": errno.EPERM if reopened else errno.EINVAL,
        "punch": not_writable,
        "remove": errno.EACCES,
        "unseal": errno.EPERM,
        "mem": errno.EIO,
    }
    with pytest.raises(TypeError):
        view[0] = 1
    os.close(fd)
    unmap(view)
    assert bytes(registry.memory) == image
    writer.publish("a", 3)
    with AttachedRegistry(registry.fd) as reader:
        assert reader.entries() == {"a": 3, "b": 2}
    writer.close()


def test_a_fork_has_the_writable_mapping_only_inside_inherited(registry: SharedRegistry) -> None:
    def mapped() -> str:
        return str("actorcore-registry" in Path("/proc/self/maps").read_text())

    def mapped_by_a_child_of_a_heir() -> str:
        with registry.inherited():
            pid, pipe = fork(lambda: "")
        heard(pid, pipe)
        return heard(*fork(mapped))

    assert heard(*fork(mapped)) == "False"
    with registry.inherited():
        assert heard(*fork(mapped)) == "True"
    assert heard(*fork(mapped)) == "False"
    with registry.inherited():
        heir = fork(mapped_by_a_child_of_a_heir)
    assert heard(*heir) == "False"


# ---- creation ----


def limited(limit: int, value: int, act: Callable[[], object]) -> str:
    """What ``act`` is refused with in a process under an rlimit, and whether it left a descriptor."""

    def run() -> str:
        resource.setrlimit(limit, (value, value))
        before = open_fds()
        try:
            act()
        except RequestError as error:
            return f"{error} / {len(open_fds()) - len(before)} left"
        return "made"

    return heard(*fork(run))


def test_C15_a_registry_that_cannot_be_allocated_is_an_error_with_text_and_never_SIGBUS() -> None:
    assert limited(resource.RLIMIT_FSIZE, 1 << 20, lambda: SharedRegistry(instance=1)) == (
        f"resource_exhausted: memfd actorcore-registry of {registry_bytes()} bytes: File too large / 0 left"
    )
    address_space = int(Path("/proc/self/statm").read_text().split()[0]) * PAGE_BYTES + (4 << 20)
    assert limited(resource.RLIMIT_AS, address_space, lambda: SharedRegistry(instance=1)) == (
        f"resource_exhausted: mapping of {registry_bytes()} bytes: Cannot allocate memory / 0 left"
    )


@pytest.mark.parametrize("limit_bytes", [10 << 20, 30 << 20], ids=["registry", "ledger"])
def test_C15_a_daemon_that_gets_no_shared_memory_says_so_in_a_line_and_leaves_nothing(tmp_path: Path, limit_bytes: int) -> None:
    run = tmp_path / "run"
    argv = [sys.executable, "-m", "supervisors.daemon", "--dir", str(run)]

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, limit_bytes))

    done = subprocess.run(argv, cwd=ROOT, preexec_fn=limit, capture_output=True, text=True)
    what, size_bytes = ("registry", registry_bytes()) if limit_bytes < registry_bytes() else ("ledger", 64 << 20)
    said = f"error: resource_exhausted: memfd actorcore-{what} of {size_bytes} bytes: File too large\n"
    assert (done.returncode, done.stdout, done.stderr) == (1, "", said)
    assert not (run / "actorcore.sock").exists()


@pytest.mark.parametrize("free", [0, 1])
def test_C15_a_registry_without_a_descriptor_for_it_is_an_error_with_text(free: int) -> None:
    taken = []

    def make() -> None:
        with contextlib.suppress(OSError):
            while True:
                taken.append(os.dup(0))
        for _ in range(free):
            os.close(taken.pop())
        try:
            SharedRegistry(instance=1, slots=64)
        finally:
            for fd in taken:
                os.close(fd)

    said = limited(resource.RLIMIT_NOFILE, 64, make)
    assert said.startswith("resource_exhausted: ") and said.endswith("Too many open files / 0 left")


def test_C15_every_page_exists_before_it_is_touched() -> None:
    fd = create_memfd("allocated", 1 << 20)
    assert os.fstat(fd).st_blocks * 512 == 1 << 20
    os.close(fd)


def test_a_registry_leaves_no_descriptor_and_no_mapping() -> None:
    fds, maps = open_fds(), Path("/proc/self/maps").read_text().count("actorcore-registry")
    made = SharedRegistry(instance=7)
    with AttachedRegistry(made.fd) as reader:
        assert (reader.instance, reader.count(), reader.slots) == (7, 0, 65_536)
    with pytest.raises(ValueError, match="released"):
        reader.lookup_uncached("a")
    made.close()
    assert (open_fds(), Path("/proc/self/maps").read_text().count("actorcore-registry")) == (fds, maps)


@pytest.mark.parametrize("size_bytes", [100, PAGE_BYTES, registry_bytes(64)])
def test_a_descriptor_that_is_no_registry_is_refused(size_bytes: int) -> None:
    fd = create_memfd("other", size_bytes)
    fds, maps = open_fds(), Path("/proc/self/maps").read_text()
    with pytest.raises(ProtocolError):
        AttachedRegistry(fd)
    assert (open_fds(), Path("/proc/self/maps").read_text().count("memfd:other")) == (fds, maps.count("memfd:other"))
    os.close(fd)


def test_a_mapping_beyond_the_end_is_refused_not_SIGBUS() -> None:
    fd = create_memfd("small", PAGE_BYTES)
    seal(fd, future_write=False)
    for size_bytes, offset in ((PAGE_BYTES + 1, 0), (PAGE_BYTES, PAGE_BYTES), (0, 0)):
        with pytest.raises(ValueError, match="not inside"):
            map_shared(fd, size_bytes, writable=True, offset=offset)
    view = map_shared(fd, PAGE_BYTES, writable=True)
    view[0] = 1
    unmap(view)
    os.close(fd)


# ---- readers while the writer works, stands still, dies ----


def test_acceptance_28_readers_during_10_000_writes_see_no_torn_and_no_half_removed_entry(registry: SharedRegistry) -> None:
    """However long one of them stands still: the writer goes on until both readers have seen enough."""
    pair, over, has_enough = ["left", "right"], 2, mmap.mmap(-1, PAGE_BYTES)

    def read(index: int) -> str:
        try:
            return look(index)
        finally:
            has_enough[index] = 1

    def look(index: int) -> str:
        newest = looks = whole = 0
        with AttachedRegistry(registry.fd) as reader:
            while not has_enough[over]:
                left, right = reader.lookup_many(pair)
                if left != right or (left or newest) < newest:
                    return f"saw {left}, {right} after {newest}"
                newest = left or newest
                looks += 1
                began, table = reader.committed, reader.entries()
                at_once = reader.committed == began
                is_torn = not table.keys() <= {"left", "right", "stays"} or table.pop("stays") != 1
                if is_torn or any(serial < newest for serial in table.values()):
                    return f"torn: {table} after {newest}"
                if at_once and (len(table) == 1 or len(set(table.values())) > 1):
                    return f"half removed: {table} after {newest}"
                whole += at_once
                has_enough[index] = looks >= 50 and whole >= 10
        return ""

    writer, mine = registry.writer(), RegistryReader(registry.memory)
    writer.publish("stays", 1)
    readers = [fork(partial(read, index)) for index in range(2)]
    for serial in itertools.count(1):
        writer.apply((name, 0 if serial % 3 == 0 else serial) for name in pair)
        if serial >= 10_000 and has_enough[:2] == b"\1\1":
            break
        if serial % 20 == 0:
            assert [mine.entries() for _ in range(20)] == [writer.entries()] * 20
    has_enough[over] = 1
    assert [heard(*reader) for reader in readers] == ["", ""]
    mine.close()
    writer.close()
    has_enough.close()


def test_acceptance_40_lookups_work_while_the_writer_is_stopped_in_the_middle_of_its_work(registry: SharedRegistry) -> None:
    def write() -> str:
        writer = registry.writer()
        while True:
            writer.apply([("a", writer.committed + 1), ("b", writer.committed + 1)])

    with registry.inherited():
        pid, pipe = fork(write)
    with AttachedRegistry(registry.fd) as reader:
        for turn in range(20):
            while reader.committed < turn * 50 + 1:
                pass
            os.kill(pid, signal.SIGSTOP)
            os.waitid(os.P_PID, pid, os.WSTOPPED)
            serial = reader.committed
            assert [reader.lookup_many(["a", "b", "c"]) for _ in range(100)] == [[serial, serial, None]] * 100
            assert (reader.entries(), reader.count()) == ({"a": serial, "b": serial}, 2)
            os.kill(pid, signal.SIGCONT)
    os.kill(pid, signal.SIGKILL)
    assert heard(pid, pipe) == ""


def test_acceptance_29_F7_writers_killed_at_random_moments_harm_nothing() -> None:
    report = torture(kills=KILLS, seed=os.getpid(), lookups=LOOKUPS)
    assert report.violations == [], f"seed {os.getpid()}, kill {report.kills}"
    assert (report.kills >= KILLS, report.lookups >= LOOKUPS) == (True, True)


@pytest.mark.torture
def test_F7_B6_10_000_writers_killed_at_random_moments_harm_nothing() -> None:
    report = torture(kills=10_000, seed=os.getpid())
    assert report.violations == [], f"seed {os.getpid()}, kill {report.kills}"
    assert report.kills == 10_000


@pytest.mark.parametrize("planted", [InPlace, Forgetful, BatchPerSlot])
def test_the_torture_catches_a_planted_bug(planted: type[RegistryWriter]) -> None:
    assert torture(kills=20_000, writer_type=planted, budget_s=60.0).violations


# ---- the store that commits ----


def pack(words: memoryview, raw: memoryview, value: int) -> None:
    struct.pack_into("Q", raw, 64, value)


def assign(words: memoryview, raw: memoryview, value: int) -> None:
    words[8] = value


def torn_reads(store: Callable[[memoryview, memoryview, int], None], reads: int, enough: int) -> int:
    """How often another process saw the commit word go back, in ``reads`` reads or until ``enough``."""
    fd = create_memfd("tear", PAGE_BYTES)
    raw = map_shared(fd, PAGE_BYTES, writable=True)
    os.close(fd)
    words = raw.cast("Q")

    def write() -> str:
        value = 1
        while not words[16]:
            value += 1
            store(words, raw, value)
        return ""

    words[8] = 1
    child, torn, past = fork(write), 0, 0
    for _ in range(reads):
        seen = words[8]
        if seen < past:
            torn += 1
            if torn == enough:
                break
        else:
            past = seen
    words[16] = 1
    assert heard(*child) == ""
    words.release()
    unmap(raw)
    return torn


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="a tear needs two cores at once")
def test_the_commit_is_one_store_and_the_tear_test_would_see_two() -> None:
    assert torn_reads(assign, reads=5_000_000, enough=1) == 0
    assert torn_reads(pack, reads=200_000_000, enough=1) == 1
    assert "pack_into(" not in Path(registry_writer.__file__).read_text()


def test_a_reader_on_the_writers_own_mapping_agrees_with_an_attached_one(registry: SharedRegistry) -> None:
    writer, mine = registry.writer(), RegistryReader(registry.memory)
    writer.publish("a", 1)
    with AttachedRegistry(registry.fd) as attached:
        assert mine.lookup("a") == attached.lookup("a") == 1
        writer.retract("a")
        assert mine.lookup("a") is attached.lookup("a") is None
    mine.close()
    writer.close()
