"""Deadlines with deadlines behind one timer: each ends when it should, whatever the others do."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from actorcore.runtime.actor import loop_waits
from actorcore.runtime.actor.loop_waits import Deadlines, let_others_run, wake
from actorcore.runtime.clock import monotonic_s


class Clocked(asyncio.SelectorEventLoop):
    """Counts its timers."""

    timers = 0

    def call_later(self, delay, callback, *args, context=None):  # type: ignore[no-untyped-def, override]
        self.timers += 1
        return super().call_later(delay, callback, *args, context=context)


def run(life: Callable[[Any, Deadlines], object], kind: type[Clocked] = Clocked) -> object:
    loop = kind()
    try:
        return loop.run_until_complete(life(loop, Deadlines(loop)))  # type: ignore[arg-type, type-var]
    finally:
        loop.close()


def test_each_wait_ends_at_its_own_deadline_and_not_before() -> None:
    async def life(loop: Clocked, waits: Deadlines) -> list[bool]:
        start_s = monotonic_s()

        async def is_over(delay_s: float) -> bool:
            await waits.wait(loop.create_future(), start_s + delay_s)
            return monotonic_s() >= start_s + delay_s

        return list(await asyncio.gather(*(is_over(delay_s) for delay_s in (0.03, 0.01, 0.02, 0.01))))

    assert run(life) == [True] * 4


def test_a_deadline_that_has_passed_ends_the_wait_at_once() -> None:
    async def life(loop: Clocked, waits: Deadlines) -> bool:
        future = loop.create_future()
        await waits.wait(future, monotonic_s() - 1.0)
        return future.result() is None

    assert run(life) is True


def test_a_thousand_waits_that_end_in_time_set_one_timer() -> None:
    async def life(loop: Clocked, waits: Deadlines) -> int:
        for _ in range(1000):
            future = loop.create_future()
            loop.call_soon(wake, future)
            await waits.wait(future, monotonic_s() + 60.0)
        return loop.timers

    assert run(life) == 1


class Played(Clocked):
    """Its timers ring when the test says so."""

    now_s = 100.0

    def __init__(self) -> None:
        super().__init__()
        self.set: list[tuple[float, asyncio.TimerHandle]] = []

    def call_later(self, delay, callback, *args, context=None):  # type: ignore[no-untyped-def, override]
        handle = super().call_later(1e6, callback, *args, context=context)
        self.set.append((self.now_s + delay, handle))
        return handle

    async def ring(self, early_s: float = 0.0) -> float:
        """Let the only timer that is set ring, so much too early; when it was due."""
        ((due_s, handle),) = [(due_s, handle) for due_s, handle in self.set if not handle.cancelled()]
        self.set.clear()
        self.now_s = due_s - early_s
        handle._run()
        handle.cancel()
        await let_others_run()
        return due_s


def test_an_earlier_deadline_sets_the_timer_again_and_the_later_one_still_rings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also behind a timer that rings a moment too early, as asyncio's may."""
    rung: list[float] = []

    async def life(loop: Played, waits: Deadlines) -> list[tuple[float, list[float]]]:
        monkeypatch.setattr(loop_waits, "monotonic_s", lambda: loop.now_s)

        async def wait(deadline_s: float) -> None:
            await waits.wait(loop.create_future(), deadline_s)
            rung.append(deadline_s)

        tasks = []
        for deadline_s in (102.0, 101.0):
            tasks.append(loop.create_task(wait(deadline_s)))
            await let_others_run()
        seen = [(await loop.ring(early_s), [*rung]) for early_s in (0.25, 0.0, 0.0)]
        await asyncio.gather(*tasks)
        return seen

    assert run(life, Played) == [(101.0, []), (101.0, [101.0]), (102.0, [101.0, 102.0])]


def test_a_cancelled_wait_is_forgotten() -> None:
    async def life(loop: Clocked, waits: Deadlines) -> int:
        task = loop.create_task(waits.wait(loop.create_future(), monotonic_s() + 60.0))
        await let_others_run()
        task.cancel()
        await asyncio.wait([task])
        return len(waits._waits)

    assert run(life) == 0
