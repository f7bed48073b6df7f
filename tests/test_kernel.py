"""The kernel of the node: what the table and the residents make of one event, in one order."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from actorcore.effects import Deliver, Fork, Kill, Operate, Report
from actorcore.kernel import Kernel
from actorcore.requests import (
    NOBODY,
    Ask,
    Introduce,
    Link,
    Monitor,
    Processes,
    Register,
    RegisterMany,
    Request,
    SendExit,
    Spawn,
    TrapExit,
    Whereis,
)
from actorcore.signals import (
    Answer,
    Asked,
    Booted,
    Born,
    ClientAttached,
    Crowded,
    Event,
    Exit,
    Exited,
    NotConnected,
    PeerDown,
    Refill,
    ShutdownAsked,
    TemplateTold,
    Ticked,
)
from actorcore.words import ProcessSpec
from supervisors.tree.child_spec import ChildSpec
from supervisors.tree.session_words import SessionRequest, StartSession, StopSession
from supervisors.tree.sessions import Sessions
from tests.table_driver import Driver, deliveries


class Frames:
    """A client of a kernel, and the frames that it gets."""

    def __init__(self) -> None:
        self.kernel = Kernel(1, {"sessions": Sessions()})
        self.sessions = self.kernel.table.published()["system:sessions"]
        self.numbers = 0
        self.frames: list[tuple[int, object]] = []
        self.do(ClientAttached(0, b"", 1))
        self.me = self.kernel.table.last_client
        self.ask_node(TrapExit(True))

    def do(self, event: Event) -> None:
        effects = self.kernel.handle(event, 0.0)
        self.frames += [(effect.seq, effect.body) for effect in effects if isinstance(effect, Deliver) and effect.to > 2]

    def ask_node(self, request: Request) -> None:
        self.numbers += 1
        self.do(Asked(self.me, self.numbers, request))

    def ask(self, request: SessionRequest) -> None:
        self.ask_node(Ask(self.sessions, msgspec.Raw(msgspec.msgpack.encode(request))))


def test_frames_leave_in_the_order_of_their_numbers_also_when_a_supervisor_answers_in_the_same_turn() -> None:
    """A receiver drops what comes after a higher number: the EXIT of a session would be lost to who stops it."""
    it = Frames()
    it.ask(StartSession(ChildSpec("s", ProcessSpec("m:f"), shutdown_s="brutal_kill")))
    serial = it.me + 1
    it.do(Born(serial, 1))
    it.do(Booted(serial))
    it.ask_node(Link(serial))
    it.ask(StopSession("s"))
    it.frames.clear()
    it.do(Exited(serial, 2, 9))
    assert [(seq, type(body)) for seq, body in it.frames] == [(4, Exit), (5, Answer)]


def test_a_shutdown_ends_the_sessions_then_halts_the_daemon_once() -> None:
    it = Frames()
    it.ask(StartSession(ChildSpec("s", ProcessSpec("m:f"), shutdown_s="brutal_kill")))
    serial = it.me + 1
    it.do(Born(serial, 1))
    it.do(Booted(serial))
    asked = it.kernel.handle(ShutdownAsked(), 0.0)
    assert [effect for effect in asked if isinstance(effect, (Kill, Operate))] == [Kill(serial)]
    assert it.kernel.handle(ShutdownAsked(), 0.0) == []
    it.frames.clear()
    it.ask_node(Spawn(ProcessSpec("m:f")))
    assert [body.error for _, body in it.frames if isinstance(body, Answer)] == [("shutting_down", "nothing is started any more")]
    ended = it.kernel.handle(Exited(serial, 2, 9), 0.0)
    assert [effect for effect in ended if isinstance(effect, Operate)] == [Operate("halt")]
    assert it.kernel.table.published() == {"system:node": 1}


def test_a_channel_that_could_not_be_made_is_gone_on_both_sides_also_when_one_is_dying() -> None:
    driver = Driver()
    dying, other = driver.start(), driver.start()
    driver.ask(dying, Introduce(other))
    driver.ask(driver.root, SendExit(dying, "kill"))
    told = deliveries(driver.do(NotConnected(dying, other, "emfile")), other, PeerDown)
    assert told == [PeerDown(dying, {"resource_exhausted": "emfile"})]
    assert deliveries(driver.kill(dying), other, PeerDown) == []


def test_a_crowded_kernel_takes_in_nothing_more_until_there_is_room_also_after_a_takeover() -> None:
    frames = Frames()
    big = StartSession(ChildSpec("big", ProcessSpec("m:f", ["x" * 300])))
    refused = ("resource_exhausted", "the daemon holds all that it can")

    def told(act: Callable[[], None]) -> object:
        frames.frames.clear()
        act()
        return [body.error for _, body in frames.frames if isinstance(body, Answer)]

    growing = [Spawn(ProcessSpec("m:f")), Monitor(1, frames.me), Link(frames.me), Register("x"), RegisterMany([Register("y")])]
    frames.do(Crowded(True))
    for _ in range(2):
        assert [told(lambda body=body: frames.ask_node(body)) for body in growing] == [[refused]] * 5  # type: ignore[misc]
        assert told(lambda: frames.ask(big)) == [refused]
        assert told(lambda: frames.ask(StopSession("none"))) == [("not_found", "none")]
        successor = Kernel(1, {"sessions": Sessions()})
        successor.restore(frames.kernel.snapshot())
        frames.kernel = successor
    frames.do(Crowded(False))
    assert told(lambda: frames.ask_node(Register("x"))) == [None]
    assert told(lambda: frames.ask(big)) == []  # it starts


def test_B16_code_that_lacks_what_runs_here_cannot_go_on_from_it() -> None:
    frames = Frames()
    machines = frames.kernel.machines()
    assert machines == ["system:node", "system:sessions"]
    assert frames.kernel.not_restored_by(machines) is None
    lacking = frames.kernel.not_restored_by(["system:node", "registry"])
    assert lacking == "the new code has no machine system:sessions, and there is one running"


def test_who_asked_for_what_kills_nodes_is_told_once_and_nothing_else_comes_of_it() -> None:
    it = Frames()
    asked = Asked(it.me, it.numbers + 1, Whereis("x"))
    answer = Answer(asked.number, None, ("internal_error", "this request was skipped"))
    assert it.kernel.skip(asked, 0.0) == [Deliver(it.me, 2, answer)]
    assert [it.kernel.skip(again, 0.0) for again in (asked, Asked(99, 1, Whereis("x")))] == [[], []]
    assert it.kernel.handle(asked, 0.0) == []
    assert it.kernel.skip(Ticked(), 0.0) == [Report("event_skipped", NOBODY, "Ticked")]


def test_each_template_is_served_or_has_its_trouble_and_the_dead_show_nothing() -> None:
    it = Frames()
    for told in (TemplateTold("lean"), TemplateTold("mine", "no module")):
        it.do(told)
    found = it.kernel.table.statistics()
    assert (found.templates, found.residents) == ({"lean": "served", "mine": "no module"}, 2)
    assert it.kernel.table.show(99, "key", b"value") == []


def test_a_ref_is_for_one_monitor_and_a_page_of_no_processes_has_none() -> None:
    driver = Driver()
    watcher, other = driver.start(), driver.start()
    assert driver.value(watcher, Monitor(1, other)) is True
    assert driver.error(watcher, Monitor(1, other)) == ("already_exists", "ref")
    assert [driver.value(watcher, Processes(0, limit)) for limit in (-1, 0)] == [[], []]


def test_what_has_no_page_is_not_forked() -> None:
    driver = Driver(pages=2)
    driver.start()
    effects = driver.do(Refill("lean", 3))
    assert [type(effect) for effect in effects] == [Fork, Report]
    assert effects[1] == Report("out_of_pages", NOBODY, "lean")


def test_a_new_node_looks_after_clients_and_who_is_not_as_the_table_says() -> None:
    driver = Driver()
    halted, running, without = driver.start(), driver.start(), driver.start()
    client, unborn = driver.client(), driver.fork()
    found = [row.serial for row in driver.table.unsettled({halted}, {without})]
    assert (found, running in found) == ([halted, without, client, unborn], False)
