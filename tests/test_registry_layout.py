"""The registry's table: a dict, at every instant and after a death at every bytecode."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest
from hypothesis import given, settings, strategies as st

from actorcore.errors import ProtocolError, RequestError
from actorcore.registry_layout import (
    COMMITTED,
    KEY_BYTES,
    SLOT_BYTES,
    VALUE_BYTES,
    blocks_of,
    format_registry,
    heap_blocks,
    max_entries,
    registry_bytes,
)
from actorcore.registry_reader import RegistryReader
from actorcore.registry_writer import RegistryWriter
from tests.bytecodes import dies_before

Change = tuple[str, int]
SOURCES = ("registry_layout.py", "registry_reader.py", "registry_writer.py", Path(__file__).name)


def empty(slots: int = 16) -> memoryview:
    memory = memoryview(bytearray(registry_bytes(slots)))
    format_registry(memory, 7, slots)
    return memory


def colliding(count: int, slots: int) -> list[str]:
    """Names whose chains all begin in the last slot, so that they wrap round."""
    return [name for name in (f"c{i}" for i in range(10_000)) if crc32(name.encode()) % slots == slots - 1][:count]


def after(table: dict[str, int], changes: Iterable[Change]) -> dict[str, int]:
    return {name: serial for name, serial in {**table, **dict(changes)}.items() if serial}


# ---- a dict ----

NAMES = [f"n{i}" for i in range(10)] + colliding(6, 16)
CHANGES = st.lists(st.tuples(st.sampled_from(NAMES), st.integers(0, 9)), max_size=6)
VALUES = st.dictionaries(st.sampled_from(NAMES), st.sampled_from([b"", b"v", b"v" * 256, b"w" * 257, b"x" * VALUE_BYTES]))


@settings(max_examples=300)
@given(batches=st.lists(st.tuples(CHANGES, VALUES), max_size=30), successor_every=st.integers(1, 10))
def test_the_table_is_a_dict_that_outlives_its_writers(
    batches: list[tuple[list[Change], dict[str, bytes]]], successor_every: int
) -> None:  # fmt: skip
    memory = empty()
    model: dict[str, int] = {}
    held: dict[str, bytes] = {}
    writer, reader = RegistryWriter(memory), RegistryReader(memory)
    for turn, (batch, values) in enumerate(batches):
        if turn % successor_every == 0:
            writer = RegistryWriter(memory)
        wanted = after(model, batch)
        kept = {name: values.get(name, b"") if name in dict(batch) else held[name] for name in wanted}
        fresh = [kept[name] for name in wanted if (wanted[name], kept[name]) != (model.get(name), held.get(name))]
        free = heap_blocks(16) - sum(blocks_of(len(value)) for value in held.values())
        if len(wanted) > max_entries(16) or sum(blocks_of(len(value)) for value in fresh) > free:
            with pytest.raises(RequestError, match=r"^registry_full"):
                writer.apply(batch, values)
        else:
            writer.apply(batch, values)
            model, held = wanted, kept
        assert writer.entries() == reader.entries() == RegistryReader(memory).entries() == model
        assert {name: reader.lookup_value(name) for name in model} == {name: (model[name], held[name]) for name in model}
        assert reader.count() == len(model)
        assert {name: reader.lookup(name) for name in NAMES} == {name: model.get(name) for name in NAMES}
        assert reader.lookup_many(NAMES) == [RegistryReader(memory).lookup_uncached(name) for name in NAMES]


@pytest.mark.parametrize("slots", [0, 4, 7, 12])
def test_a_registry_has_a_power_of_two_of_slots_from_8(slots: int) -> None:
    with pytest.raises(ValueError, match=f"^{slots} slots: not a power of two from 8$"):
        registry_bytes(slots)


def test_who_is_closed_lets_go_of_the_memory() -> None:
    data = bytearray(registry_bytes(8))
    with memoryview(data) as memory:
        format_registry(memory, 7, 8)
        reader = RegistryReader(memory)
        reader.close()
    data.clear()  # nobody holds it any more, or it could not be
    with pytest.raises(ValueError, match="released"):
        reader.lookup("n")


def test_a_chain_is_not_cut_when_a_name_in_its_middle_goes() -> None:
    memory, names = empty(), colliding(5, 16)
    writer, reader = RegistryWriter(memory), RegistryReader(memory)
    writer.apply((name, 1) for name in names)
    for gone in range(5):
        writer.retract(names[gone])
        assert [reader.lookup_uncached(name) for name in names] == [None] * (gone + 1) + [1] * (4 - gone)


def test_names_that_come_and_go_leave_no_trace_that_slows_a_miss() -> None:
    memory = empty(64)
    writer = RegistryWriter(memory)
    for serial in range(1, 1000):
        writer.publish(f"one-of-many-{serial}", serial)
        writer.retract(f"one-of-many-{serial}")
    reader = RegistryReader(memory)
    assert (reader._used(), reader.count()) == ([], 0)


# ---- refusals ----


def test_a_full_table_refuses_and_changes_nothing() -> None:
    writer = RegistryWriter(memory := empty())
    writer.apply((f"n{i}", i + 1) for i in range(max_entries(16)))
    before = writer.entries()
    with pytest.raises(RequestError) as refused:
        writer.apply([("n0", 0), ("x", 1), ("y", 1)])
    assert refused.value.code == "registry_full"
    assert RegistryReader(memory).entries() == before
    writer.apply([("x", 5), ("n0", 0)])
    assert RegistryReader(memory).entries() == after(before, [("x", 5), ("n0", 0)])


@pytest.mark.parametrize("name", ["", "k" * (KEY_BYTES + 1), "é" * 41, "\ud800"])
def test_a_bad_key_is_invalid_key_and_spoils_its_whole_batch(name: str) -> None:
    writer = RegistryWriter(memory := empty())
    with pytest.raises(RequestError) as refused:
        writer.apply([("good", 1), (name, 2)])
    assert refused.value.code == "invalid_key"
    assert RegistryReader(memory).entries() == {}
    assert RegistryReader(memory).lookup(name) is None


def test_a_key_of_80_bytes_and_the_largest_serial_fit() -> None:
    writer = RegistryWriter(memory := empty())
    writer.publish("é" * 40, (1 << 64) - 1)
    assert RegistryReader(memory).entries() == {"é" * 40: (1 << 64) - 1}


@pytest.mark.parametrize("serial", [-1, 1 << 64])
def test_a_serial_that_does_not_fit_is_refused(serial: int) -> None:
    with pytest.raises(ValueError, match="64 bits"):
        RegistryWriter(empty()).publish("n", serial)
    with pytest.raises(ValueError, match="no process"):
        RegistryWriter(empty()).publish("n", 0)


def test_other_memory_is_refused() -> None:
    with pytest.raises(ProtocolError):
        RegistryReader(memoryview(bytearray(registry_bytes(16))))
    with pytest.raises(ProtocolError):
        RegistryReader(empty()[: registry_bytes(8)])


def test_a_reader_that_is_always_overtaken_gives_up_with_busy() -> None:
    memory = empty()
    RegistryWriter(memory).publish("n", 1)

    class OvertakingWord:
        """A word ``committed`` that has moved at every look."""

        def __init__(self, words: memoryview) -> None:
            self.words = words

        def __getitem__(self, word: Any) -> Any:
            self.words[COMMITTED] += 1
            return self.words[word]

    overtaken = RegistryReader(memory)
    overtaken._words = OvertakingWord(overtaken._words)  # type: ignore[assignment]
    reads: list[Callable[[], object]] = [
        lambda: overtaken.lookup("n"),
        lambda: overtaken.lookup("x"),
        lambda: overtaken.lookup_many(["n"]),
        lambda: overtaken.lookup_value("n"),
        overtaken.entries,
        overtaken.count,
    ]
    for read in reads:
        with pytest.raises(RequestError) as refused:
            read()
        assert refused.value.code == "busy"


# ---- death at every bytecode ----


def die_at(point: int, act: Callable[[], object]) -> bool:
    """Run ``act``, dying before its ``point``-th bytecode inside the layout; whether it got that far."""
    return dies_before(point, act, SOURCES)


def content(memory: memoryview) -> dict[str, tuple[int, bytes] | None]:
    """What a fresh reader finds."""
    reader = RegistryReader(memory)
    found = reader.entries()
    assert reader.count() == len(found), "wrong count after a death"
    return {name: reader.lookup_value(name) for name in found}


def with_values(table: dict[str, int], values: dict[str, bytes]) -> dict[str, tuple[int, bytes] | None]:
    return {name: (serial, values.get(name, b"")) for name, serial in table.items()}


def assert_survives_every_death(writer_type: type[RegistryWriter], changes: list[Change]) -> int:
    """After each death: old or new for readers and successors, the redo works, and so does another batch instead."""
    first, *rest = colliding(4, 8)
    old = {first: 1, **dict.fromkeys(rest[:2], 2), "x": 3}
    new = after(old, changes)
    # Six of the eight blocks; the largest batch takes the other two, and those that it frees only when it is committed.
    old_values = {first: b"1" * 300, rest[0]: b"2" * 512, rest[1]: b"3" * 256, "x": b"4"}
    new_values = {name: name[:1].encode() * 256 for name, _ in changes}
    before, then = with_values(old, old_values), with_values(new, old_values | new_values)
    memory = empty(8)
    setup = RegistryWriter(memory)
    setup.apply([(name, 99) for name in old])
    setup.apply(old.items(), old_values)
    image, point, seen = bytes(memory), 0, []
    while True:
        memory[:] = image
        writer, watching = writer_type(memory), RegistryReader(memory)
        assert {name: watching.lookup(name) for name in old} == old
        if not die_at(point, partial(writer.apply, changes, new_values)):
            break
        table = content(memory)
        assert table in (before, then), f"half a batch after death {point}"
        seen.append(table)
        serials = {name: entry[0] for name, entry in table.items() if entry}
        assert {name: watching.lookup(name) for name in new | old} == {name: serials.get(name) for name in new | old}
        dead = bytes(memory)
        for batch in (changes, [("other", 5)], [("other", 5), (first, 0)]):
            memory[:] = dead
            successor = writer_type(memory)
            assert successor._entries() == table == content(memory), f"recovery changed the table, death {point}"
            successor.apply(batch)
            wanted = after(serials, batch)
            assert successor.entries() == wanted, f"lost by the successor of death {point}"
            kept = {name: b"" if name in dict(batch) else entry[1] for name, entry in table.items() if entry}
            assert content(memory) == with_values(wanted, kept), f"the dead one's batch came back, death {point}"
            blocks = [block for slot in successor._used() for block in blocks_in(successor, slot)] + free_blocks(successor)
            assert sorted(blocks) == list(range(heap_blocks(8))), f"a block lost or doubled, death {point}"
        point += 1
    assert before in seen and (then in seen or then == before)
    return point


def free_blocks(writer: RegistryWriter) -> list[int]:
    return [*writer._free, *range(writer._fresh, heap_blocks(writer.slots))]


def blocks_in(table: RegistryWriter, slot: int) -> tuple[int, ...]:
    at = table._slots_at + slot * SLOT_BYTES
    copy, serial, _ = table._read(at, table.committed)
    return table._blocks(at, copy) if serial else ()


FIRST = colliding(1, 8)[0]
OPERATIONS = {
    "publish": [("new", 4)],
    "retract": [(FIRST, 0)],
    "replace": [(FIRST, 4)],
    "batch of 3": [("new", 4), (FIRST, 0), ("x", 6)],
}


@pytest.mark.parametrize("changes", OPERATIONS.values(), ids=OPERATIONS.keys())
def test_acceptance_29_36_a_death_at_any_bytecode_of_a_write_leaves_the_old_or_the_new_table(changes: list[Change]) -> None:
    points = assert_survives_every_death(RegistryWriter, changes)
    assert points > 300


def test_B6_a_successor_that_dies_at_any_bytecode_of_its_recovery_is_recovered_too() -> None:
    memory = empty(8)
    RegistryWriter(memory).apply([(FIRST, 1), ("x", 3)])
    writer = RegistryWriter(memory)
    writer._words[COMMITTED] -= 1  # What is left if death came just before the commit of the first batch.
    image, point = bytes(memory), 0
    while True:
        memory[:] = image
        if not die_at(point, lambda: RegistryWriter(memory)):
            break
        assert RegistryReader(memory).entries() == {}
        RegistryWriter(memory).publish("other", 5)
        assert RegistryReader(memory).entries() == {"other": 5}
        point += 1
    assert point > 300


def test_a_writer_interrupted_by_an_exception_takes_its_half_batch_back_itself() -> None:
    point, died = 0, True
    while died:
        writer = RegistryWriter(memory := empty(8))
        writer.apply([(FIRST, 1), ("x", 3)])
        died = die_at(point, partial(writer.apply, [(FIRST, 0), ("y", 4)]))
        table = RegistryReader(memory).entries()
        writer.publish("other", 5)
        assert writer.entries() == RegistryReader(memory).entries() == {**table, "other": 5}
        point += 7


# ---- the harness catches what it is there for ----


class InPlace(RegistryWriter):
    """Each entry written where it is read."""

    def _write(self, at: int, key: bytes, serial: int, size_bytes: int, blocks: bytes, batch: int) -> None:
        copy, *_ = self._read(at, batch)
        self._words[(at >> 3) + copy + 1] = serial
        super()._write(at, key, serial, size_bytes, blocks, batch)


class Forgetful(RegistryWriter):
    """A successor that does not take the dead one's batch back."""

    def _copy(self, at: int, visible: int) -> None:
        pass


class BatchPerSlot(RegistryWriter):
    """A batch that commits once per slot."""

    def _write(self, at: int, key: bytes, serial: int, size_bytes: int, blocks: bytes, batch: int) -> None:
        super()._write(at, key, serial, size_bytes, blocks, batch)
        self._words[COMMITTED] = batch


@pytest.mark.parametrize("planted", [InPlace, Forgetful, BatchPerSlot])
def test_the_crash_harness_catches_a_planted_bug(planted: type[RegistryWriter]) -> None:
    with pytest.raises(AssertionError, match=r"death|batch"):
        assert_survives_every_death(planted, OPERATIONS["batch of 3"])
