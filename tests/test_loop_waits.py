"""Deadlines with deadlines behind one timer: each ends when it should, whatever the others do."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from actorcore.runtime.actor.loop_waits import Deadlines, let_others_run, wake
from actorcore.runtime.clock import monotonic_s


class Clocked(asyncio.SelectorEventLoop):
    """Counts its timers."""

    timers = 0

    def call_later(self, delay, callback, *args, context=None):  # type: ignore[no-untyped-def, override]
        self.timers += 1
        return super().call_later(delay, callback, *args, context=context)


def run(life: Callable[[Clocked, Deadlines], object]) -> object:
    loop = Clocked()
    try:
        return loop.run_until_complete(life(loop, Deadlines(loop)))  # type: ignore[arg-type, type-var]
    finally:
        loop.close()


def test_each_wait_ends_at_its_own_deadline_and_not_before() -> None:
    async def life(loop: Clocked, waits: Deadlines) -> list[float]:
        start_s = monotonic_s()

        async def late_by(delay_s: float) -> float:
            await waits.wait(loop.create_future(), start_s + delay_s)
            return monotonic_s() - start_s - delay_s

        return list(await asyncio.gather(*(late_by(delay_s) for delay_s in (0.03, 0.01, 0.02, 0.01))))

    late = run(life)
    assert isinstance(late, list)
    assert [by_s >= 0 for by_s in late] == [True] * 4


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


def test_an_earlier_deadline_sets_the_timer_again_and_the_later_one_still_rings() -> None:
    async def life(loop: Clocked, waits: Deadlines) -> tuple[list[float], int]:
        rung: list[float] = []

        async def ring(delay_s: float) -> None:
            await waits.wait(loop.create_future(), monotonic_s() + delay_s)
            rung.append(delay_s)

        later = loop.create_task(ring(0.02))
        await let_others_run()
        before = loop.timers
        earlier = loop.create_task(ring(0.001))
        await let_others_run()
        set_again = loop.timers - before
        await asyncio.gather(later, earlier)
        return sorted(rung), set_again

    assert run(life) == ([0.001, 0.02], 1)


def test_a_cancelled_wait_is_forgotten() -> None:
    async def life(loop: Clocked, waits: Deadlines) -> int:
        task = loop.create_task(waits.wait(loop.create_future(), monotonic_s() + 60.0))
        await let_others_run()
        task.cancel()
        await asyncio.wait([task])
        return len(waits._waits)

    assert run(life) == 0
