"""What an event costs in the ledger: µs for append + performed, beside the floor of one copy and two stores.

Run as ``python -m benchmarks.ledger_append``. Each figure is the best of ROUNDS, on private anonymous memory.
"""

from __future__ import annotations

import mmap
import time
from collections.abc import Callable

from actorcore.ledger import HEADER_BYTES, Ledger

EVENTS = 1_000
ROUNDS = 50
RECORD = bytes(120)


def best_us(act: Callable[[], object], prepare: Callable[[], object] = lambda: None) -> float:
    """The fastest of ROUNDS runs of ``act``, in µs."""
    times = []
    for _ in range(ROUNDS):
        prepare()
        start = time.perf_counter_ns()
        act()
        times.append(time.perf_counter_ns() - start)
    return min(times) / 1000


def main() -> None:
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

    floor_us = best_us(floor) / EVENTS
    ledger = Ledger.create(place)

    def write() -> None:
        for _ in range(EVENTS):
            ledger.mark_performed(ledger.append(RECORD))

    def write_begun() -> None:
        for _ in range(EVENTS):
            number = ledger.append(RECORD)
            ledger.begin(number)
            ledger.mark_performed(number)

    write_us = best_us(write, lambda: ledger.snapshot(b"")) / EVENTS
    begun_us = best_us(write_begun, lambda: ledger.snapshot(b"")) / EVENTS
    load_us = best_us(lambda: Ledger.open(place).load())
    snapshot_us = best_us(lambda: ledger.snapshot(bytes(100_000)))
    print(f"floor, copy of {size} B and two stores    {floor_us:8.2f} µs/event")
    print(f"append + performed                   {write_us:8.2f} µs/event   {write_us / floor_us:.1f} × floor")
    print(f"append + begin + performed           {begun_us:8.2f} µs/event   {begun_us / floor_us:.1f} × floor")
    print(f"open + load of {EVENTS} events          {load_us:8.0f} µs")
    print(f"snapshot of 100 kB                   {snapshot_us:8.0f} µs")


if __name__ == "__main__":
    main()
