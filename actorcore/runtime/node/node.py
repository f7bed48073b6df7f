"""The node: the pump around the kernel. It may be killed at any instruction; a successor continues from the ledger.

One turn: read events, append each to the ledger *before* it is handled and take it off its socket *after* that, perform
the effects, send what waits, mark all of it performed. So every event is handled exactly once, every effect at least once.
"""

from __future__ import annotations

import gc
import os
import select
import signal
import socket
from collections.abc import Callable, Sequence

from actorcore import guardian_words as words, migrations
from actorcore.effects import Effect
from actorcore.errors import ProtocolError
from actorcore.faults import point
from actorcore.frames import Got, Numbered, Uplink, decode_up, encoder
from actorcore.kernel import Kernel
from actorcore.ledger import LedgerFull
from actorcore.registry_writer import RegistryWriter
from actorcore.runtime import clock, log, sockets
from actorcore.runtime.evidence import closed_it_alive
from actorcore.runtime.node.facts import NodeFacts
from actorcore.runtime.node.handover import HANDOVER_FDS, HandOver, await_turn
from actorcore.runtime.node.listener import Listener
from actorcore.runtime.node.performer import Handle, Performer
from actorcore.runtime.node.pools import Pools
from actorcore.runtime.node.process_logs import ProcessLogs
from actorcore.runtime.node.reception import Reception
from actorcore.runtime.node.recovery import recover, rehearse
from actorcore.runtime.node.replay import QUIET_S, is_due
from actorcore.runtime.node.sources import Sources
from actorcore.runtime.node.telling import tell
from actorcore.runtime.node.zygotes import Zygotes
from actorcore.runtime.status_page import declared_reason
from actorcore.signals import (
    Asked,
    Booted,
    Born,
    Continued,
    Event,
    Exited,
    ForkFailed,
    Received,
    Refused,
    ReloadEnded,
    ShutdownAsked,
    Stopped,
    TemplateTold,
    Ticked,
    TookOver,
    Violated,
    Writable,
)

DRAIN = 64
"""Datagrams read from one process per turn, so that a flooding one delays nobody."""
CLD_KILLED = 2

_encode = encoder.encode


class Node:
    """Made in the spare as soon as its code is imported; :meth:`run` waits for its turn."""

    def __init__(
        self, control: socket.socket, ledger: memoryview, registry: memoryview, status: memoryview,
        kernel_of: Callable[[int], Kernel], templates: Sequence[words.Template] = (),
    ) -> None:  # fmt: skip
        """``templates``: those that its residents need."""
        self._control = control
        self._ledger_memory = ledger
        self._registry_memory = registry
        self._status = status
        self._kernel_of = kernel_of
        self._templates = list(templates)
        self._pools = Pools({})
        self._sources = Sources()
        self._ending = False
        self._yielding = False
        self._facts = NodeFacts()

    def run(self) -> None:
        """Say ready, wait for Take, restore, serve; returns when a successor of other code is ready, and leaves it a snapshot."""
        log.open_stderr()
        machines = self._kernel_of(0).machines()
        ready = words.Ready(migrations.SCHEMA, migrations.oldest(), words.VERSION, machines, self._templates)
        sockets.send(self._control, _encode(ready))
        rehearse(self._ledger_memory, lambda: self._kernel_of(0))
        gc.disable()  # a collection would find nothing, in the middle of everybody's wait
        self._begin(await_turn(self._control))
        gc.freeze()
        gc.enable()
        while not self._yielding:
            self._turn()
        self._finish()
        self._snapshot()
        point("reload.yielded")

    # ---- taking over ----------------------------------------------------------------------------------------------

    def _begin(self, left: HandOver) -> None:
        take = left.take
        recovered = recover(self._ledger_memory, lambda: self._kernel_of(take.instance))
        self._ledger, self._kernel, self._table = recovered.ledger, recovered.kernel, recovered.kernel.table
        listening = socket.socket(fileno=left.listener_fd)
        listening.setblocking(False)
        self._reception = Reception(take.instance, self._table, self._sources, os.getppid(), self._commit)
        self._listener = Listener(listening, self._sources, self._reception, left.registry_fd)
        registry = RegistryWriter(self._registry_memory)
        # Before anybody is told anything; the unfinished effects, which may be older, leave the names alone.
        registry.reconcile(self._table.published(), self._table.values())
        self._logs = ProcessLogs(take.logs, clock.monotonic_s())
        self._zygotes = Zygotes(
            self._control, self._sources, self._table, self._commit, lambda order: self._performer.fork_again(order)
        )
        self._performer = Performer(
            self._control, registry, self._status, self._listener, self._zygotes, self._logs, self._sources,
            self._on_process, self._commit,
        )  # fmt: skip
        for serial, handle in left.handles.items():
            self._performer.keep(serial, handle)
        for template, sock in left.zygotes.items():
            self._zygotes.keep(template, sock)
        self._sources.add(self._control.fileno(), self._on_guardian)
        self._sources.add(listening.fileno(), lambda _: self._listener.accept())
        self._performer.perform(recovered.unfinished)
        self._reconcile(left)
        self._commit(TookOver(os.getpid(), take.generation))
        for offer in left.offers:
            self._on_offer(offer)
        tell(self._control, words.Serving())
        self._turn(0.0)

    def _reconcile(self, left: HandOver) -> None:
        """Bring the world to what the table says: kills that waited for a pidfd, forks that were lost."""
        without_pidfd = {serial for serial, handle in left.handles.items() if handle.pidfd < 0}
        for row in self._table.unsettled(left.halted, without_pidfd):
            if row.kind == "client":  # its connection died with the predecessor: nothing may be sent until it returns
                self._reception.expect(row.serial, row.os_pid)
            if row.kind != "process":
                continue
            handle = self._performer.handle_of(row.serial)
            if row.phase == "forking":
                self._zygotes.order_again(row.serial)
            elif row.phase == "dying":
                self._performer.kill(row.serial, signal.SIGKILL)
            if handle is not None and handle.pidfd < 0 and row.os_pid:
                self._performer.adopt(row.serial, row.os_pid)
            if row.backlog and row.phase != "forking" and handle is not None:
                self._performer.want_writable(handle)
            if row.stopped != (row.serial in left.halted):
                self._commit(Continued(row.serial) if row.stopped else Stopped(row.serial))

    # ---- one turn -------------------------------------------------------------------------------------------------

    def _turn(self, patience_s: float | None = None) -> None:
        has_events = self._sources.dispatch(self._patience_s() if patience_s is None else patience_s)
        now = clock.monotonic_s()
        if (due := self._kernel.next_deadline()) is not None and due <= now:
            self._commit(Ticked())
        for finding in self._performer.findings():
            self._commit(finding)
        self._zygotes.replace_silent(now)
        self._logs.look(now, self._performer.handles)
        self._listener.expire(now)
        for fact in self._facts.new(now):
            self._commit(fact)
        self._finish()
        if has_events:
            self._pools.disturb(now)
        if not self._ending:
            for refill in self._pools.refills(self._table.blanks(), now):
                self._commit(refill)
                self._finish()
        if not has_events and patience_s is None and self._is_snapshot_due(is_quiet=True):
            self._snapshot()
        self._ledger.stamp(clock.monotonic_ns())

    def _finish(self) -> None:
        """Send, then mark as performed: a successor of one killed here does all of it again."""
        self._performer.flush()
        point("node.flushed")
        self._ledger.mark_performed(self._ledger.last)
        if self._is_snapshot_due():
            self._snapshot()

    def _is_snapshot_due(self, is_quiet: bool = False) -> bool:
        return is_due(self._ledger, len(self._performer.handles), self._table.owed_bytes, is_quiet)

    def _snapshot(self) -> None:
        state = self._kernel.snapshot()
        self._ledger.snapshot(state)
        self._facts.snapshot_taken(len(state) - self._table.owed_bytes)

    def _patience_s(self) -> float:
        times = [self._kernel.next_deadline(), self._listener.next_deadline(), self._pools.deadline()]
        now = clock.monotonic_s()
        longest = QUIET_S if self._is_snapshot_due(is_quiet=True) else clock.NODE_STAMP_PERIOD_S
        return max(0.0, min([longest, *(at - now for at in times if at is not None)]))

    def _commit(self, event: Event) -> None:
        """The only way in: append, handle, perform."""
        now = clock.monotonic_s()
        record = _encode((now, event))
        try:
            number = self._ledger.append(record)
        except LedgerFull:
            self._finish()
            self._snapshot()
            number = self._ledger.append(record)
        self._ledger.begin(number)
        if type(event) is ForkFailed:
            self._pools.rest(now)
        effects: list[Effect] = self._kernel.handle(event, now)
        self._performer.perform(effects)

    # ---- processes ------------------------------------------------------------------------------------------------

    def _on_process(self, serial: int, handle: Handle, mask: int, most: int = DRAIN) -> None:
        if mask & select.EPOLLOUT:
            self._sources.want_writable(handle.control.fileno(), False)
            self._commit(Writable(serial))
        try:
            for _ in range(most):
                data = sockets.peek_data(handle.control)
                if data is None:
                    return
                self._on_datagram(serial, data)
                sockets.consume(handle.control)
        except sockets.PeerGone:
            self._on_process_end(serial, handle)

    def _on_datagram(self, serial: int, data: bytes) -> None:
        try:
            said = decode_up(data)
        except ProtocolError as error:
            self._commit(Violated(serial, str(error)))
            return
        for message in said:
            self._on_said(serial, message)

    def _on_said(self, serial: int, message: Uplink) -> None:
        match message:
            case Numbered(number, body):
                self._commit(Asked(serial, number, body))
            case Born(_, os_pid):
                point("node.born")
                self._performer.adopt(serial, os_pid)
                point("node.adopted")
                self._zygotes.settled(serial, clock.monotonic_s())
                self._commit(Born(serial, os_pid))
            case Booted(_, better):
                point("node.booted")
                self._commit(Booted(serial, better))
                if better:
                    self._zygotes.wish(better)
            case Refused(_, reason):
                self._commit(Refused(serial, reason))
            case Got(seq):
                self._commit(Received(serial, seq))

    def _on_process_end(self, serial: int, handle: Handle) -> None:
        """Its control socket ended. Its death is told by the guardian; here is what the guardian cannot see."""
        self._sources.remove(handle.control.fileno())
        row = self._table.row(serial)
        if row is None:
            return
        if row.phase == "forking":  # nobody holds the other end: the order was lost with a zygote
            self._zygotes.order_again(serial)
        elif not row.os_pid:  # its end was decided meanwhile, and nobody will be born
            self._commit(ForkFailed(serial, "echild"))
        elif closed_it_alive(row.os_pid):
            self._commit(Violated(serial, "control socket closed"))

    # ---- guardian -------------------------------------------------------------------------------------------------

    def _on_guardian(self, _: int) -> None:
        while (datagram := sockets.receive(self._control, max_fds=HANDOVER_FDS)) is not None:
            match words.to_node.decode(datagram.data):
                case words.Died() as died:
                    self._on_died(died)
                case words.Adopted(serial):
                    self._performer.adopted(serial, datagram.fds[0])
                case words.Unheld(serial, name):
                    self._on_unheld(serial, name)
                case words.Halted(serial, stopped):
                    self._commit(Stopped(serial) if stopped else Continued(serial))
                case words.Zygote(template):
                    self._zygotes.keep(template, socket.socket(fileno=datagram.fds[0]))
                    self._zygotes.order_all_again(template)
                case words.Offer() as offer:
                    self._on_offer(offer)
                case words.Signalled(signum):
                    log.report("signalled", 0, signum)
                    self._ending = True
                    self._commit(ShutdownAsked())
                case ReloadEnded() as ended:
                    self._commit(ended)
                case words.Yield(machines):
                    why = self._kernel.not_restored_by(machines)
                    self._yielding = why is None
                    if why is not None:
                        tell(self._control, words.Stay(why))
                case words.Held() | words.Take():
                    raise ProtocolError("a hand-over after Take")

    def _on_died(self, died: words.Died) -> None:
        handle = self._performer.handle_of(died.serial)
        if handle is not None and self._sources.knows(handle.control.fileno()):  # what it said before its end comes first
            self._on_process(died.serial, handle, select.EPOLLIN, sockets.MAX_DRAIN)
        row = self._table.row(died.serial)
        declared = None
        if row is not None and row.page >= 0:
            declared = declared_reason(self._performer.page(row.page))
        self._commit(Exited(died.serial, died.code, died.status, declared, died.is_oom))

    def _on_unheld(self, serial: int, errno_name: str) -> None:
        row = self._table.row(serial)
        if row is None or not row.os_pid:
            self._commit(ForkFailed(serial, errno_name))
        else:  # born meanwhile: it ends as its control socket does, and nobody will tell of it
            self._commit(Exited(serial, CLD_KILLED, signal.SIGKILL))

    def _on_offer(self, offer: words.Offer) -> None:
        self._pools.want(offer.template, 0 if offer.trouble else offer.pool)
        self._commit(TemplateTold(offer.template, offer.trouble, offer.preloads))
