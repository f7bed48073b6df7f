"""How good is the suite? Each wrong program is judged by it; what it does not notice is listed.

``python -m tests.mutants planted [--judge lives]`` the wrong rules of planted.py;
``python -m tests.mutants operators [--sample 15]`` changed operators of the pure modules, so many of each.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from pathlib import Path
from random import Random

from tests.mutants import warm
from tests.mutants.judge import ALL, JUDGES, Verdict, control, verdicts
from tests.mutants.operators import Mutant, known_survivors, mutants
from tests.mutants.planted import noticed_by, planted

SAID = " | by "


def main() -> int:
    """0 when every planted rule, or 90 % of the operators, were noticed."""
    parser = argparse.ArgumentParser(prog="tests.mutants", description=__doc__)
    parser.add_argument("kind", choices=["planted", "operators"])
    parser.add_argument("--only", metavar="TEXT", action="append", help="those whose name contains it, or one of several")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--verbose", action="store_true", help="also tell who noticed what")
    parser.add_argument("--judge", choices=["all", *JUDGES], default="all", help="planted: the part of the suite")
    parser.add_argument("--lives", type=int, default=20_000, help="planted: simulated lives in each judgement")
    parser.add_argument("--sample", type=int, default=0, help="operators: so many of each module, by chance; 0: all")
    parser.add_argument("--seed", type=int, default=1, help="operators: of the sample")
    parser.add_argument("--book", type=Path, metavar="FILE",
                        help="operators: write the verdicts there, and do not judge again what stands there (of the same source)")
    parser.add_argument("--budget", type=float, default=8.0, help="operators: seconds of the suite for each")
    parser.add_argument("--tests", metavar="FILE", nargs="+", default=warm.SUITE, help="operators: other tests")
    wanted = parser.parse_args()
    return judge_planted(wanted) if wanted.kind == "planted" else judge_operators(wanted)


def judge_planted(wanted: argparse.Namespace) -> int:
    wrongs = [wrong for wrong in planted() if is_wanted(wrong.name, wanted.only)]
    tests = ALL if wanted.judge == "all" else JUDGES[wanted.judge]
    right = control(tests, wanted.lives)
    if right.by:
        print(f"the judge condemns the right program: {right.by}")
        return 2
    missed = 0
    first = noticed_by() if wanted.judge == "all" else {}
    for done, verdict in enumerate(verdicts(wrongs, tests, wanted.jobs, wanted.lives, first), 1):
        missed += not verdict.by
        if done % 20 == 0:
            print(f"{done} of {len(wrongs)}", file=sys.stderr, flush=True)
        tell(verdict, set(), wanted.verbose)
    share = 1 - missed / max(1, len(wrongs))
    print(f"{len(wrongs)} wrong rules tried, {missed} not noticed by {wanted.judge}: {share:.1%} found")
    return 0 if not missed or wanted.judge != "all" else 1


def judge_operators(wanted: argparse.Namespace) -> int:
    chosen = sample([mutant for mutant in mutants() if is_wanted(mutant.name, wanted.only)], wanted.sample, wanted.seed)
    known, missed, started_s = known_survivors(), Counter[str](), time.monotonic()
    before = in_book(wanted.book)
    judged = 0

    def found(verdict: Verdict) -> None:
        nonlocal judged
        judged += 1
        missed[verdict.name.partition(":")[0]] += not verdict.by
        tell(verdict, known, wanted.verbose)
        if wanted.book is not None and verdict.name not in before:
            with wanted.book.open("a") as book:
                book.write(f"{verdict.name}{SAID}{verdict.by}\n")
        if judged % 100 == 0:
            print(f"{judged} of {len(chosen)} after {time.monotonic() - started_s:.0f} s", file=sys.stderr, flush=True)

    for mutant in chosen:
        if mutant.name in before:
            found(Verdict(mutant.name, before[mutant.name]))
    if left := [mutant for mutant in chosen if mutant.name not in before]:
        warm.judge(left, wanted.tests, wanted.jobs, wanted.budget, found)
    tried = Counter(mutant.module for mutant in chosen)
    for module, count in sorted(tried.items()):
        print(f"{module}: {count - missed[module]} of {count}")
    share = 1 - missed.total() / max(1, len(chosen))
    print(f"{len(chosen)} operator mutants of {len(tried)} modules tried, {missed.total()} not noticed: {share:.1%} found")
    return 0 if share >= 0.9 else 1


def in_book(book: Path | None) -> dict[str, str]:
    """Who noticed what by an earlier run, whole or not."""
    if book is None or not book.exists():
        return {}
    return dict(line.rsplit(SAID, 1) for line in book.read_text().splitlines())  # type: ignore[misc]


def is_wanted(name: str, only: list[str] | None) -> bool:
    return only is None or any(text in name for text in only)


def sample(all_mutants: list[Mutant], count: int, seed: int) -> list[Mutant]:
    """``count`` of each module, 0: all."""
    random = Random(seed)
    modules = dict.fromkeys(mutant.module for mutant in all_mutants)
    by_module = {module: [mutant for mutant in all_mutants if mutant.module == module] for module in modules}
    return [mutant for some in by_module.values() for mutant in (random.sample(some, min(count, len(some))) if count else some)]


def tell(verdict: Verdict, known: set[str], is_verbose: bool) -> None:
    if not verdict.by:
        print(f"{'KNOWN SURVIVOR' if verdict.name in known else 'NOT NOTICED'}: {verdict.name}", flush=True)
    elif is_verbose:
        print(f"noticed: {verdict.name}, by {verdict.by}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
