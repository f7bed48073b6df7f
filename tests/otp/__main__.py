"""``python -m tests.otp DIR --mode core|processes``: play every vector of DIR as OTP's judge.

``core``: over the pure core in virtual time. ``processes``: against real daemons, ``--jobs`` at once, with an OS
process for each actor and real SIGKILL; ``--placement`` says whether supervisors and registries are processes as well
(``process``), residents of the node (``resident``), or one and then the other (``both``). DIR and what is below it, or
one file. Last line: ``N passed, N failed, N skipped``. A file that is no vector has failed. Skipped, and listed, is
what uses a kind of actor, an operation, or a format that is not built.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path
from typing import Any

from tests.otp.corpus import VECTORS, placements_of, read, unbuilt_in
from tests.otp.process_world import Part, play_all
from tests.otp.scene import PLACEMENTS
from tests.otp.virtual_world import Mode, play

MODES = (Mode(), Mode(external_kill=True), Mode(warm=True), Mode(jam=True))
Vector = dict[str, Any]


def main() -> int:
    parser = argparse.ArgumentParser(prog="tests.otp")
    parser.add_argument("directory", nargs="?", type=Path, default=VECTORS)
    parser.add_argument("--mode", choices=("core", "processes"), default="core")
    parser.add_argument("--jobs", type=int, default=12, help="daemons at once (mode processes)")
    parser.add_argument("--placement", choices=(*PLACEMENTS, "both"), default="both", help="of supervisors (mode processes)")
    parser.add_argument("--verbose", action="store_true", help="each vector, and in mode processes each label's OS pid")
    options = parser.parse_args()
    found = read(options.directory)
    if not found.vectors and not found.troubles:
        print(f"no vectors in {options.directory}", file=sys.stderr)
    for file, trouble in found.troubles.items():
        print(f"{file}: {trouble}")
    unbuilt = Counter(filter(None, map(unbuilt_in, found.vectors)))
    playable = [vector for vector in found.vectors if unbuilt_in(vector) is None]
    # By place in the list: two files may have one id.
    places = {id(vector): place for place, vector in enumerate(playable)}
    failed: set[int] = set()
    done: set[int] = set()

    def on_part(part: Part, differences: list[str], os_pids: dict[str, int]) -> None:
        vector, placement = part
        on_done(vector, [f"{placement}: {line}" for line in differences], os_pids)

    def on_done(vector: Vector, differences: list[str], os_pids: dict[str, int]) -> None:
        place = places[id(vector)]
        done.add(place)
        if differences:
            failed.add(place)
        if options.verbose:
            pids = " ".join(f"{label}={os_pid}" for label, os_pid in os_pids.items())
            print(f"{'FAILED' if differences else 'passed'} {vector['id']} {pids}".rstrip())
        for line in differences:
            print(f"{vector['id']}: {line}")

    if options.mode == "core":
        for vector in playable:
            on_done(vector, [f"{mode}: {line}" for mode in MODES for line in _play(vector, mode)], {})
    else:
        wanted = tuple(PLACEMENTS) if options.placement == "both" else (options.placement,)
        parts = [(vector, placement) for vector in playable for placement in placements_of(vector, wanted)]
        play_all(parts, max(1, options.jobs), on_part)
    for place, vector in enumerate(playable):
        if place not in done:
            print(f"{vector['id']}: was not played")
            failed.add(place)
    for what, count in sorted(unbuilt.items()):
        print(f"skipped, not built yet: {what} ({count})")
    losses = len(failed) + len(found.troubles)
    print(f"{len(playable) - len(failed)} passed, {losses} failed, {sum(unbuilt.values())} skipped")
    return 1 if losses or not found.vectors else 0


def _play(vector: Vector, mode: Mode) -> list[str]:
    try:
        return play(vector, mode)
    except Exception as error:  # a vector that breaks the runner is a failed vector, not the end of the run
        return [f"{type(error).__name__}: {error}"]


if __name__ == "__main__":
    sys.exit(main())
