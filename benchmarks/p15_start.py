"""P15: how long ``import actorcore`` and ``actorcore --help`` take, as whole processes, beside a bare interpreter.

``python -m benchmarks.p15_start [--json]``
"""

from __future__ import annotations

import subprocess
import sys
import time

from benchmarks.rows import Row, command, few, measured

RUNS = 20
COMMANDS = {
    "floor": [sys.executable, "-c", "pass"],
    "import": [sys.executable, "-c", "import actorcore"],
    "client": [sys.executable, "-c", "import supervisors.client"],
    "help": [sys.executable, "-m", "supervisors", "--help"],
}


def run() -> list[Row]:
    """Taken in turn, so that drift of the machine hits all alike; the first round warms the files."""
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for at in range(1 + few(RUNS, 5)):
        for name, argv in COMMANDS.items():
            started = time.perf_counter()
            subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)
            if at:
                times[name].append((time.perf_counter() - started) * 1e3)
    floor = sorted(times["floor"])[len(times["floor"]) // 2]
    note = "whole process; floor: python -c pass"
    return [
        measured("P15", "import actorcore", "ms", times["import"], floor, goal="< 60 ms", at_most=60.0, note=note),
        measured("", "import supervisors.client", "ms", times["client"], floor),
        measured("P15", "actorcore --help", "ms", times["help"], floor, goal="< 100 ms", at_most=100.0),
    ]


if __name__ == "__main__":
    command(run)
