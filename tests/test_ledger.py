"""The rules of the ledger, and the ledger against a list."""

from __future__ import annotations

import pytest
from hypothesis import given, settings, strategies as st

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


def test_an_event_that_kills_behind_others_that_are_not_performed_is_skipped_too():
    """Each writer handles all of them again: the harmless ones take no strike off the one that kills."""
    place = memory()
    ledger = Ledger.create(place)
    for data in (b"good", b"poison", b"later", b"worse"):
        ledger.append(data)
    for number in (1, 2):
        ledger.begin(number)
    found = []
    for killer in (2, 4, 4, 4):
        ledger = Ledger.open(place)
        struck, poison = ledger.strike(), ledger.poisoned()
        found.append((struck, poison))
        if poison is not None:
            ledger.skip(poison)
        for record in ledger.load().records[:killer]:
            ledger.begin(record.number)
    assert found == [(2, None), (2, 2), (4, None), (4, 4)]


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
@settings(max_examples=300)
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
