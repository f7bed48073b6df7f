"""The lean process: the API of whoever runs inside, with blocking waits; each of them reads on while it waits."""

from __future__ import annotations

from _thread import get_ident
from collections.abc import Callable

from actorcore.behaviour import is_async
from actorcore.deadline import deadline_of
from actorcore.exit_reason import Term
from actorcore.mailbox import Event, Item, Raw, invalid_message
from actorcore.runtime.actor import code
from actorcore.runtime.actor.intake import FINISH_S, running
from actorcore.runtime.actor.messaging import Messaging
from actorcore.runtime.clock import monotonic_ns, monotonic_s
from actorcore.runtime.status_page import BUSY, HANDLED, WAITING


class Process(Messaging):
    """The running process. Bound to its OS process and thread: elsewhere its methods raise RuntimeError."""

    def next_item(self, deadline_s: float | None) -> Item | None:
        """The next undecoded message, waiting until ``deadline_s``; None when it passed."""
        items = self.mailbox.items
        begins = True
        while not items:
            now_s = monotonic_s()
            until_s = self._adoption.look(now_s, begins, deadline_s)
            begins = False
            if not self.pump(until_s, None, now_s) and deadline_s is not None and monotonic_s() >= deadline_s:
                return None
        return items.popleft()

    def receive(self, timeout_s: float | None = None) -> Event | None:
        """The next event of a plain function process; None after ``timeout_s``. Undecodable messages are refused."""
        if get_ident() != self._home:
            self._stay_home()
        deadline_s = deadline_of(timeout_s, monotonic_s())
        items, status = self.mailbox.items, self.status
        while True:
            if items:
                item: Item | None = items.popleft()
                words = status.words
                words[BUSY] = monotonic_ns()
                words[WAITING] = len(items)
                words[HANDLED] = status.handled
            else:
                status.idle()
                try:
                    item = self.next_item(deadline_s)
                finally:
                    status.busy(monotonic_ns(), len(items))
            if item is None:
                return None
            event = self.event_of(item)
            if event is not None:
                status.handled += 1
                return event
            self.refuse(item)

    def renew(self, module: str, kind: type) -> tuple[type, Term, Callable[[], None]]:
        """See Host; raises TypeError for a class that needs a loop."""
        found, version, go_back = code.renew(module, kind)
        if is_async(found):
            go_back()
            raise TypeError(f"{found.__qualname__} needs a loop, and this process has none")
        return found, version, go_back

    def refuse(self, item: Item) -> None:
        """Tell the sender of a call that its message does not decode; other messages are dropped."""
        reply = invalid_message(item)
        if reply is not None and isinstance(item, Raw):
            self._post_now(item.frm, reply)

    def finish(self) -> None:
        """Before the end: let introductions and queues leave, at most 1 s."""
        deadline_s = monotonic_s() + FINISH_S
        self._batching = False
        while not self.is_flushed() and monotonic_s() < deadline_s:
            self._peers.flush_all()
            self.pump(deadline_s)

    def demonitor(self, ref: int, flush: bool = True) -> bool:
        """End a monitor; ``flush`` takes out a DOWN that has come already. Whether the monitor still existed."""
        existed = self.demonitor_only(ref)
        if flush:
            self.mailbox.take_down(ref)
        return existed


def current() -> Process:
    """The process that this code runs in.

    :raises RuntimeError: it runs in none, or in one with ``async def`` callbacks.
    """
    process = running()
    if not isinstance(process, Process):
        raise RuntimeError("an async process; see actorcore.runtime.actor.async_process")
    return process
