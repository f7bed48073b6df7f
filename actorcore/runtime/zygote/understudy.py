"""Understudies: what a zygote and a waiting child play beforehand. Imported anew each time, as the user's modules are."""

from __future__ import annotations

from actorcore.gen_server import GenServer, Reply, Result, Stop
from actorcore.mailbox import From


class Understudy(GenServer):
    """Answers calls and ends with the first cast."""

    def init(self, *args: object) -> None:
        self.calls_taken = 0

    def handle_call(self, request: object, frm: From) -> Result:
        self.calls_taken += 1
        return Reply(request)

    def handle_cast(self, request: object) -> Result:
        return Stop()


class AsyncUnderstudy(Understudy):
    """The same in a loop."""

    async def handle_call(self, request: object, frm: From) -> Result:  # type: ignore[override]
        return super().handle_call(request, frm)
