"""Every return of every callback of a gen_server (gen_server(3), OTP 25): what it means, and where it is none."""

from __future__ import annotations

from typing import Any, cast

import msgspec
import pytest

from actorcore.behaviour import BadReturnValue
from actorcore.exit_reason import Term
from actorcore.frames import Call, Cast, Info, System, encoder
from actorcore.gen_server import Continue, GenServer, Ignore, NoReply, Ok, Reply, ServerMachine, Stop
from actorcore.mailbox import From, Raw, Timeout
from actorcore.pids import Pid
from actorcore.system_words import ChangeCode, Suspend
from tests.fake_host import Host

PEER = 99
CALLER = From(Pid(7, PEER), 1)
BODY = msgspec.Raw(encoder.encode("request"))
BAD = "bad_return_value"
THEN = Continue("later")
MESSAGES = {"call": Raw(PEER, Call(1, BODY)), "cast": Raw(PEER, Cast(BODY)), "info": Raw(PEER, Info(BODY)), "timeout": Timeout()}


class Server(GenServer):
    """Returns what it is told to, from any callback."""

    result: object = None

    def handle_call(self, request: object, frm: From) -> object:  # type: ignore[override]
        return self.result

    def handle_cast(self, request: object) -> object:  # type: ignore[override]
        return self.result

    def handle_info(self, info: object) -> object:  # type: ignore[override]
        return self.result

    def handle_continue(self, term: object) -> object:  # type: ignore[override]
        return self.result


def outcome(machine: ServerMachine, host: Host) -> object:
    """Answers, whether a continuation comes before the next message, when the timeout is due, why it stops."""
    deadline_s = machine.deadline_s()
    due = None if deadline_s is None else deadline_s - host.now
    if machine.stop is not None:
        machine.part()
    return [value for _, value in host.replies], machine.pending() is not None, due, machine.stop


def after_init(result: object) -> object:
    host = Host()
    machine = ServerMachine(Server(), host)
    try:
        if machine.begun(result) is not None:
            return "ignore"
    except BadReturnValue as bad:
        return BAD, bad.value
    return outcome(machine, host)


def after(callback: str, result: object) -> object:
    host, server = Host(), Server()
    machine = ServerMachine(server, host)
    if callback == "continue":
        machine.begun(Ok(then=THEN))
        todo = machine.pending()
    else:
        todo = machine.take(MESSAGES[callback])
    assert todo is not None
    server.result = result
    try:
        may_pend = machine.conclude(todo[0](*todo[1]), todo[2])
    except BadReturnValue as bad:
        return BAD, bad.value
    assert may_pend == (machine._then is not None)
    assert [frm for frm, _ in host.replies] == [CALLER] * len(host.replies)
    return outcome(machine, host)


@pytest.mark.parametrize(("result", "meaning"), [
    (None, ([], False, None, None)), (Ok(), ([], False, None, None)), (Ok(timeout_s=2.0), ([], False, 2.0, None)),
    (Ok(hibernate=True), ([], False, None, None)), (Ok(then=THEN), ([], True, None, None)),
    (Stop({"shutdown": 1}), ([], False, None, {"shutdown": 1})), (Ignore(), "ignore"),
    (Reply(1), (BAD, Reply(1))), (NoReply(), (BAD, NoReply())), (42, (BAD, 42)),
])  # fmt: skip
def test_what_init_may_return(result: object, meaning: object) -> None:
    assert after_init(result) == meaning


@pytest.mark.parametrize(("result", "meaning"), [
    (Reply(1), ([1], False, None, None)), (Reply(1, timeout_s=2.0), ([1], False, 2.0, None)),
    (Reply(1, hibernate=True), ([1], False, None, None)), (Reply(1, then=THEN), ([1], True, None, None)),
    (NoReply(), ([], False, None, None)), (NoReply(timeout_s=2.0), ([], False, 2.0, None)),
    (NoReply(hibernate=True), ([], False, None, None)), (NoReply(then=THEN), ([], True, None, None)),
    (Stop("shutdown", reply=1), ([1], False, None, "shutdown")), (Stop("shutdown"), ([], False, None, "shutdown")),
    (Stop("shutdown", reply=None), ([None], False, None, "shutdown")),
    (None, (BAD, None)), (Ok(), (BAD, Ok())), (Ignore(), (BAD, Ignore())), (42, (BAD, 42)),
])  # fmt: skip
def test_what_handle_call_may_return(result: object, meaning: object) -> None:
    assert after("call", result) == meaning


def test_the_reply_of_a_stop_comes_after_terminate() -> None:
    host, server = Host(), Server()
    machine = ServerMachine(server, host)
    todo = machine.take(MESSAGES["call"])
    assert todo is not None
    machine.conclude(Stop("shutdown", reply=1), todo[2])
    assert (machine.stop, host.replies) == ("shutdown", [])  # terminate would run now
    machine.part()
    assert host.replies == [(CALLER, 1)]


@pytest.mark.parametrize("callback", ["cast", "info", "timeout", "continue"])
@pytest.mark.parametrize(("result", "meaning"), [
    (None, ([], False, None, None)), (NoReply(), ([], False, None, None)), (NoReply(timeout_s=2.0), ([], False, 2.0, None)),
    (NoReply(timeout_s=0.0), ([], False, 0.0, None)), (NoReply(hibernate=True), ([], False, None, None)),
    (NoReply(then=THEN), ([], True, None, None)), (Stop("shutdown"), ([], False, None, "shutdown")),
    (Reply(1), (BAD, Reply(1))), (Stop("shutdown", reply=1), (BAD, Stop("shutdown", reply=1))),
    (Ok(), (BAD, Ok())), (42, (BAD, 42)),
])  # fmt: skip
def test_what_the_callbacks_that_answer_nobody_may_return(callback: str, result: object, meaning: object) -> None:
    assert after(callback, result) == meaning


def test_an_inactivity_timeout_ends_with_the_next_message_whatever_that_was() -> None:
    """ "if … no message is received within the timeout": what comes back without one disarms it."""
    host, server = Host(), Server()
    machine = ServerMachine(server, host)
    machine.begun(Ok(timeout_s=2.0))
    todo = machine.take(MESSAGES["info"])
    assert todo is not None
    machine.conclude(None, None)
    assert machine.deadline_s() is None


class Before(GenServer):
    def init(self) -> None:
        self.total = 5


class After(GenServer):
    def code_change(self, old_version: object, state: Any, extra: Any) -> Any:
        if extra == "fail":
            raise KeyError(extra)
        return {"sum": state["total"], "was": old_version}

    def handle_call(self, request: object, frm: From) -> Reply:
        return Reply("after")


class Renewing(Host):
    """Its new code is After, of version 8."""

    def __init__(self) -> None:
        super().__init__()
        self.gone_back = 0

    def renew(self, module: str, kind: type) -> tuple[type, Term, Any]:
        def go_back() -> None:
            self.gone_back += 1

        assert (module, kind) == (__name__, Before)
        return After, 8, go_back


@pytest.mark.parametrize(("old_version", "told"), [(None, 8), ("7-rc", "7-rc")])
def test_new_code_takes_over_the_state_as_it_makes_it_and_is_told_which_code_was_before(old_version: Term, told: Term) -> None:
    host, server = Renewing(), Before()
    server.process = cast(Any, host)
    server.init()
    machine = ServerMachine(server, host)

    def asked(number: int, word: object) -> None:
        machine.take(Raw(11, System(number, msgspec.Raw(encoder.encode(word)))))

    asked(1, ChangeCode(__name__, old_version))
    asked(2, Suspend())
    asked(3, ChangeCode("other", old_version))
    asked(4, ChangeCode(__name__, old_version, "fail"))
    assert (type(machine.server), vars(machine.server), host.gone_back) == (Before, {"process": host, "total": 5}, 1)
    asked(5, ChangeCode(__name__, old_version))
    assert (type(machine.server), vars(machine.server)) == (After, {"process": host, "sum": 5, "was": told})
    assert [(frm.number, value) for frm, value in host.replies] == [(2, True), (5, True)]
    assert [(frm.number, *error) for frm, *error in host.errors] == [
        (1, "not_permitted", "it is not suspended"), (3, "not_found", f"Before is of {__name__}"),
        (4, "callback_failed", "KeyError: 'fail'"),
    ]  # fmt: skip
