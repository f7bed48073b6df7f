"""OTP's sys on residents: supervisors, registries, sessions. The kernel is the real one, in the test's hands."""

from __future__ import annotations

import msgspec
import pytest

from actorcore.effects import Deliver, Operate
from actorcore.exit_reason import Term
from actorcore.frames import System, encoder, term_decoder
from actorcore.kernel import Kernel
from actorcore.pids import Pid
from actorcore.requests import EVERYTHING, Ask, Link, Request, SendExit, Spawn, TrapExit
from actorcore.signals import (
    Answer,
    Asked,
    Booted,
    Born,
    ClientAttached,
    ClientDetached,
    Down,
    Event,
    Exit,
    Exited,
    Monitor,
    Sent,
    ShutdownAsked,
)
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
    Trace,
)  # fmt: skip
from actorcore.words import RESIDENT, ProcessSpec
from supervisors.machines import MACHINES
from supervisors.registry.registry import RegistrySpec
from supervisors.tree.child_spec import ChildSpec
from supervisors.tree.session_words import StartSession
from supervisors.tree.sessions import Sessions

CLD_KILLED = 2
SUPERVISOR = ProcessSpec("supervisor", [{"children": [
    {"id": "names", "process": {"start": "registry", "template": "resident", "name": "names"}},
]}], template=RESIDENT)  # fmt: skip


class Client:
    """A client of a kernel that is restored from its snapshot after every event, and what it is told."""

    def __init__(self) -> None:
        self.now = 100.0
        self.numbers = 0
        self.kernel = self._fresh()
        self.told: list[object] = []
        self.halted = False
        self.event(ClientAttached(0, b"", 1))
        self.me = self.kernel.table.last_client
        self.ask(TrapExit(True))
        self.tree = self.value(Spawn(SUPERVISOR, link=True))
        names = self.kernel.table.published()["names"]
        self.names = names
        self.told.clear()

    def _fresh(self) -> Kernel:
        return Kernel(7, {"sessions": Sessions()}, MACHINES)

    def event(self, event: Event) -> None:
        effects = self.kernel.handle(event, self.now)
        self.kernel.table.check_invariants()
        self.told += [effect.body for effect in effects if isinstance(effect, Deliver) and effect.to == getattr(self, "me", 0)]
        self.halted |= Operate("halt") in effects
        snapshot = self.kernel.snapshot()
        self.kernel = self._fresh()
        self.kernel.restore(snapshot)
        assert self.kernel.snapshot() == snapshot

    def ask(self, body: Request) -> None:
        self.numbers += 1
        self.event(Asked(self.me, self.numbers, body))

    def answer(self, body: Request) -> Answer:
        """The answer to it, which comes at once."""
        self.ask(body)
        (answer,) = [body for body in self.told if isinstance(body, Answer) and body.number == self.numbers]
        self.told.remove(answer)
        return answer

    def value(self, body: Request) -> int:
        value = self.answer(body).value
        assert isinstance(value, int)
        return value

    def sys(self, to: int, request: SystemRequest | list[object]) -> object:
        """The answer to a system message: value or error."""
        system = System(0, msgspec.Raw(encoder.encode(request)))
        answer = self.answer(Ask(to, msgspec.Raw(encoder.encode(system))))
        return answer.error or answer.value

    def say(self, to: int, request: object) -> None:
        self.ask(Ask(to, msgspec.Raw(encoder.encode(request))))

    def call(self, to: int, request: object) -> Term:
        return self.answer(Ask(to, msgspec.Raw(encoder.encode(request)))).value


@pytest.fixture
def it() -> Client:
    return Client()


def test_get_state_is_the_memory_of_a_resident(it: Client) -> None:
    state = it.sys(it.names, GetState())
    assert isinstance(state, dict)
    assert (state["spec"], state["parent"], state["entries"]) == (msgspec.to_builtins(RegistrySpec()), it.tree, [])
    it.call(it.names, ["register", "key", 1])
    state = it.sys(it.names, GetState())
    assert isinstance(state, dict)
    assert [(entry["key"], entry["serial"], entry["value"]) for entry in state["entries"]] == [("key", it.me, 1)]


def test_get_status_tells_what_runs_and_how(it: Client) -> None:
    status = it.sys(it.tree, GetStatus())
    assert isinstance(status, dict)
    state = status.pop("state")
    assert status == {
        "pid": Pid(7, it.tree), "module": "supervisor", "behaviour": "resident", "status": "running", "waiting": 0,
        "trace": False, "statistics": False, "log": [],
    }  # fmt: skip
    assert state == it.sys(it.tree, GetState())


def test_a_suspended_supervisor_restarts_nobody_until_it_is_resumed(it: Client) -> None:
    assert it.sys(it.tree, Suspend()) is True
    it.ask(SendExit(it.names, "kill"))
    it.say(it.tree, ["count_children"])
    status = it.sys(it.tree, GetStatus())
    assert isinstance(status, dict)
    assert (status["status"], status["waiting"]) == ("suspended", 2)
    assert "names" not in it.kernel.table.published()
    it.told.clear()
    assert it.sys(it.tree, Resume()) is True
    assert it.kernel.table.published()["names"] > it.names
    assert it.told == [Answer(it.numbers - 2, {"specs": 1, "active": 1, "supervisors": 0, "workers": 1})]


def test_resumed_a_registry_serves_in_the_order_of_the_requests(it: Client) -> None:
    it.sys(it.names, Suspend())
    it.say(it.names, ["register", "key", 1])
    it.say(it.names, ["lookup", "key"])
    it.say(it.names, ["unregister", "key"])
    first = it.numbers - 2
    assert it.told == []
    it.ask(Ask(it.names, msgspec.Raw(encoder.encode(System(0, msgspec.Raw(encoder.encode(Resume())))))))
    answers = [(body.number, body.value) for body in it.told if isinstance(body, Answer)]
    assert answers == [(it.numbers, True), (first, True), (first + 1, [[it.me, 1]]), (first + 2, True)]


def test_a_suspended_resident_dies_of_a_kill_and_of_its_parents_exit(it: Client) -> None:
    refs = [901, 902]
    for ref, serial in zip(refs, (it.names, it.tree), strict=True):
        it.ask(Monitor(ref, serial))
        it.sys(serial, Suspend())
    it.told.clear()
    it.ask(SendExit(it.names, "kill"))
    assert [body for body in it.told if isinstance(body, Down)] == [Down([901], it.names, "killed")]
    it.ask(SendExit(it.tree, "shutdown"))  # this client has started it
    assert [body for body in it.told if isinstance(body, (Down, Exit))][1:] == [
        Down([902], it.tree, "shutdown"), Exit(it.tree, "shutdown", EVERYTHING),
    ]  # fmt: skip


def test_what_a_suspended_supervisor_has_under_way_it_finishes(it: Client) -> None:
    it.say(it.tree, ["start_child", {"id": "p", "process": {"start": "m:f"}}])
    child = it.names + 1
    it.event(Born(child, 1000))
    it.event(Booted(child))
    it.say(it.tree, ["terminate_child", "p"])
    asked = it.numbers
    it.sys(it.tree, Suspend())
    it.told.clear()
    it.event(Exited(child, CLD_KILLED, 9))
    assert it.told == [Answer(asked, True)]


def test_nothing_is_remembered_of_who_is_dead_or_watched_no_more(it: Client) -> None:
    for request in (Suspend(), Log(3), Statistics("on"), Trace()):
        it.sys(it.names, request)
    for request in (Resume(), Log(0), Statistics("off"), Trace(False)):
        assert list(it.kernel._sys.watched) == [it.names]
        it.sys(it.names, request)
    assert it.kernel._sys.watched == {}
    for serial in (it.names, it.tree):
        it.sys(serial, Log(3))
    it.ask(SendExit(it.names, "kill"))
    assert list(it.kernel._sys.watched) == [it.tree]
    it.say(it.tree, ["stop", "normal"])
    assert it.kernel._sys.watched == {}


def test_who_traces_and_dies_is_forgotten_with_the_next_event(it: Client) -> None:
    """Killed in the middle of ``actorcore trace``: the node went on telling nobody, for ever."""
    it.event(ClientAttached(0, b"", 2))
    tracer = it.kernel.table.last_client
    system = System(0, msgspec.Raw(encoder.encode(Trace())))
    it.event(Asked(tracer, 1, Ask(it.names, msgspec.Raw(encoder.encode(system)))))
    it.event(ClientDetached(tracer, dead=True))
    assert list(it.kernel._sys.watched) == [it.names]
    it.call(it.names, ["count"])
    assert it.kernel._sys.watched == {}


def test_the_exit_of_a_stranger_waits_while_it_is_suspended(it: Client) -> None:
    stranger = it.value(Spawn(ProcessSpec("registry", template=RESIDENT)))
    it.ask(Monitor(903, stranger))
    it.ask(Link(stranger))
    it.sys(it.tree, Suspend())
    it.ask(SendExit(stranger, "normal"))
    status = it.sys(it.tree, GetStatus())
    assert isinstance(status, dict)
    assert status["status"] == "suspended"


def test_the_daemon_ends_although_residents_are_suspended(it: Client) -> None:
    sessions = it.kernel.table.published()["system:sessions"]
    for serial in (sessions, it.tree, it.names):
        it.sys(serial, Suspend())
    it.event(ShutdownAsked())
    assert it.halted


def test_the_node_itself_cannot_be_suspended(it: Client) -> None:
    node = it.kernel.table.published()["system:node"]
    assert it.sys(node, Suspend()) == ("not_permitted", "nobody else would answer for the daemon")
    status = it.call(node, {"verb": "status"})
    assert isinstance(status, dict)


def test_statistics_and_log_of_a_resident(it: Client) -> None:
    assert it.sys(it.names, Statistics()) is None
    assert it.sys(it.names, Statistics("on")) is True
    assert it.sys(it.names, Log(2)) is True
    it.now = 110.0
    it.call(it.names, ["register", "key", 1])
    assert it.call(it.names, ["count"]) == 1
    me = Pid(7, it.me)
    assert it.sys(it.names, Log()) == [["in", "call", ["count"], me], ["out", 1, me]]
    assert it.sys(it.names, Statistics()) == {
        "start_time": 100.0, "current_time": 110.0, "messages_in": 2, "messages_out": 2, "cpu_s": 0.0,
    }  # fmt: skip
    assert it.sys(it.names, Statistics("off")) is True
    assert it.sys(it.names, Log(0)) is True
    assert it.sys(it.names, Statistics()) is None


def test_a_trace_of_a_resident_comes_as_messages(it: Client) -> None:
    it.sys(it.names, Trace())
    it.call(it.names, ["count"])
    it.sys(it.names, Trace(False))
    it.call(it.names, ["count"])
    me, pid = Pid(7, it.me), Pid(7, it.names)
    assert [(body.frm, term_decoder.decode(body.body)) for body in it.told if isinstance(body, Sent)] == [
        (it.names, ["trace", pid, ["in", "call", ["count"], me]]), (it.names, ["trace", pid, ["out", 0, me]]),
    ]  # fmt: skip


@pytest.mark.parametrize(("request_", "refusal"), [
    (ReplaceState("os:getcwd"), "unsupported"), (ChangeCode("supervisors.registry.registry"), "unsupported"),
    (["dance"], "invalid_message"), (["log", "much"], "invalid_message"),
])  # fmt: skip
def test_no_foreign_code_runs_in_the_node(it: Client, request_: SystemRequest, refusal: str) -> None:
    before = it.sys(it.names, GetState())
    told = it.sys(it.names, request_)
    assert isinstance(told, tuple)
    assert told[0] == refusal
    assert it.sys(it.names, GetState()) == before


def test_a_state_too_large_for_an_answer_is_refused_in_words(it: Client) -> None:
    for number in range(20):
        it.call(it.names, ["register", f"key{number}", "x" * 4000])
    told = it.sys(it.names, GetState())
    assert isinstance(told, tuple)
    assert told[0] == "value_too_long"


def test_the_daemon_ends_with_the_trees_that_somebody_has_started(it: Client) -> None:
    """From the top: a supervisor is told, and stops its children; its own restarts would keep the daemon up."""
    it.event(ShutdownAsked())
    assert it.halted
    assert [row.name for row in it.kernel.table.rows(0, 99) if row.kind == "resident"] == ["system:node"]


def test_the_daemon_stops_a_tree_in_the_reverse_order_of_its_start(it: Client) -> None:
    for number in range(3):
        it.call(it.tree, ["start_child", {"id": f"r{number}", "process": {"start": "registry", "template": "resident"}}])
    serials = [it.names, it.names + 1, it.names + 2, it.names + 3]
    for ref, serial in enumerate(serials, 900):
        it.ask(Monitor(ref, serial))
    it.told.clear()
    it.event(ShutdownAsked())
    assert [body.pid for body in it.told if isinstance(body, Down)] == serials[::-1]


def test_a_suspended_resident_whose_daemon_ends_hears_first_of_the_deaths_that_it_has_missed(it: Client) -> None:
    sessions = it.kernel.table.published()["system:sessions"]
    it.ask(Ask(sessions, msgspec.Raw(encoder.encode(StartSession(ChildSpec("s", ProcessSpec("m:f"), restart="temporary"))))))
    serial = it.names + 1
    it.event(Born(serial, 1000))
    it.event(Booted(serial))
    it.sys(sessions, Suspend())
    it.event(Exited(serial, CLD_KILLED, 9))
    it.event(ShutdownAsked())
    assert it.halted
