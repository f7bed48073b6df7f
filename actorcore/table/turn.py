"""Turn: one event being handled, the state that it changes and the effects that it has."""

from __future__ import annotations

from collections import deque

from actorcore.effects import Connect, Deliver, Effect, Kill, Publish, PublishMany, Report, Retract
from actorcore.exit_reason import Reason, Term
from actorcore.shown import Change
from actorcore.signals import Answer, Channel, Delivery, Started
from actorcore.table import backlog
from actorcore.table.entry import Entry, Kind, Phase, Starter
from actorcore.table.state import State

MAILBOX_FULL: Reason = {"killed": "mailbox_full"}


class Turn:
    """Effects in order. ``ending``: clients and residents whose end was decided in this turn."""

    def __init__(self, state: State, now: float) -> None:
        self.state = state
        self.now = now
        self.effects: list[Effect] = []
        self.ending: deque[Entry] = deque()

    def report(self, kind: str, serial: int, detail: Term = None) -> None:
        self.effects.append(Report(kind, serial, detail))

    def answer(self, to: int, number: int, value: Term = None) -> None:
        self._reply(to, Answer(number, value))

    def refuse(self, to: int, number: int, code: str, detail: Term = None) -> None:
        self._reply(to, Answer(number, None, (code, detail)))

    def tell_started(self, starter: Starter, serial: int, ignored: bool = False) -> None:
        """The process that ``starter`` waits for is ready, or its init said ignore."""
        asker = self.state.entries.get(starter.asker)
        if asker is not None and asker.kind is Kind.RESIDENT:
            self.deliver(asker, Started(starter.number, serial, ignored=ignored))
        else:
            self.answer(starter.asker, starter.number, None if ignored else serial)

    def fail_start(self, starter: Starter, code: str, detail: Term, serial: int = 0) -> None:
        """A resident is told the reason alone, as ``{code: detail}`` unless the start itself failed."""
        asker = self.state.entries.get(starter.asker)
        if asker is not None and asker.kind is Kind.RESIDENT:
            itself = code in ("start_failed", "start_timeout")
            reason: Reason = detail if itself and isinstance(detail, (str, dict)) else {code: detail}
            self.deliver(asker, Started(starter.number, serial, reason))
        else:
            self.refuse(starter.asker, starter.number, code, detail)

    def deliver(self, entry: Entry, body: Delivery) -> None:
        """Number the delivery and send it, or keep it until it can be sent; a dying receiver gets nothing."""
        if entry.phase is Phase.DYING:
            return
        entry.seq += 1
        writable = entry.is_writable()
        is_kept = entry.kind is Kind.CLIENT or not writable
        if is_kept:
            backlog.keep(self.state, entry, entry.seq, body)
        if writable:
            self._send(entry, entry.seq, body)
        if is_kept:
            self._bound(entry)

    def publish(self, holders: list[int]) -> None:
        """From now on the names that were reserved for ``holders`` find them, all at one instant."""
        found = [(holder, self.state.names.publish(holder)) for holder in holders]
        entries = [Publish(name[0], holder, name[1]) for holder, name in found if name is not None]
        if len(entries) > 1:
            self.effects.append(PublishMany(entries))
        else:
            self.effects += entries

    def unpublish(self, holder: int) -> None:
        """The name of ``holder`` is free."""
        name = self.state.names.release(holder)
        if name is not None:
            self.effects.append(Retract(name))

    def free(self, name: str) -> None:
        """Whose end is decided keeps its name from nobody: who wants it need not wait until the process is reaped."""
        holder = self.state.names.holder_of(name)
        if holder is not None and (entry := self.state.entries.get(holder)) is not None and entry.phase is Phase.DYING:
            self.unpublish(holder)

    def show(self, changes: list[Change]) -> None:
        """What a resident shows has changed."""
        for change in changes:
            if change.value is None:
                self.effects.append(Retract(change.name))
            else:
                self.effects.append(Publish(change.name, change.owner, change.value))

    def connect(self, a: Entry, b: Entry) -> None:
        """Give both a channel to the other, which ``a`` opens; both must be writable."""
        for entry, peer in ((a, b), (b, a)):
            entry.seq += 1
            entry.sent = entry.seq
            entry.channels[peer.serial] = entry.seq
            if entry.kind is Kind.CLIENT:
                backlog.keep(self.state, entry, entry.seq, Channel(peer.serial, entry is a))
        self.effects.append(Connect(a.serial, a.channels[b.serial], b.serial, b.channels[a.serial]))
        self._bound(a)
        self._bound(b)

    def undelivered(self, entry: Entry, seq: int, body: Delivery) -> None:
        """Frame ``seq`` could not be sent: it and all later ones wait. Frames sent in one go come back one by one."""
        if entry.phase is Phase.DYING or entry.kind is Kind.RESIDENT or not 0 < seq <= entry.seq:
            return
        entry.jammed = True
        entry.sent = min(entry.sent, seq - 1)
        backlog.keep(self.state, entry, seq, body)
        self._bound(entry)

    def flush(self, entry: Entry) -> None:
        """Send what waited for ``entry``, which is writable now."""
        waiting = [item for item in entry.backlog if item[0] > entry.sent]
        if entry.kind is not Kind.CLIENT:
            backlog.forget_all(self.state, entry)
        for seq, body in waiting:
            self._send(entry, seq, body)

    def doom(self, entry: Entry, reason: Reason) -> None:
        """Decide the end of ``entry``; the first decision stands. Of a process it takes effect when it is reaped."""
        if entry.phase is Phase.DYING:
            return
        entry.phase, entry.ordered = Phase.DYING, reason
        backlog.forget_all(self.state, entry)
        self.state.deadlines.cancel(entry.serial)
        self.state.hangs.cancel(entry.serial)
        if entry.kind is Kind.PROCESS:
            self.effects.append(Kill(entry.serial))
        else:
            self.ending.append(entry)

    def _reply(self, to: int, body: Answer) -> None:
        entry = self.state.entries.get(to)
        if entry is not None:
            self.deliver(entry, body)

    def _send(self, entry: Entry, seq: int, body: Delivery) -> None:
        entry.sent = seq
        if not isinstance(body, Channel):
            self.effects.append(Deliver(entry.serial, seq, body))
            return
        peer = self.state.alive(body.peer)
        if peer is None or entry.channels.get(body.peer) != seq:  # a PeerDown follows, or another was made since
            return
        ends = (entry.serial, seq), (peer.serial, peer.channels[entry.serial])
        (a, a_seq), (b, b_seq) = ends if body.opens else ends[::-1]
        self.effects.append(Connect(a, a_seq, b, b_seq))

    def _bound(self, entry: Entry) -> None:
        while (worst := backlog.overdrawn(self.state, entry)) is not None:
            self.report("mailbox_full", worst.serial, {"deliveries": len(worst.backlog), "bytes": worst.owed})
            self.doom(worst, MAILBOX_FULL)
