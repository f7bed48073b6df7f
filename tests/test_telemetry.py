"""Handlers of events: who is called, what is counted, and what a handler that raises costs (nothing)."""

from __future__ import annotations

import pytest

from actorcore.errors import RequestError
from supervisors.clients.manager_steps import SessionEvent
from supervisors.telemetry import Detached, Telemetry

CRASHED = SessionEvent(1, 1, 1, "s", "session_crashed", 0.0, {})
CREATED = SessionEvent(1, 2, 2, "s", "session_created", 0.0, {})


def test_acceptance_164_a_handler_that_raises_is_detached_and_told_and_the_others_are_called() -> None:
    telemetry = Telemetry()
    heard: list[SessionEvent] = []

    def flawed(event: SessionEvent) -> None:
        raise ValueError(event.type)

    telemetry.attach("first", heard.append)
    telemetry.attach("flawed", flawed)
    telemetry.attach("last", heard.append)
    assert telemetry.dispatch(CRASHED) == [Detached("flawed", {"error": {"type": "ValueError", "text": "session_crashed"}})]
    assert telemetry.attached() == ["first", "last"]
    assert telemetry.dispatch(CREATED) == []
    assert heard == [CRASHED, CRASHED, CREATED, CREATED]


def test_acceptance_163_handlers_get_the_types_that_they_want_and_counters_are_read_and_reset() -> None:
    telemetry = Telemetry()
    heard: list[SessionEvent] = []
    telemetry.attach("crashes", heard.append, ["session_crashed"])
    for event in (CRASHED, CREATED, CRASHED):
        telemetry.dispatch(event)
    assert (heard, telemetry.counters) == ([CRASHED, CRASHED], {"session_crashed": 2, "session_created": 1})
    telemetry.reset()
    assert telemetry.counters == {}


def test_names_of_handlers_are_unique_and_free_when_detached() -> None:
    telemetry = Telemetry()
    telemetry.attach("one", print)
    with pytest.raises(RequestError) as caught:
        telemetry.attach("one", print)
    assert (caught.value.code, telemetry.detach("one"), telemetry.detach("one")) == ("already_exists", True, False)
    telemetry.attach("one", print)
