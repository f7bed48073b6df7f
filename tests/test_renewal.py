"""Whether new code may serve: every refusal in its words."""

from __future__ import annotations

import pytest

from actorcore.guardian_words import VERSION, Ready
from actorcore.renewal import READY_S, Renewal


def renewal() -> Renewal:
    return Renewal(7, due_s=READY_S)


@pytest.mark.parametrize("serving", [2, 3])
def test_code_that_reads_what_is_written_may_serve(serving: int) -> None:
    assert renewal().on_ready(Ready(3, 2, VERSION), serving) is None


@pytest.mark.parametrize("serving", [1, 4])
def test_B16_code_that_does_not_read_what_is_written_may_not(serving: int) -> None:
    words = f"the new code reads snapshots of schema 2 to 3, the running code writes schema {serving}"
    assert renewal().on_ready(Ready(3, 2, VERSION), serving) == words


def test_code_that_speaks_other_words_to_the_guardian_may_not() -> None:
    refusal = renewal().on_ready(Ready(3, 2, VERSION + 1), 3)
    assert refusal == "the new code needs a new guardian: take the daemon down and start it again"


def test_B15_code_may_die_once_before_it_is_ready_and_not_twice() -> None:
    made = renewal()
    words = "the new code died before it was ready; the log tells why"
    assert (made.on_death(is_node=False), made.on_death(is_node=False)) == (None, words)


def test_B15_code_that_dies_between_ready_and_its_turn_is_not_tried_again() -> None:
    made = renewal()
    made.on_ready(Ready(3, 2, VERSION), 3)
    assert made.on_death(is_node=False) == "the new code died before it was ready; the log tells why"


def test_B15_code_that_dies_as_the_node_is_not_tried_again() -> None:
    assert renewal().on_death(is_node=True) == "the new node died before it served; the log tells why"


def test_code_that_is_never_ready_is_refused_in_time() -> None:
    made = renewal()
    assert (made.on_time(READY_S), made.on_time(READY_S + 0.1)) == (None, "the new code was not ready within 10 s")
    made.on_ready(Ready(3, 2, VERSION), 3)
    assert made.on_time(2 * READY_S) is None
