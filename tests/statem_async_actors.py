"""The state machines of statem_actors in a loop: one ``async def`` callback is enough."""

from __future__ import annotations

from actorcore.exit_reason import Reason
from actorcore.gen_statem import AsyncGenStatem, Event, InitResult, Result
from actorcore.pids import Pid
from tests import statem_actors
from tests.statem_actors import INSTANCE, TESTER


class Lock(statem_actors.Lock):
    def init(self, how: object = "ok", open_s: float = 0.01) -> InitResult:
        self._words: list[list[object]] = []
        return super().init(how, open_s)

    def tell(self, *words: object) -> None:
        self._words.append(list(words))

    async def _say(self) -> None:
        while self._words:
            await self.process.send(Pid(INSTANCE, TESTER), self._words.pop(0))  # type: ignore[func-returns-value, misc]

    async def locked(self, event: Event) -> Result:  # type: ignore[override]
        result = super().locked(event)
        await self._say()
        return result

    async def open(self, event: Event) -> Result:  # type: ignore[override]
        result = super().open(event)
        await self._say()
        return result

    async def terminate(self, reason: Reason) -> None:  # type: ignore[override]
        super().terminate(reason)
        await self._say()


class Counter(AsyncGenStatem, statem_actors.Counter):
    async def handle_event(self, event: Event, state: int) -> Result:  # type: ignore[override]
        return statem_actors.Counter.handle_event(self, event, state)
