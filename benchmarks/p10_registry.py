"""P10: what a name costs: lookups and updates in a registry of 10,000 names, beside dict.get and a flock pair.

Each loop is written out as its user would write it, with the call in it by name; what the empty loop costs is taken off.
A round measures every row once, so that rows and floors share what the machine does meanwhile. Times are processor time of
this thread: others who run meanwhile are not in them. Not pinned.
"""

from __future__ import annotations

import fcntl
import tempfile
from collections.abc import Callable
from itertools import repeat
from random import Random
from statistics import median
from time import thread_time_ns

from actorcore.registry_reader import RegistryReader
from actorcore.registry_writer import RegistryWriter
from actorcore.runtime.shared_registry import AttachedRegistry, SharedRegistry
from benchmarks.rows import Row, command, few, measured

NAMES = 10_000
CALLS = 5_000
CACHED, UNCACHED, UPDATE = 5.0, 30.0, 1.5
"""Goals, as ratios to the floor."""


def run() -> list[Row]:
    """Rows in ns of one call; goals are ratios to the row's floor."""
    registry = SharedRegistry(instance=1)
    writer = registry.writer()
    table = {f"session-{number:05d}": number for number in range(1, NAMES + 1)}
    writer.apply(table.items(), {"session-00042": b"v" * 100})
    with AttachedRegistry(registry.fd) as reader, tempfile.TemporaryFile() as lock:
        seen = _measure(table, reader, writer, lock.fileno())
    writer.close()
    registry.close()
    return _rows(seen)


def _measure(table: dict[str, int], reader: RegistryReader, writer: RegistryWriter, lock: int) -> dict[str, list[float]]:
    hot, chance = ["session-00042"] * CALLS, Random(10)
    # As many as the cache holds with ease; strings of their own, as they come out of a decoded message.
    spread = [f"session-{chance.randrange(1, 5001):05d}" for _ in range(CALLS)]
    absent = [f"absent-{number:05d}" for number in range(CALLS)]
    loops: dict[str, Callable[[], int]] = {
        "dict.get": lambda: _dict_get(table, hot),
        "lookup": lambda: _lookup(reader, hot),
        "lookup_uncached": lambda: _lookup_uncached(reader, hot),
        "lookup_value": lambda: _lookup_value(reader, hot),
        "dict.get, random": lambda: _dict_get(table, spread),
        "lookup, random": lambda: _lookup(reader, spread),
        "lookup_uncached, random": lambda: _lookup_uncached(reader, spread),
        "dict.get, miss": lambda: _dict_get(table, absent),
        "lookup, miss": lambda: _lookup_uncached(reader, absent),
        "flock pair": lambda: _flock(lock),
        "publish, replace": lambda: _replace(writer, writer.committed + 1),
        "publish and retract": lambda: _come_and_go(writer, absent),
    }
    seen: dict[str, list[float]] = {what: [] for what in loops}
    empty = min(_empty(hot) for _ in range(9))
    for number in range(few(41, 9) + 1):
        for what, loop in loops.items():
            per_call = (loop() - empty) / CALLS
            if number:  # the first round warms up
                seen[what].append(per_call)
    for what, once in (("entries", reader.entries), ("recover", writer.recover)):
        seen[what] = [_once(once) for _ in range(few(11, 3))]
    return seen


def _rows(seen: dict[str, list[float]]) -> list[Row]:
    def row(what: str, floor: str, goal: float | None = None, note: str = "", number: str = "P10") -> Row:
        least = median(seen[floor])
        text = "" if goal is None else f"≤ {goal:g} × {floor}"
        at_most = None if goal is None else goal * least
        return measured(number, what, "ns", seen[what], least, goal=text, at_most=at_most, note=note)

    entries = f"of {NAMES} names, in ns for each"
    for whole in ("entries", "recover"):
        seen[whole] = [once / NAMES for once in seen[whole]]
    return [
        row("lookup", "dict.get", CACHED, "cached, one name"),
        row("lookup_uncached", "dict.get", UNCACHED, "one name"),
        row("lookup_value", "dict.get", note="with a value of 100 bytes"),
        row("lookup, random", "dict.get, random", CACHED, "cached, 5,000 names; beyond the processor's caches"),
        row("lookup_uncached, random", "dict.get, random", UNCACHED),
        row("lookup, miss", "dict.get, miss", note="5,000 names that nobody has, uncached"),
        row("publish, replace", "flock pair", UPDATE),
        row("publish and retract", "flock pair", note="two batches"),
        row("entries", "dict.get, random", note=f"scan by a reader {entries}"),
        row("recover", "dict.get, random", note=f"what a successor does {entries}"),
    ]


def _empty(names: list[str]) -> int:
    began = thread_time_ns()
    for _ in names:
        pass
    return thread_time_ns() - began


def _dict_get(table: dict[str, int], names: list[str]) -> int:
    began = thread_time_ns()
    for name in names:
        table.get(name)
    return thread_time_ns() - began


def _lookup(reader: RegistryReader, names: list[str]) -> int:
    began = thread_time_ns()
    for name in names:
        reader.lookup(name)
    return thread_time_ns() - began


def _lookup_uncached(reader: RegistryReader, names: list[str]) -> int:
    began = thread_time_ns()
    for name in names:
        reader.lookup_uncached(name)
    return thread_time_ns() - began


def _lookup_value(reader: RegistryReader, names: list[str]) -> int:
    began = thread_time_ns()
    for name in names:
        reader.lookup_value(name)
    return thread_time_ns() - began


def _flock(fd: int) -> int:
    began = thread_time_ns()
    for _ in repeat(None, CALLS):
        fcntl.flock(fd, fcntl.LOCK_EX)
        fcntl.flock(fd, fcntl.LOCK_UN)
    return thread_time_ns() - began


def _replace(writer: RegistryWriter, first: int) -> int:
    began = thread_time_ns()
    for serial in range(first, first + CALLS):
        writer.publish("session-00007", serial)
    return thread_time_ns() - began


def _come_and_go(writer: RegistryWriter, names: list[str]) -> int:
    began = thread_time_ns()
    for name in names:
        writer.publish(name, 1)
        writer.retract(name)
    return thread_time_ns() - began


def _once(act: Callable[[], object]) -> int:
    began = thread_time_ns()
    act()
    return thread_time_ns() - began


if __name__ == "__main__":
    command(run)
