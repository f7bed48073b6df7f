"""RELIABILITY B1, B2, B3, B7: every process is struck at every named point of a birth; the client has one true answer."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from actorcore.errors import CallFailed, RequestError
from actorcore.faults import ACTIONS, POINTS, parse
from actorcore.pids import Pid
from actorcore.signals import ProcessSpec
from supervisors.client import Client
from tests.daemon_fixture import (
    WAIT_S,
    Daemon,
    Desk,
    await_deaths,
    descendants,
    descriptors_beyond,
    desk_of,
    still_there,
    watched,
)  # fmt: skip

IDLE = "tests.fault.actors:Witness"
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
        """Forget what was passed, and strike from now on."""
        self._plan.write_text("\n".join(strikes))
        self._trace.write_text("")

    def passed(self) -> list[str]:
        """The points that were passed since, in order."""
        return [line.split()[0] for line in self._trace.read_text().splitlines()]


@pytest.fixture(scope="module")
def armed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Armed]:
    folder = tmp_path_factory.mktemp("armed")
    plan = folder / "plan"
    plan.write_text("")
    with Daemon(folder / "run", module="tests.fault.poolless", options=["--faults", str(plan)]) as daemon:
        daemon.bystanders()
        yield Armed(daemon, plan)


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
    found = set()
    for os_pid in descendants(desk.daemon.guardian_pid):
        try:
            if Path(f"/proc/{os_pid}/comm").read_text().strip() in ("actor-node", "actor-zygote"):
                found.add(os_pid)
        except OSError:
            pass
    return found


def test_a_birth_without_a_fault_passes_every_point_in_order(armed: Armed, desk: Desk) -> None:
    armed.arm()
    serial = spawn(desk)
    assert newborns(desk) == [(serial, "running")]
    desk.client.call("newborn", ["state", None], WAIT_S)
    ref = desk.client.monitor("newborn")
    desk.client.exit("newborn", "kill")
    desk.client.wait_down(ref, WAIT_S)  # the guardian has reaped it, so it had adopted it
    passed = armed.passed()
    assert set(passed) == {name for name in POINTS if not name.startswith("reload.")}
    for role in ("node.", "zygote.", "birth.", "guardian."):
        first = [name for name in dict.fromkeys(passed) if name.startswith(role) and name != "node.flushed"]
        assert first == [name for name in POINTS if name.startswith(role) and name != "node.flushed"]


@pytest.mark.parametrize("action", [action for action in ACTIONS if action != "stop"])
@pytest.mark.parametrize("point", [point for point in POINTS if point.startswith(ROLES)])
def test_B1_B2_B3_B7_a_process_struck_at_a_point_of_a_birth(armed: Armed, desk: Desk, point: str, action: str) -> None:
    armed.arm(f"{point}:1:{action}")
    begun = len(armed.daemon.log.read_text())
    told = spawn(desk)
    if point in ("birth.born", "birth.begun"):
        assert told == ("start_failed", DEATHS[action])
    elif point == "birth.booted":  # it was ready, and died: the answer is its Pid, and a monitor tells the rest
        assert isinstance(told, int)
        down = desk.client.wait_down(desk.client.monitor(Pid(desk.client.pid.instance, told)), WAIT_S)
        assert down.reason in (AFTER_BOOT[action], "noproc")
    else:
        assert newborns(desk) == [(told, "running")]
        pid = desk.client.whereis("newborn")
        assert pid is not None
        assert pid.serial == told
        assert descriptors_of_newborn(desk) == OWN_DESCRIPTORS
    assert point in armed.passed()
    if point in ("birth.born", "birth.begun", "birth.booted"):
        assert (newborns(desk), desk.client.whereis("newborn")) == ([], None)
    while INCIDENTS.get(point, INCIDENTS[point.partition(".")[0]]) not in armed.daemon.log.read_text()[begun:]:  # I10
        desk.client.node("status", WAIT_S)


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
    assert point in armed.passed()
    assert newborns(desk) == [(told, "running")]


@pytest.mark.parametrize("point", ["birth.forked", "birth.detached"])
def test_B1_a_child_that_stops_before_it_was_heard_of_costs_nobody_anything(armed: Armed, desk: Desk, point: str) -> None:
    armed.arm(f"{point}:1:stop")
    told = spawn(desk)
    assert point in armed.passed()
    assert newborns(desk) == [(told, "running")]


def test_B1_a_child_that_stops_as_it_announces_itself_is_killed_or_times_out_and_is_gone(armed: Armed, desk: Desk) -> None:
    armed.arm("birth.born:1:stop")
    # The guardian kills it unless it has heard of its adoption first.
    assert spawn(desk, init_timeout_s=0.3) in (("start_failed", "killed"), ("start_timeout", "timeout"))
    assert (newborns(desk), desk.client.whereis("newborn")) == ([], None)


def test_B3_a_child_that_stops_before_its_init_is_a_start_timeout_and_gone(armed: Armed, desk: Desk) -> None:
    armed.arm("birth.begun:1:stop")
    assert spawn(desk, init_timeout_s=0.3) == ("start_timeout", "timeout")
    assert (newborns(desk), desk.client.whereis("newborn")) == ([], None)


@pytest.mark.parametrize("point", [point for point in POINTS if point.startswith("guardian")])
def test_A17_B1_the_guardian_killed_at_a_point_of_a_birth_takes_all_with_it(tmp_path: Path, point: str) -> None:
    plan = tmp_path / "plan"
    plan.write_text("")
    with Daemon(tmp_path / "run", module="tests.fault.poolless", options=["--faults", str(plan)]) as daemon:
        daemon.bystanders()
        armed = Armed(daemon, plan)
        armed.arm(f"{point}:1:kill")
        left = descendants(daemon.guardian_pid)
        with watched(list(left)) as handles, Client.connect(daemon.directory, WAIT_S) as client:
            try:
                told: object = client.spawn(IDLE).instance
            except CallFailed as error:
                told = error.reason
            assert told in ("noconnection", client.pid.instance)  # nobody waits for the guardian to have the pidfd
            assert await_deaths(handles)
        assert daemon.process.wait() == -signal.SIGKILL
        assert armed.passed().count(point) == 1
        armed.arm()
        daemon.start()
        with desk_of(daemon) as desk:
            assert isinstance(spawn(desk), int)


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
            while not pool_is_full(desk):
                pass
            passes = {name: min(armed.passed().count(name), MAX_NTH) for name in POINTS if name.startswith(ROLES)}
            assert passes["birth.booted"] > 0
            assert passes["node.fork"] > 0
            end_newborn(desk)
            struck = 0
            for point, nth in [(name, nth) for name, count in passes.items() for nth in range(1, count + 1)]:
                armed.arm(f"{point}:{nth}:kill")
                told = spawn(desk)
                while not pool_is_full(desk):
                    pass
                struck += armed.passed().count(point) >= nth
                armed.arm()
                case = (point, nth, told)
                if isinstance(told, int):
                    assert newborns(desk) in ([(told, "running")], [] if point == "birth.booted" else None), case
                else:
                    assert (told, newborns(desk)) == (("start_failed", "killed"), []), case
                    assert point in ("birth.born", "birth.begun"), case
                end_newborn(desk)
                assert strangers(desk) == [], case
            assert struck >= len(POINTS) - 3


@pytest.mark.parametrize("text", ["birth.born:1", "birth.born:x:kill", "birth.unborn:1:kill", "birth.born:1:explode"])
def test_a_plan_that_means_nothing_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not point:nth:action"):
        parse(f"birth.born:1:kill\n{text}")
