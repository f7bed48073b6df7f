"""What the guardian keeps: the memory, the processes, its ends to node and spare; and how a fork becomes a node."""

from __future__ import annotations

import importlib
import os
import signal
import socket
import sys
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from actorcore.guardian_words import Died, ToNode, encoder
from actorcore.runtime import sockets, syscalls

IGNORED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
"""A node does not hear these: they are the guardian's, which passes them on as words."""


@dataclass
class Mappings:
    """What the node inherits by fork: writable views, made before the memfds were sealed."""

    ledger: memoryview
    registry: memoryview
    status: memoryview
    registry_fd: int
    status_fd: int
    stamp_ns: Callable[[], int]


@dataclass
class Kept:
    """One process of the table, as the guardian keeps it."""

    control: socket.socket
    os_pid: int = 0
    pidfd: int = -1
    stopped: bool = False
    died: Died | None = None

    def close(self) -> None:
        self.control.close()
        if self.pidfd >= 0:
            os.close(self.pidfd)


@dataclass
class Link:
    """The guardian's end to a node or spare, with what could not be sent yet."""

    os_pid: int
    sock: socket.socket
    ready: bool = False
    waiting: deque[tuple[bytes, tuple[int, ...]]] = field(default_factory=deque)

    def say(self, word: ToNode, fds: Sequence[int] = ()) -> None:
        self.waiting.append((encoder.encode(word), tuple(fds)))
        self.flush()

    def flush(self) -> None:
        try:
            while self.waiting and sockets.send(self.sock, *self.waiting[0]):
                self.waiting.popleft()
        except sockets.PeerGone:
            self.waiting.clear()  # its death arrives by waitid; the successor is told everything again


def become_node(entry: str, control: socket.socket, mappings: Mappings, guardian_pid: int) -> None:
    """In the forked child: keep the control socket and the mappings, nothing else; never return."""
    status = 1
    try:
        os.dup2(control.fileno(), 3, inheritable=False)
        syscalls.close_from(4)
        control = socket.socket(fileno=3)
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        for number in IGNORED:
            signal.signal(number, signal.SIG_IGN)
        os.setsid()
        syscalls.prctl(syscalls.PR_SET_CHILD_SUBREAPER, 0)
        syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() == guardian_pid:
            syscalls.set_process_name("actor-node")
            module, _, name = entry.partition(":")
            getattr(importlib.import_module(module), name)(control, mappings.ledger, mappings.registry, mappings.status)
            status = 0
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(status)


def say(text: str) -> None:
    """One line to the log; the guardian logs so rarely that it needs no more."""
    os.write(2, f"guardian: {text}\n".encode())
