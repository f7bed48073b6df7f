"""RELIABILITY B1, B2, B3, B7: every process is struck at every named point of a birth; the client has one true answer."""

from __future__ import annotations

import fcntl
import os
import re
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from actorcore.errors import CallFailed, CallTimeout, RequestError
from actorcore.faults import ACTIONS, POINTS, parse
from actorcore.signals import ProcessSpec
from supervisors.client import Client
from tests.daemon_fixture import (
    WAIT_S,
    Daemon,
    Desk,
    await_deaths,
    comm,
    descendants,
    descriptors_beyond,
    desk_of,
    send_signal,
    starttime,
    still_there,
    watched,
)  # fmt: skip

IDLE = "tests.fault.actors:Witness"
NEWBORN = ProcessSpec(IDLE, name="newborn")
ROLES = ("node", "zygote", "birth")
POOL = 8
MAX_NTH = 4
INCIDENTS = {
    "node": '"detail":"node ', "zygote": '"detail":"zygote lean died', "birth": '"kind":"process_exited"',
    "birth.forked": '"kind":"forked_again"', "birth.detached": '"kind":"forked_again"',
}  # fmt: skip
"""What the log tells of a death at a point, or of that role."""
OWN_DESCRIPTORS = ["N.log", "N.log", "anon_inode:[eventpoll]", "null", "socket:[N]", "socket:[N]"]
"""Its log, its epoll, its control socket and the channel to who has called it: of nobody else's."""
DEATHS = {"kill": "killed", "exit": '{"exit":1}', "eio": '{"exit":1}', "enospc": '{"exit":1}'}
"""What is told of a child that is struck between Born and its init."""
AFTER_BOOT = {
    "kill": "killed", "exit": {"exit": 1}, "eio": {"error": {"type": "OSError", "text": "[Errno 5] Input/output error"}},
    "enospc": {"error": {"type": "OSError", "text": "[Errno 28] No space left on device"}},
}  # fmt: skip


class Armed:
    """A daemon with a plan."""

    def __init__(self, daemon: Daemon, plan: Path) -> None:
        self.daemon = daemon
        self._plan = plan
        self._trace = Path(f"{plan}.trace")

    def arm(self, *strikes: str) -> None:
        """Forget what was passed, and strike from now on: who passes a point meanwhile does so before or after both."""
        with open(self._trace, "a") as trace:
            fcntl.flock(trace, fcntl.LOCK_EX)
            self._plan.write_text("\n".join(strikes))
            trace.truncate(0)

    def passed(self) -> list[str]:
        """The points that were passed since, in order."""
        return [name for name, _ in self._passes()]

    def await_pass(self, point: str) -> int:
        """The OS pid of who passes ``point`` first, once it has."""
        while True:
            for name, os_pid in self._passes():
                if name == point:
                    return os_pid
            os.sched_yield()

    def await_zygote(self) -> None:
        """Until it waits for orders: it may pass its last point long after a birth is over. Nothing may have struck it since."""
        while (passed := self.passed()).count("zygote.forked") < passed.count("zygote.ordered"):
            os.sched_yield()

    def _passes(self) -> list[tuple[str, int]]:
        lines = self._trace.read_text().rpartition("\n")[0].splitlines()
        return [(line.split()[0], int(line.split()[1])) for line in lines]


@pytest.fixture(scope="module")
def armed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Armed]:
    folder = tmp_path_factory.mktemp("armed")
    plan = folder / "plan"
    plan.write_text("")
    with Daemon(folder / "run", module="tests.fault.poolless", options=["--faults", str(plan)]) as daemon:
        daemon.bystanders()
        armed = Armed(daemon, plan)
        armed.await_zygote()
        yield armed


@pytest.fixture
def desk(armed: Armed) -> Iterator[Desk]:
    armed.arm()
    with desk_of(armed.daemon) as desk:
        before = descriptors_beyond(desk)
        yield desk
        armed.arm()
        end_newborn(desk)
        assert strangers(desk) == []
        assert descriptors_beyond(desk) == before


@contextmanager
def beside(act: Callable[[], None]) -> Iterator[None]:
    """``act`` runs in a thread of its own while the block waits for what comes of it."""
    thread = threading.Thread(target=act)
    thread.start()
    try:
        yield
    finally:
        thread.join()


def await_stop(os_pid: int) -> None:
    """Until the process stands still by job control."""
    while Path(f"/proc/{os_pid}/stat").read_text().rpartition(")")[2].split()[0] != "T":
        os.sched_yield()


def spawn(desk: Desk, **fields: float) -> object:
    """What the asker is told: a serial, or the reason for which there is no process."""
    try:
        return desk.client.spawn_spec(ProcessSpec(IDLE, name="newborn", **fields)).serial
    except RequestError as error:
        return (error.code, error.detail)


def end_newborn(desk: Desk) -> None:
    for row in [row for row in desk.client.processes() if row["name"] == "newborn"]:
        desk.signal("newborn", int(str(row["os_pid"])), signal.SIGKILL)


def descriptors_of_newborn(desk: Desk) -> list[str]:
    """What each descriptor of the newborn is, when it has answered and is idle."""
    desk.client.call("newborn", ["state", None], WAIT_S)
    (os_pid,) = [row["os_pid"] for row in desk.client.processes() if row["name"] == "newborn"]
    folder = f"/proc/{os_pid}/fd"
    return sorted(re.sub(r"\d+", "N", os.readlink(f"{folder}/{fd}")).rpartition("/")[2] for fd in os.listdir(folder))


def newborns(desk: Desk) -> list[tuple[object, object]]:
    """Serial and phase of every process that there is now for the spawn."""
    return [(row["serial"], row["phase"]) for row in desk.client.processes() if row["name"] == "newborn"]


def strangers(desk: Desk) -> list[int]:
    """OS processes below the guardian that are nobody's, once those on their way out are gone."""
    while True:
        rows = [row for row in desk.client.processes() if row["kind"] == "process"]
        known = {row["os_pid"] for row in rows}
        below = descendants(desk.daemon.guardian_pid)
        left = [p for p in below if p not in known and p not in _roles(desk)]
        if not left or not still_there({p: below[p] for p in left}):
            return []
        desk.client.node("status", WAIT_S)


def _roles(desk: Desk) -> set[int]:
    """Node, spare and zygote."""
    return {os_pid for os_pid in descendants(desk.daemon.guardian_pid) if comm(os_pid) in ("actor-node", "actor-zygote")}


def test_a_birth_without_a_fault_passes_every_point_in_order(armed: Armed, desk: Desk) -> None:
    armed.arm()
    serial = spawn(desk)
    assert newborns(desk) == [(serial, "running")]
    desk.client.call("newborn", ["state", None], WAIT_S)
    ref = desk.client.monitor("newborn")
    desk.client.exit("newborn", "kill")
    desk.client.wait_down(ref, WAIT_S)  # the guardian has reaped it, so it had adopted it
    armed.await_pass("zygote.forked")  # which may be later than its child
    passed = armed.passed()
    assert set(passed) == {name for name in POINTS if not name.startswith("reload.")}
    for role in ("node.", "zygote.", "birth.", "guardian."):
        first = [name for name in dict.fromkeys(passed) if name.startswith(role) and name != "node.flushed"]
        assert first == [name for name in POINTS if name.startswith(role) and name != "node.flushed"]


STRIKES = [action for action in ACTIONS if action != "stop"]
BEFORE_INIT = ("birth.born", "birth.begun")
AFTER_INIT = "birth.booted"


def await_incident(armed: Armed, desk: Desk, point: str, begun: int) -> None:
    """Until the log tells what a strike at ``point`` has come to (I10)."""
    while INCIDENTS.get(point, INCIDENTS[point.partition(".")[0]]) not in armed.daemon.log.read_text()[begun:]:
        desk.client.node("status", WAIT_S)


@pytest.mark.parametrize("action", STRIKES)
@pytest.mark.parametrize("point", [name for name in POINTS if name.startswith(ROLES) and name not in (*BEFORE_INIT, AFTER_INIT)])
def test_B1_B2_B7_whoever_is_struck_before_a_child_was_heard_of_or_after_the_child_is_born_once(
    armed: Armed, desk: Desk, point: str, action: str
) -> None:
    armed.arm(f"{point}:1:{action}")
    begun = len(armed.daemon.log.read_text())
    told = spawn(desk)
    assert newborns(desk) == [(told, "running")]
    pid = desk.client.whereis("newborn")
    assert pid is not None
    assert pid.serial == told
    assert descriptors_of_newborn(desk) == OWN_DESCRIPTORS
    armed.await_pass(point)  # a zygote may be later than its child
    await_incident(armed, desk, point, begun)


@pytest.mark.parametrize("action", STRIKES)
@pytest.mark.parametrize("point", BEFORE_INIT)
def test_B3_a_child_struck_between_its_first_word_and_its_init_is_a_start_that_failed(
    armed: Armed, desk: Desk, point: str, action: str
) -> None:
    armed.arm(f"{point}:1:{action}")
    begun = len(armed.daemon.log.read_text())
    assert spawn(desk) == ("start_failed", DEATHS[action])
    assert point in armed.passed()
    assert (newborns(desk), desk.client.whereis("newborn")) == ([], None)
    await_incident(armed, desk, point, begun)


@pytest.mark.parametrize("action", STRIKES)
def test_B3_a_child_struck_after_its_init_was_started_and_its_monitor_tells_why_it_ended(
    armed: Armed, desk: Desk, action: str
) -> None:
    armed.arm(f"{AFTER_INIT}:1:{action}")
    begun = len(armed.daemon.log.read_text())
    pid, ref = desk.client.spawn_monitor(NEWBORN)
    down = desk.client.wait_down(ref, WAIT_S)
    assert (down.pid, down.reason) == (pid, AFTER_BOOT[action])
    assert AFTER_INIT in armed.passed()
    assert (newborns(desk), desk.client.whereis("newborn")) == ([], None)
    await_incident(armed, desk, AFTER_INIT, begun)


def test_B3_of_a_start_that_failed_no_monitor_is_left_to_tell(desk: Desk) -> None:
    with pytest.raises(RequestError, match=r"^start_failed"):
        desk.client.spawn_monitor(ProcessSpec("no_such_module:x"))
    while desk.client.node("status")["monitors"]:  # the process that refused has not ended yet
        pass
    with pytest.raises(CallTimeout):
        desk.client.receive(0)


def test_R5_what_a_node_said_before_it_was_killed_is_heard_and_its_newborns_are_nobodys_orphans(desk: Desk) -> None:
    """The guardian stands still while a process is born and the node is killed; it wakes up to the death of the node
    and of a session, after which it looks for orphans, with the adoption unread."""
    victim = desk.start("victim")
    ref = desk.client.monitor("victim")
    node = desk.node_os_pid()
    send_signal(desk.daemon.guardian_pid, signal.SIGSTOP)
    await_stop(desk.daemon.guardian_pid)
    told = spawn(desk)
    (os_pid, _) = desk.client.call("newborn", ["state", None], WAIT_S)  # type: ignore[misc]
    with watched([victim, node]) as handles:
        for dying in (victim, node):
            send_signal(dying, signal.SIGKILL)
        assert await_deaths(handles)
    send_signal(desk.daemon.guardian_pid, signal.SIGCONT)
    assert desk.client.wait_down(ref, WAIT_S).reason == "killed"
    assert desk.await_up("victim") != victim
    assert newborns(desk) == [(told, "running")]
    assert desk.client.call("newborn", ["state", None], WAIT_S) == [os_pid, 0]


@pytest.mark.parametrize("nth", [1, 2, 3, 4])
def test_B7_the_node_dies_after_each_turn_of_a_birth(armed: Armed, desk: Desk, nth: int) -> None:
    armed.arm(f"node.flushed:{nth}:kill")
    told = spawn(desk)
    while armed.passed().count("node.flushed") < nth:  # how much goes into one turn depends on the pace
        desk.client.node("status", WAIT_S)
    assert newborns(desk) == [(told, "running")]


@pytest.mark.parametrize("point", [point for point in POINTS if point.startswith("zygote")])
def test_A14_B1_a_zygote_that_stops_at_a_point_of_a_birth_is_replaced(armed: Armed, desk: Desk, point: str) -> None:
    armed.arm(f"{point}:1:stop")
    told = spawn(desk)
    armed.await_pass(point)  # a zygote may be later than its child
    assert newborns(desk) == [(told, "running")]


def test_A14_a_spawn_whose_time_is_over_before_its_zygote_was_replaced_is_answered_once_and_leaves_nothing(
    armed: Armed, desk: Desk
) -> None:
    armed.arm("guardian.hold:1:stop", "zygote.ordered:1:stop")
    assert spawn(desk, init_timeout_s=0.1) == ("start_timeout", "timeout")
    await_stop(armed.await_pass("zygote.ordered"))
    await_stop(armed.await_pass("guardian.hold"))
    send_signal(desk.daemon.guardian_pid, signal.SIGCONT)
    while desk.client.node("status")["dying"]:
        pass


@pytest.mark.parametrize("point", ["birth.forked", "birth.detached"])
def test_B1_a_child_that_stops_before_it_was_heard_of_costs_nobody_anything(armed: Armed, desk: Desk, point: str) -> None:
    armed.arm(f"{point}:1:stop")
    told = spawn(desk)
    assert point in armed.passed()
    assert newborns(desk) == [(told, "running")]


def test_B1_a_child_that_stops_before_the_guardian_has_heard_of_it_is_killed_and_its_start_failed(
    armed: Armed, desk: Desk
) -> None:
    armed.arm("birth.born:1:stop", "node.born:1:stop")

    def let_the_node_go_on_when_the_child_is_gone() -> None:
        node, child = armed.await_pass("node.born"), armed.await_pass("birth.born")
        while starttime(child):  # until the guardian has reaped it
            os.sched_yield()
        await_stop(node)
        send_signal(node, signal.SIGCONT)

    with beside(let_the_node_go_on_when_the_child_is_gone):
        assert spawn(desk) == ("start_failed", "killed")
    assert (newborns(desk), desk.client.whereis("newborn")) == ([], None)


def test_B1_a_child_that_stops_when_the_guardian_has_heard_of_it_is_a_start_timeout_and_gone(armed: Armed, desk: Desk) -> None:
    armed.arm("guardian.hold:1:stop", "birth.born:1:stop")

    def let_the_guardian_go_on_when_it_will_hear_of_the_child_first() -> None:
        await_stop(armed.await_pass("birth.born"))
        armed.await_pass("node.adopted")
        await_stop(armed.await_pass("guardian.hold"))
        send_signal(desk.daemon.guardian_pid, signal.SIGCONT)

    with beside(let_the_guardian_go_on_when_it_will_hear_of_the_child_first):
        assert spawn(desk, init_timeout_s=0.3) == ("start_timeout", "timeout")
    assert (newborns(desk), desk.client.whereis("newborn")) == ([], None)


def test_B3_a_child_that_stops_before_its_init_is_a_start_timeout_and_gone(armed: Armed, desk: Desk) -> None:
    armed.arm("birth.begun:1:stop")
    assert spawn(desk, init_timeout_s=0.3) == ("start_timeout", "timeout")
    assert (newborns(desk), desk.client.whereis("newborn")) == ([], None)


@contextmanager
def guarded(folder: Path) -> Iterator[Armed]:
    """A daemon whose guardian may be killed in the block; another one can be started there afterwards."""
    plan = folder / "plan"
    plan.write_text("")
    with Daemon(folder / "run", module="tests.fault.poolless", options=["--faults", str(plan)]) as daemon:
        daemon.bystanders()
        armed = Armed(daemon, plan)
        left = descendants(daemon.guardian_pid)
        with watched(list(left)) as handles:
            yield armed
            assert await_deaths(handles)
        assert daemon.process.wait() == -signal.SIGKILL
        armed.arm()
        daemon.start()
        with desk_of(daemon) as desk:
            assert isinstance(spawn(desk), int)


SAID_TO_GUARDIAN = {"guardian.hold": "node.held", "guardian.adopt": "node.adopted", "guardian.adopted": "node.adopted"}
"""The node's next point after the word that brings the guardian there."""


@pytest.mark.parametrize("point", SAID_TO_GUARDIAN)
def test_A17_B1_the_guardian_killed_in_a_birth_before_the_asker_was_told_takes_all_with_it(tmp_path: Path, point: str) -> None:
    with guarded(tmp_path) as armed, Client.connect(armed.daemon.directory, WAIT_S) as client:
        armed.arm(f"{point}:1:kill", f"{SAID_TO_GUARDIAN[point]}:1:stop")
        with pytest.raises(CallFailed) as caught:
            client.spawn(IDLE)
        assert caught.value.reason == "noconnection"
        assert armed.passed().count(point) == 1


@pytest.mark.parametrize("point", SAID_TO_GUARDIAN)
def test_A17_B1_the_guardian_killed_in_a_birth_of_which_the_asker_was_told_takes_all_with_it(tmp_path: Path, point: str) -> None:
    """Nobody waits for the guardian to have the pidfd."""
    with guarded(tmp_path) as armed, Client.connect(armed.daemon.directory, WAIT_S) as client:
        armed.arm(f"{point}:1:stop")
        assert client.spawn(IDLE).instance == client.pid.instance
        await_stop(armed.await_pass(point))
        send_signal(armed.daemon.guardian_pid, signal.SIGKILL)


def pool_is_full(desk: Desk) -> bool:
    rows = [row for row in desk.client.processes() if row["kind"] == "process" and not row["start"]]
    return [row["phase"] for row in rows] == ["warm"] * POOL


@pytest.mark.timeout(150)
def test_B1_B7_every_process_is_killed_at_every_pass_of_every_point_while_a_pool_is_used_and_filled(tmp_path: Path) -> None:
    """The passes are those of a run without a fault; what a kill changes of the rest is passed over."""
    plan = tmp_path / "plan"
    plan.write_text("")
    with Daemon(tmp_path / "run", options=["--faults", str(plan)]) as daemon:
        daemon.bystanders()
        armed = Armed(daemon, plan)
        with desk_of(daemon) as desk:
            while not pool_is_full(desk):
                pass
            armed.arm()
            spawn(desk)
            armed.await_pass(AFTER_INIT)  # the answer comes before
            while not pool_is_full(desk):
                pass
            armed.await_zygote()
            passes = {name: min(armed.passed().count(name), MAX_NTH) for name in POINTS if name.startswith(ROLES)}
            assert (passes["birth.begun"], passes["birth.booted"]) == (1, 1), "lives that are only rehearsed pass no point"
            assert passes["node.fork"] > 0
            end_newborn(desk)
            struck = 0
            for point, nth in [(name, nth) for name, count in passes.items() for nth in range(1, count + 1)]:
                case = (point, nth)
                armed.arm(f"{point}:{nth}:kill")
                if case == ("birth.begun", 1):
                    assert spawn(desk) == ("start_failed", "killed")
                else:
                    pid, ref = desk.client.spawn_monitor(NEWBORN)
                    if case == (AFTER_INIT, 1):
                        assert desk.client.wait_down(ref, WAIT_S).reason == "killed"
                    else:
                        assert newborns(desk) == [(pid.serial, "running")], case
                        assert desk.client.demonitor(ref), case
                while not pool_is_full(desk):
                    pass
                struck += armed.passed().count(point) >= nth
                armed.arm()
                end_newborn(desk)
                assert strangers(desk) == [], case
            assert struck >= len(POINTS) - 3


@pytest.mark.parametrize("text", ["birth.born:1", "birth.born:x:kill", "birth.unborn:1:kill", "birth.born:1:explode"])
def test_a_plan_that_means_nothing_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not point:nth:action"):
        parse(f"birth.born:1:kill\n{text}")
