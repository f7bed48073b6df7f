"""An event loop as the poller of a process."""

from __future__ import annotations

import asyncio
import select
from collections.abc import Callable


class LoopPoller:
    """Registers with ``loop`` from :meth:`attach` on; ``ready(fd, mask)`` is called with EPOLLIN or EPOLLOUT."""

    def __init__(self) -> None:
        self._masks: dict[int, int] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ready: Callable[[int, int], None]

    def attach(self, loop: asyncio.AbstractEventLoop, ready: Callable[[int, int], None]) -> None:
        masks, self._masks = self._masks, {}
        self._loop, self._ready = loop, ready
        for fd, mask in masks.items():
            self.register(fd, mask)

    def register(self, fd: int, eventmask: int, /) -> None:
        self._masks[fd] = 0
        self.modify(fd, eventmask)

    def modify(self, fd: int, eventmask: int, /) -> None:
        changed = self._masks[fd] ^ eventmask
        self._masks[fd] = eventmask
        loop = self._loop
        if loop is None:
            return
        if changed & select.EPOLLIN:
            if eventmask & select.EPOLLIN:
                loop.add_reader(fd, self._ready, fd, select.EPOLLIN)
            else:
                loop.remove_reader(fd)
        if changed & select.EPOLLOUT:
            if eventmask & select.EPOLLOUT:
                loop.add_writer(fd, self._ready, fd, select.EPOLLOUT)
            else:
                loop.remove_writer(fd)

    def unregister(self, fd: int, /) -> None:
        self.modify(fd, 0)
        del self._masks[fd]

    def close(self) -> None:
        """Forget all, without a word to the loop: it may be that of the process of which this is a forked half."""
        self._masks.clear()
        self._loop = None
