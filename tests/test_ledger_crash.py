"""The ledger under a crash before each bytecode, watched between two stores, and under real SIGKILL."""

from __future__ import annotations

import mmap
import os
import random
import signal
import struct
import zlib
from collections.abc import Callable

import pytest

from actorcore import ledger as ledger_module
from actorcore.ledger import ACTIVE, HEADER_BYTES, PERFORMED, Ledger, LedgerInvalid, Record
from tests.bytecodes import dies_before

SIZE = HEADER_BYTES + 2 * 1024


def memory(size: int = SIZE) -> memoryview:
    return memoryview(bytearray(size))


# ---- a crash before each bytecode -----------------------------------------------------------------------------------


def what_is_found(place: memoryview) -> object:
    """All that a successor can learn, or that it finds no ledger."""
    try:
        ledger = Ledger.open(place)
        return ledger.load(), ledger.strike(), ledger.poisoned()
    except LedgerInvalid:
        return LedgerInvalid


def torn(kind: type[Ledger], act: Callable[[Ledger], object]) -> list[tuple[int, object]]:
    """Every bytecode before which a death leaves neither the state before ``act`` nor the one after; fails if none was tried."""
    start = memory()
    ledger = Ledger.create(start)
    for data in (b"one", b"two", b"three"):
        ledger.append(data)
    ledger.mark_performed(3)
    ledger.snapshot(b"first")
    ledger.append(b"four" * 5)
    ledger.begin(4)
    if act.__name__ == "snapshot":
        ledger.mark_performed(4)
    done = memoryview(bytearray(start))
    act(kind.open(done))
    whole = [what_is_found(memoryview(bytearray(start))), what_is_found(memoryview(bytearray(done)))]
    assert whole[0] != whole[1], "the act changes nothing: the harness would see nothing"
    found = []
    for opcode in range(10_000):
        place = memoryview(bytearray(start))
        writer = kind.open(place)
        died = dies_before(opcode, lambda writer=writer: act(writer), (ledger_module.__file__, __file__))
        left = what_is_found(place)
        if left not in whole:
            found.append((opcode, left))
        if not died:
            assert opcode > 10, "nothing was traced"
            assert left == whole[1]
            return found
    raise AssertionError("the act does not end")


def append(ledger: Ledger) -> None:
    ledger.append(b"five" * 7)


def snapshot(ledger: Ledger) -> None:
    ledger.snapshot(b"second, and longer than the first")


def mark_performed(ledger: Ledger) -> None:
    ledger.mark_performed(4)


def skip(ledger: Ledger) -> None:
    ledger.skip(4)


def strike(ledger: Ledger) -> None:
    ledger.strike()


ACTS = [append, snapshot, mark_performed, skip, strike]


@pytest.mark.parametrize("act", ACTS, ids=lambda act: act.__name__)
def test_a_crash_before_any_bytecode_leaves_the_state_before_or_after(act):
    assert torn(Ledger, act) == []


class CommitsFirst(Ledger):
    """Known bad: the commit word before what it commits."""

    def append(self, record: bytes) -> int:
        start, size = self._end, len(record)
        self._words[self._end_word] = start + 8 + (size + 7 & ~7)
        self._words[start >> 3] = size
        self._data[start + 8 : start + 8 + size] = record
        return self._last + 1

    def snapshot(self, state: bytes) -> None:
        self._words[ACTIVE] = 1 - self._active
        super().snapshot(state)


@pytest.mark.parametrize("act", [append, snapshot], ids=lambda act: act.__name__)
def test_a_commit_before_its_payload_is_caught(act):
    assert torn(CommitsFirst, act) != []


# ---- between two stores of one call: what another process sees is what a kill would leave ---------------------------


def in_child(work: Callable[[], object]) -> int:
    """Fork and run ``work`` until it is killed; it ends with 1 if it returns or raises."""
    child = os.fork()
    if child:
        return child
    try:
        work()
    finally:
        os._exit(1)


def end(child: int) -> None:
    """SIGKILL and reap; fails if the child had ended by itself."""
    os.kill(child, signal.SIGKILL)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


class PacksInto(Ledger):
    """Known bad: struct.pack_into zeroes the word before it writes it."""

    def mark_performed(self, number: int) -> None:
        struct.pack_into("Q", self._data, 8 * PERFORMED, number)


def falls_of_the_word(kind: type[Ledger], reads: int) -> int:
    """How often the performed word, watched while a child raises it, was seen to go down; ends at the first.

    On one core a read sees another number only where the child was interrupted.
    """
    shared = mmap.mmap(-1, SIZE)
    place = memoryview(shared)
    Ledger.create(place).close()

    def write() -> None:
        ledger = kind.open(place)
        for number in range(1, 1 << 62):
            ledger._last = number
            ledger.mark_performed(number)

    child = in_child(write)
    words = place.cast("Q")
    seen = fell = 0
    for _ in range(reads):
        now = words[PERFORMED]
        if now < seen:
            fell = 1
            break
        seen = now
    end(child)
    words.release()
    place.release()
    shared.close()
    return fell


FORKS = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
"""pytest-xdist has a thread; the child runs this file's code and the ledger's only, and ends by _exit or SIGKILL."""


@FORKS
def test_a_word_is_written_by_one_store():
    assert falls_of_the_word(Ledger, 5_000_000) == 0


@FORKS
def test_pack_into_is_caught():
    assert falls_of_the_word(PacksInto, 200_000_000) == 1


# ---- real SIGKILL ---------------------------------------------------------------------------------------------------


def payload(number: int) -> bytes:
    return number.to_bytes(8, "little") + zlib.crc32(number.to_bytes(8, "little")).to_bytes(4, "little") * (number % 30)


def run_writer(place: memoryview, acknowledged: memoryview) -> None:
    """Append, perform and take snapshots for ever; say after each call that it has returned."""
    ledger = Ledger.open(place)
    number = ledger.load().performed
    while True:
        number += 1
        if number > ledger.last:
            ledger.append(payload(number))
        acknowledged[0] = number
        ledger.begin(number)
        ledger.mark_performed(number)
        acknowledged[1] = number
        if ledger.needs_snapshot(3000, 50):
            ledger.snapshot(payload(number))


def torture(rounds: int, seed: int) -> int:
    """Kill ``rounds`` writers, one after the other on the same memory, and check what each left; the last event."""
    chance = random.Random(seed)
    shared, said = mmap.mmap(-1, HEADER_BYTES + 16384), mmap.mmap(-1, 4096)
    place, acknowledged = memoryview(shared), memoryview(said).cast("Q")
    Ledger.create(place).close()
    last = 0
    for turn in range(rounds):
        child = in_child(lambda: run_writer(place, acknowledged))
        goal = last + chance.randrange(40)
        while acknowledged[1] < goal and os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            os.sched_yield()
        for _ in range(chance.randrange(3000)):
            pass
        end(child)
        ledger = Ledger.open(place)
        left = ledger.load()
        where = f"seed {seed}, turn {turn}: {left.performed} of {ledger.last}, said {acknowledged.tolist()[:2]}"
        base = ledger.last - len(left.records)
        assert left.state == (payload(base) if base else None), where
        assert left.records == [Record(base + n, payload(base + n), False) for n in range(1, len(left.records) + 1)], where
        assert max(last, acknowledged[0]) <= ledger.last <= acknowledged[0] + 1, where
        assert acknowledged[1] <= left.performed <= acknowledged[1] + 1, where
        assert ledger.strike() in (None, left.performed + 1), where
        last = ledger.last
        ledger.close()
    acknowledged.release()
    place.release()
    shared.close()
    said.close()
    return last


@FORKS
def test_sigkill_at_any_moment_loses_nothing_that_was_acknowledged():
    assert torture(rounds=200, seed=1) > 200


@FORKS
@pytest.mark.torture
def test_many_sigkills_lose_nothing_that_was_acknowledged():
    assert torture(rounds=10_000, seed=random.SystemRandom().randrange(1 << 32)) > 10_000
