"""What every benchmark returns: rows of figures, each beside its floor of the same run, and how they are printed.

A benchmark is a module with ``run() -> list[Row]``; run as a program it prints a table or, with ``--json``, JSON.
"""

from __future__ import annotations

import os
import statistics
import sys
from collections.abc import Callable, Iterable, Sequence

import msgspec

QUICK = "ACTORCORE_BENCH_QUICK"
"""In the environment: a short run is wanted."""


def few(many: int, quick: int) -> int:
    """How many rounds: ``many``, or ``quick`` in a short run."""
    return quick if QUICK in os.environ else many


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One figure. ``number`` is that of GOALS ("P1"; empty: no goal has it); ``figure``, ``p99``, ``least`` and ``floor``
    are in ``unit``, ``ratio`` is figure / floor; ``met`` is None where there is no goal to meet."""

    number: str
    what: str
    unit: str
    figure: float
    p99: float | None = None
    least: float | None = None
    floor: float | None = None
    ratio: float | None = None
    goal: str = ""
    met: bool | None = None
    note: str = ""


def measured(
    number: str, what: str, unit: str, values: Sequence[float], floor: float | None = None, *,
    goal: str = "", at_most: float | None = None, at_least: float | None = None, note: str = "",
) -> Row:  # fmt: skip
    """The row of many measurements: their median is the figure, which ``at_most`` and ``at_least`` bound."""
    ordered = sorted(values)
    figure = statistics.median(ordered)
    met: bool | None = None
    if at_most is not None or at_least is not None:
        met = (at_most is None or figure <= at_most) and (at_least is None or figure >= at_least)
    return Row(
        number=number, what=what, unit=unit, figure=figure,
        p99=percentile(ordered, 0.99) if len(ordered) > 1 else None,
        least=ordered[0] if len(ordered) > 1 else None,
        floor=floor, ratio=figure / floor if floor else None, goal=goal, met=met, note=note,
    )  # fmt: skip


def percentile(ordered: Sequence[float], share: float) -> float:
    """The smallest of the ``ordered`` values that ``share`` of them do not exceed."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


_HEAD = ("", "", "median", "p99", "min", "floor", "ratio", "goal", "")


def table(rows: Iterable[Row]) -> str:
    """The rows as lines of text; notes stand below their row."""
    lines: list[tuple[str, ...]] = [_HEAD]
    notes: dict[int, str] = {}
    for row in rows:
        lines.append(columns(row))
        if row.note:
            notes[len(lines) - 1] = row.note
    widths = [max(len(line[column]) for line in lines) for column in range(len(_HEAD))]
    printed: list[str] = []
    for at, line in enumerate(lines):
        cells = (
            cell.rjust(width) if 2 <= column <= 6 else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        printed.append("  ".join(cells).rstrip())
        if at in notes:
            printed.append(" " * (widths[0] + 4) + notes[at])
    return "\n".join(printed)


def columns(row: Row) -> tuple[str, ...]:
    """The columns of a row, as text."""
    met = {None: "", True: "met", False: "NOT MET"}[row.met]
    ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
    figures = (_number(value) for value in (row.figure, row.p99, row.least, row.floor))
    return (row.number, f"{row.what}, {row.unit}", *figures, ratio, row.goal, met)


def _number(value: float | None) -> str:
    if value is None:
        return ""
    digits = 0 if abs(value) >= 1000 else 1 if abs(value) >= 10 else 3
    return f"{value:,.{digits}f}"


def to_json(rows: Iterable[Row]) -> str:
    """The rows as a JSON list of objects, one line each."""
    return "[\n" + ",\n".join(msgspec.json.encode(row).decode() for row in rows) + "\n]"


def command(run: Callable[[], list[Row]]) -> None:
    """What a benchmark does when it is run as a program: print its rows, as JSON with ``--json``."""
    rows = run()
    print(to_json(rows) if "--json" in sys.argv[1:] else table(rows))
