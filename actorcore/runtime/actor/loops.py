"""Event loops: uvloop's, also in children of a zygote that has warmed it.

libuv locks its signal handling with a pipe of its own (uv/src/unix/signal.c) and makes another one in a forked child, in a
handler that only fork(3) of libc calls. Ours is a bare clone(2), and a newborn closes what it has inherited: libuv would
take what is opened next under these numbers for its lock, and abort. So a child puts a new pipe in their place first.
"""

from __future__ import annotations

import asyncio
import os

import uvloop


class Loops:
    """Makes loops, one at a time in a process. ``lock``: the descriptors of libuv's pipe, once a loop has been warmed."""

    def __init__(self) -> None:
        self.lock: tuple[int, ...] = ()
        self._warmed_in = 0
        self._locked_in = 0
        self._is_known = True

    def warm(self) -> None:
        """In a zygote: what is done for the first loop need not be done in its children."""
        before = _descriptors()
        loop = uvloop.new_event_loop()
        loop.run_until_complete(_nothing())
        loop.close()
        left = {fd: link for fd, link in _descriptors().items() if fd not in before}
        self.lock = tuple(sorted(left))
        self._warmed_in = self._locked_in = os.getpid()
        # Of another libuv nobody knows what it keeps over a fork; asyncio's own loop keeps nothing.
        self._is_known = len(left) == 2 and len(set(left.values())) == 1 and "pipe:" in min(left.values())

    def new(self) -> asyncio.AbstractEventLoop:
        """A loop of this process."""
        if not self._is_known:
            return asyncio.new_event_loop()
        if self.lock and self._locked_in != os.getpid():
            self._make_lock()
        return uvloop.new_event_loop()

    def close(self, loop: asyncio.AbstractEventLoop) -> None:
        """Close it, with what was opened for it."""
        loop.close()
        if self.lock and self._locked_in == os.getpid() != self._warmed_in:
            self._locked_in = 0
            for fd in self.lock:
                os.close(fd)

    def _make_lock(self) -> None:
        """The pipe in its place, with the one byte in it that means unlocked."""
        ends = os.pipe()
        above = max(*self.lock, *ends) + 1
        moved = [os.dup2(end, above + at, False) for at, end in enumerate(ends)]
        for end in ends:
            os.close(end)
        for end, place in zip(moved, self.lock, strict=True):
            os.dup2(end, place, False)
            os.close(end)
        os.write(self.lock[1], b"*")
        self._locked_in = os.getpid()


async def _nothing() -> None:
    pass


def _descriptors() -> dict[int, str]:
    """What is open, by number."""
    found: dict[int, str] = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            found[int(name)] = os.readlink(f"/proc/self/fd/{name}")
        except FileNotFoundError:  # that of the listing itself
            continue
    return found


loops = Loops()
