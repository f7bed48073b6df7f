"""A sample of the wrong rules is judged here; all of them, and the changed operators, by ``make torture``."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.mutants.patching import ROOT
from tests.mutants.planted import planted


def report_of(*arguments: str) -> str:
    """What ``python -m tests.mutants`` says; it must be content."""
    argv = [sys.executable, "-m", "tests.mutants", *arguments]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_every_wrong_rule_still_has_its_place_in_the_source() -> None:
    names = [wrong.name for wrong in planted()]
    assert len(names) == len(set(names)) >= 84


@pytest.mark.timeout(180)
def test_R13_a_sample_of_the_wrong_rules_is_noticed() -> None:
    report = report_of("planted", "--sample", "8", "--lives", "5000")
    assert report.splitlines()[-1] == "8 wrong rules tried, 0 not noticed by all: 100.0% found"


@pytest.mark.torture
@pytest.mark.timeout(3600)
def test_R13_every_wrong_rule_is_noticed() -> None:
    print(report_of("planted"))


@pytest.mark.torture
@pytest.mark.timeout(7200)
def test_R13_nine_of_ten_changed_operators_are_noticed() -> None:
    print(report_of("operators", "--sample", "300"))
