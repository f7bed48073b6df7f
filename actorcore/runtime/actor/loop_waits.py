"""Waiting in a loop: futures that are woken, turns that are given, and deadlines."""

from __future__ import annotations

import asyncio
import math
from typing import Any

from actorcore.frames import Reply
from actorcore.mailbox import Dead, Refusal, Waiting
from actorcore.runtime.clock import monotonic_s


def wake(future: asyncio.Future[Any]) -> None:
    """Let go on who waits for ``future``, with None as the result."""
    if not future.done():
        future.set_result(None)


def wake_all(waiting: list[asyncio.Future[None]]) -> None:
    """Each of them; the list is empty afterwards."""
    for future in waiting:
        wake(future)
    waiting.clear()


class AwaitedCall(Waiting, kw_only=True, eq=False):
    """A call under way whose outcome wakes a task."""

    done: asyncio.Future[None]

    def settle(self, outcome: Reply | Refusal | Dead) -> None:
        self.outcome = outcome
        if not self.done.done():
            self.done.set_result(None)


class _Turn:
    def __await__(self) -> Any:
        yield


def let_others_run() -> _Turn:
    """Let the other tasks of the loop run first."""
    return _Turn()


class Deadlines:
    """One timer of the loop for all waits, which costs each of them less than a timer of its own."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waits: dict[asyncio.Future[Any], float] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._rings_s = math.inf

    async def wait(self, future: asyncio.Future[Any], deadline_s: float | None) -> None:
        """Until ``future`` is done; when the deadline (None: no bound) has passed it is woken."""
        if deadline_s is None:
            await future
            return
        self._waits[future] = deadline_s
        if deadline_s < self._rings_s:
            self._set(deadline_s)
        try:
            await future
        finally:
            del self._waits[future]

    def _set(self, at_s: float) -> None:
        """It stays when its wait is over, and then rings for nobody."""
        if self._timer is not None:
            self._timer.cancel()
        self._rings_s = at_s
        self._timer = self._loop.call_later(max(0.0, at_s - monotonic_s()), self._ring)

    def _ring(self) -> None:
        now_s = monotonic_s()
        self._timer, self._rings_s = None, math.inf
        for future, deadline_s in self._waits.items():
            if deadline_s <= now_s:
                wake(future)
        left = [deadline_s for future, deadline_s in self._waits.items() if not future.done()]
        if left:
            self._set(min(left))
