"""The kernel of the node: the process table, the residents and their alarms as one pure machine.

``handle(event, now)`` returns the effects for the outside; what concerns a resident stays inside. The same events in the
same order give the same state and the same effects: that is what lets a successor continue from the ledger.
"""

from __future__ import annotations

import msgspec

from actorcore import migrations
from actorcore.effects import Deliver, Effect, Operate, Report
from actorcore.exit_reason import Reason, Term
from actorcore.migrations import KernelState
from actorcore.node_desk import NodeDesk
from actorcore.process_table import ProcessTable
from actorcore.residents import AnswerTo, CancelAlarm, Do, Leave, Order, Resident, SetAlarm, Tell
from actorcore.signals import (
    NOBODY,
    Alarm,
    Asked,
    Delivery,
    Event,
    Exit,
    LogDropped,
    ReloadEnded,
    ShutdownAsked,
    Spawn,
    Ticked,
    TookOver,
)
from actorcore.timers import Deadlines

_encode = msgspec.msgpack.encode


class Kernel:
    """``residents`` are named machines; each is registered as ``system:<name>``."""

    def __init__(self, instance: int, residents: dict[str, Resident]) -> None:
        self.table = ProcessTable(instance)
        self._residents: dict[str, Resident] = {"node": NodeDesk(self.table.statistics), **residents}
        self._serials = {name: self.table.add_resident(f"system:{name}") for name in self._residents}
        self._by_serial = {serial: self._residents[name] for name, serial in self._serials.items()}
        self._alarms: Deadlines[str] = Deadlines()
        self._ending = False

    def handle(self, event: Event, now: float) -> list[Effect]:
        """The effects of one event, in the order in which they must be performed."""
        if isinstance(event, TookOver):
            self._desk.took_over(event)
            return [Report("node_took_over", NOBODY, event.generation)]
        if isinstance(event, ReloadEnded):
            return self._on_reload_ended(event, now)
        if isinstance(event, LogDropped):
            self._desk.log_dropped = event.count
            return []
        if isinstance(event, ShutdownAsked):
            return self._shut_down(now)
        if self._ending and isinstance(event, Asked) and isinstance(event.body, Spawn):
            return self._settle(self.table.refuse(event.frm, event.number, "shutting_down", "nothing is started any more"), now)
        effects = self.table.handle(event, now)
        out = self._settle(effects, now)
        if isinstance(event, Ticked):
            for name in self._alarms.pop_due(now):
                serial, _, key = name.partition(" ")
                if int(serial) in self._by_serial:
                    out += self._tell(int(serial), Alarm(key), now)
        return out

    def skip(self, event: Event, now: float) -> list[Effect]:
        """Stand in for :meth:`handle` where ``event`` was found to kill nodes: its asker is told, nothing else happens."""
        if isinstance(event, Asked):
            return self.table.refuse(event.frm, event.number, "internal_error", "this request was skipped")
        return [Report("event_skipped", NOBODY, type(event).__name__)]

    def next_deadline(self) -> float | None:
        """Monotonic seconds of the next Ticked that is needed."""
        times = [at for at in (self.table.next_deadline(), self._alarms.earliest()) if at is not None]
        return min(times, default=None)

    def snapshot(self) -> bytes:
        """The whole state."""
        residents = {name: (self._serials[name], resident.snapshot()) for name, resident in self._residents.items()}
        return _encode(KernelState(migrations.SCHEMA, self.table.snapshot(), residents, self._alarms, self._ending))

    def restore(self, data: bytes) -> None:
        """Become what :meth:`snapshot` described, by this code or by that of the schema before; errors as migrations.read."""
        state = migrations.read(data)
        self.table = ProcessTable.restore(state.table)
        self._desk.statistics = self.table.statistics
        self._residents = {name: self._residents[name] for name in state.residents}
        self._serials = {name: serial for name, (serial, _) in state.residents.items()}
        for name, (_, resident_state) in state.residents.items():
            self._residents[name].restore(resident_state)
        self._by_serial = {serial: self._residents[name] for name, serial in self._serials.items()}
        self._alarms = state.alarms
        self._ending = state.ending

    @property
    def _desk(self) -> NodeDesk:
        desk = self._residents["node"]
        assert isinstance(desk, NodeDesk)
        return desk

    # ---- residents ------------------------------------------------------------------------------------------------

    def _settle(self, effects: list[Effect], now: float) -> list[Effect]:
        """What is for residents stays inside; what they make of it follows."""
        # All of this turn first: frames carry their numbers already, and a receiver drops what comes after a higher one.
        out = [effect for effect in effects if not isinstance(effect, Deliver) or effect.to not in self._by_serial]
        if len(out) < len(effects):
            for effect in effects:
                if isinstance(effect, Deliver) and effect.to in self._by_serial:
                    out += self._tell(effect.to, effect.body, now)
        return out

    def _tell(self, serial: int, body: Delivery, now: float) -> list[Effect]:
        out: list[Effect] = []
        for order in self._by_serial[serial].handle(body, now):
            out += self._obey(serial, order, now)
        return out

    def _obey(self, serial: int, order: Order, now: float) -> list[Effect]:
        match order:
            case Do(number, body):
                return self._settle(self.table.handle(Asked(serial, number, body), now), now)
            case AnswerTo(frm, number, value, error):
                return self._settle(self.table.answer(frm, number, value, error), now)
            case SetAlarm(key, at):
                self._alarms.set(f"{serial} {key}", at)
                return []
            case CancelAlarm(key):
                self._alarms.cancel(f"{serial} {key}")
                return []
            case Tell(kind, about, detail):
                return self._told(kind, about, detail, now)
            case Leave(reason):
                return self._leave(serial, reason, now)
            case _:
                raise AssertionError(f"unknown order {order!r}")

    def _on_reload_ended(self, event: ReloadEnded, now: float) -> list[Effect]:
        out: list[Effect] = [Report("reload_ended", NOBODY, event.error)]
        for order in self._desk.reload_ended(event):
            out += self._obey(self._serials["node"], order, now)
        return out

    def _told(self, kind: str, about: int, detail: Term, now: float) -> list[Effect]:
        if kind == "reload":
            return [Operate("reload", about)]
        if kind == "down":
            return self._shut_down(now)
        return [Report(kind, about, detail)]

    def _shut_down(self, now: float) -> list[Effect]:
        """Ask every resident but the desk to leave; the last one that leaves halts the daemon."""
        if self._ending:
            return []
        self._ending = True
        out: list[Effect] = []
        for serial in [serial for name, serial in self._serials.items() if name != "node"]:
            out += self._tell(serial, Exit(NOBODY, "shutdown"), now)
        return out + self._halt_if_alone()

    def _leave(self, serial: int, reason: Reason, now: float) -> list[Effect]:
        name = next(name for name, known in self._serials.items() if known == serial)
        del self._serials[name], self._by_serial[serial]
        del self._residents[name]
        effects = self.table.resident_exited(serial, reason, now)
        return self._settle(effects, now) + self._halt_if_alone()

    def _halt_if_alone(self) -> list[Effect]:
        return [Operate("halt")] if self._ending and set(self._serials) == {"node"} else []

