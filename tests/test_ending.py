"""What the guardian makes of TERM, INT, QUIT and HUP: acceptance of A20 and A21, in virtual time."""

from __future__ import annotations

import itertools
import signal

import pytest

from actorcore.ending import FORCING_TERMS, GRACE_S, HUP, INT, QUIT, TERM, Ending

ENDS = (TERM, INT)


def test_the_numbers_are_those_of_this_system() -> None:
    assert (HUP, INT, QUIT, TERM) == (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM)


@pytest.mark.parametrize("numbers", list(itertools.product(ENDS, repeat=3)))
def test_A21_the_first_begins_the_end_the_second_changes_nothing_the_third_forces_it(numbers: tuple[int, ...]) -> None:
    ending = Ending()
    assert [ending.on_signal(number, 10.0 * at) for at, number in enumerate(numbers)] == ["end", "nothing", "force"]
    assert (ending.due_s, FORCING_TERMS) == (GRACE_S, 3), "counted from the first"


def test_A21_a_second_term_does_not_shorten_the_stated_grace_time() -> None:
    ending = Ending()
    ending.on_signal(TERM, 100.0)
    ending.on_signal(TERM, 114.0)
    assert [ending.is_over(at) for at in (100.0, 114.9, 100.0 + GRACE_S)] == [False, False, True]


def test_A21_quit_forces_the_end_at_any_time() -> None:
    assert Ending().on_signal(QUIT, 1.0) == "force"
    begun = Ending()
    begun.on_signal(TERM, 1.0)
    assert begun.on_signal(QUIT, 1.0) == "force"


def test_A20_a_hangup_reloads_until_the_end_has_begun() -> None:
    ending = Ending()
    assert [ending.on_signal(HUP, 1.0) for _ in range(5)] == ["reload"] * 5
    ending.on_signal(INT, 2.0)
    assert [ending.on_signal(HUP, 3.0) for _ in range(5)] == ["nothing"] * 5
    assert ending.terms == 1, "a hangup is no step towards force"


def test_without_a_signal_nothing_ends() -> None:
    ending = Ending()
    assert (ending.on_signal(signal.SIGCHLD, 1.0), ending.is_over(1e12)) == ("nothing", False)
