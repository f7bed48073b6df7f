"""The ledger against a list, under a crash before each bytecode, and under real SIGKILL."""

from __future__ import annotations

import mmap
import os
import random
import select
import signal
import struct
import sys
import zlib
from collections.abc import Callable
from types import FrameType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actorcore import ledger as ledger_module
from actorcore.errors import ActorError
from actorcore.ledger import ACTIVE, HEADER_BYTES, MIN_BYTES, PERFORMED, Ledger, LedgerFull, LedgerInvalid, Record, Recovered

SIZE = HEADER_BYTES + 2 * 1024


def memory(size: int = SIZE) -> memoryview:
    return memoryview(bytearray(size))


# ---- the rules ------------------------------------------------------------------------------------------------------


def test_a_new_ledger_is_empty():
    ledger = Ledger.create(memory())
    assert (ledger.last, ledger.performed, ledger.stamp_ns, ledger.poisoned(), ledger.strike()) == (0, 0, 0, None, None)
    assert ledger.load() == Recovered(None, [], 0)


def test_a_successor_finds_snapshot_and_tail_and_goes_on_with_the_numbers():
    place = memory()
    ledger = Ledger.create(place)
    assert [ledger.append(b"one"), ledger.append(b"")] == [1, 2]
    ledger.mark_performed(2)
    ledger.snapshot(b"state")
    assert ledger.append(b"three") == 3
    ledger.stamp(123)
    successor = Ledger.open(place)
    assert successor.load() == Recovered(b"state", [Record(3, b"three", False)], 2)
    assert (successor.last, successor.performed, successor.stamp_ns) == (3, 2, 123)
    assert successor.append(b"four") == 4


def test_an_empty_snapshot_is_not_the_same_as_none():
    ledger = Ledger.create(memory())
    ledger.snapshot(b"")
    assert ledger.load() == Recovered(b"", [], 0)


def test_a_snapshot_with_an_unperformed_event_is_refused():
    ledger = Ledger.create(memory())
    ledger.append(b"x")
    with pytest.raises(ValueError, match=r"1…1 are not performed"):
        ledger.snapshot(b"")


def test_what_does_not_fit_is_refused_and_changes_nothing():
    place = memory()
    ledger = Ledger.create(place)
    assert issubclass(LedgerFull, ActorError)
    for _ in range(8):
        ledger.mark_performed(ledger.append(b"x" * 100))
    before = bytes(place)
    with pytest.raises(LedgerFull):
        ledger.append(b"x" * 100)
    with pytest.raises(LedgerFull):
        ledger.snapshot(b"x" * 1001)
    assert bytes(place) == before
    ledger.snapshot(b"x" * 1000)  # exactly a half, less its three words
    with pytest.raises(LedgerFull):
        ledger.append(b"")
    ledger.snapshot(b"")
    assert ledger.append(b"x" * 992) == 9


def test_numbers_outside_are_refused():
    ledger = Ledger.create(memory())
    ledger.mark_performed(ledger.append(b"x"))
    for wrong in (0, 2):
        with pytest.raises(ValueError, match="is not in"):
            ledger.mark_performed(wrong)
        with pytest.raises(ValueError, match="is not in"):
            ledger.skip(wrong)


def test_needs_snapshot_by_bytes_or_by_events_since_the_last():
    ledger = Ledger.create(memory())
    assert not ledger.needs_snapshot(1, 1)
    ledger.mark_performed(ledger.append(b"x" * 9))
    assert [ledger.needs_snapshot(24, 2), ledger.needs_snapshot(25, 1), ledger.needs_snapshot(25, 2)] == [True, True, False]
    ledger.snapshot(b"state")
    assert not ledger.needs_snapshot(1, 1)


@pytest.mark.parametrize("size", [0, MIN_BYTES - 16, MIN_BYTES + 8])
def test_memory_of_a_wrong_shape_is_refused(size):
    with pytest.raises(ValueError, match="a ledger needs"):
        Ledger.create(memory(size))
    with pytest.raises(LedgerInvalid):
        Ledger.open(memory(size))


def test_foreign_or_damaged_memory_is_refused():
    with pytest.raises(LedgerInvalid):
        Ledger.open(memory())
    fine = memory()
    Ledger.create(fine).append(b"x")
    half = HEADER_BYTES // 8
    damages = ((0, 1), (1, 2), (2, SIZE + 16), (ACTIVE, 2), (PERFORMED, 2), (half + 2, 0), (half + 2, 2**63), (half + 3, 99))
    for word, value in damages:
        damaged = memoryview(bytearray(fine))
        damaged.cast("Q")[word] = value
        with pytest.raises(LedgerInvalid):
            Ledger.open(damaged)


def test_a_reader_needs_no_write_access_and_close_releases_the_view():
    place = bytearray(SIZE)
    Ledger.create(memoryview(place)).close()
    with memoryview(place) as view:
        reader = Ledger.open(view.toreadonly())
        assert reader.load() == Recovered(None, [], 0)
        reader.close()


# ---- poison ---------------------------------------------------------------------------------------------------------


def test_an_event_that_killed_two_writers_is_skipped_and_the_next_is_not():
    place = memory()
    ledger = Ledger.create(place)
    for data in (b"good", b"poison", b"next"):
        ledger.append(data)
    ledger.begin(1)
    ledger.mark_performed(1)
    ledger.begin(2)
    for strikes in (1, 2):
        ledger = Ledger.open(place)
        assert (ledger.strike(), ledger.poisoned()) == (2, 2 if strikes == 2 else None)
        if strikes == 1:
            ledger.begin(2)
    ledger.skip(2)
    assert ledger.poisoned() is None
    assert ledger.load().records == [Record(1, b"good", False), Record(2, b"poison", True), Record(3, b"next", False)]
    ledger.mark_performed(2)
    ledger.begin(3)
    assert (Ledger.open(place).strike(), ledger.poisoned()) == (3, None)


def test_a_writer_that_dies_between_events_or_before_it_begins_strikes_nobody():
    place = memory()
    ledger = Ledger.create(place)
    ledger.append(b"x")
    ledger.begin(1)
    assert [Ledger.open(place).strike() for _ in range(3)] == [1, None, None]
    assert ledger.poisoned() is None
    ledger.begin(1)
    ledger.mark_performed(1)
    assert Ledger.open(place).strike() is None


# ---- against a list -------------------------------------------------------------------------------------------------

STEPS = st.one_of(
    st.tuples(st.just("append"), st.binary(max_size=60)),
    st.tuples(st.just("snapshot"), st.binary(max_size=200)),
    st.tuples(st.sampled_from(["perform", "skip", "reopen"]), st.just(b"")),
)


@given(st.lists(STEPS, max_size=60))
@settings(max_examples=300, deadline=None)
def test_the_ledger_is_a_list_with_a_snapshot(steps):
    place = memory()
    ledger = Ledger.create(place)
    state: bytes | None = None
    records: list[Record] = []
    last = performed = 0
    for step, data in steps:
        try:
            if step == "append":
                assert ledger.append(data) == last + 1
                last += 1
                records.append(Record(last, data, False))
            elif step == "perform" and performed < last:
                performed += 1
                ledger.mark_performed(performed)
            elif step == "skip" and records:
                ledger.skip(records[-1].number)
                records[-1] = records[-1]._replace(skipped=True)
            elif step == "snapshot" and performed == last:
                ledger.snapshot(data)
                state, records = data, []
            elif step == "reopen":
                ledger = Ledger.open(place)
        except LedgerFull:
            taken = 24 + sum(8 + -(-len(record.data) // 8) * 8 for record in records) + -(-len(state or b"") // 8) * 8
            assert step == "append"
            assert taken + 8 + len(data) > 1024 - 7
        assert (ledger.last, ledger.performed, ledger.load()) == (last, performed, Recovered(state, records, performed))
    assert Ledger.open(place).load() == Recovered(state, records, performed)


# ---- a crash before each bytecode -----------------------------------------------------------------------------------


class Crash(BaseException):
    """The writer dies here."""


def dies_before(opcode: int, act: Callable[[], object], filenames: set[str]) -> bool:
    """Run ``act``; die before the ``opcode``-th bytecode in ``filenames``. Whether it died; False: it ended before."""
    seen = 0

    def trace(frame: FrameType, event: str, _: object) -> object:
        nonlocal seen
        if frame.f_code.co_filename not in filenames:
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            if seen == opcode:
                raise Crash
            seen += 1
        return trace

    previous = sys.gettrace()
    sys.settrace(trace)
    try:
        act()
    except Crash:
        return True
    finally:
        sys.settrace(previous)
    return False


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
        died = dies_before(opcode, lambda writer=writer: act(writer), {ledger_module.__file__, __file__})
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


def falls_of_the_word(kind: type[Ledger], looks: int) -> int:
    """How often the performed word, watched while a child raises it, was seen to go down; ends at the first."""
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
    seen = fell = look = 0
    while look < looks and not fell:
        now = words[PERFORMED]
        fell += now < seen
        look += now > seen
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
    assert falls_of_the_word(Ledger, 200_000) == 0


@FORKS
def test_pack_into_is_caught():
    assert falls_of_the_word(PacksInto, 20_000_000) == 1


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
        pidfd = os.pidfd_open(child)
        assert select.select([pidfd], [], [], chance.uniform(0, 0.004))[0] == [], f"the writer ended by itself, seed {seed}"
        os.close(pidfd)
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
