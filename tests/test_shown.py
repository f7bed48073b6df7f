"""What residents show is what readers find, or they are sent to ask."""

from __future__ import annotations

import random

import msgspec
import pytest

from actorcore.effects import Deliver, Publish, Retract
from actorcore.kernel import Kernel
from actorcore.registry_layout import KEY_BYTES, VALUE_BYTES, blocks_of, format_registry, registry_bytes
from actorcore.registry_reader import RegistryReader
from actorcore.registry_writer import RegistryWriter
from actorcore.requests import Ask, Monitor, SendExit, Spawn
from actorcore.shown import MAX_BLOCKS, MAX_ENTRIES, Change, Shown, entry_name
from actorcore.signals import Asked, ClientAttached, Event, ProcessSpec
from actorcore.words import RESIDENT
from supervisors.machines import MACHINES

ONE, TWO = 5, 6
LONG = "k" * KEY_BYTES


class Book:
    """A shared registry in which residents ``one`` and ``two`` have names."""

    def __init__(self) -> None:
        memory = memoryview(bytearray(registry_bytes(256)))
        format_registry(memory, 1, 256)
        self.writer, self.reader = RegistryWriter(memory), RegistryReader(memory)
        self.writer.publish("one", ONE)
        self.writer.publish("two", TWO)

    def write(self, changes: list[Change]) -> None:
        for change in changes:
            if change.value is None:
                self.writer.retract(change.name)
            else:
                self.writer.publish(change.name, change.owner, change.value)


def test_before_its_first_word_a_resident_has_to_be_asked_and_then_what_is_not_there_is_not_there() -> None:
    shown, book = Shown(), Book()
    assert (shown.put(ONE, "a", b"1", 0, 0), book.reader.lookup_shown("one", "a")) == ([], False)
    book.write(shown.put(ONE, "", b"", 0, 0))
    assert [book.reader.lookup_shown(owner, "a") for owner in ("one", "two", "three")] == [None, False, False]


@pytest.mark.parametrize("seed", range(20))
def test_a_reader_finds_what_was_shown_last_or_has_to_ask(seed: int) -> None:
    chance, shown, book = random.Random(seed), Shown(), Book()
    keys = ["a", "b", "é/ß", "", LONG]
    last: dict[tuple[str, str], bytes | None] = {}
    for owner in (ONE, TWO):
        book.write(shown.put(owner, "", b"", 0, 0))
    for _ in range(100):
        name, key = chance.choice(["one", "two"]), chance.choice([key for key in keys if key])
        value = chance.choice([b"", b"1", b"x" * VALUE_BYTES, b"x" * (VALUE_BYTES + 1)])
        book.write(shown.put({"one": ONE, "two": TWO}[name], key, value, 2, 0))
        last[name, key] = value or None
        for (owner, known), expected in last.items():
            must_ask = known == LONG or (expected is not None and len(expected) > VALUE_BYTES)
            assert book.reader.lookup_shown(owner, known) == (False if must_ask else expected), seed
        assert shown.blocks == sum(blocks_of(len(value)) for mine in shown.entries.values() for value in mine.values())
        assert shown.count == sum(map(len, shown.entries.values()))
    for owner in (ONE, TWO):
        book.write(shown.drop(owner))
    assert (book.writer.entries(), shown) == ({"one": ONE, "two": TWO}, Shown())


@pytest.mark.parametrize(("names", "blocks"), [(MAX_ENTRIES - 2, 0), (0, MAX_BLOCKS - 1)])
def test_where_no_room_is_left_a_resident_shows_nothing_and_what_it_showed_is_gone(names: int, blocks: int) -> None:
    shown, book = Shown(), Book()
    book.write(shown.put(ONE, "", b"", names, blocks))
    book.write(shown.put(ONE, "a", b"1", names, blocks))
    assert book.reader.lookup_shown("one", "a") == b"1"
    assert shown.put(ONE, "b", b"2", names, blocks) == [Change(f"{ONE}/", ONE, None), Change(f"{ONE}/a", ONE, None)]
    assert (shown, shown.put(ONE, "a", b"1", 0, 0)) == (Shown(), [])


def test_a_text_that_no_name_can_be_is_asked_for_and_not_looked_up() -> None:
    book = Book()
    book.write(Shown().put(ONE, "a", b"1", 0, 0))
    assert [book.reader.lookup_shown(owner, key) for owner, key in (("one", "\ud800"), ("\ud800", "a"))] == [False, False]


def test_an_entry_is_no_name() -> None:
    assert entry_name(7, "k") == "7/k"
    assert entry_name(7, "k" * (KEY_BYTES - 1)) is None


# ---- in the kernel --------------------------------------------------------------------------------------------------


class Node:
    """A kernel with a client, a registry called ``keys`` and groups called ``groups``."""

    def __init__(self) -> None:
        self.kernel = Kernel(1, {}, MACHINES)
        self.numbers = 0
        self.client = self.attach()
        self.keys = self.start("registry", "keys")
        self.groups = self.start("groups", "groups")
        self.client = self.attach()

    def attach(self) -> int:
        self.do(ClientAttached(0, b"", 1))
        return self.kernel.table.last_client

    def do(self, event: Event) -> list[object]:
        effects = self.kernel.handle(event, 0.0)
        self.kernel.table.check_invariants()
        return list(effects)

    def ask(self, body: Ask | SendExit | Spawn | Monitor) -> list[object]:
        self.numbers += 1
        return self.do(Asked(self.client, self.numbers, body))

    def start(self, machine: str, name: str) -> int:
        self.ask(Spawn(ProcessSpec(machine, template=RESIDENT, name=name)))
        return self.kernel.table.published()[name]


def words(*said: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.msgpack.encode(said))


def test_acceptance_40_what_a_registry_answers_stands_in_the_shared_registry_and_goes_before_a_death_is_told() -> None:
    node = Node()
    key, group = f"{node.keys}/db", f"{node.groups}/g"
    node.ask(Ask(node.keys, words("register", "db", "v")))
    node.ask(Ask(node.groups, words("join", "g", [node.client, node.client])))
    values = {name: msgspec.msgpack.decode(value) for name, value in node.kernel.table.values().items()}
    assert values == {key: [[node.client, "v"]], group: [node.client, node.client]}
    watcher = node.attach()
    node.do(Asked(watcher, 1, Monitor(1, node.client)))
    effects = node.do(Asked(watcher, 2, SendExit(node.client, "kill")))
    retracted = [effects.index(effect) for effect in effects if isinstance(effect, Retract) and effect.name in (key, group)]
    told = [at for at, effect in enumerate(effects) if isinstance(effect, Deliver)]
    assert len(retracted) == 2 and max(retracted) < min(told)


def test_a_registry_that_ends_shows_nothing_any_more() -> None:
    node = Node()
    node.ask(Ask(node.keys, words("register", "db")))
    gone = [effect for effect in node.ask(SendExit(node.keys, "kill")) if isinstance(effect, (Publish, Retract))]
    assert gone == [Retract("keys"), Retract(f"{node.keys}/"), Retract(f"{node.keys}/db")]
    assert node.kernel.table.values() == {}


def test_what_is_shown_comes_with_the_snapshot() -> None:
    node, after = Node(), Kernel(1, {}, MACHINES)
    node.ask(Ask(node.keys, words("register", "db")))
    after.restore(node.kernel.snapshot())
    assert (after.table.published(), after.table.values()) == (node.kernel.table.published(), node.kernel.table.values())
    assert f"{node.keys}/db" in after.table.published()
