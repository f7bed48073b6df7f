"""P10: what a name costs. Median ns of lookups in a registry of 10,000 names, beside dict.get in the same run.

``python benchmarks/p10_registry.py [--json]``; targets (LIMITS §5): cached ≤ 5 × dict.get, uncached ≤ 30 ×.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from statistics import median
from time import perf_counter_ns

from actorcore.runtime.shared_registry import AttachedRegistry, SharedRegistry

NAMES = 10_000
ROUNDS = 31
CALLS = 10_000


def each_ns(act: Callable[[str], object], names: list[str]) -> float:
    """Median over rounds of the mean time of one call, less the loop around it."""

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
    return median((full - empty) / len(names) for full, empty in (round_ns() for _ in range(ROUNDS)))


def once_ns(act: Callable[[], object], rounds: int = ROUNDS) -> float:
    """Median time of one call."""

    def one() -> int:
        began = perf_counter_ns()
        act()
        return perf_counter_ns() - began

    return median(one() for _ in range(rounds))


def measure() -> dict[str, float]:
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


def main() -> None:
    """Print the figures, as a table or as JSON."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--json", action="store_true", help="one object: name → {ns, ratio to dict.get}")
    as_json: bool = arguments.parse_args().json
    figures = measure()
    floor = figures["dict.get"]
    if as_json:
        print(json.dumps({name: {"ns": round(ns, 1), "ratio": round(ns / floor, 2)} for name, ns in figures.items()}))
        return
    for name, ns in figures.items():
        print(f"{name:<24}{ns:>14,.1f} ns {ns / floor:>12,.1f} x dict.get")


if __name__ == "__main__":
    main()
