"""Debug: what sys keeps of a process: events, counts, who is told; as OTP's sys does."""

from __future__ import annotations

import pytest

from actorcore.debug import Debug
from actorcore.system_words import MAX_LOG, Log, Statistics


def test_statistics_count_from_when_they_are_switched_on_and_are_none_before_and_after() -> None:
    debug = Debug()
    assert (debug.on_statistics(Statistics(), 1.0, 2.0), debug.is_watching()) == (None, False)
    assert debug.on_statistics(Statistics("on"), 10.0, 2.0) is True
    for event in (["in", 1], ["out", 2], ["in", 3]):
        debug.watch(event)
    counted = {"start_time": 10.0, "current_time": 15.0, "messages_in": 2, "messages_out": 1, "cpu_s": 0.5}
    assert (debug.on_statistics(Statistics("get"), 15.0, 2.5), debug.is_watching(), debug.events) == (counted, True, [])
    assert debug.on_statistics(Statistics("off"), 16.0, 2.5) is True
    assert (debug.on_statistics(Statistics(), 17.0, 2.5), debug.is_idle()) == (None, True)


def test_the_log_is_the_last_events_from_when_it_is_switched_on() -> None:
    debug = Debug()
    debug.watch(["in", 0])
    assert (debug.on_log(Log()), debug.on_log(Log(2))) == ([], True)
    for number in range(1, 4):
        debug.watch(["in", number])
    assert debug.on_log(Log()) == [["in", 2], ["in", 3]]
    assert (debug.on_log(Log(1)), debug.on_log(Log()), debug.is_watching()) == (True, [["in", 3]], True)
    assert (debug.on_log(Log(0)), debug.on_log(Log()), debug.is_watching()) == (True, [], False)


@pytest.mark.parametrize(("asked", "kept"), [(-1, 0), (MAX_LOG, MAX_LOG), (MAX_LOG + 1, MAX_LOG)])
def test_the_log_is_bounded(asked: int, kept: int) -> None:
    debug = Debug()
    debug.on_log(Log(asked))
    assert debug.log_size == kept


def test_a_tracer_is_told_once_however_often_it_asks_and_no_more_when_it_says_so() -> None:
    debug = Debug()
    for who, on in ((5, True), (6, True), (5, True), (7, False)):
        debug.trace(who, on)
    assert (debug.tracers, debug.is_watching()) == ([6, 5], True)
    debug.trace(6, False)
    debug.trace(5, False)
    assert (debug.tracers, debug.is_idle()) == ([], True)


def test_a_process_that_is_suspended_is_not_idle_and_watches_nothing() -> None:
    debug = Debug(is_suspended=True)
    assert (debug.is_idle(), debug.is_watching()) == (False, False)
