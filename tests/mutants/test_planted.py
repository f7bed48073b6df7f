"""A sample of the wrong rules is judged here; all of them, and the changed operators, by ``make torture``."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.conftest import Size, Tell
from tests.mutants.operators import known_survivors, mutants, of_module
from tests.mutants.patching import ROOT
from tests.mutants.planted import noticed_by, planted


def report_of(*arguments: str) -> str:
    """What ``python -m tests.mutants`` says; it must be content."""
    argv = [sys.executable, "-m", "tests.mutants", *arguments]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_every_wrong_rule_still_has_its_place_in_the_source() -> None:
    names = [wrong.name for wrong in planted()]
    assert len(names) == len(set(names)) >= 115


def test_it_is_known_which_test_noticed_which_wrong_rule() -> None:
    """noticed_by.txt is what ``python -m tests.mutants planted --verbose`` said last: its rules and its tests are still there."""
    noticed = noticed_by()
    assert len(noticed) >= 115
    assert set(noticed) <= {wrong.name for wrong in planted()}
    for test in noticed.values():
        path, _, name = test.partition("::")
        assert f"def {name.partition('[')[0]}(" in (ROOT / path).read_text()


def test_every_listed_survivor_is_a_mutant_that_there_still_is() -> None:
    assert len(known_survivors()) >= 3


SAMPLE = [
    "kill can be trapped", "names are retracted after telling", "a DOWN comes twice", "a number is used again after a jam",
    "any secret opens a client", "who was doomed before its birth lives",
]  # fmt: skip


@pytest.mark.timeout(180)
def test_R13_simulated_lives_notice_a_sample_of_the_wrong_rules(tell: Tell) -> None:
    report = report_of("planted", "--judge", "lives", "--lives", "4000", *(word for name in SAMPLE for word in ("--only", name)))
    assert report == f"{len(SAMPLE)} wrong rules tried, 0 not noticed by lives: 100.0% found\n"
    tell(f"R13: {report.strip()}")


@pytest.mark.torture
@pytest.mark.timeout(3600)
def test_R13_every_wrong_rule_is_noticed(tell: Tell) -> None:
    tell(f"R13: {report_of('planted').splitlines()[-1]}")


@pytest.mark.torture
@pytest.mark.timeout(7200)
def test_R13_nine_of_ten_changed_operators_are_noticed(tell: Tell, size: Size) -> None:
    """Of each pure module so many (0: all), by the pure tests; known survivors count as not noticed, a test that hangs as one
    that notices. It fails below 90 % of all.
    """
    each = size("R13_OPERATORS", 4, 15, 0)
    *rows, counts = report_of("operators", "--sample", str(each)).splitlines()
    assert f" operator mutants of {len({mutant.module for mutant in mutants()})} modules tried, " in counts
    tell("\n".join([f"R13: {counts} ({each or 'all'} of each)", *rows]))


def test_R13_a_changed_operator_is_noticed_by_the_tests_that_run_it() -> None:
    found = report_of("operators", "--only", "actorcore.links:", "--tests", "tests/test_links.py").splitlines()
    count = len(list(of_module("actorcore.links")))
    assert found[-2:] == [
        f"actorcore.links: {count} of {count}",
        f"{count} operator mutants of 1 modules tried, 0 not noticed: 100.0% found",
    ]
