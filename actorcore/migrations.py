"""Migrations: the schema of a kernel's snapshot, and how one of the schema before becomes one of today.

One number covers all of it: process table, residents, alarms. Who changes what any of them writes, other than by a field
with a default, raises :data:`SCHEMA`, replaces the one function in :data:`MIGRATIONS`, and records a snapshot of the schema
that becomes the previous one (tests/recorded). Records of the ledger need none: a node that yields leaves a snapshot only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import msgspec

from actorcore.frames import decode_ext
from actorcore.resident_sys import Watched
from actorcore.timers import Deadlines

SCHEMA = 2
"""What is written. What is read: this and the one before."""

Old: TypeAlias = "list[object]"
"""A snapshot as plain data, its first item the schema."""


class KernelState(msgspec.Struct, frozen=True, array_like=True):
    """A snapshot. ``residents``: serial and state by name; ``schema``: the one that it was written in.

    ``spawned``: serial, machine and state of the residents that somebody has started; ``watched``: see resident_sys.
    ``awaited``: by the serial of a process the resident that is told of its end.
    """

    schema: int
    table: bytes
    residents: dict[str, tuple[int, bytes]]
    alarms: Deadlines[str]
    ending: bool
    spawned: list[tuple[int, str, bytes]] = []
    watched: dict[int, Watched] = {}
    awaited: dict[int, int] = {}
    crowded: bool = False


class _Head(msgspec.Struct, array_like=True):
    schema: int


_head = msgspec.msgpack.Decoder(_Head)
_state = msgspec.msgpack.Decoder(KernelState, ext_hook=decode_ext)


def read(data: bytes) -> KernelState:
    """The snapshot ``data``, as today's code knows it.

    :raises ValueError: it is of a schema that is not read here, and the text says which are.
    :raises msgspec.MsgspecError: it is no snapshot.
    """
    schema = _head.decode(data).schema
    if schema == SCHEMA:
        return _state.decode(data)
    if schema not in MIGRATIONS:
        raise ValueError(f"snapshot of schema {schema}; this code reads {oldest()} to {SCHEMA}")
    return msgspec.convert(MIGRATIONS[schema](msgspec.msgpack.decode(data, type=list)), KernelState)


def oldest() -> int:
    """The oldest schema that is read."""
    return min(MIGRATIONS, default=SCHEMA)


def _from_1(old: Old) -> Old:
    """Schema 2: node_desk also remembers who waits for a reload."""
    schema, table, residents, alarms, ending = old
    assert isinstance(residents, dict)
    serial, desk = residents["node"]
    took_over = msgspec.Raw(desk)
    node = (serial, msgspec.msgpack.encode([took_over, 0, []]))
    return [schema, table, {**residents, "node": node}, alarms, ending]


MIGRATIONS: dict[int, Callable[[Old], Old]] = {1: _from_1}
"""By the schema that it starts from; the result is of the next one."""
