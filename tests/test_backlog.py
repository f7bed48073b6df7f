"""Backlog: what is kept for who does not read is bounded, for each and for all together (C21)."""

from __future__ import annotations

import msgspec
import pytest

from actorcore.effects import Effect, Forget
from actorcore.frames import encoder
from actorcore.process_table import ProcessTable
from actorcore.signals import Answer, Asked, Delivery, Down, Lookup, Monitor, Received, Register
from actorcore.table.backlog import (
    MAX_BACKLOG,
    MAX_OWED_BYTES,
    MAX_OWED_TOGETHER_BYTES,
    MAX_UNACKNOWLEDGED,
    overdrawn,
    recount,
    weight,
)
from actorcore.table.entry import Entry, Kind, Phase
from actorcore.table.state import State
from tests.table_driver import Driver

VALUE = b"x" * 2000


@pytest.fixture
def node() -> Driver:
    node = Driver(check=False)
    node.do(Asked(node.client(), 1, Register("big", 0, VALUE)))
    return node


def ended(effects: list[Effect]) -> list[int]:
    return [effect.serial for effect in effects if isinstance(effect, Forget)]


def owe(node: Driver, client: int, size_bytes: int) -> None:
    """Let a client that reads nothing ask until it is owed so much more."""
    until = node.table.owed_bytes + size_bytes
    while node.table.owed_bytes < until:
        assert ended(node.ask(client, Lookup("big"))) == []


def test_C21_who_is_owed_more_than_a_client_may_be_ends_and_is_owed_nothing(node: Driver) -> None:
    client, before = node.client(), node.table.owed_bytes
    owe(node, client, MAX_OWED_BYTES - 2 * len(VALUE))
    while not (gone := ended(node.ask(client, Lookup("big")))):
        pass
    assert (gone, node.table.owed_bytes) == ([client], before)
    node.table.check_invariants()


def test_C21_when_all_are_owed_too_much_together_who_is_owed_most_ends(node: Driver) -> None:
    one, most, other = (node.client() for _ in range(3))
    owe(node, one, 5 << 20)
    owe(node, most, 6 << 20)
    owe(node, other, MAX_OWED_TOGETHER_BYTES - node.table.owed_bytes - 2 * len(VALUE))
    while not (gone := ended(node.ask(other, Lookup("big")))):
        assert node.table.owed_bytes <= MAX_OWED_TOGETHER_BYTES
    assert gone == [most]
    owe(node, one, 2 << 20)
    node.table.check_invariants()


def test_what_was_received_is_owed_no_more(node: Driver) -> None:
    client, before = node.client(), node.table.owed_bytes
    for number in range(1, 101):
        node.ask(client, Monitor(number, 1 << 40) if number % 2 else Lookup("big"))
    node.do(Received(client, 75))
    assert before < node.table.owed_bytes < before + 75 * (len(VALUE) + 100)
    node.table.check_invariants()
    node.do(Received(client, 150))
    assert node.table.owed_bytes == before


def test_a_snapshot_of_code_that_weighed_nothing_is_weighed(node: Driver) -> None:
    owe(node, node.client(), 1 << 20)
    plain = msgspec.msgpack.decode(node.table.snapshot(), ext_hook=msgspec.msgpack.Ext)
    assert plain.pop("owed") == sum(entry.pop("owed", 0) for entry in plain["entries"].values())
    assert ProcessTable.restore(msgspec.msgpack.encode(plain)).snapshot() == node.table.snapshot()


def test_what_says_little_weighs_little_and_all_else_what_it_has_to_say() -> None:
    little: list[Delivery] = [Answer(1, None), Answer(1, 1 << 40), Answer(1, True)]
    more: list[Delivery] = [Answer(1, "text"), Answer(1, None, ("noproc", None)), Answer(1, [1]), Down([1], 2, "killed")]
    assert [weight(body) for body in little] == [64, 64, 64]
    assert [weight(body) for body in more] == [64 + len(encoder.encode(body)) for body in more]


def test_weighed_anew_each_is_owed_what_is_kept_for_it() -> None:
    light, heavy = Entry(1, Kind.CLIENT, Phase.RUNNING, backlog=[(1, Answer(1))]), Entry(2, Kind.CLIENT, Phase.RUNNING, owed=5)
    state = State(7, 1, entries={1: light, 2: heavy})
    recount(state)
    assert (light.owed, heavy.owed, state.owed) == (64, 0, 64)


def test_C21_who_must_end_is_who_is_owed_too_much_itself_or_else_who_is_owed_most() -> None:
    kinds = (Kind.CLIENT, Kind.PROCESS, Kind.CLIENT)
    client, process, other = (Entry(serial, kind, Phase.RUNNING) for serial, kind in enumerate(kinds, 1))
    state = State(7, 1, entries={entry.serial: entry for entry in (client, process, other)})
    for entry, most in ((client, MAX_UNACKNOWLEDGED), (process, MAX_BACKLOG)):
        entry.backlog = [(1, Answer(1))] * most
        assert overdrawn(state, entry) is None
        entry.backlog.append((1, Answer(1)))
        assert overdrawn(state, entry) is entry
        entry.backlog.clear()
        entry.owed = MAX_OWED_BYTES
        assert overdrawn(state, entry) is None
        entry.owed += 1
        assert overdrawn(state, entry) is entry
        entry.owed = 0
    other.owed, state.owed = 5, MAX_OWED_TOGETHER_BYTES
    assert overdrawn(state, client) is None
    state.owed += 1
    assert overdrawn(state, client) is other
