"""Every benchmark, each in a process of its own: one table, and JSON with the facts of the machine.

``python -m benchmarks [--only P7,P10] [--quick] [--json FILE]``. A benchmark is a module here with ``run() -> list[Row]``.
The exit status is 1 when one of them failed; a goal that was not met is told, and is no failure: figures are of a machine.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

from benchmarks.rows import QUICK, Row, columns, table

FOLDER = Path(__file__).parent


class Machine(msgspec.Struct, frozen=True):
    """Where figures were measured. ``load`` is the load average of the last minute before the first benchmark."""

    cpu: str
    cpus: int
    usable_cpus: int
    memory_mib: int
    kernel: str
    python: str
    load: float
    is_quick: bool


class Report(msgspec.Struct, frozen=True):
    machine: Machine
    rows: list[Row]
    failed: dict[str, str]
    """Benchmark → the last lines that it wrote."""


def machine(is_quick: bool) -> Machine:
    """What can be said of this machine now."""
    lines = [line.partition(":") for line in Path("/proc/cpuinfo").read_text().splitlines()]
    models = [value.strip() for key, _, value in lines if key.strip() == "model name"]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20
    return Machine(
        cpu=models[0] if models else platform.machine(), cpus=os.cpu_count() or 0, usable_cpus=len(os.sched_getaffinity(0)),
        memory_mib=memory, kernel=platform.release(), python=platform.python_version(), load=round(os.getloadavg()[0], 2),
        is_quick=is_quick,
    )  # fmt: skip


def benchmarks(only: list[str]) -> list[str]:
    """Names of the modules that are in ``only`` or measure a number that is; all of them when it is empty."""
    sources = {path.stem: path.read_text() for path in sorted(FOLDER.glob("*.py")) if path.stem != "__main__"}
    found = [name for name, text in sources.items() if "\ndef run() -> list[Row]:" in text]
    return [name for name in found if not only or name in only or any(f'"{word}"' in sources[name] for word in only)]


def measure(name: str, is_quick: bool) -> list[Row] | str:
    """The rows of one benchmark, or what it wrote when it failed."""
    environment = {**os.environ, **({QUICK: "1"} if is_quick else {})}
    argv = [sys.executable, "-m", f"benchmarks.{name}", "--json"]
    done = subprocess.run(argv, cwd=FOLDER.parent, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        return "\n".join((done.stdout + done.stderr).splitlines()[-12:])
    return msgspec.json.decode(done.stdout, type=list[Row])


def show(rows: list[Row]) -> None:
    """The table; in colours where somebody watches."""
    if not sys.stdout.isatty():
        print(table(rows))
        return
    shown = Table(box=None, pad_edge=False, header_style="bold")
    for at, heading in enumerate(("goal", "figure", "median", "p99", "min", "floor", "ratio", "goal", "")):
        shown.add_column(heading, justify="right" if 2 <= at <= 6 else "left", overflow="fold")
    for row in rows:
        style = {None: "", True: "green", False: "red"}[row.met]
        shown.add_row(*columns(row), style=style)
        if row.note:
            shown.add_row("", f"[dim]{row.note}[/dim]")
    Console().print(shown)


def main() -> int:
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("--only", metavar="P7,P10", default="", help="numbers of GOALS, or names of modules")
    parser.add_argument("--quick", action="store_true", help="fewer rounds: to see that it works, not to compare")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write rows and facts of the machine")
    wanted = parser.parse_args()
    facts = machine(wanted.quick)
    print(f"{facts.cpu}, {facts.usable_cpus} of {facts.cpus} CPUs, {facts.memory_mib} MiB, Linux {facts.kernel}, "
          f"Python {facts.python}, load {facts.load}; processes are pinned only where a note says so")  # fmt: skip
    only = [word for word in wanted.only.split(",") if word]
    rows: list[Row] = []
    failed: dict[str, str] = {}
    for name in benchmarks(only):
        print(f"measuring {name} …", file=sys.stderr)
        outcome = measure(name, wanted.quick)
        if isinstance(outcome, str):
            failed[name] = outcome
        else:
            rows += [row for row in outcome if not only or row.number in only or name in only]
    show(rows)
    for name, text in failed.items():
        print(f"\n{name} FAILED:\n{text}")
    missed = [row.number for row in rows if row.met is False]
    print(f"\n{len(rows)} figures; goals met {sum(row.met is True for row in rows)}, not met {len(missed)} {' '.join(missed)}")
    if wanted.json is not None:
        wanted.json.write_bytes(msgspec.json.format(msgspec.json.encode(Report(facts, rows, failed)), indent=1))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
