"""P10: what a name costs. Median ns of lookups in a registry of 10,000 names, beside dict.get in the same run.

``python -m benchmarks.p10_registry [--json]``; a value is the mean of CALLS calls.
"""

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from time import perf_counter_ns

from actorcore.runtime.shared_registry import AttachedRegistry, SharedRegistry
from benchmarks.rows import Row, command, measured

NAMES = 10_000
ROUNDS = 31
CALLS = 10_000


def each_ns(act: Callable[[str], object], names: list[str]) -> list[float]:
    """Of each round the mean time of one call, less the loop around it."""

    def round_ns() -> tuple[int, int]:
        began = perf_counter_ns()
        for _name in names:
            pass
        empty = perf_counter_ns() - began
        began = perf_counter_ns()
        for name in names:
            act(name)
        return perf_counter_ns() - began, empty

    round_ns()
    return [(full - empty) / len(names) for full, empty in (round_ns() for _ in range(ROUNDS))]


def once_ns(act: Callable[[], object], rounds: int = ROUNDS) -> list[float]:
    """The time of one call, ``rounds`` times."""

    def one() -> int:
        began = perf_counter_ns()
        act()
        return perf_counter_ns() - began

    return [float(one()) for _ in range(rounds)]


def measure() -> dict[str, list[float]]:
    """Figures by name, all in ns."""
    registry = SharedRegistry(instance=1)
    writer = registry.writer()
    table = {f"session-{i:05d}": i + 1 for i in range(NAMES)}
    writer.apply(table.items())
    hot = ["session-00042"] * CALLS
    # As many as the cache holds with ease, each a different string object from the table's key.
    spread = [f"session-{i * 7919 % 5000:05d}" for i in range(CALLS)]
    missing = [f"absent-{i:05d}" for i in range(CALLS)]

    def come_and_go(name: str) -> None:
        writer.publish(name, 1)
        writer.retract(name)

    with AttachedRegistry(registry.fd) as reader:
        figures = {
            "dict.get": each_ns(table.get, hot),
            "cached": each_ns(reader.lookup, hot),
            "uncached": each_ns(reader.lookup_uncached, hot),
            "dict.get, spread names": each_ns(table.get, spread),
            "cached, spread names": each_ns(reader.lookup, spread),
            "uncached, spread names": each_ns(reader.lookup_uncached, spread),
            "miss": each_ns(reader.lookup, missing),
            "publish (replace)": each_ns(lambda name: writer.publish(name, writer.committed + 1), hot),
            "publish + retract": each_ns(come_and_go, missing),
            "entries": once_ns(reader.entries),
            "recover": once_ns(writer.recover),
        }
    writer.close()
    registry.close()
    return figures


GOALS = {"cached": 5, "uncached": 30}
"""× dict.get (GOALS P10)."""


def run() -> list[Row]:
    figures = measure()
    floor = median(figures["dict.get"])
    return [
        measured(
            "P10" if what in GOALS else "", what, "ns", values, floor,
            goal=f"≤ {GOALS[what]} × dict.get" if what in GOALS else "",
            at_most=GOALS[what] * floor if what in GOALS else None,
        )
        for what, values in figures.items()
    ]  # fmt: skip


if __name__ == "__main__":
    command(run)
