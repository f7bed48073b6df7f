"""A client reads names in the registry that came with its Welcome, and asks the node when none did."""

from __future__ import annotations

import os
from collections.abc import Iterator

import msgspec
import pytest

from actorcore.registry_writer import RegistryWriter
from actorcore.runtime.memory import create_memfd
from actorcore.runtime.shared_registry import SharedRegistry
from tests.fake_node import INSTANCE, WELCOME
from tests.test_client_connection import World
from tests.test_shared_registry import open_fds

SHARING = msgspec.structs.replace(WELCOME, registry=True)


@pytest.fixture
def shared() -> Iterator[SharedRegistry]:
    made = SharedRegistry(INSTANCE, slots=64)
    yield made
    made.close()


@pytest.fixture
def writer(shared: SharedRegistry) -> Iterator[RegistryWriter]:
    made = shared.writer()
    yield made
    made.close()


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    made.close()


def welcome(world: World, fd: int | None) -> None:
    line = world.dial()
    line.read_hello()
    line.write_frame(SHARING, fd)
    world.read()


def test_names_are_found_as_they_come_move_and_go(world: World, shared: SharedRegistry, writer: RegistryWriter) -> None:
    welcome(world, shared.fd)
    found = []
    for serial in (5, 6, None):
        writer.publish("ada", serial) if serial is not None else writer.retract("ada")
        found.append(world.connection.resolve("ada"))
    assert (found, world.connection.resolve("nobody")) == ([5, 6, None], None)


def test_without_a_registry_the_node_is_to_be_asked(world: World, shared: SharedRegistry) -> None:
    assert world.connection.resolve("ada") is None  # before the Welcome
    world.open()
    assert world.connection.resolve("ada") is None


def test_a_descriptor_that_was_lost_on_the_way_is_no_loss(world: World, shared: SharedRegistry) -> None:
    line = world.dial()
    line.read_hello()
    world.connection._fds.append(None)  # what MSG_CTRUNC leaves, when this process has none left
    line.write_frame(SHARING)
    world.read()
    assert (world.connection.state, world.connection.resolve("ada")) == ("open", None)


def test_the_successor_s_registry_is_the_same_and_its_descriptor_is_let_go(
    world: World, shared: SharedRegistry, writer: RegistryWriter
) -> None:
    writer.publish("ada", 5)
    before = open_fds()
    welcome(world, shared.fd)
    world.lines[-1].sock.close()
    world.read()
    assert (world.connection.state, world.connection.resolve("ada")) == ("lost", 5)  # also while there is no node
    welcome(world, shared.fd)
    writer.publish("ada", 7)
    assert (world.connection.state, world.connection.resolve("ada")) == ("open", 7)
    world.close()
    assert (open_fds() - before, world.connection.resolve("ada")) == (set(), None)


def test_a_registry_without_its_descriptor_or_with_another_one_ends_the_connection(world: World) -> None:
    other, junk = World(), create_memfd("junk", 4096)
    welcome(world, None)
    welcome(other, junk)
    told = [(str(one.connection.farewell), one.connection.state) for one in (world, other)]
    assert told == [("protocol_error: a registry without its descriptor", "closed"),
                    ("protocol_error: not a registry of this layout", "closed")]  # fmt: skip
    other.close()
    os.close(junk)
