"""R5, R8, I1–I10: clients do everything at random while everything is struck at random, and a book says what must come of it.

A failure names its seed and shows the end of the history; ``python -m tests.torture.chaos --seed N`` is the same plan again.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Size, Tell
from tests.torture.chaos.book import Broken
from tests.torture.chaos.plan import Plan, plan_of
from tests.torture.chaos.planted import OF_MUTANTS, OWN, product_with
from tests.torture.chaos.run import ACTS, run
from tests.torture.chaos.strikes import STRIKES
from tests.torture.chaos.trees import replaced_by


def plan(seed: int, clients: int = 4, acts: int = 20, strikes: int = 40) -> Plan:
    return plan_of(seed, list(ACTS), STRIKES, clients, acts, strikes)


def test_a_plan_is_a_function_of_its_seed_and_has_everything_in_it() -> None:
    assert plan(7) == plan(7) != plan(8)
    plans = [plan(seed) for seed in range(20)]
    assert {act.kind for each in plans for acts in each.acts for act in acts} == set(ACTS)
    assert {strike.kind for each in plans for strike in each.strikes} == set(STRIKES)


def test_who_is_replaced_is_what_otp_says() -> None:
    assert [replaced_by(strategy, {1}) for strategy in ("one_for_one", "rest_for_one", "one_for_all")] == [{1}, {1, 2}, {0, 1, 2}]
    assert [replaced_by(strategy, set()) for strategy in ("one_for_one", "rest_for_one", "one_for_all")] == [set()] * 3


@pytest.mark.sized
def test_everything_at_random_while_everything_is_struck(tmp_path: Path, size: Size, tell: Tell) -> None:
    seeds = size("CHAOS_SEEDS", 1, 20, 300)
    clients, acts, strikes = (3, 5, 10) if seeds == 1 else (4, 20, 40)
    steps = struck = 0
    for seed in range(1, seeds + 1):
        folder = tmp_path / str(seed)
        folder.mkdir()
        book = run(plan(seed, clients, acts, strikes), folder)
        steps, struck = steps + book.steps, struck + book.done["strikes"]
    tell(f"chaos: {seeds} seeds, {steps:,} requests, {struck:,} strikes, nothing broken")


@pytest.mark.torture
@pytest.mark.timeout(600)
@pytest.mark.parametrize("bug", [*OWN, *OF_MUTANTS])
def test_a_bug_that_is_planted_is_found(tmp_path: Path, bug: str) -> None:
    """Within a few seeds: by which promise differs, as it does for a bug that nobody planted."""
    product = product_with(bug, tmp_path)
    with pytest.raises(Broken):
        for seed in range(1, 11):
            folder = tmp_path / str(seed)
            folder.mkdir()
            run(plan(seed), folder, product)
