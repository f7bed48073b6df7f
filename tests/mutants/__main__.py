"""How good is the suite? Each wrong program is judged by it; what it does not notice is listed.

``python -m tests.mutants planted [--judge lives]`` the wrong rules of planted.py;
``python -m tests.mutants operators [--sample 300 --seed 1]`` changed operators of the pure modules.
"""

from __future__ import annotations

import argparse
import sys
import time
from random import Random

from tests.mutants.judge import ALL, JUDGES, Wrong, control, verdicts
from tests.mutants.operators import known_survivors, mutants
from tests.mutants.planted import planted


def main() -> int:
    """0 when every planted rule, or 90 % of the operators, were noticed."""
    parser = argparse.ArgumentParser(prog="tests.mutants", description=__doc__)
    parser.add_argument("kind", choices=["planted", "operators"])
    parser.add_argument("--judge", choices=["all", *JUDGES], default="all")
    parser.add_argument("--only", metavar="TEXT", action="append", help="those whose name contains it, or one of several")
    parser.add_argument("--sample", type=int, default=0, help="so many, by chance; 0: all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--lives", type=int, default=20_000, help="simulated lives in each judgement")
    parser.add_argument("--verbose", action="store_true", help="also tell who noticed what")
    wanted = parser.parse_args()
    wrongs = planted() if wanted.kind == "planted" else mutants()
    if wanted.only:
        wrongs = [wrong for wrong in wrongs if any(text in wrong.name for text in wanted.only)]
    if wanted.sample and wanted.sample < len(wrongs):
        wrongs = sorted(Random(wanted.seed).sample(wrongs, wanted.sample), key=lambda wrong: wrong.name)
    right = control(ALL if wanted.judge == "all" else JUDGES[wanted.judge], wanted.lives)
    if right.by:
        print(f"the judge condemns the right program: {right.by}")
        return 2
    share, missed = judge(wrongs, wanted.judge, wanted.jobs, wanted.lives, wanted.verbose)
    needed = 1.0 if wanted.kind == "planted" else 0.9
    of_what = "wrong rules" if wanted.kind == "planted" else f"operator mutants (seed {wanted.seed})"
    print(f"{len(wrongs)} {of_what} tried, {missed} not noticed by {wanted.judge}: {share:.1%} found")
    return 0 if share >= needed or wanted.judge != "all" else 1


def judge(wrongs: list[Wrong], name: str, jobs: int, lives: int, is_verbose: bool) -> tuple[float, int]:
    """The share that was noticed, and how many were not."""
    missed, started, known = 0, time.monotonic(), known_survivors()
    for at, verdict in enumerate(verdicts(wrongs, ALL if name == "all" else JUDGES[name], jobs, lives), 1):
        if not verdict.by:
            missed += 1
            print(f"{'KNOWN SURVIVOR' if verdict.name in known else 'NOT NOTICED'}: {verdict.name}", flush=True)
        elif is_verbose:
            print(f"noticed: {verdict.name}, by {verdict.by}", flush=True)
        if at % 50 == 0:
            print(f"{at} of {len(wrongs)} after {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    return (len(wrongs) - missed) / max(1, len(wrongs)), missed


if __name__ == "__main__":
    sys.exit(main())
