"""The state machines of test_gen_statem.py; with a loop: statem_async_actors."""

from __future__ import annotations

from actorcore.exit_reason import Reason
from actorcore.gen_statem import (
    Event,
    GenStatem,
    Ignore,
    InitResult,
    KeepState,
    NextEvent,
    NextState,
    Ok,
    Postpone,
    Reply,
    Result,
    StateTimeout,
    Stop,
)
from actorcore.mailbox import Message
from actorcore.pids import Pid

INSTANCE, TESTER = 7, 99


class Lock(GenStatem):
    """The code lock of OTP's design principles: a code opens it for a moment; what else is asked then waits."""

    callback_mode = "state_functions"
    state_enter = True

    def init(self, how: object = "ok", open_s: float = 0.01) -> InitResult:
        if how == "ignore":
            return Ignore()
        if how == "stop":
            return Stop({"shutdown": "no key"})
        self.open_s, self.wrong = open_s, 0
        return Ok("locked")

    def tell(self, *words: object) -> None:
        self.process.send(Pid(INSTANCE, TESTER), list(words))

    def locked(self, event: Event) -> Result:
        match event.kind, event.content:
            case "enter", _:
                self.tell("locks", self.wrong)
            case "call", "code":
                return NextState("open", [Reply("opens")])
            case "call", "stop":
                return Stop("shutdown", reply="bye")
            case "call", "crash":
                raise KeyError("lock")
            case "call", "no result":
                return 42  # type: ignore[return-value]
            case "call", _:
                self.wrong += 1
                return KeepState([Reply("wrong"), NextEvent("internal", "count")])
            case "internal", "count":
                self.tell("count", self.wrong)
            case "info", Message(_, body):
                self.tell("info", body)
        return None

    def open(self, event: Event) -> Result:
        match event.kind:
            case "enter":
                self.tell("opens")
                return KeepState([StateTimeout(self.open_s, "too long")])
            case "state_timeout":
                return NextState("locked")
        return KeepState([Postpone()])

    def terminate(self, reason: Reason) -> None:
        self.tell("terminate", reason, self.state)


class Counter(GenStatem):
    """Its state is how often it was asked."""

    def init(self) -> Ok:
        return Ok(0)

    def handle_event(self, event: Event, state: int) -> Result:
        return NextState(state + 1, [Reply(state)]) if event.kind == "call" else None
