"""What tells which descriptors are ready: the part of select.epoll's face that an event loop can have as well."""

from __future__ import annotations

from typing import Protocol


class Poller(Protocol):
    """See select.epoll; masks are made of EPOLLIN and EPOLLOUT."""

    def register(self, fd: int, eventmask: int, /) -> None: ...

    def modify(self, fd: int, eventmask: int, /) -> None: ...

    def unregister(self, fd: int, /) -> None: ...

    def close(self) -> None: ...
