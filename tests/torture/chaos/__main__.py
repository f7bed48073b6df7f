"""``python -m tests.torture.chaos --seed 7``: one plan, or several seeds; see :mod:`tests.torture.chaos.run`."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.torture.chaos.book import Broken
from tests.torture.chaos.plan import plan_of
from tests.torture.chaos.run import ACTS, run
from tests.torture.chaos.strikes import STRIKES


def main() -> int:
    """1 when something was broken."""
    parser = argparse.ArgumentParser(prog="tests.torture.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="of the first plan")
    parser.add_argument("--rounds", type=int, default=1, help="so many seeds")
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--acts", type=int, default=20, help="of each client")
    parser.add_argument("--strikes", type=int, default=40)
    parser.add_argument("--only", metavar="ACT", action="append", choices=list(ACTS), help="such acts")
    parser.add_argument("--by", metavar="STRIKE", action="append", choices=list(STRIKES), help="such strikes")
    wanted = parser.parse_args()
    strikes = {kind: weight for kind, weight in STRIKES.items() if kind in (wanted.by or STRIKES)}
    broken = 0
    for seed in range(wanted.seed, wanted.seed + wanted.rounds):
        plan = plan_of(seed, wanted.only or list(ACTS), strikes, wanted.clients, wanted.acts, wanted.strikes)
        folder = Path(tempfile.mkdtemp(prefix=f"chaos{seed}_"))
        try:
            book = run(plan, folder)
        except Broken as error:
            broken += 1
            print(error, flush=True)
        else:
            print(f"seed {seed}: {book.steps} steps, {sum(book.done.values())} done: {dict(book.done)}", flush=True)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
