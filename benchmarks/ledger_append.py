"""What an event costs in the ledger: µs for append + performed, beside the floor of one copy and two stores.

``python -m benchmarks.ledger_append [--json]``; a value is the mean of EVENTS events, on private anonymous memory.
"""

from __future__ import annotations

import mmap
import statistics
import time
from collections.abc import Callable

from actorcore.ledger import HEADER_BYTES, Ledger
from benchmarks.rows import Row, command, measured

EVENTS = 1_000
ROUNDS = 50
RECORD = bytes(120)


def times_us(act: Callable[[], object], prepare: Callable[[], object] = lambda: None, events: int = EVENTS) -> list[float]:
    """µs per event of each of ROUNDS runs of ``act``."""
    times = []
    for _ in range(ROUNDS):
        prepare()
        start = time.perf_counter_ns()
        act()
        times.append((time.perf_counter_ns() - start) / 1000 / events)
    return times


def run() -> list[Row]:
    shared = mmap.mmap(-1, HEADER_BYTES + (2 << 20))
    place = memoryview(shared)
    words = place.cast("Q")
    size = len(RECORD)

    def floor() -> None:
        position = HEADER_BYTES
        for number in range(EVENTS):
            place[position : position + size] = RECORD
            words[2] = position
            words[6] = number
            position += size

    floors = times_us(floor)
    floor_us = statistics.median(floors)
    ledger = Ledger.create(place)

    def write() -> None:
        for _ in range(EVENTS):
            ledger.mark_performed(ledger.append(RECORD))

    def write_begun() -> None:
        for _ in range(EVENTS):
            number = ledger.append(RECORD)
            ledger.begin(number)
            ledger.mark_performed(number)

    def empty() -> None:
        ledger.snapshot(b"")

    return [
        measured("", f"floor: copy of {size} B and two stores", "µs/event", floors),
        measured("", "append + performed", "µs/event", times_us(write, empty), floor_us),
        measured("", "append + begin + performed", "µs/event", times_us(write_begun, empty), floor_us),
        measured("", f"open + load of {EVENTS} events", "µs/event", times_us(lambda: Ledger.open(place).load()), floor_us),
        measured("", "snapshot of 100 kB", "µs", times_us(lambda: ledger.snapshot(bytes(100_000)), events=1)),
    ]


if __name__ == "__main__":
    command(run)
