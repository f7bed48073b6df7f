"""Birth: the first moments of an actor process, from the fork to its Begin."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import socket
import sys
from typing import NoReturn

from actorcore.frames import decode_down, encoder
from actorcore.guardian_words import ForkOrder
from actorcore.runtime import lean, memory, shared_registry, sockets, syscalls
from actorcore.runtime.status_page import PAGE_BYTES
from actorcore.signals import Begin, Born

CONTROL_FD = 3


class Nursery:
    """What a zygote prepares once for all its children."""

    def __init__(self, template: str, guardian_pid: int, status_fd: int, registry_fd: int) -> None:
        self._template = template
        self._guardian_pid = guardian_pid
        self._status_fd = status_fd
        self._registry = shared_registry.AttachedRegistry(registry_fd).reader

    def live(self, control_fd: int, order: ForkOrder) -> NoReturn:
        """In the newborn child: detach from the zygote, announce itself, wait for Begin, become that actor."""
        try:
            page = memory.map_shared(self._status_fd, PAGE_BYTES, writable=True, offset=order.page * PAGE_BYTES)
            control = self._detach(control_fd)
            control.send(encoder.encode([Born(order.serial, os.getpid())]))
            begin = _await_begin(control)
            _apply(begin)
            lean.run(control, begin, page, self._registry.lookup)
        except BaseException:
            with contextlib.suppress(BaseException):
                sys.excepthook(*sys.exc_info())
        finally:
            os._exit(1)

    def _detach(self, control_fd: int) -> socket.socket:
        # Before anything else: a descriptor kept here would hide another process's end from its peer.
        os.dup2(control_fd, CONTROL_FD, inheritable=False)
        syscalls.close_from(CONTROL_FD + 1)
        os.setsid()
        syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != self._guardian_pid:
            os._exit(1)
        syscalls.prctl(syscalls.PR_SET_CHILD_SUBREAPER, 1)
        syscalls.prctl(syscalls.PR_SET_NO_NEW_PRIVS, 1)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        return socket.socket(fileno=CONTROL_FD)


def _await_begin(control: socket.socket) -> Begin:
    (first,) = decode_down(sockets.await_datagram(control).data)
    if not isinstance(first.body, Begin):
        raise TypeError(f"{type(first.body).__name__} instead of Begin")
    return first.body


def _apply(begin: Begin) -> None:
    """Name, environment, limits and a fresh random state: what differs between children of one zygote."""
    syscalls.set_process_name(f"actor {begin.serial}")
    os.environ.update(begin.spec.env)
    if begin.spec.path:
        sys.path.insert(0, begin.spec.path)
    for name, value in begin.spec.limits.items():
        resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (value, value))
    if "random" in sys.modules:
        sys.modules["random"].seed()
