"""OTP's sys on processes with callbacks, ``def`` and ``async def`` (sys(3), OTP 25): what any of them does whatever its code."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import msgspec
import pytest

from actorcore import frames, mailbox
from actorcore.frames import Call, Cast, Info, Message, Reply, System
from actorcore.gen_server import GenServer, NoReply, ServerMachine
from actorcore.mailbox import Raw
from actorcore.pids import Pid
from actorcore.signals import Exit
from actorcore.sys_face import Sys
from actorcore.system_words import (
    ChangeCode,
    GetState,
    GetStatus,
    Log,
    ReplaceState,
    Resume,
    Statistics,
    Suspend,
    SystemRequest,
    Terminate,
    Trace,
)  # fmt: skip
from tests.fake_host import Host
from tests.lean_world import INSTANCE, TESTER, Child, World, say
from tests.test_process import raw, terms

PARENT = 98
ME = Pid(INSTANCE, TESTER)


@pytest.fixture(params=["tests.sys_actors", "tests.sys_async_actors"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    world = World(request.param)
    yield world
    world.close()


class Asked:
    """A process and the channel of the test to it."""

    def __init__(self, world: World, start: str = "actors:Counter", peer: int = TESTER, child: Child | None = None) -> None:
        self.world = world
        self.child = child or world.start(start, parent=PARENT)
        self.channel: socket.socket = world.peer(self.child, peer)
        self.number = 0
        self.told: list[object] = []

    def next(self) -> Reply:
        """The next answer; what else is said meanwhile is kept."""
        while True:
            for message in self.said():
                if isinstance(message, Reply):
                    return message
                self.told += terms([message])

    def said(self) -> list[Message]:
        return self.world.read(self.channel)

    def _ask(self, message: Message) -> object:
        say(self.channel, message)
        reply = self.next()
        assert reply.number == self.number
        return reply.error or terms([reply])[0]

    def sys(self, request: SystemRequest) -> object:
        self.number += 1
        return self._ask(System(self.number, raw(request)))

    def call(self, request: object) -> object:
        self.number += 1
        return self._ask(Call(self.number, raw(request)))

    def cast(self, request: object) -> None:
        say(self.channel, Cast(raw(request)))


STATE = {"count": 0, "password": "secret", "lock": "<object>"}


def test_get_state_shows_the_attributes_and_the_type_of_what_is_no_data(world: World) -> None:
    assert Asked(world).sys(GetState()) == STATE


def test_get_state_knows_slots(world: World) -> None:
    assert Asked(world, "actors:Slotted").sys(GetState()) == {"count": 1, "other": 2}


def test_get_state_comes_in_line_with_the_messages(world: World) -> None:
    it = Asked(world)
    for _ in range(3):
        it.cast("one")
    assert it.sys(GetState()) == STATE | {"count": 3}


def test_replace_state_runs_a_function_in_the_process(world: World) -> None:
    it = Asked(world)
    assert it.sys(ReplaceState("tests.sys_actors:merged", [{"count": 41}])) == STATE | {"count": 41}
    assert it.call("add") == 42


@pytest.mark.parametrize(("function", "trouble"), [
    ("tests.sys_actors:raising", "SystemExit: 3"),
    ("tests.sys_actors:no_state", "TypeError: no dict of attributes: int"),
    ("tests.sys_actors:nowhere", "AttributeError: module 'tests.sys_actors' has no attribute 'nowhere'"),
    ("nonsense", "ValueError: not module:name: 'nonsense'"),
])  # fmt: skip
def test_a_function_that_raises_leaves_the_state_and_is_told_as_callback_failed(
    world: World, function: str, trouble: str
) -> None:
    it = Asked(world)
    assert it.sys(ReplaceState(function)) == ("callback_failed", trouble)
    assert it.sys(GetState()) == STATE


def test_get_status_is_what_format_status_lets_be_seen(world: World) -> None:
    it = Asked(world)
    assert it.sys(GetStatus()) == {
        "pid": Pid(INSTANCE, 1), "module": f"{world.actors}:Counter", "behaviour": "gen_server", "status": "running",
        "parent": Pid(INSTANCE, PARENT), "waiting": 0, "trace": False, "statistics": False, "log": [],
        "state": STATE | {"password": "…"},
    }  # fmt: skip


def test_a_format_status_that_raises_shows_no_state_at_all(world: World) -> None:
    it = Asked(world)
    it.sys(ReplaceState("tests.sys_actors:merged", [{"count": 13}]))
    status = it.sys(GetStatus())
    assert isinstance(status, dict)
    assert status["state"] == "format_status: ValueError: unlucky"


def test_suspended_it_holds_its_messages_and_answers_system_messages(world: World) -> None:
    it = Asked(world)
    assert it.sys(Suspend()) is True
    say(it.channel, Call(77, raw("add")), Info(raw("hello")), Cast(raw("one")))
    status = it.sys(GetStatus())
    assert isinstance(status, dict)
    assert (status["status"], status["waiting"]) == ("suspended", 3)
    assert it.sys(GetState()) == STATE
    assert it.sys(Suspend()) is True
    assert it.sys(Resume()) is True
    assert it.next() == Reply(77, raw(1))
    assert it.call("add") == 3
    assert it.sys(Resume()) is True


def test_what_waited_is_handled_in_its_order_before_what_came_later(world: World) -> None:
    it = Asked(world)
    it.sys(Suspend())
    say(it.channel, Call(71, raw("add")), Call(72, raw("add")), System(9, raw(Resume())), Call(73, raw("add")))
    assert it.next().number == 9
    rest: list[Message] = []
    while len(rest) < 3:
        rest += it.said()
    assert [(reply.number, terms([reply])[0]) for reply in rest if isinstance(reply, Reply)] == [(71, 1), (72, 2), (73, 3)]


def test_suspended_it_ends_by_its_parents_exit_through_terminate_and_keeps_that_of_others(world: World) -> None:
    it = Asked(world)
    it.sys(Suspend())
    world.deliver(it.child, Exit(50, "gone"))
    status = it.sys(GetStatus())
    assert isinstance(status, dict)
    assert status["waiting"] == 1
    world.deliver(it.child, Exit(PARENT, "shutdown"))
    assert terms(it.said()) == [["terminate", "shutdown"]]
    assert world.wait_death(it.child) == "shutdown"


def test_suspended_it_dies_of_a_kill_and_can_be_stopped(world: World) -> None:
    killed, stopped = Asked(world), Asked(world)
    killed.sys(Suspend())
    stopped.sys(Suspend())
    assert world.kill(killed.child) == "killed"
    say(stopped.channel, System(0, raw(Terminate({"shutdown": "enough"}))))
    assert terms(stopped.said()) == [["terminate", {"shutdown": "enough"}]]
    assert world.wait_death(stopped.child) == {"shutdown": "enough"}


def test_resumed_its_inactivity_timeout_begins_anew(world: World) -> None:
    it = Asked(world)
    say(it.channel, Call(1, raw("timeout")), System(2, raw(Suspend())), System(3, raw(Trace())), System(4, raw(Resume())))
    assert [it.next().number for _ in range(4)] == [1, 2, 3, 4]
    it.number = 4
    assert terms(it.said()) == [["trace", Pid(INSTANCE, 1), ["in", "timeout", None, None]]]
    assert it.sys(GetState()) == STATE | {"count": 100}


def test_suspended_no_inactivity_timeout_passes() -> None:
    host = Host()
    machine = ServerMachine(GenServer(), host)
    machine.conclude(NoReply(timeout_s=5.0), None)
    assert machine.deadline_s() == host.now + 5.0
    machine.take(Raw(TESTER, System(0, raw(Suspend()))))
    assert machine.deadline_s() is None
    machine.take(Raw(TESTER, System(0, raw(Resume()))))
    assert machine.deadline_s() == host.now + 5.0


def test_a_full_mailbox_of_a_suspended_process_keeps_out_who_filled_it_and_lets_in_who_may_resume_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mailbox, "MAX_WAITING", 10)
    it = Asked(world)
    it.sys(Suspend())
    say(it.channel, *[Cast(raw("one"))] * 10)
    other = Asked(world, peer=97, child=it.child)
    while (status := other.sys(GetStatus())) and isinstance(status, dict) and status["waiting"] < 10:
        pass  # it has not read the other channel yet
    say(it.channel, System(55, raw(GetStatus())))
    for _ in range(100):
        assert other.sys(GetState()) == STATE
    assert other.sys(Resume()) is True
    reply = it.next()
    (late,) = terms([reply])
    assert isinstance(late, dict)
    assert (reply.number, late["status"], late["state"]["count"]) == (55, "running", 10)


def test_statistics_count_messages_in_and_answers_out(world: World) -> None:
    it = Asked(world)
    assert it.sys(Statistics()) is None
    assert it.sys(Statistics("on")) is True
    it.cast("one")
    it.call("add")
    got = it.sys(Statistics())
    assert isinstance(got, dict)
    assert {key: got[key] for key in ("messages_in", "messages_out")} == {"messages_in": 2, "messages_out": 1}
    assert got["start_time"] <= got["current_time"]
    assert 0 <= got["cpu_s"] < 10
    assert it.sys(Statistics("off")) is True
    assert it.sys(Statistics()) is None


def test_a_log_keeps_the_last_events(world: World) -> None:
    it = Asked(world)
    assert it.sys(Log(3)) is True
    it.cast("gone")
    it.cast("one")
    it.call("add")
    events = [["in", "cast", "one", ME], ["in", "call", "add", ME], ["out", 3, ME]]
    assert it.sys(Log()) == events
    assert it.sys(Log(1)) is True
    assert it.sys(Log()) == events[-1:]
    assert it.sys(Log(0)) is True
    it.cast("one")
    assert it.sys(Log()) == []


def test_a_trace_tells_each_event_to_who_asked_until_it_is_off(world: World) -> None:
    it = Asked(world)
    pid = Pid(INSTANCE, 1)
    assert it.sys(Trace()) is True
    it.call("add")
    it.call("later")
    assert it.sys(Trace(False)) is True
    it.call("add")
    assert it.told == [
        ["trace", pid, ["in", "call", "add", ME]], ["trace", pid, ["out", 1, ME]], ["trace", pid, ["in", "call", "later", ME]],
    ]  # fmt: skip


def test_a_tracer_that_is_gone_is_forgotten(world: World) -> None:
    it = Asked(world)
    tracer = Asked(world, peer=97, child=it.child)
    tracer.sys(Trace())
    tracer.channel.close()
    while (status := it.sys(GetStatus())) and isinstance(status, dict) and status["trace"]:
        it.call("add")  # the first event after the end of its channel finds nobody
    assert it.call("stop") == "bye"


def test_an_unknown_system_message_is_refused_without_harm(world: World) -> None:
    it = Asked(world)
    say(it.channel, System(1, raw(["dance"])), System(2, msgspec.Raw(b"\xc7\x01\x05\x00")), System(0, raw(["dance"])))
    refused = [it.next(), it.next()]
    assert [(reply.number, reply.error and reply.error[0]) for reply in refused] == [
        (1, "invalid_message"), (2, "invalid_message"),
    ]  # fmt: skip
    it.number = 2
    assert it.sys(GetState()) == STATE


@pytest.mark.parametrize("request_", [
    GetState(), GetStatus(), ReplaceState("tests.sys_actors:merged", [{}]), Suspend(), Trace(), Log(3), Log(), Statistics("on"),
])  # fmt: skip
def test_who_is_private_shows_nothing_and_lets_nobody_in_but_can_be_stopped(world: World, request_: SystemRequest) -> None:
    it = Asked(world, "actors:Private")
    assert it.sys(request_) == ("not_permitted", "it is private")
    assert it.call("add") == 1
    say(it.channel, System(0, raw(Terminate("shutdown"))))
    assert terms(it.said()) == [["terminate", "shutdown"]]
    assert it.told == []


def test_a_function_has_no_behaviour_that_speaks_sys(world: World) -> None:
    it = Asked(world, "actors:function")
    assert it.sys(GetState()) == ("unsupported", "a function has no behaviour that speaks sys")


def test_a_stop_with_a_reply_that_nobody_waits_for_is_a_bad_return_value(world: World) -> None:
    it = Asked(world)
    it.cast("bad")
    value = {"bad_return_value": {"reason": "normal", "reply": "nobody waits"}}
    assert terms(it.said()) == [["terminate", value]]
    assert world.wait_death(it.child) == value


def test_the_vocabulary_of_sys_is_plain_msgpack() -> None:
    assert frames.term_decoder.decode(frames.encoder.encode(ReplaceState("m:f", [1]))) == ["replace_state", "m:f", [1]]


def test_each_method_of_sys_is_one_request_with_the_patience_of_its_caller() -> None:
    sys: Sys[object] = Sys(lambda *asked: asked)
    pid = Pid(1, 2)
    assert [sys.get_state(pid), sys.get_status("x"), sys.suspend("x", 1.0), sys.resume("x")] == [
        (pid, GetState(), 5.0), ("x", GetStatus(), 5.0), ("x", Suspend(), 1.0), ("x", Resume(), 5.0)]  # fmt: skip
    assert [sys.trace("x"), sys.trace("x", False)] == [("x", Trace(True), 5.0), ("x", Trace(False), 5.0)]
    assert [sys.statistics("x"), sys.statistics("x", True), sys.statistics("x", False), sys.log("x"), sys.log("x", 3)] == [
        ("x", Statistics("get"), 5.0), ("x", Statistics("on"), 5.0), ("x", Statistics("off"), 5.0), ("x", Log(None), 5.0),
        ("x", Log(3), 5.0),
    ]  # fmt: skip
    assert [sys.replace_state("x", "m:f", 1, timeout_s=2.0), sys.change_code("x", "m", "1", [2])] == [
        ("x", ReplaceState("m:f", [1]), 2.0), ("x", ChangeCode("m", "1", [2]), 5.0)]  # fmt: skip
