"""Birth: the first moments of an actor process, from the fork to its Begin, and how a waiting child makes itself fast.

A cold life is dear: every page that it writes to first is a fault (2 µs warm, 12 µs on fresh memory: LIMITS §1). So a
whole small life is played beforehand, over sockets of its own: in the zygote, until the interpreter's specialised code
and caches stand, and in a child that waits for its spec, which then owns the pages that every life writes to.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import signal
import socket
import sys
from typing import NoReturn

import msgspec

from actorcore.exit_reason import Reason
from actorcore.faults import point, unarmed
from actorcore.frames import Call, Cast, Downlink, decode_down, encoder
from actorcore.guardian_words import ForkOrder
from actorcore.runtime import output, shared_registry, sockets, syscalls
from actorcore.runtime.actor import code, lean
from actorcore.runtime.actor.intake import leave, running
from actorcore.runtime.children import NEWBORN_COMM
from actorcore.runtime.status_page import PAGE_BYTES, StatusPage
from actorcore.runtime.zygote import understudy
from actorcore.runtime.zygote.limits import apply_limits
from actorcore.signals import Begin, Born, Channel, ProcessSpec

CONTROL_FD = 3
REHEARSAL_FD = 100
"""Above whatever a zygote has open."""
REHEARSALS_OF_ZYGOTE = 50
"""Until no more code is specialised: CPython 3.11 does it between a function's 8th and its 60th run or so."""
REHEARSALS_OF_BLANK = 1

_NOTHING = msgspec.Raw(b"\xc0")
_CHANNEL = encoder.encode([Downlink(2, Channel(1, opens=False))])
_CALLS = encoder.encode([Call(1, _NOTHING), Call(2, _NOTHING)])
_CAST = encoder.encode([Cast(_NOTHING)])
_SEQPACKET = int(socket.SOCK_SEQPACKET)
_FD_BYTES = 4


class Nursery:
    """What a zygote prepares once for all its children."""

    def __init__(self, guardian_pid: int, status_fd: int, registry_fd: int, logs: str, imports: bool = True) -> None:
        """``imports``: its children import what they become, for nothing of the user's was preloaded."""
        self._guardian_pid = guardian_pid
        self._status_fd = status_fd
        self._registry = shared_registry.AttachedRegistry(registry_fd).reader
        self._logs = logs
        self._imports = imports
        # Where asyncio is there already, an understudy lives in a loop: that is what will be asked for.
        part = understudy.AsyncUnderstudy if "asyncio" in sys.modules else understudy.Understudy
        spec = ProcessSpec(f"{part.__module__}:{part.__name__}", [1])
        self._begin = encoder.encode([Downlink(1, Begin(2, 1, 0, spec, 0))])
        output.install()

    def live(self, control_fd: int, order: ForkOrder) -> NoReturn:
        """In the newborn child: detach from the zygote, announce itself, wait for Begin, become that actor."""
        try:
            point("birth.forked")
            # Its dup of the descriptor goes with all others in _take; the object lives until _exit and never closes anything.
            # A mapping by ctypes makes a type of its own, for which a newborn writes to seventy pages.
            page = memoryview(mmap.mmap(self._status_fd, PAGE_BYTES, offset=order.page * PAGE_BYTES))
            control = _take(control_fd, CONTROL_FD)
            os.setsid()
            self._bind()
            point("birth.detached")
            output.open_log(self._logs, order.serial)
            control.send(encoder.encode([Born(order.serial, os.getpid())]))
            point("birth.born")
            if order.blank and not sockets.has_bytes(control):
                self.rehearse(REHEARSALS_OF_BLANK, self._imports)
            begin = _await_begin(control)
            point("birth.begun")
            refusal = _apply(begin, f"actor {begin.serial}")
            lean.run(control, begin, page, self._registry, refusal)
        except BaseException:
            with contextlib.suppress(BaseException):
                sys.excepthook(*sys.exc_info())
        finally:
            os._exit(1)

    def rehearse(self, times: int, imports: bool = True) -> None:
        """Play the life of an understudy: what it does for the first time costs no later life anything.

        ``imports``: of a module, too, which costs a child 150 pages.
        """
        play = self._import_and_play if imports else self._play
        for _ in range(times):
            unarmed(play)

    def _import_and_play(self) -> None:
        code.import_anew(understudy)
        self._play()

    def _play(self) -> None:
        """What others say was written beforehand, over plain sockets: the pages of who writes and makes them are no life's."""
        node, control = socket.socketpair(socket.AF_UNIX, _SEQPACKET)
        peer, channel = socket.socketpair(socket.AF_UNIX, _SEQPACKET)
        node.send(self._begin)
        begin = _await_begin(control)
        _apply(begin, NEWBORN_COMM)
        status = StatusPage(memoryview(bytearray(PAGE_BYTES)))
        rights = channel.fileno().to_bytes(_FD_BYTES, sys.byteorder)
        node.sendmsg([_CHANNEL], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
        peer.send(_CALLS)
        peer.send(_CAST)
        lean.become(control, begin, status, self._registry, code.load(begin.spec.start))
        running().close()
        leave()
        for end in (node, peer, channel):
            end.close()

    def rehearse_births(self, times: int) -> None:
        """In the zygote: the steps from the fork to Born, with a socket to nobody."""
        for _ in range(times):
            mmap.mmap(self._status_fd, PAGE_BYTES).close()
            ends = sockets.pair()
            control = _take(ends[0].fileno(), REHEARSAL_FD)
            self._bind()
            control.send(encoder.encode([Born(1, os.getpid())]))
            for end in (control, *ends):
                end.close()

    def _bind(self) -> None:
        """Die with the guardian, and be the parent of all orphans below."""
        syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != self._guardian_pid:
            os._exit(1)
        syscalls.prctl(syscalls.PR_SET_CHILD_SUBREAPER, 1)


def _take(control_fd: int, place: int) -> socket.socket:
    """The control socket at descriptor ``place``, and nothing above it."""
    # Before anything else: a descriptor kept here would hide another process's end from its peer.
    os.dup2(control_fd, place, False)
    syscalls.close_from(place + 1)
    return socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, 0, place)


def _await_begin(control: socket.socket) -> Begin:
    (first,) = decode_down(sockets.await_datagram(control).data)
    if not isinstance(first.body, Begin):
        raise TypeError(f"{type(first.body).__name__} instead of Begin")
    return first.body


def _apply(begin: Begin, comm: str) -> Reason | None:
    """Name, environment, limits and a fresh random state: what differs between children of one zygote.

    The exit reason of a process that cannot have them.
    """
    syscalls.set_process_name(comm)
    if begin.spec.env:
        os.environ.update(begin.spec.env)
    if begin.spec.path:
        sys.path.insert(0, begin.spec.path)
    if "random" in sys.modules:
        sys.modules["random"].seed()
    trouble = apply_limits(begin.spec.limits)
    return None if trouble is None else {"limits": trouble}
