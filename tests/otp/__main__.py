"""``python -m tests.otp DIR --mode core``: play every vector of DIR against the process table in virtual time.

Last line: ``N passed, N failed, N skipped``. Skipped is only what uses a kind of actor that is not built yet.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path

from tests.otp.core_world import Mode
from tests.otp.corpus import CORE_KINDS, VECTORS, is_playable, load, play

MODES = {"core": (Mode(), Mode(external_kill=True), Mode(warm=True), Mode(jam=True))}


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.otp")
    parser.add_argument("directory", nargs="?", type=Path, default=VECTORS)
    parser.add_argument("--mode", choices=sorted(MODES), default="core")
    options = parser.parse_args()
    vectors = load(options.directory)
    if not vectors:
        print(f"no vectors in {options.directory}", file=sys.stderr)
    failed = 0
    unbuilt: Counter[str] = Counter()
    for vector in vectors:
        if not is_playable(vector):
            unbuilt[",".join(sorted(set(vector["kinds"]) - CORE_KINDS))] += 1
            continue
        differences = [f"{mode}: {line}" for mode in MODES[options.mode] for line in _play(vector, mode)]
        failed += bool(differences)
        for line in differences:
            print(f"{vector['id']}: {line}")
    for kinds, count in sorted(unbuilt.items()):
        print(f"skipped, not built yet: {kinds} ({count})")
    skipped = sum(unbuilt.values())
    print(f"{len(vectors) - failed - skipped} passed, {failed} failed, {skipped} skipped")
    return 1 if failed or not vectors else 0


def _play(vector: dict[str, object], mode: Mode) -> list[str]:
    try:
        return play(vector, mode)
    except Exception as error:  # a vector that breaks the runner is a failed vector, not the end of the run
        return [f"{type(error).__name__}: {error}"]


if __name__ == "__main__":
    sys.exit(main())
