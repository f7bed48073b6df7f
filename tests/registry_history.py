"""R10: histories of the shared registry by real processes, checked for linearizability.

A writer, killed by SIGKILL at random moments and replaced, publishes and retracts a few names; readers look them up, in every
way that there is. All of them note when they called, when they were answered, and what; the notes are in shared memory, so
that the dead one's are there too. What was never answered may have happened or not. Readers and writers keep step from life to
life, however long one of them stands still: every life is looked at.

Run ``python -m tests.registry_history --operations 10000000``; it prints ``N operations in H histories, 0 not linearizable``.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic, monotonic_ns

from actorcore.errors import RequestError
from actorcore.registry_reader import RegistryReader
from actorcore.registry_writer import RegistryWriter
from actorcore.runtime.memory import create_memfd, map_shared, unmap
from actorcore.runtime.shared_registry import AttachedRegistry, SharedRegistry
from tests.linearizability import NEVER, Operation, first_impossible, read, write
from tests.registry_torture import fork, heard

NAMES = [f"name-{at}" for at in range(4)]
READERS = 3
LIVES = 6
"""Writers of one history; all but the last are killed."""
READS = 14_000
"""Of each reader in one history: each name has a history of more than 5,000 operations."""
WRITES = 6_000
"""Of one writer, at most."""
NOTE = 4
"""Words of a note: place of the name, serial, called, returned."""
STOP, READY = 0, 1
CONTROL_WORDS = 512


@dataclass(frozen=True)
class Report:
    """What was checked; ``impossible`` are operations that no order explains, with the seed of their history."""

    operations: int
    histories: int
    shortest: int
    unanswered: int
    impossible: list[tuple[int, str, Operation]]
    duration_s: float


class Notes:
    """Shared memory for what everybody did: a page of control words, then a stretch of notes for each process."""

    def __init__(self) -> None:
        self.sizes = [READS] * READERS + [WRITES] * LIVES
        size_bytes = 8 * (CONTROL_WORDS + NOTE * sum(self.sizes))
        fd = create_memfd("notes", -(-size_bytes // 4096) * 4096)
        self.memory = map_shared(fd, -(-size_bytes // 4096) * 4096, writable=True)
        self.words = self.memory.cast("Q")
        os.close(fd)

    def stretch(self, of: int) -> int:
        return CONTROL_WORDS + NOTE * sum(self.sizes[:of])

    def share(self, of: int, life: int) -> int:
        """Where the looks of reader ``of`` during the lives before ``life`` end."""
        return self.stretch(of) + NOTE * (self.sizes[of] * life // LIVES)

    def have_looked(self, life: int) -> bool:
        """Whether each reader has noted its share of looks until the end of ``life``, but one."""
        return all(self.words[self.share(of, life + 1) - 2 * NOTE + 2] for of in range(READERS))

    def read(self, of: int) -> list[tuple[int, int, int, int]]:
        """All notes of one process."""
        at, found = self.stretch(of), []
        for word in range(at, at + NOTE * self.sizes[of], NOTE):
            place, serial, called, returned = self.words[word : word + NOTE].tolist()
            if not called:
                break
            found.append((place, serial, called, returned))
        return found

    def close(self) -> None:
        self.words.release()
        unmap(self.memory)


def write_until_stopped(registry: SharedRegistry, notes: Notes, life: int, seed: int) -> None:
    """Publish and retract, alone and in batches, until told to stop, killed, or out of paper."""
    writer, chance, words = RegistryWriter(registry.memory), random.Random(seed), notes.words
    at, end = notes.stretch(READERS + life), notes.stretch(READERS + life + 1)
    serial = life << 32
    while at + NOTE * len(NAMES) <= end and not words[STOP]:
        places = chance.sample(range(len(NAMES)), chance.choice((1, 1, 1, 2, 4)))
        serial += 1
        kind = chance.random()
        changes = [(NAMES[place], 0 if kind < 0.3 else serial) for place in places]
        began = monotonic_ns()
        for offset, (place, (_, now)) in enumerate(zip(places, changes, strict=True)):
            words[at + NOTE * offset], words[at + NOTE * offset + 1] = place, now
            words[at + NOTE * offset + 2] = began
        if len(changes) > 1:
            writer.apply(changes)
        elif kind < 0.3:
            writer.retract(NAMES[places[0]])
        else:
            writer.publish(NAMES[places[0]], serial, serial.to_bytes(8, "little") * (serial % 40))
        done = monotonic_ns()
        for offset in range(len(places)):
            words[at + NOTE * offset + 3] = done
        at += NOTE * len(places)
        words[READY] = at
        for _ in range(chance.randrange(400)):  # else the readers see mostly the inside of batches
            pass


def look(reader: RegistryReader, notes: Notes, of: int, seed: int) -> str:
    """Look names up, note, and go on; no more than its share of looks before the next writer has begun."""
    chance, words = random.Random(seed), notes.words
    at, end = notes.stretch(of), notes.stretch(of + 1)
    life = 0
    while at < end:
        while at >= notes.share(of, life) and words[READY] <= notes.stretch(READERS + life):
            os.sched_yield()
        life += at >= notes.share(of, life)
        place, way = chance.randrange(len(NAMES)), chance.randrange(8)
        name, serial = NAMES[place], None
        called = monotonic_ns()
        try:
            if way < 4:
                serial = reader.lookup(name)
            elif way < 6:
                serial = reader.lookup_uncached(name)
            elif way == 6:
                (serial,) = reader.lookup_many([name])
            else:
                found = reader.lookup_value(name)
                serial = found and found[0]
        except RequestError:  # busy: no answer about the name
            continue
        returned = monotonic_ns()
        words[at], words[at + 1], words[at + 3], words[at + 2] = place, serial or 0, returned, called
        at += NOTE
    return ""


def one_history(seed: int, reader_type: type[RegistryReader] = RegistryReader) -> list[list[Operation]]:
    """The histories of all names, from one writer after the other and several readers."""
    registry, notes, chance = SharedRegistry(instance=seed, slots=64), Notes(), random.Random(seed)

    def looking(of: int) -> Callable[[], str]:
        def act() -> str:
            with AttachedRegistry(registry.fd) as attached:
                reader = reader_type(attached._bytes)
                said = look(reader, notes, of, seed * 100 + of)
                reader.close()
                return said

        return act

    readers = [fork(looking(of)) for of in range(READERS)]
    said = []
    for life in range(LIVES):
        with registry.inherited():
            pid, pipe = fork(lambda life=life: write_until_stopped(registry, notes, life, seed * 100 + 50 + life))  # type: ignore[misc]
        if life == LIVES - 1:
            said += [heard(*reader) for reader in readers]
            notes.words[STOP] = 1
        else:
            goal = notes.stretch(READERS + life) + NOTE * chance.randrange(1, WRITES // 2)
            deadline = monotonic() + 30
            while not (notes.words[READY] >= goal and notes.have_looked(life)) and monotonic() < deadline:
                os.sched_yield()
            os.kill(pid, signal.SIGKILL)
        said.append(heard(pid, pipe))
    assert said == [""] * len(said), said
    histories: list[list[Operation]] = [[] for _ in NAMES]
    for of in range(READERS):
        for place, serial, called, returned in notes.read(of):
            histories[place].append(read(called, returned, serial))
    for life in range(LIVES):
        for place, serial, called, returned in notes.read(READERS + life):
            histories[place].append(write(called, returned or NEVER, serial))
    notes.close()
    registry.close()
    return histories


def check(operations: int, seed: int = 1, reader_type: type[RegistryReader] = RegistryReader) -> Report:
    """Make and check histories until there are so many operations, or one that is not linearizable."""
    began = monotonic()
    done = histories = unanswered = 0
    shortest = 1 << 30
    impossible: list[tuple[int, str, Operation]] = []
    while done < operations and not impossible:
        for name, history in zip(NAMES, one_history(seed, reader_type), strict=True):
            done, histories, shortest = done + len(history), histories + 1, min(shortest, len(history))
            unanswered += sum(one.returned == NEVER for one in history)
            found = first_impossible(history)
            if found is not None:
                impossible.append((seed, name, found))
        seed += 1
    return Report(done, histories, shortest, unanswered, impossible, monotonic() - began)


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--operations", type=int, default=1_000_000)
    arguments.add_argument("--seed", type=int, default=1)
    options = arguments.parse_args()
    report = check(options.operations, options.seed)
    print(f"{report.duration_s:.1f} s, shortest history {report.shortest}, {report.unanswered} unanswered")
    print(*report.impossible, sep="\n", end="\n" if report.impossible else "")
    print(f"{report.operations} operations in {report.histories} histories, {len(report.impossible)} not linearizable")
    sys.exit(bool(report.impossible))
