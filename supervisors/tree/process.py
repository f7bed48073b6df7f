"""A machine in a process of its own: supervisors and registries as an actor, by the same rules as inside the node.

A machine is spawned by its name; the template of the spec says where it runs. ``resident``: inside the node, where it
costs no process and outlives the node. Any other: here, where it can be killed like everybody else; its children then die
by their links, and whoever supervises it starts it again, empty-handed, as in OTP.

What comes to the process is told to the machine as the node would tell it, and what the machine orders is done by
requests, each answered before the next: a supervisor that starts a child waits for it anyway, and its mail waits too.
What a request came to is told behind what has arrived meanwhile, as the node would: so a restart that fails again and
again keeps nobody from being heard.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from actorcore.behaviour import Host, Machine
from actorcore.errors import CallFailed, NotAlive, RequestError, StartFailed
from actorcore.exit_reason import Reason, Term
from actorcore.faults import point
from actorcore.frames import failure, term_decoder
from actorcore.gen_server import GenServer, Ignore, Info, InitResult, NoReply, Ok, Result, ServerMachine, Stop
from actorcore.mailbox import DownMessage, ExitMessage, From, Item
from actorcore.names import RESERVED_PREFIX
from actorcore.pids import Pid
from actorcore.residents import (
    AnswerTo,
    CancelAlarm,
    Consult,
    Do,
    Leave,
    Order,
    Ready,
    Refuse,
    Resident,
    Send,
    SetAlarm,
    Show,
    Tell,
)
from actorcore.runtime.actor.node_requests import REQUEST_WAIT_S
from actorcore.runtime.actor.process import Process
from actorcore.runtime.clock import monotonic_s
from actorcore.runtime.complain import complain
from actorcore.signals import (
    NOBODY,
    Alarm,
    Answer,
    Ask,
    Asking,
    Delivery,
    Down,
    Exit,
    Request,
    Spawn,
    Started,
)
from actorcore.timers import Deadlines
from supervisors.machines import MACHINES


class SupervisorProcess(GenServer):
    """Plays the machine called by its first argument with the others."""

    calls = casts = msgspec.Raw
    process: Process

    def init(self, *args: object) -> InitResult:
        """Until the machine is ready, or refuses."""
        name, *rest = args
        try:
            self._machine: Resident = MACHINES[str(name)](rest)  # type: ignore[arg-type]  # of a spec: plain data
        except ValueError as error:
            return Stop({"invalid_spec": f"args: {error}"})
        self._alarms: Deadlines[str] = Deadlines()
        self._is_ready = False
        self._end: Leave | Refuse | None = None
        """What the machine has ordered as its last word."""
        self.process.trap_exit(True)
        self._feed(self.process.begin)
        self._attend(lambda: self._is_ready or self._end is not None)
        return self._outcome()

    def handle_call(self, request: object, frm: From) -> Result:
        assert isinstance(request, msgspec.Raw)
        return self._tell(Asking(frm.pid.serial, frm.number, request))

    def handle_cast(self, request: object) -> Result:
        return NoReply(self._patience_s())  # machines are asked, not told

    def handle_info(self, info: Info) -> Result:
        if isinstance(info, ExitMessage):
            return self._tell(Exit(info.frm.serial, info.reason))
        return self._tell(_fact_of(info))

    def terminate(self, reason: Reason) -> None:
        """The parent's exit signal or a stop from outside: the machine leaves in its own time."""
        if self._end is None:
            self._feed(Exit(self.process.begin.parent, reason))
            self._attend(lambda: self._end is not None)
        if self._end is not None and self._end.reason not in (None, reason):  # it was leaving already
            self.process.exit_self(self._end.reason)

    def _outcome(self) -> InitResult:
        if self._end is None:
            return Ok(self._patience_s())
        return Ignore() if self._end.reason is None else Stop(self._end.reason)

    def machine(self, host: Host) -> Machine:
        """See Behaviour."""
        return _Played(self, host)

    def memory(self) -> Term:
        """The machine's, which is all of it."""
        return term_decoder.decode(self._machine.snapshot())

    # ---- the machine ------------------------------------------------------------------------------------------------

    def _tell(self, body: Delivery | None = None) -> Result:
        """After what is due; the result of the callback."""
        self._ring()
        if body is not None:
            self._feed(body)
        if isinstance(self._end, Leave):
            return Stop(self._end.reason)
        return NoReply(self._patience_s())

    def _feed(self, body: Delivery) -> None:
        """Tell the machine, and do what it orders; after its last word it hears nothing."""
        for order in () if self._end is not None else self._machine.handle(body, monotonic_s()):
            self._obey(order)

    def _attend(self, is_over: Callable[[], bool]) -> None:
        """As OTP's selective receive: until ``is_over`` only what a machine waits for matters, all else stays in the mailbox."""
        kept: list[Item] = []
        while not is_over():
            item = self.process.next_item(self._alarms.earliest())
            if (fact := _fact_of(item)) is not None:
                self._feed(fact)
            elif item is not None:
                kept.append(item)
            self._ring()
        self.process.mailbox.items.extendleft(reversed(kept))

    def _ring(self) -> None:
        for key in self._alarms.pop_due(monotonic_s()):
            self._feed(Alarm(key))

    def _patience_s(self) -> float | None:
        """Until the next alarm."""
        at = self._alarms.earliest()
        return None if at is None else max(0.0, at - monotonic_s())

    # ---- orders -----------------------------------------------------------------------------------------------------

    def _obey(self, order: Order) -> None:
        match order:
            case Do(number, body):
                point("supervisor.orders")
                fact = self._do(number, body)
                point("supervisor.done")
                self.process.mailbox.push(fact)  # type: ignore[arg-type]  # read by handle_info and _attend
            case Consult(number, name, body):
                own = self.process.whereis(RESERVED_PREFIX + name)
                self._obey(Do(number, Ask(NOBODY if own is None else own.serial, body)))
            case Send(to, body):
                self._post(to, lambda: self.process.send(to if isinstance(to, str) else self._pid(to), body))
            case Show():
                pass  # only the node writes the shared registry: who finds nothing of ours there asks us
            case AnswerTo(frm, number, value, None):
                self._post(frm, lambda: self.process.reply(From(self._pid(frm), number), value))
            case AnswerTo(frm, number, _, (code, detail)):
                self._post(frm, lambda: self.process.reply_error(From(self._pid(frm), number), code, detail))
            case SetAlarm(key, at):
                self._alarms.set(key, at)
            case CancelAlarm(key):
                self._alarms.cancel(key)
            case Tell(kind, serial, detail):
                complain(f"{kind} {serial} {detail!r}")
            case Ready():
                self._is_ready = True
            case Leave() | Refuse():
                self._end = order
            case _:
                raise AssertionError(f"unknown order {order!r}")

    def _post(self, to: int | str, say: Callable[[], None]) -> None:
        try:
            say()
        except CallFailed:  # nobody has the name of this listener now
            return
        except RequestError as error:  # mailbox_full: who reads nothing gets nothing
            complain(f"message to {to} dropped: {error}")

    def _pid(self, serial: int) -> Pid:
        return Pid(self.process.self_pid.instance, serial)

    def _do(self, number: int, body: Request) -> Started | Answer:
        """Make the request and wait for what the node says."""
        if isinstance(body, Spawn):
            return self._spawn(number, body)
        try:
            return Answer(number, self.process.request(body))
        except NotAlive as dead:
            return Answer(number, error=failure(dead.reason))
        except RequestError as error:
            return Answer(number, error=(error.code, error.detail))

    def _spawn(self, number: int, body: Spawn) -> Started:
        try:
            serial = self.process.request(body, body.spec.init_timeout_s + REQUEST_WAIT_S)
        except StartFailed as failed:
            return Started(number, NOBODY, failed.reason)
        except RequestError as error:  # as Turn.fail_start tells a resident
            return Started(number, NOBODY, "timeout" if error.code == "start_timeout" else {error.code: error.detail})
        return Started(number, serial, ignored=False) if isinstance(serial, int) else Started(number, NOBODY, ignored=True)


class _Played(ServerMachine):
    """Its state is the machine's, as that of a resident."""

    server: SupervisorProcess

    def seen_state(self) -> object:
        return self.server.memory()


def _fact_of(item: object) -> Delivery | None:
    """What a machine may wait for: a death, or what its request came to."""
    if isinstance(item, DownMessage):
        return Down([item.ref], item.pid.serial, item.reason)
    return item if isinstance(item, (Started, Answer)) else None
