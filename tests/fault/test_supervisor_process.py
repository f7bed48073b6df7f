"""Supervisors as processes of their own are killed at any moment: nothing of theirs is left, and theirs starts them again."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from actorcore.errors import CallFailed, StartFailed
from actorcore.faults import SUPERVISOR_POINTS
from actorcore.pids import Pid
from actorcore.signals import ProcessSpec
from actorcore.words import AUTO, RESIDENT
from supervisors.clients.messages import DownMessage, Ref
from tests.daemon_fixture import WAIT_S, WITNESS, Daemon, Desk, desk_of, send_signal
from tests.fault.test_birth_points import Armed

NAMES = ("one", "two", "three")
MOST = 1000
"""Restarts that a test may cause."""


def spec_of(
    strategy: str = "one_for_one", template: str = AUTO, name: str | None = None, names: Sequence[str | None] = NAMES
) -> ProcessSpec:  # fmt: skip
    """A supervisor over the three, who have these names; the template says where it runs."""
    processes = [ProcessSpec(WITNESS, name=child, trap_exit=True) for child in names]
    children = [{"id": child, "process": msgspec.to_builtins(process)} for child, process in zip(NAMES, processes, strict=True)]
    spec = {"strategy": strategy, "intensity": MOST, "children": children}
    return ProcessSpec("supervisor", [spec], template=template, name=name)


def start(desk: Desk, strategy: str = "one_for_one", names: Sequence[str | None] = NAMES, **flags: Any) -> Pid:
    """A resident with these flags over one supervisor in a process, called ``branch``, over the three."""
    branch = {"id": "branch", "type": "supervisor", "process": msgspec.to_builtins(spec_of(strategy, name="branch", names=names))}
    spec = {"intensity": MOST, "children": [branch], **flags}
    return desk.client.spawn_spec(ProcessSpec("supervisor", [spec], template=RESIDENT))


def serials_below(desk: Desk, pid: Pid) -> list[int]:
    """Of the children that a supervisor has when it waits for nothing."""
    rows: Any = desk.client.call(pid, ["which_children"], WAIT_S)
    return [serial for _, serial, _ in rows]


def tree_below(desk: Desk, root: Pid) -> list[int]:
    """The serials of the whole tree, when it stands.

    The branch is started once more where a child of its life before, which traps exits, still has the name of a new one: as in
    OTP that is a restart that failed, and ``restarting`` is what the root says of it. Each look is an answer.
    """
    while not isinstance(branch := serials_below(desk, root)[0], int):
        pass
    return sorted([root.serial, branch, *serials_below(desk, Pid(root.instance, branch))])


def os_pid_of(desk: Desk, name: str) -> int:
    (found,) = [row["os_pid"] for row in desk.client.processes() if row["name"] == name]
    assert isinstance(found, int)
    return found


def lives(desk: Desk) -> list[int]:
    """The serials of what somebody has started, the dying too."""
    return [int(str(row["serial"])) for row in desk.client.processes() if row["start"]]


def await_lives(desk: Desk, serials: list[int]) -> None:
    """Until exactly these are there: who was ordered to die is gone. Each look is an answer of the node."""
    while lives(desk) != serials:
        pass


@pytest.fixture(scope="module")
def armed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Armed]:
    folder = tmp_path_factory.mktemp("armed")
    plan = folder / "plan"
    plan.write_text("")
    with Daemon(folder / "run", options=["--faults", str(plan)]) as daemon:
        daemon.bystanders()
        yield Armed(daemon, plan)


def test_the_word_template_says_whether_it_is_a_process(desk: Desk) -> None:
    for template, kind in ((RESIDENT, "resident"), (AUTO, "process"), ("supervisor", "process")):
        tree = desk.client.spawn_spec(spec_of(template=template))
        assert [row["kind"] for row in desk.client.processes() if row["serial"] == tree.serial] == [kind]
        assert serials_below(desk, tree) == [desk.client.whereis(name).serial for name in NAMES]  # type: ignore[union-attr]
        desk.client.stop(tree, timeout_s=WAIT_S)
        assert [desk.client.whereis(name) for name in NAMES] == [None] * 3


def test_its_status_has_the_same_state_as_that_of_a_resident(desk: Desk) -> None:
    states = []
    for template in (RESIDENT, AUTO):
        tree = desk.client.spawn_spec(spec_of(template=template))
        state: Any = desk.client.sys.get_status(tree)["state"]
        assert [life.pop("serial") for life in state["children"]] == serials_below(desk, tree)
        states.append([state["spec"], [life["spec"]["id"] for life in state["children"]], state["agenda"], state["mail"]])
        desk.client.stop(tree, timeout_s=WAIT_S)
    assert states[0] == states[1]


def test_a_kill_at_any_moment_of_its_start_leaves_nothing(armed: Armed) -> None:
    with desk_of(armed.daemon) as desk:
        before = lives(desk)
        for name, nth in itertools.product(SUPERVISOR_POINTS, range(1, len(NAMES) + 1)):
            armed.arm(f"{name}:{nth}:kill")
            with pytest.raises(StartFailed) as failed:
                desk.client.spawn_spec(spec_of())
            armed.arm()
            assert failed.value.reason == "killed", (name, nth)
            await_lives(desk, before)


def terminate_a_child(desk: Desk) -> None:
    desk.client.call("branch", ["terminate_child", "one"], WAIT_S)
    desk.client.call("branch", ["restart_child", "one"], WAIT_S)


def kill_a_child(desk: Desk) -> None:
    """Until the branch has replaced it, or is dead."""
    branch = desk.client.whereis("branch")
    assert branch is not None
    before = serials_below(desk, branch)
    send_signal(os_pid_of(desk, "one"), signal.SIGKILL)
    while set(serials_below(desk, branch)) & set(before):
        pass


def stop(desk: Desk) -> None:
    desk.client.stop("branch", "shutdown", WAIT_S)


@pytest.mark.timeout(150)
@pytest.mark.parametrize(("deed", "requests"), [(terminate_a_child, 4), (kill_a_child, 9), (stop, 9)])
def test_acceptance_42_a_kill_at_any_moment_of_its_life_is_a_restart_and_leaves_nothing_of_the_life_before(
    armed: Armed, deed: Callable[[Desk], None], requests: int
) -> None:
    """``requests``: a child that is stopped costs three (monitor, exit, unlink), one that is started costs one."""
    with desk_of(armed.daemon) as desk:
        before = lives(desk)
        root = start(desk, "one_for_all")
        for name, nth in itertools.product(SUPERVISOR_POINTS, range(1, requests + 1)):
            old = set(tree_below(desk, root)) - {root.serial}
            down = desk.client.monitor("branch")
            armed.arm(f"{name}:{nth}:kill")
            with pytest.raises(CallFailed):
                deed(desk)
            armed.arm()
            assert desk.client.wait_down(down, WAIT_S).reason == "killed", (name, nth)
            tree = tree_below(desk, root)
            assert len(tree) == 5
            assert not old & set(tree)
            await_lives(desk, sorted([*before, *tree]))
        desk.client.stop(root, timeout_s=WAIT_S)
        await_lives(desk, before)


def test_a_kill_while_a_child_is_in_its_init_ends_the_child(desk: Desk, tmp_path: Path) -> None:
    """It is killed by the child, whose time for its init has begun."""
    before = lives(desk)
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    client = desk.client
    spec = spec_of()
    # Who traps exits ends when the time for its init is over.
    slow = {"start": "tests.fault.actors:KillsItsStarter", "args": [str(fifo)], "init_timeout_s": 2.0}
    spec.args[0]["children"][1]["process"].update(slow)  # type: ignore[index, call-overload]
    with open(os.open(fifo, os.O_RDONLY | os.O_NONBLOCK), "rb") as told:
        with open(fifo, "wb"):  # until the child has begun
            os.set_blocking(told.fileno(), True)
            pid, ref = client.spawn_monitor(spec, wait_init=False)
            assert told.read(1) == b"1"
        assert client.wait_down(ref, WAIT_S) == DownMessage(ref, pid, "killed")
        assert told.read() == b""  # its writer is gone
    await_lives(desk, before)


def test_killed_more_often_than_allowed_it_ends_its_own_supervisor_and_nothing_is_left(desk: Desk) -> None:
    """Without names: a new child that had to wait for the name of one that still ends would be a restart, too."""
    before = lives(desk)
    root = start(desk, names=[None] * 3, intensity=2, period_s=3600.0)
    for _ in range(2):
        tree = tree_below(desk, root)
        desk.signal("branch", os_pid_of(desk, "branch"), signal.SIGKILL)
        assert not set(tree) - {root.serial} & set(tree_below(desk, root))
    ref = desk.client.monitor(root)
    desk.signal("branch", os_pid_of(desk, "branch"), signal.SIGKILL)
    assert desk.client.wait_down(ref, WAIT_S).reason == "shutdown"
    await_lives(desk, before)


def test_it_goes_on_when_the_node_is_killed_and_is_restarted_when_both_are(desk: Desk) -> None:
    root = start(desk)
    tree = tree_below(desk, root)
    send_signal(desk.node_os_pid(), signal.SIGKILL)
    assert tree_below(desk, root) == tree
    desk.signal("one", os_pid_of(desk, "one"), signal.SIGKILL)
    while (found := tree_below(desk, root)) == tree:  # it is told the death as the desk is, but not sooner
        pass
    assert (len(found), len(set(found) & set(tree))) == (5, 4)
    ref = desk.client.monitor("branch")
    branch, node = os_pid_of(desk, "branch"), desk.node_os_pid()
    send_signal(branch, signal.SIGKILL)
    send_signal(node, signal.SIGKILL)
    assert desk.client.wait_down(ref, WAIT_S).reason == "killed"
    assert set(tree_below(desk, root)) & set(tree) == {root.serial}
    desk.client.stop(root, timeout_s=WAIT_S)


ROUNDS = 60


@pytest.mark.timeout(150)
@pytest.mark.parametrize(("seed", "strategy"), list(enumerate(("one_for_one", "rest_for_one", "one_for_all"))))
def test_after_random_kills_of_supervisor_children_node_and_zygote_the_same_tree_stands(
    tmp_path: Path, seed: int, strategy: str
) -> None:
    chance = random.Random(seed)
    with Daemon(tmp_path / "run") as daemon:
        daemon.bystanders()
        with desk_of(daemon) as desk:
            before = lives(desk)
            root = start(desk, strategy)
            for nth in range(ROUNDS):
                victims = chance.sample(["branch", *NAMES, "node", "zygote"], chance.randint(1, 3))
                struck = [strike(desk, victim) for victim in victims]
                for ref in filter(None, struck):  # else the tree that is found may be the one before
                    desk.client.wait_down(ref, WAIT_S)
                tree = await_tree(desk, root)
                assert len(tree) == 5, (seed, nth, victims)
            await_lives(desk, sorted([*before, *tree]))
            desk.client.stop(root, timeout_s=WAIT_S)
            await_lives(desk, before)


def strike(desk: Desk, victim: str) -> Ref | None:
    """A real SIGKILL, unless it is dead already; a monitor of the life that it ends, of a victim that has a pid."""
    if victim in (others := {"node": desk.node_os_pid, "zygote": desk.daemon.zygote_pid}):
        with contextlib.suppress(LookupError, ValueError, ProcessLookupError):  # a strike before has taken it along
            send_signal(others[victim](), signal.SIGKILL)
        return None
    for row in desk.client.processes():
        if row["name"] == victim and row["os_pid"]:  # else it is not born yet
            ref = desk.client.monitor(Pid(desk.client.pid.instance, int(str(row["serial"]))))
            with contextlib.suppress(ProcessLookupError):
                send_signal(int(str(row["os_pid"])), signal.SIGKILL)
            return ref
    return None


def await_tree(desk: Desk, root: Pid) -> list[int]:
    """The tree as soon as its names are those of its processes; who dies while it is asked is asked again."""
    while True:
        try:
            (branch,) = serials_below(desk, root)
            tree = [branch, *(serials_below(desk, Pid(root.instance, branch)) if isinstance(branch, int) else ())]
        except CallFailed:
            continue
        found = [desk.client.whereis(name) for name in ("branch", *NAMES)]
        if [pid.serial for pid in found if pid is not None] == tree:
            return sorted([root.serial, *tree])
