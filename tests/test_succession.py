"""When the next node is started and when the present one has to go, in virtual time."""

from __future__ import annotations

from actorcore.renewal import READY_S
from actorcore.succession import HANG_S, PAUSES_S, YOUNG_S, Succession


def lives(succession: Succession, served_s: float | None, count: int, start_s: float, was_killed: bool = False) -> list[float]:
    """The pauses before the next spare after each of ``count`` nodes that served for ``served_s`` (None: never did)."""
    pauses, now = [], start_s
    for _ in range(count):
        now += 1.0
        succession.on_spare_ready()
        succession.on_took_over(now)
        if served_s is not None:
            succession.on_serving(now)
            now += served_s
        succession.on_node_dead(was_killed, now)
        succession.on_took_over(now)  # the spare that was ready follows at once
        pauses.append(round(succession.next_start_s - now, 6))
    return pauses


def test_nodes_that_never_serve_are_started_after_growing_pauses_of_up_to_a_second() -> None:
    assert lives(Succession(), None, 12, 0.0) == [0.0, 0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 1.0, 1.0, 1.0]


def test_nodes_that_end_by_themselves_as_soon_as_they_serve_are_no_better() -> None:
    assert lives(Succession(), YOUNG_S / 2, 9, 0.0) == list(PAUSES_S)


def test_a_node_is_young_until_it_has_served_for_so_long() -> None:
    for served_s, failures in ((YOUNG_S / 2, 1), (YOUNG_S, 0)):
        succession = Succession()
        succession.on_took_over(0.0)
        succession.on_serving(0.0)
        succession.on_node_dead(False, served_s)
        assert succession.failures == failures


def test_nodes_that_have_served_are_followed_without_a_pause_however_soon_they_are_killed() -> None:
    assert lives(Succession(), 0.0, 1000, 0.0, was_killed=True) == [0.0] * 1000


def test_nodes_that_are_killed_before_they_serve_are_started_after_growing_pauses() -> None:
    """Who kills them may be there to stay, as one that watches over memory is."""
    assert lives(Succession(), None, 9, 0.0, was_killed=True) == list(PAUSES_S)


def test_nodes_that_have_served_are_followed_without_a_pause_however_many_die() -> None:
    assert lives(Succession(), 1.01 * YOUNG_S, 1000, 0.0) == [0.0] * 1000


def test_one_node_that_served_ends_a_row_of_failures() -> None:
    succession = Succession()
    lives(succession, None, 12, 0.0)
    assert lives(succession, 1.01 * YOUNG_S, 1, 100.0) == [0.0]
    assert lives(succession, None, 3, 200.0) == [0.0, 0.0, 0.01]


def test_spares_that_die_before_they_are_ready_are_started_after_the_same_pauses() -> None:
    succession = Succession()
    pauses = []
    for now in range(12):
        succession.on_spare_started(float(now))
        succession.on_spare_dead(was_ready=False, now_s=float(now))
        pauses.append(round(succession.next_start_s - now, 6))
    assert pauses == [*PAUSES_S, 1.0, 1.0, 1.0]
    succession.on_spare_ready()
    succession.on_spare_dead(was_ready=True, now_s=50.0)
    assert succession.next_start_s == 50.0


def test_a_spare_that_is_not_ready_in_time_is_late() -> None:
    succession = Succession()
    succession.on_spare_started(5.0)
    assert [succession.is_spare_late(at) for at in (5.0, 4.9 + READY_S, 5.0 + READY_S)] == [False, False, True]


def watched(succession: Succession, stamp_s: float, until_s: float) -> float | None:
    """What a guardian that looks every second says at ``until_s``."""
    at_s = succession.looked_s
    while at_s + 1.0 < until_s:
        at_s += 1.0
        succession.silent_s(stamp_s, at_s)
    return succession.silent_s(stamp_s, until_s)


def test_a_node_hangs_when_it_has_not_stamped_for_longer_than_the_limit() -> None:
    succession = Succession(looked_s=200.0)
    succession.on_took_over(100.0)
    assert watched(succession, 200.0, 200.0 + HANG_S) is None
    assert watched(succession, 200.0, 200.5 + HANG_S) == 0.5 + HANG_S


def test_the_stamp_of_the_predecessor_does_not_count_against_a_node() -> None:
    succession = Succession(looked_s=100.0)
    succession.on_took_over(100.0)
    assert watched(succession, 1.0, 100.0 + HANG_S) is None
    assert watched(succession, 0.0, 106.0) == 6.0


def test_D2_time_in_which_the_guardian_was_frozen_too_does_not_count() -> None:
    succession = Succession(looked_s=100.0)
    assert watched(succession, 103.0, 104.0) is None
    assert succession.silent_s(103.0, 1000.0) is None, "a suspend, or the whole tree was stopped"
    assert watched(succession, 103.0, 1000.0 + HANG_S) is None
    assert watched(succession, 103.0, 1001.0 + HANG_S) == 1.0 + HANG_S


def test_who_is_told_to_hang_is_told_so_once_however_often_one_looks_until_it_is_dead() -> None:
    succession = Succession(looked_s=100.0)
    assert watched(succession, 100.0, 101.0 + HANG_S) == 1.0 + HANG_S
    assert [succession.silent_s(100.0, 101.0 + HANG_S + late_s / 1000) for late_s in range(1000)] == [None] * 1000
    assert watched(succession, 100.0, 101.5 + 2 * HANG_S) == 0.5 + HANG_S, "killed, and there it is"


def test_D2_a_guardian_that_looks_twice_in_the_limit_was_not_frozen() -> None:
    succession = Succession(looked_s=100.0)
    assert [succession.silent_s(100.0, 100.0 + looks * HANG_S / 2) for looks in (1, 2, 3)] == [None, None, 1.5 * HANG_S]
