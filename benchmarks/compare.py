"""The same work on actorcore, on what a user would pick instead, and on the raw floor, in one run: a table, and JSON.

``python -m benchmarks.compare [--only actorcore,ray] [--minutes M] [--seconds S] [--json FILE] [--python-of MODULE=PYTHON]``

Every contestant is opened, warmed, measured and ended in each round, one after the other, so that none runs beside another
and the drift of the machine hits all alike. A figure is taken again and again for SECONDS a round, at least once; there are as
many rounds as fit into MINUTES, at least one. The table has medians, and the best in brackets. One that is silent for
PATIENCE_S is given up, and that is said.
"""

from __future__ import annotations

import argparse
import os
import select
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from benchmarks.__main__ import Machine, machine
from benchmarks.peers.contract import FIGURES
from benchmarks.peers.process_tree import end_below
from benchmarks.rows import Row, measured

ROOT = Path(__file__).parents[1]
PATIENCE_S = 90.0
FLOOR = "raw floor: fork, socket, pidfd"
OURS = "actorcore"
CONTESTANTS = {
    FLOOR: "on_fork",
    "actorcore, from a client": "on_actorcore:client",
    "actorcore, process to process": "on_actorcore:processes",
    "multiprocessing, fork": "on_multiprocessing:fork",
    "multiprocessing, forkserver": "on_multiprocessing:forkserver",
    "multiprocessing, spawn": "on_multiprocessing:spawn",
    "multiprocessing, Manager": "on_manager",
    "ProcessPoolExecutor": "on_executor",
    "Thespian": "on_thespian",
    "xoscar": "on_xoscar",
    "Ray": "on_ray",
    "Erlang, a VM each": "on_erlang:many-vms",
    "s6": "on_s6",
    "runit": "on_runit",
    "supervisord": "on_supervisord",
    "circus": "on_circus",
    "circus, check_delay 10 ms": "on_circus:tuned",
    "tmux": "on_tmux",
    "no isolation: pykka": "on_pykka",
    "no isolation: Erlang, one VM": "on_erlang:one-vm",
}
"""Name → module in benchmarks/peers and variant in its PEERS."""
NOT_RANKED = (FLOOR, "no isolation: pykka", "no isolation: Erlang, one VM")
"""The kernel itself, and who has no process for each actor."""
COLUMNS = {
    "spawn": ("spawn → first answer", "µs"),
    "call": ("call, 64 B", "µs"),
    "casts": ("one way, 64 B", "/s"),
    "told": ("kill -9 → watcher told", "µs"),
    "replaced": ("kill -9 → replacement answers", "µs"),
    "storm": ("16 killed → all answer again", "ms"),
    "memory": ("idle, PSS", "MB"),
}
"""Figure → what it is, and its unit in rows."""


class Said(msgspec.Struct):
    """One line of a host (benchmarks/peers/host.py)."""

    version: str | None = None
    remarks: dict[str, str] = {}
    lacks: dict[str, str] = {}
    figure: str | None = None
    values: list[float] = []
    missing: str | None = None
    closed: bool = False


class Contestant(msgspec.Struct):
    """What is known of one of them so far."""

    name: str
    version: str = ""
    remarks: dict[str, str] = {}
    lacks: dict[str, str] = {}
    missing: str = ""
    """What must be installed first."""
    failed: str = ""
    """How it ended when that was not in order."""
    values: dict[str, list[float]] = {}

    def hear_all(self, fd: int, patience_s: float) -> bool:
        """Take what its host says to what is known; whether it came to its end."""
        is_closed = False
        for line in lines(fd, patience_s):
            said = msgspec.json.decode(line, type=Said)
            is_closed = said.closed
            self.missing = said.missing or self.missing
            if said.version is not None:
                self.version, self.remarks, self.lacks = said.version, said.remarks, said.lacks
            if said.figure is not None:
                self.values.setdefault(said.figure, []).extend(said.values)
        return is_closed


class Report(msgspec.Struct, frozen=True):
    """What ``--json`` writes."""

    machine: Machine
    command: str
    rows: list[Row]
    contestants: list[Contestant]


def measure(
    contestant: Contestant, python: str, seconds: float, figures: Iterable[str] = FIGURES, patience_s: float = PATIENCE_S
) -> None:
    """One round of one contestant, in a process of its own; nothing that it has started is left when this returns."""
    module, _, variant = CONTESTANTS[contestant.name].partition(":")
    argv = [python, "-m", "benchmarks.peers.host", module, variant, str(seconds), *figures]
    with tempfile.TemporaryFile() as errors, tempfile.TemporaryDirectory(prefix="actorcore-compare-") as folder:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": folder}
        # In a session of its own: what Ctrl-C ends here is ended by us, and by nobody halfway.
        host = subprocess.Popen(argv, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=errors, start_new_session=True)
        assert host.stdout is not None
        try:
            if not contestant.hear_all(host.stdout.fileno(), patience_s):
                errors.seek(0)
                contestant.failed = errors.read().decode(errors="replace").strip()[-600:] or f"status {host.wait()}"
        except TimeoutError:
            contestant.failed = f"silent for {patience_s:.0f} s: given up"
        finally:
            host.send_signal(signal.SIGSTOP)  # it starts nothing more, and adopts what is orphaned until all has ended
            end_below(host.pid)
            host.kill()
            host.wait()
            host.stdout.close()


def lines(fd: int, patience_s: float) -> Iterator[bytes]:
    """Until the end of the file; TimeoutError when there is none for so long."""
    left = b""
    while select.select([fd], [], [], patience_s)[0]:
        if not (read := os.read(fd, 65536)):
            return
        *whole, left = (left + read).split(b"\n")
        yield from whole
    raise TimeoutError


def rows(contestants: list[Contestant]) -> list[Row]:
    """A row for each figure of each, beside the raw floor of the same run."""
    floors = next((each.values for each in contestants if each.name == FLOOR), {})
    return [
        measured(
            "", f"{COLUMNS[figure][0]}: {each.name} {each.version}", COLUMNS[figure][1], each.values[figure],
            statistics.median(floors[figure]) if figure in floors else None, note=each.remarks.get(figure, ""),
        )
        for figure in COLUMNS for each in contestants if figure in each.values
    ]  # fmt: skip


def markdown(contestants: list[Contestant]) -> str:
    """The table: medians, the best in brackets; then what its reader must know."""
    present = [each for each in contestants if each.values]
    written = [
        "| | " + " | ".join(title for title, _ in COLUMNS.values()) + " |",
        "|---|" + "---|" * len(COLUMNS),
        *(f"| {each.name} | " + " | ".join(cell(each, figure) for figure in COLUMNS) + " |" for each in present),
        "",
    ]
    for each in present:
        said = [f"{COLUMNS[figure][0]}: {text}" for figure, text in each.remarks.items()]
        for why in dict.fromkeys(each.lacks.values()):
            said.append(f"no {', '.join(COLUMNS[figure][0] for figure in each.lacks if each.lacks[figure] == why)}: {why}")
        written.append(f"- **{each.name}**, {each.version}" + "".join(f"; {text}" for text in said))
    return "\n".join(written)


def cell(contestant: Contestant, figure: str) -> str:
    if figure not in contestant.values:
        return "–"
    values, unit = contestant.values[figure], COLUMNS[figure][1]
    best = max(values) if unit == "/s" else min(values)
    return f"{readable(statistics.median(values), unit)} ({readable(best, unit)})"


SCALES = {
    "µs": ((1e6, "s"), (1e3, "ms"), (1.0, "µs")),
    "ms": ((1e3, "s"), (1.0, "ms"), (1e-3, "µs")),
    "/s": ((1e6, "M/s"), (1e3, "k/s"), (1.0, "/s")),
    "MB": ((1.0, "MB"), (1e-3, "kB")),
}


def readable(value: float, unit: str) -> str:
    """With two or three digits, in the unit that fits."""
    scale, name = next((pair for pair in SCALES[unit] if abs(value) >= pair[0]), SCALES[unit][-1])
    scaled = value / scale
    return f"{scaled:,.0f} {name}" if scaled >= 100 else f"{scaled:.3g} {name}"


def behind(contestants: list[Contestant]) -> list[str]:
    """Where somebody with the same isolation has a better median than actorcore's best: one line for each figure."""
    written = []
    ranked = [each for each in contestants if each.name not in NOT_RANKED]
    for figure, (title, unit) in COLUMNS.items():
        sign = -1 if unit == "/s" else 1
        medians = {each.name: sign * statistics.median(each.values[figure]) for each in ranked if figure in each.values}
        ours = [value for name, value in medians.items() if name.startswith(OURS)]
        better = [name for name, value in sorted(medians.items(), key=lambda pair: pair[1]) if ours and value < min(ours)]
        if better:
            written.append(f"{title}: behind {'; '.join(better)}")
    return written


def main() -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.compare", description=__doc__)
    parser.add_argument("--only", metavar="WORDS", default="", help="parts of names, as in actorcore,ray,floor")
    parser.add_argument("--minutes", type=float, default=5.5, help="as many rounds as fit, at least one (5.5)")
    parser.add_argument("--seconds", type=float, default=0.5, help="for each figure in a round (0.5)")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write rows, contestants and facts of the machine")
    parser.add_argument("--python-of", metavar="MODULE=PYTHON", action="append", default=[],
                        help="an interpreter for one of benchmarks/peers, as in on_ray=other/bin/python")  # fmt: skip
    wanted = parser.parse_args()
    pythons = dict(word.split("=", 1) for word in wanted.python_of)
    words = [word.lower() for word in wanted.only.split(",") if word]
    contestants = [Contestant(name) for name in CONTESTANTS if not words or any(word in name.lower() for word in words)]
    facts = machine(False)
    is_interrupted = False
    try:
        number, ending, longest_s = 0, time.monotonic() + wanted.minutes * 60, 0.0
        while number == 0 or time.monotonic() + longest_s < ending:
            number, began = number + 1, time.monotonic()
            for each in contestants:
                if not each.missing and not each.failed:
                    print(f"{time.monotonic() - began:5.0f} s of round {number}: {each.name} …", file=sys.stderr)
                    module = CONTESTANTS[each.name].partition(":")[0]
                    measure(each, pythons.get(module, sys.executable), wanted.seconds)
            longest_s = max(longest_s, time.monotonic() - began)
    except KeyboardInterrupt:
        is_interrupted = True
    if wanted.json is not None:
        report = Report(facts, " ".join(sys.argv), rows(contestants), contestants)
        wanted.json.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=1))
    print(f"{facts.cpu}, {facts.usable_cpus} of {facts.cpus} CPUs, {facts.memory_mib} MiB, Linux {facts.kernel}, "
          f"Python {facts.python}, load {facts.load}; nothing is pinned\n")  # fmt: skip
    print(markdown(contestants))
    print("\n" + "\n".join(behind(contestants)))
    for each in contestants:
        if each.missing:
            print(f"\nnot measured: {each.name}: {each.missing}")
        if each.failed:
            print(f"\n{each.name} FAILED:\n{each.failed}")
    return 130 if is_interrupted else 1 if any(each.failed for each in contestants) else 0


if __name__ == "__main__":
    sys.exit(main())
