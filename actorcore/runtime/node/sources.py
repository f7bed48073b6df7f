"""Sources: the descriptors that the node waits for, and who is called when something comes there (epoll(7))."""

from __future__ import annotations

import select
from collections.abc import Callable


class Sources:
    """Level-triggered: what was not read is told again."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._handlers: dict[int, Callable[[int], None]] = {}

    def add(self, fd: int, handler: Callable[[int], None]) -> None:
        """Call ``handler`` with the mask of what came, from now on."""
        self._handlers[fd] = handler
        self._epoll.register(fd, select.EPOLLIN)

    def remove(self, fd: int) -> None:
        """Before it is closed; nothing happens when it is not there."""
        if self._handlers.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def knows(self, fd: int) -> bool:
        """Whether it was added and not removed."""
        return fd in self._handlers

    def want_writable(self, fd: int, is_wanted: bool = True) -> None:
        """Call its handler also when it can be written to, or no longer; nothing happens when it is not there."""
        if fd in self._handlers:
            self._epoll.modify(fd, select.EPOLLIN | (select.EPOLLOUT if is_wanted else 0))

    def dispatch(self, patience_s: float) -> bool:
        """Wait no longer than that, and call who has something; whether anybody had. A handler may remove others."""
        events = self._epoll.poll(patience_s)
        for fd, mask in events:
            handler = self._handlers.get(fd)
            if handler is not None:
                handler(mask)
        return bool(events)
