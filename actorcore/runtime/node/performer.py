"""The performer: what the kernel decided, done with system calls. It decides nothing.

Every effect may be performed twice (by a node that dies and by its successor): frames carry a number, kills and registry
writes are idempotent, a fork is ordered again only after its socket has shown that nobody holds the other end.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from collections.abc import Callable, Iterator

from actorcore.effects import (
    Connect,
    Deliver,
    Effect,
    Forget,
    Fork,
    Inspect,
    Kill,
    Look,
    Operate,
    Publish,
    PublishMany,
    Report,
    Retract,
)
from actorcore.faults import point
from actorcore.frames import BATCH_MESSAGES, Downlink, encoder
from actorcore.guardian_words import Adopt, Drop, Halt, Hold, Reload
from actorcore.registry_writer import RegistryWriter
from actorcore.runtime import clock, descriptors, evidence, log, sockets
from actorcore.runtime.node.listener import Listener
from actorcore.runtime.node.process_logs import ProcessLogs
from actorcore.runtime.node.sources import Sources
from actorcore.runtime.node.telling import tell
from actorcore.runtime.node.zygotes import Zygotes
from actorcore.runtime.status_page import PAGE_BYTES, read_status
from actorcore.signals import Begin, Channel, Delivery, Event, ForkFailed, Inspected, Looked, NotConnected, Undelivered

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
    """``hear`` is called with a process's serial, its handle and the mask of what came there; ``commit`` feeds an event back."""

    def __init__(
        self, guardian: socket.socket, registry: RegistryWriter, status: memoryview, listener: Listener, zygotes: Zygotes,
        logs: ProcessLogs, sources: Sources, hear: Callable[[int, Handle, int], None], commit: Callable[[Event], None],
    ) -> None:  # fmt: skip
        self._guardian = guardian
        self._registry = registry
        self._status = status
        self._listener = listener
        self._zygotes = zygotes
        self._logs = logs
        self._sources = sources
        self._hear = hear
        self._commit = commit
        self.handles: dict[int, Handle] = {}
        self._unsent: dict[int, None] = {}
        self._newborn: set[int] = set()
        self._reports: list[tuple[float, Report]] = []
        self._forgotten: list[int] = []
        self._looked: dict[int, float] = {}
        self._inspected: list[Inspected] = []

    def handle_of(self, serial: int) -> Handle | None:
        """None: it has none, or no more."""
        return self.handles.get(serial)

    def keep(self, serial: int, handle: Handle) -> None:
        """The handle of process ``serial`` from now on."""
        self.handles[serial] = handle
        self._sources.add(handle.control.fileno(), lambda mask: self._hear(serial, handle, mask))

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
                case Publish(name, serial, value):
                    point("node.publish")
                    self._registry.publish(name, serial, value)
                    point("node.published")
                case PublishMany(entries):
                    values = {entry.name: entry.value for entry in entries}
                    self._registry.apply([(entry.name, entry.serial) for entry in entries], values)
                case Retract(name):
                    # At once, not with the frames: who hears DOWN must no longer find the name.
                    self._registry.retract(name)
                case Forget(serial, page):
                    self._forget(serial, page)
                case Look(pages):
                    self._look(pages)
                case Inspect(by, pages):
                    self._inspected.append(Inspected(by, {serial: self._seen(page) for serial, page in pages.items()}))
                case Report():
                    self._reports.append((clock.monotonic_s(), effect))  # when, not when there was time to write it
                case Operate("renew", _, template):
                    self._zygotes.renew(template)
                case Operate(verb, number):
                    self.flush()  # who asked for the end hears that it was heard
                    tell(self._guardian, Reload(number) if verb == "reload" else Halt())
                case _:
                    raise AssertionError(f"unknown effect {effect!r}")

    def flush(self) -> None:
        """Send what waits, one datagram for many frames of one receiver."""
        while self._unsent:
            # In the order in which they were decided: a shutdown asks those first that were started last.
            waiting, self._unsent = self._unsent, {}
            for serial in waiting:
                handle = self.handles.get(serial)
                if handle is not None and not self._send_outbox(handle):
                    self._jam(serial, handle)
        self._listener.flush()
        # Behind the frames, which somebody waits for.
        for serial in self._forgotten:
            self._listener.end(serial)
            tell(self._guardian, Drop(serial))
            self._logs.ended(serial)
        self._forgotten.clear()
        if self._reports:
            log.report_all((report.kind, report.serial, report.detail, at_s) for at_s, report in self._reports)
            self._reports.clear()

    def findings(self) -> Iterator[Event]:
        """What :class:`Look` and :class:`Inspect` have found since, for the end of the turn."""
        if self._looked:
            looked, self._looked = self._looked, {}
            yield Looked(looked)
        while self._inspected:
            yield self._inspected.pop(0)

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
        """Ask the guardian to keep a newborn. Said before Begin goes out: see children.Orphans."""
        tell(self._guardian, Adopt(serial, os_pid))

    # ---- frames ---------------------------------------------------------------------------------------------------

    def _deliver(self, to: int, seq: int, body: Delivery) -> None:
        handle = self.handles.get(to)
        if handle is None:
            self._listener.deliver(to, Downlink(seq, body))
            return
        handle.outbox.append(Downlink(seq, body))
        self._unsent[to] = None
        if isinstance(body, Begin):  # alone in its datagram: birth reads exactly one
            self._send_outbox(handle)

    def _send_outbox(self, handle: Handle) -> bool:
        """Send what the socket takes; False when it is full: the rest stays, for flush to find."""
        while handle.outbox:
            batch = handle.outbox[:BATCH_MESSAGES]
            if any(isinstance(frame.body, Channel) for frame in batch):
                return False  # its pair was closed when the socket was full: the kernel has another made
            data = encoder.encode(batch)
            while len(data) > _MAX_FRAME_BYTES and len(batch) > 1:
                batch = batch[: len(batch) // 2]
                data = encoder.encode(batch)
            try:
                if not sockets.send(handle.control, data):
                    return False
            except sockets.PeerGone:
                handle.outbox.clear()  # its death is told by the guardian
                return True
            del handle.outbox[: len(batch)]
        return True

    def want_writable(self, handle: Handle) -> None:
        """Have ``hear`` called when its socket takes something again."""
        self._sources.want_writable(handle.control.fileno())

    def _jam(self, serial: int, handle: Handle) -> None:
        frames, handle.outbox = handle.outbox, []
        self.want_writable(handle)
        for frame in frames:
            self._commit(Undelivered(serial, frame.seq, frame.body))

    def _connect(self, effect: Connect) -> None:
        """Whoever opens the channel gets its end last: the other one is beyond the reach of our death by then."""
        try:
            opening, waiting = sockets.pair()
        except OSError as error:
            self._commit(NotConnected(effect.a, effect.b, evidence.errno_name(error.errno or 0)))
            return
        with opening, waiting:
            if self._announce(effect.b, effect.b_seq, Channel(effect.a, False), waiting):
                self._announce(effect.a, effect.a_seq, Channel(effect.b, True), opening)

    def _announce(self, to: int, seq: int, body: Channel, end: socket.socket) -> bool:
        """Hand out one end of a channel, behind all that waits for ``to``; whether that was possible."""
        handle, frame = self.handles.get(to), Downlink(seq, body)
        if handle is None:
            deliver = self._listener.deliver if body.opens else self._listener.deliver_now
            return deliver(to, frame, end.detach())
        if self._send_outbox(handle):
            try:
                if sockets.send(handle.control, encoder.encode([frame]), (end.fileno(),)):
                    return True
            except sockets.PeerGone:
                return False
        handle.outbox.append(frame)
        self._unsent[to] = None
        return False

    # ---- life and death -------------------------------------------------------------------------------------------

    def fork(self, order: Fork) -> None:
        """Order a fork, with a new control socket."""
        serial = order.serial
        point("node.fork")
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
        tell(self._guardian, Hold(serial), (parent_end.fileno(),))
        point("node.held")
        old = self.handles.pop(serial, None)
        if old is not None:
            self._close(old)
        self.keep(serial, Handle(parent_end))
        self._newborn.add(serial)
        with child_end:
            try:
                self._zygotes.order(order, child_end, clock.monotonic_s())
            except OSError as error:
                self._commit(ForkFailed(serial, evidence.errno_name(error.errno or 0)))
        point("node.ordered")

    def fork_again(self, order: Fork) -> None:
        """Unless somebody holds the other end of the earlier socket: it is under way, or born and about to be heard."""
        handle = self.handles.get(order.serial)
        if handle is None or evidence.is_abandoned(handle.control):
            log.report("forked_again", order.serial)
            self.fork(order)

    def _close(self, handle: Handle) -> None:
        self._sources.remove(handle.control.fileno())
        handle.close()

    def _forget(self, serial: int, page: int) -> None:
        self._newborn.discard(serial)
        self._zygotes.settled(serial, clock.monotonic_s())
        handle = self.handles.pop(serial, None)
        if handle is not None:
            self._close(handle)
        if page >= 0:  # at once: a fork of this very turn may have it again
            self.page(page)[:] = bytes(PAGE_BYTES)
        self._forgotten.append(serial)

    def _look(self, pages: dict[int, int]) -> None:
        # Told at the end of the turn: an event handled among the effects of another would number its frames too early.
        for serial, page in pages.items():
            self._looked[serial] = read_status(self.page(page)).busy_since_ns / 1e9

    def _seen(self, page: int) -> tuple[float, int]:
        status = read_status(self.page(page))
        return status.busy_since_ns / 1e9, status.handled

    def page(self, page: int) -> memoryview:
        """The status page of that number."""
        return self._status[page * PAGE_BYTES : (page + 1) * PAGE_BYTES]
