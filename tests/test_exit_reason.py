"""Exit reasons: the true one, from what the kernel says and what was said beforehand."""

from __future__ import annotations

import pytest

from actorcore.exit_reason import CLD_EXITED, Reason, bounded_text, is_abnormal, reason_of_exception, reason_of_status

KILLED_BY, DUMPED_BY = 2, 3
BOOM: Reason = {"error": {"type": "ValueError", "text": "boom"}}


@pytest.mark.parametrize(
    ("code", "status", "declared", "ordered", "reason"),
    [
        (CLD_EXITED, 0, None, None, "normal"),
        (CLD_EXITED, 3, None, None, {"exit": 3}),
        (CLD_EXITED, 1, BOOM, None, BOOM),
        (CLD_EXITED, 1, BOOM, "shutdown", BOOM),
        (KILLED_BY, 9, None, None, "killed"),
        (KILLED_BY, 9, None, "shutdown", "shutdown"),
        (KILLED_BY, 9, BOOM, None, "killed"),
        (KILLED_BY, 15, None, None, "shutdown"),
        (DUMPED_BY, 11, None, None, {"signal": "SIGSEGV"}),
        (DUMPED_BY, 11, BOOM, "shutdown", {"signal": "SIGSEGV"}),
        (KILLED_BY, 40, None, None, {"signal": "SIG40"}),
    ],
)
def test_acceptance_44_the_reason_names_the_signal_or_the_exit_code(
    code: int, status: int, declared: Reason | None, ordered: Reason | None, reason: Reason
) -> None:
    assert reason_of_status(code, status, declared, ordered) == reason


@pytest.mark.parametrize(
    ("code", "status", "ordered", "reason"),
    [
        (KILLED_BY, 9, None, {"killed": "oom"}),
        (KILLED_BY, 9, "shutdown", "shutdown"),
        (KILLED_BY, 9, "killed", "killed"),
        (CLD_EXITED, 3, None, {"exit": 3}),
        (DUMPED_BY, 11, None, {"signal": "SIGSEGV"}),
    ],
)
def test_C13_who_was_killed_for_want_of_memory_is_told_so_unless_its_end_was_ordered(
    code: int, status: int, ordered: Reason | None, reason: Reason
) -> None:
    assert reason_of_status(code, status, None, ordered, is_oom=True) == reason


@pytest.mark.parametrize("reason", ["normal", "shutdown", {"shutdown": "done"}])
def test_acceptance_47_what_does_not_restart_a_transient_child(reason: Reason) -> None:
    assert not is_abnormal(reason)


@pytest.mark.parametrize("reason", ["killed", {"killed": "oom"}, "noproc", {"exit": 3}, {"signal": "SIGSEGV"}, BOOM])
def test_acceptance_47_what_restarts_a_transient_child(reason: Reason) -> None:
    assert is_abnormal(reason)


class Hostile(Exception):
    def __str__(self) -> str:
        raise RecursionError("deep")


def test_G3_an_exception_that_cannot_be_printed_is_still_a_reason() -> None:
    assert reason_of_exception(Hostile()) == {"error": {"type": "Hostile", "text": "<RecursionError in __str__>"}}


def test_G5_a_huge_text_is_cut_and_says_so() -> None:
    assert bounded_text("x" * 5000) == "x" * 4096 + "… truncated"
    assert bounded_text("x" * 4096) == "x" * 4096
    assert bounded_text("\ud800") == "?"
