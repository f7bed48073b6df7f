"""OTP is the judge where nobody recorded it: scenarios whose results were read out of its sources (derived/README.md)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.otp.corpus import DERIVED, VECTORS, load, placements_of
from tests.otp.scene import PLACEMENTS
from tests.otp.test_vectors_processes import Outcomes, outcomes_of
from tests.otp.virtual_world import Mode, play

SCENARIOS = load(DERIVED)
TEACHING = [
    (vector, placement) for vector in SCENARIOS if vector["tier"] == "core" for placement in placements_of(vector, PLACEMENTS)
]
MODES = {"plain": Mode(), "external_kill": Mode(external_kill=True), "restored": Mode(twin=True, jam=True, warm=True)}


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
@pytest.mark.parametrize("vector", SCENARIOS, ids=lambda vector: vector["id"])
def test_vector(vector: dict[str, Any], mode: Mode) -> None:
    assert play(vector, mode) == []


@pytest.fixture(scope="module")
def outcomes() -> Outcomes:
    """Those that teach most, some at once."""
    return outcomes_of(TEACHING)


@pytest.mark.timeout(300)  # the first one plays them all
@pytest.mark.parametrize(("vector", "placement"), TEACHING, ids=[f"{one['id']}-{placement}" for one, placement in TEACHING])
def test_vector_in_processes(outcomes: Outcomes, vector: dict[str, Any], placement: str) -> None:
    assert outcomes[vector["id"], placement][0] == []


def test_derived_scenarios_say_so_and_from_what() -> None:
    recorded = {vector["id"] for vector in load(VECTORS)}
    for vector in SCENARIOS:
        assert ("recorded" in vector, bool(vector["derived"]["from"])) == (False, True)
        assert vector["id"] not in recorded
