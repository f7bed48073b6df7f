"""Which state machines run in a loop."""

from __future__ import annotations

from actorcore.gen_statem import AsyncGenStatem, Event, GenStatem


class Plain(GenStatem):
    """No coroutine; ``_own`` is no callback."""

    callback_mode = "state_functions"

    def locked(self, event: Event) -> None: ...

    async def _own(self) -> None: ...


class OneState(Plain):
    async def locked(self, event: Event) -> None: ...  # type: ignore[override]


class EventsOnly(GenStatem):
    def handle_event(self, event: Event, state: object) -> None: ...

    async def locked(self, event: Event) -> None: ...


class AllEvents(GenStatem):
    async def handle_event(self, event: Event, state: object) -> None: ...


class Always(AsyncGenStatem):
    def handle_event(self, event: Event, state: object) -> None: ...


def test_a_machine_runs_in_a_loop_when_a_callback_of_its_mode_is_a_coroutine() -> None:
    kinds = [Plain, OneState, EventsOnly, AllEvents, Always]
    assert [kind.__name__ for kind in kinds if kind.is_async()] == ["OneState", "AllEvents", "Always"]
