"""Torture of the shared registry: real writers, real SIGKILLs at random moments, readers that look all the time.

What batch ``n`` of writer life ``g`` does is a function of (seed, g, n). So after each kill the parent knows, from the
``committed`` word alone, what the whole table must be, and compares it. Meanwhile readers in processes of their own check
that ``committed`` never goes back, that a name never shows another's serial, an older one, or one of the future, and that
the three names of a group, published and retracted together, are never seen half, nor a value that is not its serial's.

Run ``python tests/registry_torture.py --kills 20000``; it prints ``N kills, 0 violations``.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic

from actorcore.errors import RequestError
from actorcore.registry_layout import COUNT, SECOND, SLOT_BYTES
from actorcore.registry_reader import RegistryReader
from actorcore.registry_writer import RegistryWriter
from actorcore.runtime.memory import create_memfd, map_shared, unmap
from actorcore.runtime.shared_registry import AttachedRegistry, SharedRegistry

SLOTS = 64
GROUPS = [[f"group-{g}.{part}" for part in "abc"] for g in range(10)]
SINGLES = [f"single-{s}" for s in range(20)]
STOP, DONE, LOOKUPS, BUSY = 0, 1, 8, 9
"""Words of the control page: stop; the last batch that a writer has finished; per reader, eight words apart, what it did."""
READERS = 2
PATIENCE_S = 30.0
"""A writer that commits nothing for so long, or a reader that does not stop, is a violation."""


@dataclass(frozen=True)
class Report:
    """What a run did and found; ``violations`` are sentences."""

    kills: int
    batches: int
    lookups: int
    busy: int
    duration_s: float
    violations: list[str]


def batch(seed: int, life: int, number: int) -> list[tuple[str, int]]:
    """What batch ``number`` does if writer ``life`` writes it. A serial tells the batch and the place of its name."""
    chance = random.Random(seed * 1_000_003 + life * 10_007 + number)
    kind = chance.random()
    if kind < 0.5:
        at = chance.randrange(len(GROUPS))
        return [(name, number << 8 | at) for name in GROUPS[at]]
    if kind < 0.7:
        return [(name, 0) for name in GROUPS[chance.randrange(len(GROUPS))]]
    at = chance.randrange(len(SINGLES))
    return [(SINGLES[at], number << 8 | 0x80 | at if kind < 0.9 else 0)]


def value_of(serial: int) -> bytes:
    """The value of ``last`` while it has this serial: another length and other bytes in every batch."""
    return serial.to_bytes(8, "little") * (serial * 37 % 257)


def write_for_ever(
    registry: SharedRegistry, writer_type: type[RegistryWriter], control: memoryview, seed: int, life: int
) -> None:  # fmt: skip
    writer = writer_type(registry.memory)
    number = writer.committed + 1
    while True:
        last = number << 8 | 0xFF
        writer.apply([*batch(seed, life, number), ("last", last)], {"last": value_of(last)})
        control[DONE] = number
        number += 1


def read_until_stopped(reader: RegistryReader, control: memoryview, index: int, seed: int) -> str:
    """Look at everything, over and over; the first violation as a sentence, or nothing."""
    chance, newest = random.Random(seed), {group[0]: 0 for group in [*GROUPS, *([name] for name in SINGLES), ["last"]]}
    past = lookups = busy = 0
    asked = [(group, at) for at, group in enumerate(GROUPS)] + [([name], 0x80 | at) for at, name in enumerate(SINGLES)]
    asked.append((["last"], 0xFF))
    os.nice(10)  # On few cores: the kills are what is scarce, not the lookups.
    while not control[STOP]:
        names, mark = chance.choice(asked)
        before, done = reader.committed, control[DONE]
        if before < past:
            return f"committed went back from {past} to {before}"
        try:
            single = reader.lookup(names[0]) if lookups % 2 else reader.lookup_uncached(names[0])
            serials, found = reader.lookup_many(names), reader.lookup_value("last")
        except RequestError:
            busy += 1
            continue
        if found is not None and found[1] != value_of(found[0]):
            return f"the value of {found[0]:#x} is not its own: {found[1][:16]!r}, {len(found[1])} bytes"
        past = reader.committed
        if len(set(serials)) != 1:
            return f"half a batch: {names} are {serials} at {before}..{past}"
        for serial in (single, serials[0]):
            if serial is None:
                continue
            if serial & 0xFF != mark:
                return f"{names[0]} shows another's serial {serial:#x}"
            if not newest[names[0]] <= serial >> 8 <= past:
                return f"{names[0]} went from {newest[names[0]]} to {serial >> 8} at {past}"
            newest[names[0]] = serial >> 8
        if "last" in names and not done <= (serials[0] or 0) >> 8 <= past:
            return f"batch {done} was finished, yet the last is {serials[0]}"
        lookups += 1 + len(names)
        control[LOOKUPS + 8 * index], control[BUSY + 8 * index] = lookups, busy
    return ""


def is_torn(reader: RegistryReader) -> bool:
    """Whether a dead writer has left copies of a batch that it did not commit."""
    slots = [(reader._slots_at + slot * SLOT_BYTES) >> 3 for slot in reader._used()]
    numbers = [reader._words[word] for at in slots for word in (at, at + SECOND)]
    return max([*numbers, reader._words[COUNT], reader._words[COUNT + 2]]) > reader.committed


def fork(act: Callable[[], str | None]) -> tuple[int, int]:
    """(pid, read end of a pipe that carries what ``act`` returned or raised)."""
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(read_end)
            os.write(write_end, (act() or "").encode())
        except BaseException as error:
            os.write(write_end, f"{type(error).__name__}: {error}".encode())
        finally:
            os._exit(0)
    os.close(write_end)
    return pid, read_end


def heard(pid: int, pipe: int) -> str:
    """What the process said before its end; reaps it."""
    with os.fdopen(pipe, "rb") as said:
        text = said.read().decode()
    os.waitpid(pid, 0)
    return text


def torture(
    kills: int, writer_type: type[RegistryWriter] = RegistryWriter, seed: int = 1, budget_s: float = float("inf"),
    lookups: int = 0,
) -> Report:  # fmt: skip
    """Kill ``kills`` writers, and more until readers have looked so often; or as many as ``budget_s`` allows, or until the
    first violation."""
    began, chance = monotonic(), random.Random(seed)
    violations: list[str] = []
    table: dict[str, int] = {}
    registry = SharedRegistry(instance=seed, slots=SLOTS)
    fd = create_memfd("torture-control", 4096)
    page = map_shared(fd, 4096, writable=True)
    os.close(fd)
    control = page.cast("Q")

    def read(index: int) -> str:
        with AttachedRegistry(registry.fd) as reader:
            return read_until_stopped(reader, control, index, seed + index)

    def looked() -> int:
        return sum(control[LOOKUPS + 8 * index] for index in range(READERS))

    readers = [fork(lambda index=index: read(index)) for index in range(READERS)]  # type: ignore[misc]
    mine = RegistryReader(registry.memory)
    done = committed = 0
    torn = False
    while (done < kills or looked() < lookups) and not violations and monotonic() - began < budget_s:
        done += 1
        with registry.inherited():
            pid, pipe = fork(lambda life=done: write_for_ever(registry, writer_type, control, seed, life))  # type: ignore[misc]
        deadline, goal = monotonic() + PATIENCE_S, committed + chance.randrange(12)
        while mine.committed < goal:
            if monotonic() > deadline:
                violations.append(f"writer {done} did nothing for {PATIENCE_S} s")
                break
        for _ in range(chance.randrange(3000)):
            pass
        os.kill(pid, signal.SIGKILL)
        if said := heard(pid, pipe):
            violations.append(f"writer {done}: {said}")
        # A torn batch keeps its number: a successor has committed it as one that changes nothing.
        for number in range(committed + 1 + torn, mine.committed + 1):
            table.update([*batch(seed, done, number), ("last", number << 8 | 0xFF)])
        table, committed = {name: serial for name, serial in table.items() if serial}, mine.committed
        torn = is_torn(mine)
        if mine.entries() != table or mine.count() != len(table):
            violations.append(f"after kill {done} at batch {committed}: {set(mine.entries().items()) ^ set(table.items())}")
    control[STOP] = 1
    violations += [f"reader: {said}" for said in [heard(*reader) for reader in readers] if said]
    seen, busy = looked(), sum(control[BUSY + 8 * index] for index in range(READERS))
    control.release()
    mine.close()
    unmap(page)
    registry.close()
    return Report(done, committed, seen, busy, monotonic() - began, violations)


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--kills", type=int, default=5000)
    arguments.add_argument("--seed", type=int, default=1)
    options = arguments.parse_args()
    report = torture(options.kills, seed=options.seed)
    print(f"{report.duration_s:.1f} s: {report.batches} batches, {report.lookups} lookups, {report.busy} busy")
    print(*report.violations, sep="\n", end="\n" if report.violations else "")
    print(f"{report.kills} kills, {len(report.violations)} violations")
    sys.exit(bool(report.violations))
