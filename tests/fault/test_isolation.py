"""RELIABILITY A14, F12: a process with a program of its own shares neither hash seed nor addresses with the others, and is
born as they are: its zygote is a zygote like any other, for one order.

A14 wants a spawn to fall back on exec when the zygote stands still. The zygote that takes the place of a stopped one is a
fresh program, and it gets the order that waits: test_birth_points.py shows that each spawn is answered once, in its time.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import Any

import pytest

from actorcore.errors import RequestError
from actorcore.signals import ProcessSpec
from supervisors.client import Client
from supervisors.tree.child_spec import ChildSpec
from tests.daemon_fixture import (
    WAIT_S,
    Daemon,
    Desk,
    descendants,
    descriptors_beyond,
    desk_of,
    send_signal,
)
from tests.fault.test_birth_points import Armed, await_stop, strangers

NEWBORN, ASYNC_NEWBORN = "tests.fault.newborn:Newborn", "tests.fault.newborn:AsyncNewborn"
POINTS = (
    "node.fork", "node.held", "node.ordered", "node.born", "zygote.ordered", "zygote.forked", "birth.forked", "birth.detached",
)  # fmt: skip


@pytest.fixture(scope="module")
def armed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Armed]:
    folder = tmp_path_factory.mktemp("armed")
    plan = folder / "plan"
    plan.write_text("")
    with Daemon(folder / "run", module="tests.fault.poolless", options=["--faults", str(plan)]) as daemon:
        daemon.bystanders()
        with Client.connect(daemon.directory, WAIT_S) as client:
            client.kill(client.spawn(ASYNC_NEWBORN, template="asyncio"))  # from now on it has a zygote
        yield Armed(daemon, plan)


@pytest.fixture
def desk(armed: Armed) -> Iterator[Desk]:
    armed.arm()
    with desk_of(armed.daemon) as desk:
        before = descriptors_beyond(desk)
        yield desk
        armed.arm()
        for row in [row for row in desk.client.processes() if str(row["name"]).startswith("alone")]:
            desk.signal(str(row["name"]), int(str(row["os_pid"])), signal.SIGKILL)
        assert strangers(desk) == []
        assert descriptors_beyond(desk) == before


def spec(name: str, start: str = NEWBORN, **fields: Any) -> ProcessSpec:
    return ProcessSpec(start, name=name, **{"isolation": "exec", **fields})


def os_pid_of(desk: Desk, name: str) -> int:
    (os_pid,) = [row["os_pid"] for row in desk.client.processes() if row["name"] == name]
    return int(str(os_pid))


def found(desk: Desk, name: str, what: str = "found") -> dict[str, Any]:
    answer = desk.client.call(name, [what, None], WAIT_S)
    assert isinstance(answer, dict)
    return answer


@pytest.mark.parametrize(("start", "template"), [(NEWBORN, "lean"), (ASYNC_NEWBORN, "asyncio")])
def test_F12_forks_share_hash_seed_and_addresses_and_who_has_a_program_of_its_own_shares_neither(
    desk: Desk, start: str, template: str
) -> None:
    for number, isolation in enumerate(("fork", "fork", "exec", "exec")):
        desk.client.spawn_spec(spec(f"alone{number}", start, template=template, isolation=isolation))
    for what in ("hash", "libc"):
        told = [found(desk, f"alone{number}", "chance")[what] for number in range(4)]
        assert (told[0], len(set(told))) == (told[1], 3), what


def test_S9_it_is_born_with_the_descriptors_signals_and_environment_of_any_other(desk: Desk) -> None:
    desk.client.spawn_spec(spec("alone", isolation="fork"))
    like = found(desk, "alone")
    desk.signal("alone", os_pid_of(desk, "alone"), signal.SIGKILL)
    desk.client.spawn_spec(spec("alone"))
    mine = found(desk, "alone")
    del like["outputs"], mine["outputs"]
    assert mine == like


def test_F12_a_session_gets_another_seed_with_each_life(desk: Desk) -> None:
    desk.started.append("alone")
    policy: dict[str, Any] = {"restart": "permanent", "backoff_step_s": 0.0, "backoff_max_s": 0.0}
    desk.client.start_session(ChildSpec("alone", spec("alone"), **policy))
    first = found(desk, "alone", "chance")
    assert desk.signal("alone", os_pid_of(desk, "alone"), signal.SIGKILL).reason == "killed"
    while desk.row("alone")["state"] != "active":
        pass
    assert found(desk, "alone", "chance")["hash"] != first["hash"]
    desk.client.stop_session("alone")  # or the desk ends it with a signal, and looks for names as it is born again


@pytest.mark.parametrize("point", POINTS)
def test_A13_B1_whoever_is_killed_at_a_point_of_its_birth_it_is_born_once(armed: Armed, desk: Desk, point: str) -> None:
    armed.arm(f"{point}:1:kill")
    pid = desk.client.spawn_spec(spec("alone"))
    assert [row["serial"] for row in desk.client.processes() if row["name"] == "alone"] == [pid.serial]
    assert found(desk, "alone")["is_leader"]
    armed.await_pass(point)  # a zygote may be later than its child


@pytest.mark.parametrize("point", ["zygote.ordered", "zygote.forked"])
def test_A14_a_zygote_of_its_own_that_stops_is_replaced(armed: Armed, desk: Desk, point: str) -> None:
    armed.arm(f"{point}:1:stop")
    pid = desk.client.spawn_spec(spec("alone"))
    armed.await_pass(point)
    assert [row["serial"] for row in desk.client.processes() if row["name"] == "alone"] == [pid.serial]
    assert found(desk, "alone")["is_leader"]


def test_A14_what_is_wanted_no_more_ends_with_its_zygote(armed: Armed, desk: Desk) -> None:
    """Guardian and zygote stand still until the time of the spawn is over."""
    armed.arm("guardian.hold:1:stop")
    before = set(descendants(desk.daemon.guardian_pid))
    with pytest.raises(RequestError, match=r"^start_timeout"):
        desk.client.spawn_spec(spec("alone", init_timeout_s=0.1))
    await_stop(armed.await_pass("guardian.hold"))
    send_signal(desk.daemon.guardian_pid, signal.SIGCONT)
    while desk.client.node("status")["dying"]:
        pass
    assert strangers(desk) == []
    while set(descendants(desk.daemon.guardian_pid)) - before:
        desk.client.node("status", WAIT_S)


def test_two_isolations_are_all_there_are(desk: Desk) -> None:
    with pytest.raises(RequestError) as caught:
        desk.client.spawn_spec(spec("alone", isolation="thread"))
    assert caught.value.code == "invalid_message"
