"""The kernel of the node: the process table, the residents and their alarms as one pure machine.

``handle(event, now)`` returns the effects for the outside; what concerns a resident stays inside. The same events in the
same order give the same state and the same effects: that is what lets a successor continue from the ledger.
"""

from __future__ import annotations

from collections import deque
from functools import partial

from msgspec import structs

from actorcore import grants, migrations
from actorcore.effects import Deliver, Effect, Forget, Inspect, Operate, Publish, Report
from actorcore.exit_reason import NORMAL, Reason, Term
from actorcore.frames import encoder
from actorcore.migrations import KernelState
from actorcore.node_desk import NodeDesk
from actorcore.process_table import ProcessTable
from actorcore.resident_sys import ResidentSys, is_system
from actorcore.resident_table import DESK, ResidentTable
from actorcore.residents import (
    AnswerTo,
    AwaitEnd,
    CancelAlarm,
    Consult,
    Do,
    EndStart,
    Glance,
    Leave,
    Machines,
    Order,
    Ready,
    Refuse,
    Resident,
    Send,
    SetAlarm,
    Show,
    Tell,
)
from actorcore.signals import (
    NOBODY,
    Alarm,
    Ask,
    Asked,
    Asking,
    Begin,
    Booted,
    ClockSet,
    Crowded,
    Delivery,
    Ended,
    Event,
    Exit,
    Inspected,
    Link,
    LogDropped,
    Monitor,
    Reborn,
    Refused,
    Register,
    RegisterMany,
    ReloadEnded,
    Request,
    ShutdownAsked,
    Spawn,
    Ticked,
    TookOver,
)
from actorcore.timers import Deadlines
from actorcore.words import RESIDENT

_encode = encoder.encode

SMALL_ASK_BYTES = 256
SHUTDOWN = Exit(NOBODY, "shutdown")
"""To a resident that nobody has spawned, or whose parent is no resident: the daemon ends."""
OWN_EVENTS = frozenset({TookOver, ReloadEnded, Crowded, LogDropped, ShutdownAsked, Inspected, ClockSet, Ticked})
"""What is not for the process table, or not for it alone."""


class Kernel:
    """``residents`` are named machines, each registered as ``system:<name>``; ``machines`` makes those that somebody spawns.

    A machine that is spawned with another template than ``resident`` runs in a process of its own: ``host`` is the
    ``module:name`` of the actor that plays it there, with the machine's name before its arguments. ``last``: the resident that
    the others may need to their end; in a shutdown it is told to leave when they have. ``open_verbs``: see ``grants``.
    """

    def __init__(
        self, instance: int, residents: dict[str, Resident], machines: Machines | None = None, host: str = "", last: str = "",
        open_verbs: grants.OpenVerbs | None = None,
    ) -> None:  # fmt: skip
        self.table = ProcessTable(instance)
        self._host = host
        self._last = last
        self._is_open = partial(grants.is_open, open_verbs or {})
        own: dict[str, Resident] = {DESK: NodeDesk(self.table.statistics), **residents}
        self._residents = ResidentTable(own, machines or {}, self.table.add_resident)
        self._sys = ResidentSys(instance, self._residents.desk_serial, {}, self.table.is_alive)
        self._alarms: Deadlines[str] = Deadlines()
        self._awaited: dict[int, int] = {}
        self._crowded = False
        self._inbox: deque[Deliver] = deque()
        self._shown: list[Effect] = []
        self._ending = False

    def handle(self, event: Event, now: float) -> list[Effect]:
        """The effects of one event, in the order in which they must be performed."""
        out = self._decide(event, now)
        # One delivery to a resident after the other, each with all of its orders: nobody is called while it is obeyed.
        while self._inbox:
            delivery = self._inbox.popleft()
            out += self._tell(delivery.to, delivery.body, now)
        if self._shown:
            out, self._shown = [*self._shown, *out], []
        return out

    def _decide(self, event: Event, now: float) -> list[Effect]:
        if type(event) in OWN_EVENTS:
            return self._on_own(event, now)
        if type(event) is Asked and (self._crowded or self._ending) and (refusal := self._refusal_of(event.body)) is not None:
            return self._sorted(self.table.refuse(event.frm, event.number, *refusal))
        return self._sorted(self.table.handle(event, now))

    def _on_own(self, event: Event, now: float) -> list[Effect]:
        match event:
            case TookOver():
                self._desk.took_over(event)
                return [Report("node_took_over", NOBODY, event.generation)]
            case ReloadEnded():
                return self._on_reload_ended(event, now)
            case Crowded(is_so):
                before, self._crowded = self._crowded, is_so
                return [Report("crowded", NOBODY, is_so)] if is_so != before else []  # a successor finds it out anew
            case LogDropped():
                self._desk.log_dropped = event.count
                return []
            case ShutdownAsked():
                return self._shut_down()
            case Inspected(by):
                self._inbox.append(Deliver(by, 0, event))
                return []
            case ClockSet():
                self._inbox.extend(Deliver(serial, 0, event) for serial in self._residents.serials.values())
                return []
            case Ticked():
                effects = self._sorted(self.table.handle(event, now))
                for name in self._alarms.pop_due(now):
                    serial, _, key = name.partition(" ")
                    self._inbox.append(Deliver(int(serial), 0, Alarm(key)))
                return effects
            case _:
                raise TypeError(f"not the kernel's own: {event!r}")

    def _refusal_of(self, body: Request) -> tuple[str, str] | None:
        if self._crowded and self._grows(body):
            return "resource_exhausted", "the daemon holds all that it can"
        if self._ending and isinstance(body, Spawn):
            return "shutting_down", "nothing is started any more"
        return None

    def _grows(self, body: Request) -> bool:
        """Whether a request may leave something behind; a small Ask may, and may as well make room."""
        if isinstance(body, Ask):
            return body.to != self._residents.desk_serial and len(body.body) > SMALL_ASK_BYTES
        return isinstance(body, (Spawn, Monitor, Link, Register, RegisterMany))

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
        own, spawned = self._residents.snapshot()
        table = self.table.snapshot()
        described = (table, own, self._alarms, self._ending, spawned, self._sys.watched, self._awaited, self._crowded)
        return _encode(KernelState(migrations.SCHEMA, *described))

    def machines(self) -> list[str]:
        """What this code can restore: machines that may be spawned, and the node's own residents."""
        return self._residents.restorable()

    def not_restored_by(self, machines: list[str]) -> str | None:
        """Why code that can restore ``machines`` cannot go on from here; None when it can."""
        strange = self._residents.not_restored_by(machines)
        return f"the new code has no machine {', '.join(strange)}, and there is one running" if strange else None

    def restore(self, data: bytes) -> None:
        """Become what :meth:`snapshot` described, by this code or by that of the schema before; errors as migrations.read."""
        state = migrations.read(data)
        self.table = ProcessTable.restore(state.table)
        self._desk.statistics = self.table.statistics
        self._residents.restore(state.residents, state.spawned, None if state.ending else self.table.add_resident)
        self._sys = ResidentSys(self.table.instance, self._residents.desk_serial, state.watched, self.table.is_alive)
        self._alarms = state.alarms
        self._awaited = state.awaited
        self._crowded = state.crowded
        self._ending = state.ending

    @property
    def _desk(self) -> NodeDesk:
        desk = self._residents.own[DESK]
        assert isinstance(desk, NodeDesk)
        return desk

    # ---- residents ------------------------------------------------------------------------------------------------

    def _sorted(self, effects: list[Effect]) -> list[Effect]:
        """What is for residents stays inside."""
        out: list[Effect] = []
        known = self._residents.by_serial
        for effect in effects:
            if type(effect) is Deliver:
                begin = effect.body if type(effect.body) is Begin else None
                if effect.to in known or (begin is not None and begin.spec.template == RESIDENT):
                    self._inbox.append(effect)
                    continue
                if begin is not None and self._host and begin.spec.start in self._residents.machines:
                    # As the process sees it that plays a machine.
                    spec = structs.replace(begin.spec, start=self._host, args=[begin.spec.start, *begin.spec.args])
                    effect = structs.replace(effect, body=structs.replace(begin, spec=spec))
            out.append(effect)
            if type(effect) is Forget:
                self._forgotten(effect.serial, out)
        return out

    def _forgotten(self, serial: int, out: list[Effect]) -> None:
        """Nobody has this serial any more: whoever awaits that is told, a resident of the node's own begins again."""
        if serial in self._awaited:
            self._inbox.append(Deliver(self._awaited.pop(serial), 0, Ended(serial)))
        if serial in self._residents.spawned:
            self._drop(serial)
        elif serial in self._residents.by_serial and not self._ending:
            out.append(self._revive(serial))

    def _tell(self, serial: int, body: Delivery, now: float) -> list[Effect]:
        if isinstance(body, Begin) and (trouble := self._residents.make(body)) is not None:
            return self._obey(serial, Refuse({"invalid_spec": trouble}), now)
        residents = self._residents
        resident = residents.by_serial.get(serial)
        if resident is None:  # it has ended in this very turn
            return []
        if isinstance(body, Asking) and not (self.table.may_spawn(body.frm) or self._is_open(body, residents.kind_of(serial))):
            return self._obey(serial, AnswerTo(body.frm, body.number, error=("not_permitted", "may_spawn")), now)
        if isinstance(body, Asking) and is_system(body):
            answer, due = self._sys.answer(serial, body, resident, residents.kind_of(serial), now)
            out = self._obey(serial, answer, now)
        else:
            due, out = self._sys.pass_on(serial, body, self.table.parent_of(serial)), []
        for delivery in due:
            orders = resident.handle(delivery, now) if serial in residents.by_serial else []
            for order in [*orders, *self._sys.events_of(serial, delivery, orders)]:
                out += self._obey(serial, order, now)
        return out

    def _drop(self, serial: int) -> None:
        self._sys.forget(serial)
        self._residents.drop(serial)
        for key in self._alarms_of(serial):
            self._alarms.cancel(key)

    def _revive(self, before: int) -> Publish:
        """A killed resident of the node's own goes on under another serial, and so do its alarms."""
        self._sys.forget(before)
        name, serial = self._residents.revive(before, self.table.add_resident)
        for key in self._alarms_of(before):
            at, _ = self._alarms.live[key]
            self._alarms.cancel(key)
            self._alarms.set(f"{serial} {key.partition(' ')[2]}", at)
        self._inbox.append(Deliver(serial, 0, Reborn(before, serial)))
        return Publish(name, serial)

    def _alarms_of(self, serial: int) -> list[str]:
        return [key for key in self._alarms.live if key.startswith(f"{serial} ")]

    def _obey(self, serial: int, order: Order, now: float) -> list[Effect]:
        match order:
            case Do(number, body):
                return self._sorted(self.table.handle(Asked(serial, number, body), now))
            case EndStart(number, start, reason):
                return self._sorted(self.table.end_start(serial, number, start, reason, now))
            case Consult(number, name, body):
                asked = self._residents.serials.get(name, NOBODY)
                return self._sorted(self.table.handle(Asked(serial, number, Ask(asked, body)), now))
            case Send(to, body):
                return self._sorted(self.table.send(serial, to, body))
            case Show(key, value):
                # Before telling, as a name: who hears of a death must not find the dead here.
                self._shown += self.table.show(serial, key, value)
                return []
            case AwaitEnd(whose):
                if self.table.row(whose) is None:
                    self._inbox.append(Deliver(serial, 0, Ended(whose)))
                else:
                    self._awaited[whose] = serial
                return []
            case Glance(whose):
                row = self.table.row(whose)
                return [] if row is None or row.page < 0 else [Inspect(serial, {whose: row.page})]
            case AnswerTo(frm, number, value, error):
                return self._sorted(self.table.answer(frm, number, value, error))
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
            case Ready():
                return self._sorted(self.table.handle(Booted(serial), now))
            case Refuse(why):
                told = self._sorted(self.table.handle(Refused(serial, why), now))
                return told + self._leave(serial, NORMAL if why is None else why, now)
            case _:
                raise AssertionError(f"unknown order {order!r}")

    def _on_reload_ended(self, event: ReloadEnded, now: float) -> list[Effect]:
        out: list[Effect] = [Report("reload_ended", NOBODY, event.error)]
        for order in self._desk.reload_ended(event):
            out += self._obey(self._residents.desk_serial, order, now)
        return out

    def _told(self, kind: str, about: int, detail: Term, now: float) -> list[Effect]:
        if kind == "reload":
            return [Operate("reload", about)]
        if kind == "renew":
            return self._sorted(self.table.renew_images(now))
        if kind == "down":
            return self._shut_down()
        return [Report(kind, about, detail)]

    # ---- the end of the daemon --------------------------------------------------------------------------------------

    def _shut_down(self) -> list[Effect]:
        """Ask every resident to leave, its parent if that is one: the last of them after all others, and the desk never."""
        if self._ending:
            return []
        self._ending = True
        known = self._residents.by_serial
        tops = [serial for serial in known if self.table.parent_of(serial) not in known]
        self._inbox.extend(Deliver(serial, 0, SHUTDOWN) for serial in tops if serial not in self._lasting())
        return self._halt_if_alone()

    def _leave(self, serial: int, reason: Reason, now: float) -> list[Effect]:
        self._sys.forget(serial)
        self._residents.leave(serial)
        effects = self.table.resident_exited(serial, reason, now)
        return self._sorted(effects) + self._halt_if_alone()

    def _lasting(self) -> set[int]:
        return {serial for name, serial in self._residents.serials.items() if name in (DESK, self._last)}

    def _halt_if_alone(self) -> list[Effect]:
        """The desk alone is left in a shutdown: the daemon halts. The last resident and the desk: it is the last one's turn."""
        if not self._ending or self._residents.by_serial.keys() != self._lasting():
            return []
        last = [serial for serial in self._residents.by_serial if serial != self._residents.desk_serial]
        self._inbox.extend(Deliver(serial, 0, SHUTDOWN) for serial in last)
        return [] if last else [Operate("halt")]
