"""What a reader sees of a registry that changes between any two of its reads: values, scans, and its own cache."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from random import Random

import pytest

from actorcore.errors import RequestError
from actorcore.registry_layout import BLOCK_BYTES, COMMITTED, COUNT, SECOND, SLOT_BYTES, VALUE_BYTES, heap_blocks, max_entries
from actorcore.registry_reader import RegistryReader
from actorcore.registry_writer import RegistryWriter
from tests.bytecodes import Killed
from tests.test_registry_layout import colliding, content, die_at, empty, free_blocks


class Interrupted(RegistryReader):
    """A reader before each of whose looks at a slot or at a value something happens."""

    def __init__(self, memory: memoryview, act: Callable[[], None]) -> None:
        super().__init__(memory)
        self.act = act

    def _read(self, at: int, committed: int) -> tuple[int, int, bytes]:
        self.act()
        return super()._read(at, committed)

    def _value(self, at: int, copy: int) -> bytes:
        self.act()
        value = super()._value(at, copy)
        self.act()
        return value


# ---- the cache ----


class Zeroing(RegistryWriter):
    """Layout 1: a batch taken back gets the number 0 again, and the next batch its number."""

    def recover(self) -> None:
        words, committed = self._words, self._words[COMMITTED]
        for slot in self._used():
            for word in ((self._slots_at + slot * SLOT_BYTES >> 3) + copy for copy in (0, SECOND)):
                words[word] = words[word] if words[word] <= committed else 0
        super().recover()


def cached_and_overtaken(writer_type: type[RegistryWriter], before: int) -> None:
    """A reader caches a name, ``before`` batches and one that dies at every bytecode go by, it looks again."""
    memory = empty(8)
    writer, reader = writer_type(memory), RegistryReader(memory)
    writer.publish("n", 1)
    assert reader.lookup("n") == 1
    cache = dict(reader._cache)
    for serial in range(2, 2 + before):
        writer.publish("n", serial)
    point = 0
    while die_at(point, partial(writer.publish, "n", 99)) and RegistryReader(memory).lookup("n") != 99:
        writer = writer_type(memory)
        reader._cache = dict(cache)
        assert reader.lookup("n") == before + 1, f"stale after death {point}"
        point += 1
    assert point > 100


@pytest.mark.parametrize("before", range(1, 6))
def test_a_name_cached_long_ago_is_not_believed_because_a_dead_batch_was_taken_back(before: int) -> None:
    cached_and_overtaken(RegistryWriter, before)


def test_a_number_that_comes_back_is_caught() -> None:
    with pytest.raises(AssertionError, match="stale"):
        cached_and_overtaken(Zeroing, 2)


def test_the_cache_is_bounded_and_forgets_nothing_that_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actorcore.registry_reader.CACHED_NAMES", 4)
    memory = empty(16)
    table = {f"n{i}": i + 1 for i in range(10)}
    RegistryWriter(memory).apply(table.items())
    reader = RegistryReader(memory)
    for _ in range(3):
        assert {name: reader.lookup(name) for name in table} == table
        assert len(reader._cache) <= 4


def test_what_a_dead_writer_has_left_is_no_name_and_a_full_table_has_no_end_but_that_of_a_round(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    writer = RegistryWriter(memory := empty(8))
    writer.publish("x", 1)
    writer._words[COMMITTED] -= 1
    assert RegistryReader(memory).entries() == {}
    monkeypatch.setattr("actorcore.registry_writer.max_entries", lambda slots: slots)
    names = {f"n{at}": at + 1 for at in range(8)}
    RegistryWriter(full := empty(8)).apply(names.items())
    reader = RegistryReader(full)
    assert (reader.entries(), reader.lookup("x"), reader.lookup_value("x")) == (names, None, None)


# ---- values ----


@pytest.mark.parametrize("size_bytes", [0, 1, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, VALUE_BYTES])
def test_a_value_of_up_to_2_KiB_comes_back_whole(size_bytes: int) -> None:
    value = bytes(Random(size_bytes).randbytes(size_bytes))
    writer = RegistryWriter(memory := empty())
    writer.publish("n", 5, value)
    assert RegistryReader(memory).lookup_value("n") == (5, value)
    assert RegistryReader(memory).lookup_value("x") is RegistryReader(memory).lookup_value("\ud800") is None
    assert RegistryWriter(memory).entries() == {"n": 5}


def test_a_value_that_is_too_long_is_refused_and_changes_nothing() -> None:
    writer = RegistryWriter(memory := empty())
    writer.publish("n", 1, b"old")
    before = content(memory)
    too_long = bytes(VALUE_BYTES + 1)
    refused: list[Callable[[], object]] = [
        lambda: writer.publish("n", 2, too_long),
        lambda: writer.apply([("x", 1), ("n", 2)], {"n": too_long}),
    ]
    for act in refused:
        with pytest.raises(RequestError) as caught:
            act()
        assert (caught.value.code, content(memory)) == ("value_too_long", before)


def test_a_full_heap_is_registry_full_and_every_block_comes_back() -> None:
    writer = RegistryWriter(memory := empty())
    for serial in range(1, 30):
        writer.publish("a", serial, b"a" * (VALUE_BYTES // 2))
        with pytest.raises(RequestError) as caught:
            writer.publish("b", serial, bytes(VALUE_BYTES // 2 + 1))
        assert (caught.value.code, content(memory)) == ("registry_full", {"a": (serial, b"a" * (VALUE_BYTES // 2))})
        writer.publish("b", serial, bytes(VALUE_BYTES // 2))
        writer.retract("b")
        if serial % 5 == 0:
            writer = RegistryWriter(memory)
    writer.retract("a")
    assert sorted(free_blocks(writer)) == list(range(heap_blocks(16)))


class Impatient(RegistryWriter):
    """Uses blocks again in the batch that frees them."""

    def _place(self, at: int, copy: int, old: int, key: bytes, serial: int, value: bytes, batch: int) -> None:
        if old:
            self._free += self._blocks(at, copy)
        super()._place(at, copy, old, key, serial, value, batch)


class Careless(RegistryReader):
    """Believes a value that it copied while a batch was committed."""

    def _settled(self, read: Callable[[int], object]) -> object:  # type: ignore[override]
        return read(self.committed)


def read_while_written(writer_type: type[RegistryWriter], reader_type: type[RegistryReader]) -> set[tuple[int, bytes]]:
    """All (serial, value) that a reader saw of a name which is replaced, in part or whole, while it reads."""
    memory, serial, seen = empty(), 0, set()
    writer, chance = writer_type(memory), Random(5)

    def act() -> None:
        nonlocal serial, writer
        for _ in range(chance.randrange(3)):
            serial += 1
            value = bytes([serial % 256]) * (VALUE_BYTES // 2 - serial % 3)
            if chance.random() < 0.5:
                writer.publish("n", serial, value)
            elif die_at(chance.randrange(900), partial(writer.publish, "n", serial, value)):
                writer = writer_type(memory)  # a successor that finds what a dead writer left half written

    class Reader(Interrupted, reader_type):  # type: ignore[misc, valid-type]
        pass

    reader = Reader(memory, act)
    writer.publish("n", 256, bytes(VALUE_BYTES // 2 - 256 % 3))
    for _ in range(300):
        found = reader.lookup_value("n")
        assert found is not None
        seen.add(found)
    return seen


def torn(seen: set[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
    return [(serial, value) for serial, value in seen if value != bytes([serial % 256]) * (VALUE_BYTES // 2 - serial % 3)]


def test_B6_a_reader_never_sees_a_torn_value_or_that_of_another_serial() -> None:
    seen = read_while_written(RegistryWriter, RegistryReader)
    assert torn(seen) == []
    assert len(seen) > 50


def test_a_reader_that_does_not_look_twice_is_caught_with_a_torn_value() -> None:
    assert torn(read_while_written(RegistryWriter, Careless)) != []


def test_a_writer_that_uses_blocks_too_soon_is_caught() -> None:
    """Its dead batches have spoiled what they were to replace."""


    def is_caught() -> bool:
        try:
            return torn(read_while_written(Impatient, RegistryReader)) != []
        except Killed:  # its writer met what it had spoiled itself
            return True

    assert is_caught()


# ---- scans ----


class Ascending(Interrupted):
    """A scan in the direction in which entries move."""

    def _used(self) -> list[int]:
        return super()._used()[::-1]


class Unwrapped(Interrupted):
    """A scan that does not care for moves round the end."""

    def entries(self) -> dict[str, int]:
        found = {}
        for slot in self._used():
            at = self._slots_at + slot * SLOT_BYTES
            _, serial, key = self._settled(lambda committed, at=at: self._read(at, committed))  # type: ignore[misc]
            if serial:
                found[key.decode()] = serial
        return found


def scan_while_written(scanner: type[Interrupted], scans: int = 500) -> None:
    """Names that stay are on every list, once, with a serial that they had; the others come and go, in chains that wrap."""
    chance = Random(7)
    for _ in range(scans):
        names = [*colliding(6, 16), *(f"n{i}" for i in range(8))]
        chance.shuffle(names)
        scan_once(scanner, names[:5], names[5:], chance)


def scan_once(scanner: type[Interrupted], stable: list[str], others: list[str], chance: Random) -> None:
    writer = RegistryWriter(memory := empty(16))
    for name in chance.sample(stable + others, 14):
        writer.publish(name, 1)
    had = {name: {1} for name in writer.entries()}

    def act() -> None:
        if chance.random() < 0.3:
            serial, table = writer.committed, writer.entries()
            changes = [(name, 0 if name in table and chance.random() < 0.7 else serial) for name in chance.sample(others, 2)]
            changes += [(name, serial) for name in stable if chance.random() < 0.1]
            if len({**table, **dict(changes)}) <= 14:
                writer.apply(changes)
            for name, now in writer.entries().items():
                had.setdefault(name, set()).add(now)

    listed = scanner(memory, act).entries()
    assert set(stable) <= set(listed), "a name that stayed is missing"
    assert all(now in had[name] for name, now in listed.items()), "a serial that the name did not have"


def test_a_scan_lists_every_name_that_stays_whatever_happens_meanwhile() -> None:
    scan_while_written(Interrupted)


@pytest.mark.parametrize("planted", [Ascending, Unwrapped])
def test_a_scan_that_can_miss_a_name_is_caught(planted: type[Interrupted]) -> None:
    with pytest.raises(AssertionError, match="missing"):
        scan_while_written(planted)


def test_a_batch_that_wraps_and_is_never_committed_does_not_keep_readers_from_looking() -> None:
    memory, names = empty(8), colliding(3, 8)
    writer, reader = RegistryWriter(memory), RegistryReader(memory)
    writer.apply((name, 1) for name in names)
    point, committed, seen = 0, writer.committed, set()
    while die_at(point, partial(writer.retract, names[0])):
        is_retracted = reader.committed > committed
        seen.add(is_retracted)
        assert reader.entries().keys() == set(names[is_retracted:])
        writer = RegistryWriter(memory)
        writer.publish(names[0], 1)
        point, committed = point + 1, writer.committed
    assert seen == {False, True}


# ---- a successor compares ----


def test_reconcile_repairs_whatever_differs_and_nothing_else() -> None:
    writer = RegistryWriter(memory := empty())
    writer.apply([("stays", 1), ("goes", 2), ("changes", 3), ("value", 4)], {"stays": b"s", "value": b"old", "goes": b"g"})
    committed = writer.committed
    names = {"stays": 1, "changes": 5, "value": 4, "comes": 6}
    values = {"stays": b"s", "value": b"new", "comes": b"c"}
    assert (writer.reconcile(names, values), writer.committed) == (4, committed + 2)
    assert content(memory) == {name: (serial, values.get(name, b"")) for name, serial in names.items()}
    assert (writer.reconcile(names, values), writer.committed) == (0, committed + 2)


def test_what_is_so_already_is_no_batch() -> None:
    writer = RegistryWriter(empty())
    writer.apply([("there", 1)], {"there": b"v"})
    committed = writer.committed
    writer.apply([("there", 1), ("nowhere", 0)], {"there": b"v"})
    assert writer.committed == committed
    writer.apply([("there", 1)], {"there": b"w"})
    assert writer.committed == committed + 1


def test_reconcile_finds_room_where_all_of_it_is_taken_by_what_must_go() -> None:
    writer = RegistryWriter(memory := empty())
    before = {f"before-{at}": at + 1 for at in range(max_entries(16))}
    writer.apply(before.items(), {"before-0": b"b" * VALUE_BYTES})
    after = {f"after-{at}": at + 1 for at in range(max_entries(16))}
    writer.reconcile(after, {"after-3": b"a" * VALUE_BYTES})
    assert RegistryReader(memory).entries() == after
    assert RegistryReader(memory).lookup_value("after-3") == (4, b"a" * VALUE_BYTES)


def test_a_count_that_is_wrong_is_found_by_the_next_writer() -> None:
    writer = RegistryWriter(memory := empty())
    writer.publish("n", 1)
    writer._words[COUNT + 1] = writer._words[COUNT + 3] = 7
    assert RegistryReader(memory).count() == 7
    RegistryWriter(memory)
    assert RegistryReader(memory).count() == 1
    assert RegistryReader(memory).committed == writer._words[COMMITTED]
