"""Tasks on a real daemon: a process each, owned by processes that block and by such with a loop, under real SIGKILL."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from actorcore.errors import CallFailed, CallTimeout, RequestError
from actorcore.pids import Pid
from actorcore.signals import ProcessSpec
from actorcore.words import RESIDENT, TaskSpec
from supervisors.async_client import AsyncClient
from supervisors.client import Client
from supervisors.machines import MACHINES
from supervisors.services.task_pools import TaskPools
from tests.daemon_fixture import ROOT, WAIT_S, Desk, send_signal

HERE = "tests.fault.task_actors"
TASKS = "tests.fault.task_functions"
OWNERS = ("Owner", "AsyncOwner")


class Stage:
    """A task supervisor and an owner under it."""

    def __init__(self, desk: Desk, kind: str, **flags: Any) -> None:
        self.client = desk.client
        self.desk = desk
        self.supervisor = self.client.spawn_spec(ProcessSpec("task_supervisor", [flags], template=RESIDENT))
        spec = ProcessSpec(f"{HERE}:{kind}", [self.supervisor], path=str(ROOT))  # type: ignore[list-item]
        self.owner = self.client.spawn_spec(spec)

    def do(self, *words: Any) -> Any:
        return self.client.call(self.owner, list(words), WAIT_S)

    def count(self) -> Any:
        return self.client.call(self.supervisor, ["count_children"])

    def settled(self) -> Any:
        """As :meth:`count`, when the supervisor has heard of every death."""
        await_none(self.desk, self.supervisor)
        return self.count()

    def pid(self, serial: int) -> Pid:
        return Pid(self.client.pid.instance, serial)

    def os_pid(self, serial: int) -> int:
        (os_pid,) = [row["os_pid"] for row in self.client.processes() if row["serial"] == serial]
        assert isinstance(os_pid, int)
        return os_pid

    def await_end(self, serial: int) -> Any:
        return self.client.wait_down(self.client.monitor(self.pid(serial)), WAIT_S).reason

    def mail(self, count: int) -> Any:
        """What came to the owner, as soon as it is so much."""
        while len(mail := self.do("mail")) < count:
            pass
        return mail

    def close(self) -> None:
        if self.client.call(self.supervisor, ["count_children"])["active"]:  # type: ignore[call-overload, index]
            self.client.kill(self.owner)
        self.client.stop(self.supervisor, timeout_s=WAIT_S)
        self.client.kill(self.owner)


NONE_ACTIVE = {"specs": 0, "active": 0, "supervisors": 0, "workers": 0}


@pytest.fixture(params=OWNERS)
def stage(desk: Desk, request: pytest.FixtureRequest) -> Iterator[Stage]:
    stage = Stage(desk, request.param)
    yield stage
    stage.close()


@pytest.mark.parametrize("start", ["square", "slow_square"])
def test_acceptance_176_a_task_is_awaited_by_its_caller_and_then_none_is_active(stage: Stage, start: str) -> None:
    assert stage.do("run_linked", f"{TASKS}:{start}", 7) == 49
    assert (stage.settled(), stage.do("mail")) == (NONE_ACTIVE, [])


def test_acceptance_176_the_death_of_its_caller_cancels_a_task(stage: Stage) -> None:
    _, serial = stage.do("async", f"{TASKS}:stand_still")
    ref = stage.client.monitor(stage.pid(serial))
    send_signal(stage.os_pid(stage.owner.serial), signal.SIGKILL)
    assert stage.client.wait_down(ref, WAIT_S).reason == "killed"
    assert stage.count() == NONE_ACTIVE


def test_acceptance_176_a_task_of_its_own_goes_on_when_its_caller_dies(stage: Stage, tmp_path: Path) -> None:
    log = tmp_path / "log"
    os.mkfifo(log)
    _, serial = stage.do("async_nolink", f"{TASKS}:as_item_says", ["when_told"], str(log))
    with open(log, "rb") as lines:
        assert lines.readline() == b"+\n"  # it has begun: what had not left its caller by then would die with it
        stage.client.kill(stage.owner, signal.SIGKILL)
        stage.await_end(stage.owner.serial)
        assert stage.count() == {"specs": 1, "active": 1, "supervisors": 0, "workers": 1}
        ref = stage.client.monitor(stage.pid(serial))
        stage.client.send(stage.pid(serial), "go on")
        assert stage.client.wait_down(ref, WAIT_S).reason == "normal"


def test_a_linked_task_that_is_killed_takes_its_caller_with_it(stage: Stage) -> None:
    _, serial = stage.do("async", f"{TASKS}:stand_still")
    ref = stage.client.monitor(stage.owner)
    send_signal(stage.os_pid(serial), signal.SIGKILL)
    assert stage.client.wait_down(ref, WAIT_S).reason == "killed"


def test_an_unlinked_task_that_is_killed_is_an_error_of_its_await(stage: Stage, tmp_path: Path) -> None:
    assert stage.do("run", f"{TASKS}:as_item_says", ["die"], str(tmp_path / "log")) == {"failed": "killed"}
    assert stage.do("mail") == []


def test_a_value_that_nobody_awaits_is_a_message_and_comes_before_its_down(stage: Stage) -> None:
    ref, _ = stage.do("async_nolink", f"{TASKS}:square", 3)
    assert stage.mail(2) == [["value", ref, 9], ["down", ref, "normal"]]


def test_a_value_that_is_late_is_dropped(stage: Stage) -> None:
    ref, serial = stage.do("async_nolink", f"{TASKS}:when_told")
    assert stage.do("yield", ref, 0.0) is None
    assert stage.do("await", ref, 0.0) == "timeout"
    down = stage.client.monitor(stage.pid(serial))
    stage.client.send(stage.pid(serial), "late")
    assert stage.client.wait_down(down, WAIT_S).reason == "normal"
    assert stage.do("mail") == []


def test_an_outcome_is_given_once(stage: Stage) -> None:
    ref, _ = stage.do("async_nolink", f"{TASKS}:when_told")
    assert stage.do("tell", ref, "it") == [{"ok": "it"}, None]


def test_who_only_looks_for_an_outcome_again_and_again_finds_it(stage: Stage) -> None:
    assert stage.do("look", f"{TASKS}:square", 3) == {"ok": 9}


def test_many_tasks_are_awaited_together_and_their_values_are_in_the_order_of_the_tasks(stage: Stage) -> None:
    assert stage.do("await_many_of", f"{TASKS}:slow_square", [3, 4, 5]) == [9, 16, 25]
    late, _ = stage.do("async", f"{TASKS}:when_told")
    assert stage.do("yield_many", [late], 0.0) == [None]
    assert stage.do("yield_many_of", f"{TASKS}:square", [6, 7]) == [{"ok": 36}, {"ok": 49}]
    assert stage.do("tell", late, "told") == [{"ok": "told"}, None]
    assert (stage.settled(), stage.do("mail")) == (NONE_ACTIVE, [])


def test_one_of_many_that_is_killed_fails_them_all_at_once_and_the_others_go_on(stage: Stage) -> None:
    tasks = [stage.do("async_nolink", f"{TASKS}:{start}") for start in ("when_told", "stand_still")]
    (waits, serial), (_, doomed) = tasks
    assert stage.do("kill_and_await_many", stage.os_pid(doomed), [ref for ref, _ in tasks]) == {"failed": "killed"}
    down = stage.client.monitor(stage.pid(serial))
    stage.client.send(stage.pid(serial), "go on")
    assert stage.client.wait_down(down, WAIT_S).reason == "normal"
    assert (stage.do("yield", waits, 0.0), stage.do("mail")) == (None, [])


def test_a_linked_task_that_is_ignored_is_no_reason_to_die_and_what_it_says_is_dropped(stage: Stage) -> None:
    (told, kept), (killed, doomed) = [stage.do("async", f"{TASKS}:{start}") for start in ("when_told", "stand_still")]
    assert [stage.do("ignore", told), stage.do("ignore", killed)] == [None, None]
    end = stage.client.monitor(stage.pid(doomed))
    send_signal(stage.os_pid(doomed), signal.SIGKILL)
    assert stage.client.wait_down(end, WAIT_S).reason == "killed"
    down = stage.client.monitor(stage.pid(kept))
    stage.client.send(stage.pid(kept), "a value")
    assert stage.client.wait_down(down, WAIT_S).reason == "normal"
    assert (stage.settled(), stage.do("mail")) == (NONE_ACTIVE, [])


def test_a_task_that_is_shut_down_is_dead_and_leaves_nothing(stage: Stage) -> None:
    ref, serial = stage.do("async", f"{TASKS}:stand_still")
    assert stage.do("shutdown", ref, "brutal_kill") is None
    assert (stage.await_end(serial), stage.do("mail")) == ("noproc", [])


def test_a_value_that_is_no_plain_data_is_its_task_s_error(stage: Stage) -> None:
    error = {"type": "RequestError", "text": "invalid_message: object is not plain data"}
    assert stage.do("run", f"{TASKS}:strange") == {"failed": {"error": error}}


def test_a_task_is_a_call_of_whatever_can_be_called(stage: Stage) -> None:
    error = {"type": "RequestError", "text": "invalid_message: Gate is not plain data"}
    assert [stage.do("run", "builtins:int", "7"), stage.do("run", f"{HERE}:Gate")] == [7, {"failed": {"error": error}}]


def test_a_task_that_cannot_be_found_is_not_started(stage: Stage) -> None:
    ref = stage.client.monitor(stage.owner)
    with pytest.raises(Exception, match="callee is dead"):
        stage.do("async", f"{TASKS}:nothing")
    reason: Any = stage.client.wait_down(ref, WAIT_S).reason
    assert reason["error"]["type"] == "StartFailed"
    assert stage.count() == NONE_ACTIVE


def test_a_task_knows_on_whose_behalf_it_runs(stage: Stage) -> None:
    *callers, last = stage.do("run_linked", f"{TASKS}:whose_inner", stage.supervisor.serial)
    assert (len(callers), last) == (1, stage.owner.serial)


def test_a_value_comes_over_the_death_of_the_node(stage: Stage) -> None:
    ref, _ = stage.do("async", f"{TASKS}:when_told")
    send_signal(stage.desk.node_os_pid(), signal.SIGKILL)
    assert stage.do("tell", ref, "still here") == [{"ok": "still here"}, None]
    assert (stage.settled(), stage.do("mail")) == (NONE_ACTIVE, [])


def test_a_task_whose_caller_dies_before_it_may_begin_ends_without_having_begun(desk: Desk, tmp_path: Path) -> None:
    supervisor = desk.client.spawn_spec(ProcessSpec("task_supervisor", template=RESIDENT))
    caller = desk.client.spawn("tests.fault.actors:idle")
    log = tmp_path / "log"
    task = TaskSpec([caller.serial], is_awaited=True)
    process = ProcessSpec(f"{TASKS}:as_item_says", [["square", 2], str(log)], path=str(ROOT), task=task)
    child = {"id": "task", "process": msgspec.to_builtins(process), "restart": "temporary"}
    serial = desk.client.call(supervisor, ["start_child", child])
    assert isinstance(serial, int)
    ref = desk.client.monitor(Pid(desk.client.pid.instance, serial))
    desk.client.kill(caller, signal.SIGKILL)
    assert desk.client.wait_down(ref, WAIT_S).reason == {"shutdown": "killed"}
    assert not log.exists()
    desk.client.stop(supervisor, timeout_s=WAIT_S)


def test_a_task_that_nobody_awaits_cannot_be_awaited(desk: Desk) -> None:
    with pytest.raises(RequestError, match="task: awaited by nobody"):
        desk.client.spawn_spec(ProcessSpec(f"{TASKS}:square", [2], task=TaskSpec(is_awaited=True)))


# ---- streams --------------------------------------------------------------------------------------------------------


def most_at_once(log: Path) -> int:
    """By the lines of ``as_item_says``."""
    most = running = 0
    for line in log.read_text().split():
        running += 1 if line == "+" else -1
        most = max(most, running)
    return most


def test_acceptance_175_a_batch_keeps_order_and_runs_no_more_than_it_may(stage: Stage, tmp_path: Path) -> None:
    log = tmp_path / "log"
    gate = stage.client.spawn(f"{HERE}:Gate", 3, name="gate")
    items = [["meet", "gate", number] for number in range(21)]
    outcomes = stage.do("stream", f"{TASKS}:as_item_says", items, [str(log)], {"max_concurrency": 3, "timeout_s": WAIT_S})
    assert outcomes == [{"ok": number * number} for number in range(21)]
    assert most_at_once(log) == 3
    assert (stage.count(), stage.do("mail")) == (NONE_ACTIVE, [])
    stage.client.kill(gate)


def test_acceptance_175_an_item_that_raises_or_dies_is_one_error(stage: Stage, tmp_path: Path) -> None:
    items = [["square", 1], ["boom"], ["die"], ["square", 2]]
    options = {"max_concurrency": 4, "link": False, "timeout_s": WAIT_S, "on_timeout": "kill_task"}
    outcomes = stage.do("stream", f"{TASKS}:as_item_says", items, [str(tmp_path / "log")], options)
    error = {"error": {"type": "ValueError", "text": "boom"}}
    assert outcomes == [{"ok": 1}, {"exit": error}, {"exit": "killed"}, {"ok": 4}]
    assert stage.count() == NONE_ACTIVE


def test_acceptance_175_an_item_that_hangs_is_one_error_and_the_next_has_its_own_time(stage: Stage, tmp_path: Path) -> None:
    options = {"max_concurrency": 1, "link": False, "timeout_s": 0.2, "on_timeout": "kill_task"}
    outcomes = stage.do("stream", f"{TASKS}:as_item_says", [["hang"]] * 3, [str(tmp_path / "log")], options)
    assert (outcomes, stage.count()) == ([{"exit": "timeout"}] * 3, NONE_ACTIVE)


def test_acceptance_175_who_finishes_first_comes_first_if_no_order_is_asked(stage: Stage, tmp_path: Path) -> None:
    """The first one is told to finish by the last, which begins when the others have finished."""
    gate = stage.client.spawn(f"{HERE}:Gate", 2, name="gate")
    items = [["meet", "gate", 3], ["square", 1], ["square", 2], ["open", "gate"]]
    options = {"max_concurrency": 2, "link": False, "timeout_s": WAIT_S, "on_timeout": "kill_task", "ordered": False}
    first, second, *others = stage.do("stream", f"{TASKS}:as_item_says", items, [str(tmp_path / "log")], options)
    assert (first, second, sorted(others, key=str)) == ({"ok": 1}, {"ok": 4}, [{"ok": "opened"}, {"ok": 9}])
    stage.client.kill(gate)


def test_a_stream_that_is_left_or_late_leaves_no_task(stage: Stage, tmp_path: Path) -> None:
    items, log = [["square", 5], ["hang"], ["hang"]], str(tmp_path / "log")
    assert stage.do("first", f"{TASKS}:as_item_says", items, [log]) == {"ok": 25}
    assert (stage.count(), stage.do("mail")) == (NONE_ACTIVE, [])
    late = stage.do("stream", f"{TASKS}:as_item_says", items, [log], {"timeout_s": 1.0})
    assert (late, stage.count(), stage.do("mail")) == ("timeout", NONE_ACTIVE, [])


def test_acceptance_178_a_daemon_that_ends_takes_its_tasks_with_it(own: Any) -> None:
    """The fixture looks whether a process is left."""
    client = own.client()
    supervisor = client.spawn_spec(ProcessSpec("task_supervisor", template=RESIDENT))
    owner = client.spawn_spec(ProcessSpec(f"{HERE}:Owner", [supervisor], path=str(ROOT), trap_exit=True))
    _, serial = client.call(owner, ["async", f"{TASKS}:stand_still"], WAIT_S)
    (os_pid,) = [row["os_pid"] for row in client.processes() if row["serial"] == serial]
    client.close()
    own.stop()
    with pytest.raises(ProcessLookupError):
        os.pidfd_open(os_pid)


# ---- clients --------------------------------------------------------------------------------------------------------


def task(start: str, *args: Any) -> ProcessSpec:
    return ProcessSpec(f"{TASKS}:{start}", [*args], path=str(ROOT))


@pytest.fixture
def clerks(desk: Desk) -> Iterator[Pid]:
    """A task supervisor under which no task is left."""
    pid = desk.client.spawn_spec(ProcessSpec("task_supervisor", template=RESIDENT))
    yield pid
    assert desk.client.call(pid, ["count_children"]) == NONE_ACTIVE
    desk.client.stop(pid, timeout_s=WAIT_S)


def await_none(desk: Desk, supervisor: Pid) -> None:
    """Until the supervisor has heard of every death: who is being killed is dead for a monitor already."""
    while desk.client.call(supervisor, ["count_children"]) != NONE_ACTIVE:
        pass


def test_acceptance_176_a_client_awaits_a_task_and_no_mail_is_left(desk: Desk, clerks: Pid, tmp_path: Path) -> None:
    client = desk.client
    assert [client.run_task(clerks, task("square", number), WAIT_S) for number in range(5)] == [0, 1, 4, 9, 16]
    with pytest.raises(CallFailed) as failed:
        client.run_task(clerks, task("as_item_says", ["die"], str(tmp_path / "log")), WAIT_S)
    assert failed.value.reason == "killed"
    await_none(desk, clerks)


def test_acceptance_176_a_client_awaits_tasks_in_a_loop(desk: Desk, clerks: Pid) -> None:
    async def run() -> list[object]:
        async with await AsyncClient.connect(desk.daemon.directory) as client:
            return await asyncio.gather(*(client.run_task(clerks, task("slow_square", n), WAIT_S) for n in range(5)))

    assert asyncio.run(run()) == [0, 1, 4, 9, 16]
    await_none(desk, clerks)


def test_a_task_that_is_late_for_its_client_is_killed(desk: Desk, clerks: Pid, tmp_path: Path) -> None:
    log = tmp_path / "log"
    os.mkfifo(log)
    with Client.connect(desk.daemon.directory, WAIT_S) as client, pytest.raises(CallTimeout):
        client.run_task(clerks, task("as_item_says", ["hang"], str(log)), 2.0)
    await_none(desk, clerks)


def test_who_gives_up_a_task_in_a_loop_ends_it_and_hears_no_more_of_it(desk: Desk, clerks: Pid, tmp_path: Path) -> None:
    log = tmp_path / "log"
    os.mkfifo(log)

    async def run() -> None:
        async with await AsyncClient.connect(desk.daemon.directory) as client:
            awaited = asyncio.create_task(client.run_task(clerks, task("as_item_says", ["hang"], str(log)), None))
            assert await asyncio.to_thread(log.read_bytes) == b"+\n"
            awaited.cancel()
            assert isinstance((await asyncio.gather(awaited, return_exceptions=True))[0], asyncio.CancelledError)
            await asyncio.to_thread(await_none, desk, clerks)
            with pytest.raises(CallTimeout):
                await client.receive(0)

    asyncio.run(run())


def test_acceptance_176_the_death_of_a_client_cancels_its_task(desk: Desk, clerks: Pid, tmp_path: Path) -> None:
    log = tmp_path / "log"
    os.mkfifo(log)
    code = "import sys; from tests.fault.test_tasks import *; run_in_a_client(*sys.argv[1:])"
    words = [str(desk.daemon.directory), str(clerks), str(log)]
    client = subprocess.Popen([sys.executable, "-c", code, *words], cwd=ROOT)
    assert log.read_bytes() == b"+\n"
    rows = [row for row in desk.client.processes() if row["parent"] == clerks.serial]
    ref = desk.client.monitor(Pid(clerks.instance, int(str(rows[0]["serial"]))))
    client.kill()
    client.wait()
    assert desk.client.wait_down(ref, WAIT_S).reason == "noconnection"


def run_in_a_client(directory: str, clerks: str, log: str) -> None:
    """Await a task that never ends."""
    with Client.connect(directory, WAIT_S) as client:
        client.run_task(Pid.parse(clerks), task("as_item_says", ["hang"], log), 60.0)


# ---- pools ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def pools(desk: Desk) -> TaskPools:
    return TaskPools(desk.client)


def test_acceptance_175_a_pool_bounds_the_tasks_of_all_its_callers_together(desk: Desk, pools: TaskPools, tmp_path: Path) -> None:
    pools.create("clerks", size=3)
    gate = desk.client.spawn(f"{HERE}:Gate", 20, name="gate")
    owners = [desk.client.spawn_spec(ProcessSpec(f"{HERE}:{kind}", ["clerks"], path=str(ROOT))) for kind in OWNERS]
    items, log = [["meet", "gate", number] for number in range(8)], tmp_path / "log"
    words = ["stream", f"{TASKS}:as_item_says", items, [str(log)], {"max_concurrency": 5, "timeout_s": None}]

    async def look(client: AsyncClient) -> None:
        """Until three are at the gate and both owners wait for a place (and this for its answer); then open the gate."""
        while await client.call(gate, "count") != 3 or (await client.node("status"))["asks"] != 3:
            pass
        found.append(await client.call("clerks", ["count_children"]))
        await client.cast(gate, "open")

    async def both() -> list[Any]:
        async with await AsyncClient.connect(desk.daemon.directory) as client:
            return await asyncio.gather(*(client.call(owner, words, 3 * WAIT_S) for owner in owners), look(client))

    found: list[Any] = []
    expected = [{"ok": number * number} for number in range(8)]
    assert asyncio.run(both())[:2] == [expected, expected]
    assert (found, most_at_once(log)) == ([{"specs": 3, "active": 3, "supervisors": 0, "workers": 3}], 3)
    pools.shutdown("clerks")
    for pid in (*owners, gate):
        desk.client.kill(pid)


def test_acceptance_175_a_pool_ends_what_takes_too_long(pools: TaskPools, desk: Desk, tmp_path: Path) -> None:
    pools.create("hasty", timeout_s=1.0)
    with pytest.raises(CallFailed) as failed:
        desk.client.run_task("hasty", task("as_item_says", ["hang"], str(tmp_path / "log")), WAIT_S)
    assert (failed.value.reason, pools.count("hasty")) == ("timeout", NONE_ACTIVE)
    pools.shutdown("hasty")


def test_acceptance_177_pools_have_names_and_end_with_all_their_tasks(pools: TaskPools, desk: Desk) -> None:
    pools.create("one", size=1)
    with pytest.raises(RequestError, match=r"^pool_exists: one"):
        pools.create("one")
    for act in (pools.create, pools.configure):
        with pytest.raises(RequestError) as refused:
            act("none", size=0)
        assert (refused.value.code, refused.value.detail) == ("invalid_spec", "size: must be 1 to 10000")
    for asked in (lambda: pools.configure("none"), lambda: pools.count("none"), lambda: pools.shutdown("none")):
        with pytest.raises(RequestError, match=r"^pool_not_found: none"):
            asked()
    owner = desk.client.spawn_spec(ProcessSpec(f"{HERE}:Owner", ["one"], path=str(ROOT)))
    _, serial = desk.client.call(owner, ["async_nolink", f"{TASKS}:stand_still"], WAIT_S)  # type: ignore[misc]
    pools.configure("one", size=2)
    assert desk.client.run_task("one", task("square", 6), WAIT_S) == 36
    ref = desk.client.monitor(Pid(owner.instance, int(str(serial))))
    pools.shutdown("one")
    assert desk.client.wait_down(ref, WAIT_S).reason == "shutdown"
    with pytest.raises(CallFailed) as failed:
        desk.client.run_task("one", task("square", 6), WAIT_S)
    assert failed.value.reason == "noproc"
    desk.client.kill(owner)


def test_acceptance_172_two_of_each_service_run_under_one_supervisor_with_names_of_their_own(desk: Desk) -> None:
    children = [
        {"id": f"{machine}-{at}", "process": {"start": machine, "template": RESIDENT, "name": f"{machine}-{at}", "args": args}}
        for machine, args in SERVICES.items()
        for at in (1, 2)
    ]
    tree = desk.client.spawn_spec(ProcessSpec("supervisor", [{"children": children}], template=RESIDENT))
    found = {str(child["id"]): desk.client.whereis(str(child["id"])) for child in children}
    assert len({pid.serial for pid in found.values() if pid is not None}) == len(children) == 2 * len(MACHINES)
    desk.client.call("registry-1", ["register", "k"])
    desk.client.call("groups-1", ["join", "g", [desk.client.pid.serial]])
    assert [len(desk.client.call(f"registry-{at}", ["lookup", "k"])) for at in (1, 2)] == [1, 0]  # type: ignore[arg-type]
    assert [desk.client.call(f"groups-{at}", ["which_groups"]) for at in (1, 2)] == [["g"], []]
    desk.client.call("registry-1", ["unregister", "k"])
    desk.client.stop(tree, timeout_s=WAIT_S)


SERVICES: dict[str, list[Any]] = {machine: [] for machine in MACHINES}
