"""The performer: what the kernel decided, done with system calls. It decides nothing.

Every effect may be performed twice (by a node that dies and by its successor): frames carry a number, kills and registry
writes are idempotent, a fork is ordered again only after its socket has shown that nobody holds the other end.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
from collections.abc import Callable

from actorcore.frames import BATCH_MESSAGES, Downlink, encoder
from actorcore.guardian_words import Adopt, Drop, ForkOrder, Halt, Hold, Reload, ToGuardian, encoder as words
from actorcore.registry_writer import RegistryWriter
from actorcore.runtime import descriptors, evidence, log, sockets
from actorcore.runtime.listener import Listener
from actorcore.runtime.status_page import PAGE_BYTES, read_status
from actorcore.signals import (
    Answer,
    Begin,
    Channel,
    Connect,
    Deliver,
    Delivery,
    Effect,
    Event,
    Exit,
    Forget,
    Fork,
    ForkFailed,
    Kill,
    Look,
    NotConnected,
    Operate,
    Publish,
    Report,
    Retract,
    Undelivered,
)  # fmt: skip

_MAX_FRAME_BYTES = 48 << 10


class Handle:
    """One process, from the shell's side: its control socket, its pidfd once known, and what goes out this turn."""

    def __init__(self, control: socket.socket, pidfd: int = -1) -> None:
        self.control = control
        self.pidfd = pidfd
        self.outbox: list[Downlink] = []
        self.kill_with = 0

    def close(self) -> None:
        """Close both descriptors."""
        self.control.close()
        if self.pidfd >= 0:
            os.close(self.pidfd)


class Performer:
    """``watch``/``unwatch``/``jammed`` register a process's control socket with the pump, the last one for writing too;
    ``commit`` feeds an event back."""

    def __init__(
        self, guardian: socket.socket, registry: RegistryWriter, status: memoryview, listener: Listener,
        watch: Callable[[int, Handle], None], unwatch: Callable[[Handle], None], jammed: Callable[[int], None],
        commit: Callable[[Event], None],
    ) -> None:  # fmt: skip
        self._guardian = guardian
        self._registry = registry
        self._status = status
        self._listener = listener
        self._watch = watch
        self._unwatch = unwatch
        self._jammed = jammed
        self._commit = commit
        self.handles: dict[int, Handle] = {}
        self.zygotes: dict[str, socket.socket] = {}
        self._unsent: set[int] = set()
        self._newborn: set[int] = set()
        self._signalled: set[int] = set()
        self._reports: list[Report] = []
        self._forgotten: list[tuple[int, Handle | None]] = []
        self._is_early = False
        self._parked: dict[tuple[int, int], int] = {}
        self.looked: dict[int, float] = {}

    def perform(self, effects: list[Effect]) -> None:
        """Do all of it; frames, records of the log and goodbyes to the dead wait for :meth:`flush`."""
        for effect in effects:
            match effect:
                case Deliver(to, seq, body):
                    self._deliver(to, seq, body)
                case Fork():
                    self.fork(effect)
                case Kill(serial, signum):
                    self.kill(serial, signum)
                case Connect():
                    self._connect(effect)
                case Publish(name, serial):
                    self._registry.publish(name, serial)
                case Retract(name):
                    # At once, not with the frames: who hears DOWN must no longer find the name.
                    self._registry.retract(name)
                case Forget(serial, page):
                    self._forget(serial, page)
                case Look(pages):
                    self._look(pages)
                case Report():
                    self._reports.append(effect)
                case Operate(verb, number):
                    self.flush()  # who asked for the end hears that it was heard
                    self.tell_guardian(Reload(number) if verb == "reload" else Halt())
                case _:
                    raise AssertionError(f"unknown effect {effect!r}")

    def flush(self) -> None:
        """Send what waits, one datagram for many frames of one receiver."""
        self._signalled.clear()
        while self._unsent:
            serial = self._unsent.pop()
            handle = self.handles.get(serial)
            if handle is not None and handle.outbox:
                frames, handle.outbox = handle.outbox, []
                self._send_all(serial, handle, frames)
        self._listener.flush()
        # Behind the frames, which somebody waits for.
        for serial, handle in self._forgotten:
            if handle is not None:
                self._unwatch(handle)
                handle.close()
            self.tell_guardian(Drop(serial))
        self._forgotten.clear()
        for report in self._reports:
            log.report(report.kind, report.serial, report.detail)
        self._reports.clear()

    def tell_guardian(self, word: ToGuardian, fds: tuple[int, ...] = ()) -> None:
        """Say a word to the guardian; it always listens, so a full socket is waited for."""
        data = words.encode(word)
        while not sockets.send(self._guardian, data, fds):
            select.select([], [self._guardian], [], 1.0)

    def kill(self, serial: int, signum: int) -> None:
        """Signal through the pidfd, now or as soon as it is there."""
        handle = self.handles.get(serial)
        if handle is None:
            return
        if handle.pidfd < 0:
            handle.kill_with = signum
            return
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(handle.pidfd, signum)

    def adopted(self, serial: int, pidfd: int) -> None:
        """The guardian's pidfd has come."""
        handle = self.handles.get(serial)
        if handle is None or handle.pidfd >= 0:
            os.close(pidfd)
            return
        handle.pidfd = pidfd
        self._newborn.discard(serial)
        if handle.kill_with:
            self.kill(serial, handle.kill_with)

    def adopt(self, serial: int, os_pid: int) -> None:
        """Ask the guardian to keep a newborn. Said before Begin goes out: see children.sweep_orphans."""
        self.tell_guardian(Adopt(serial, os_pid))

    # ---- frames ---------------------------------------------------------------------------------------------------

    def _deliver(self, to: int, seq: int, body: Delivery) -> None:
        handle = self.handles.get(to)
        if isinstance(body, Answer):
            self._flush_signals()
        if handle is None:
            self._listener.deliver(to, Downlink(seq, body))
            return
        if isinstance(body, Exit):
            self._signalled.add(to)
        handle.outbox.append(Downlink(seq, body))
        self._unsent.add(to)
        if isinstance(body, Begin):  # alone in its datagram: birth reads exactly one
            self._flush_one(to, handle)

    def _flush_signals(self) -> None:
        """Exit signals leave before any answer: what their sender says to the same process afterwards is later."""
        self._is_early = True
        while self._signalled:
            serial = self._signalled.pop()
            if (handle := self.handles.get(serial)) is not None and handle.outbox:
                self._flush_one(serial, handle)
        self._is_early = False

    def _flush_one(self, to: int, handle: Handle) -> None:
        self._unsent.discard(to)
        frames, handle.outbox = handle.outbox, []
        self._send_all(to, handle, frames)

    def _send_all(self, serial: int, handle: Handle, frames: list[Downlink]) -> None:
        at = 0
        while at < len(frames):
            batch = frames[at : at + BATCH_MESSAGES]
            fds: tuple[int, ...] = ()
            parked = [i for i, frame in enumerate(batch) if isinstance(frame.body, Channel)]
            if parked:  # a descriptor travels only with a datagram of one message
                batch = batch[: parked[0]] or batch[:1]
                if isinstance(batch[0].body, Channel):
                    fd = self._parked.get((serial, batch[0].seq))
                    fds = () if fd is None else (fd,)
            data = encoder.encode(batch)
            while len(data) > _MAX_FRAME_BYTES and len(batch) > 1:
                batch = batch[: len(batch) // 2]
                data = encoder.encode(batch)
            try:
                if not sockets.send(handle.control, data, fds):
                    self._jam(serial, frames[at:])
                    return
            except sockets.PeerGone:
                self._unpark(serial, frames[at:])
                return  # its death is told by the guardian
            self._unpark(serial, batch)
            at += len(batch)

    def _jam(self, serial: int, frames: list[Downlink]) -> None:
        if self._is_early:  # later effects of this event may speak to it too, so it is for flush to find it full
            self.handles[serial].outbox = frames
            self._unsent.add(serial)
            return
        self._jammed(serial)
        for frame in frames:
            self._commit(Undelivered(serial, frame.seq, frame.body))

    def _unpark(self, serial: int, frames: list[Downlink]) -> None:
        for frame in frames:
            fd = self._parked.pop((serial, frame.seq), None)
            if fd is not None:
                os.close(fd)

    def _connect(self, effect: Connect) -> None:
        try:
            for_a, for_b = sockets.pair()
        except OSError as error:
            self._commit(NotConnected(effect.a, effect.b, evidence.errno_name(error.errno or 0)))
            return
        self._channel(effect.a, effect.a_seq, effect.b, for_a)
        self._channel(effect.b, effect.b_seq, effect.a, for_b)

    def _channel(self, to: int, seq: int, peer: int, end: socket.socket) -> None:
        if to in self.handles:
            self._parked[to, seq] = end.detach()
            self._deliver(to, seq, Channel(peer))
        else:
            self._listener.deliver(to, Downlink(seq, Channel(peer)), end.detach())

    # ---- life and death -------------------------------------------------------------------------------------------

    def fork(self, order: Fork) -> None:
        """Order a fork, with a new control socket; also again, when nobody holds the other end of an earlier one."""
        serial = order.serial
        try:
            parent_end, child_end = sockets.pair()
        except OSError as error:
            self._commit(ForkFailed(serial, evidence.errno_name(error.errno or 0)))
            return
        if descriptors.is_last(child_end.fileno(), len(self._newborn)):
            parent_end.close()
            child_end.close()
            self._commit(ForkFailed(serial, "emfile"))
            return
        # The guardian keeps our end before anybody can hold the other one.
        self.tell_guardian(Hold(serial), (parent_end.fileno(),))
        old = self.handles.pop(serial, None)
        if old is not None:
            self._unwatch(old)
            old.close()
        handle = self.handles[serial] = Handle(parent_end)
        self._newborn.add(serial)
        self._watch(serial, handle)
        zygote = self.zygotes.get(order.template)
        data = words.encode(ForkOrder(serial, order.page, order.blank))
        with child_end:
            if zygote is not None:
                with contextlib.suppress(sockets.PeerGone):  # the next zygote gets the order again
                    while not sockets.send(zygote, data, (child_end.fileno(),)):
                        select.select([], [zygote], [], 1.0)

    def _forget(self, serial: int, page: int) -> None:
        self._newborn.discard(serial)
        handle = self.handles.pop(serial, None)
        if handle is not None:
            self._unpark(serial, handle.outbox)
        for key in [key for key in self._parked if key[0] == serial]:
            os.close(self._parked.pop(key))
        if page >= 0:  # at once: a fork of this very turn may have it again
            self._page(page)[:] = bytes(PAGE_BYTES)
        self._forgotten.append((serial, handle))

    def _look(self, pages: dict[int, int]) -> None:
        # Told at the end of the turn: an event handled among the effects of another would number its frames too early.
        for serial, page in pages.items():
            self.looked[serial] = read_status(self._page(page)).busy_since_ns / 1e9

    def _page(self, page: int) -> memoryview:
        return self._status[page * PAGE_BYTES : (page + 1) * PAGE_BYTES]


