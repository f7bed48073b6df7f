"""The guardian's zygotes: one per template, replaced when it dies."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable, Iterator

from actorcore import faults
from actorcore.runtime import children, clock, sockets
from actorcore.runtime.guardian_keep import Mappings, say

PAUSE_S = 0.2
"""A zygote that died younger than this is replaced only after it."""


class Zygotes:
    """``announce`` is told of each new one: its template and our end of its socket."""

    def __init__(self, mappings: Mappings, announce: Callable[[str, socket.socket], None]) -> None:
        self._mappings = mappings
        self._announce = announce
        self._alive: dict[str, tuple[int, socket.socket]] = {}
        self._started_s: dict[str, float] = {}
        self._due_s: dict[str, float] = {}

    def start(self, template: str) -> None:
        """Start the zygote of ``template``."""
        self._due_s.pop(template, None)
        self._started_s[template] = clock.monotonic_s()
        ours, theirs = sockets.pair()
        argv = [sys.executable, "-P", "-m", "actorcore.runtime.zygote", template, str(os.getpid())]
        argv += [faults.plan] if faults.plan else []
        fds = [theirs.fileno(), self._mappings.status_fd, self._mappings.registry_fd]
        os_pid = children.spawn_program(argv, fds)
        theirs.close()
        self._alive[template] = (os_pid, ours)
        self._announce(template, ours)

    def start_due(self, now_s: float) -> None:
        """Start those whose pause is over."""
        for template in [name for name, at in self._due_s.items() if now_s >= at]:
            self.start(template)

    def deadlines(self) -> list[float]:
        """When :meth:`start_due` is due (monotonic seconds)."""
        return list(self._due_s.values())

    def os_pids(self) -> set[int]:
        return {os_pid for os_pid, _ in self._alive.values()}

    def sockets(self) -> Iterator[tuple[str, socket.socket]]:
        """Template and socket of each that lives."""
        return ((template, sock) for template, (_, sock) in self._alive.items())

    def kill(self, template: str) -> None:
        """End a stuck one; its successor gets the orders that wait."""
        if template in self._alive:
            children.kill(self._alive[template][0])

    def on_death(self, dead: int) -> bool:
        """Replace the one that had this OS pid; whether there was one."""
        for template, (os_pid, sock) in list(self._alive.items()):
            if os_pid == dead:
                say(f"zygote {template} died; replaced")
                sock.close()
                del self._alive[template]
                if clock.monotonic_s() - self._started_s[template] > PAUSE_S:
                    self.start(template)
                else:
                    self._due_s[template] = clock.monotonic_s() + PAUSE_S
                return True
        return False
