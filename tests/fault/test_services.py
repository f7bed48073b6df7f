"""Acceptance 163: what becomes of the daemon's services is told as of sessions, with reason, durations and counts."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from actorcore.errors import RequestError
from actorcore.pids import Pid
from actorcore.signals import ProcessSpec
from supervisors.clients.manager_steps import SessionEvent
from supervisors.own_names import SERVICES
from supervisors.services.task_pools import TaskPools
from supervisors.session.events import LIFECYCLE, trouble_with
from supervisors.tree.child_spec import ChildSpec
from tests.daemon_fixture import WAIT_S, Daemon, Desk, desk_of, send_signal

CACHE = "supervisors.services.cache_server:CacheServer"
HOLDING = {"id": "task", "process": {"start": "tests.lean_actors:echo"}, "restart": "temporary"}
KINDS = [name for name in LIFECYCLE if name.startswith(("service_", "rate_"))]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with Daemon(tmp_path / "run") as daemon:
        daemon.bystanders()
        with desk_of(daemon) as desk:
            yield desk


class Watch:
    """All that is told of services, in order; ``seq`` rises by one with each."""

    def __init__(self, desk: Desk) -> None:
        self.events = desk.daemon.client().manager.subscribe(types=KINDS)
        self.seq = 0

    def next(self) -> SessionEvent:
        event = self.events.next(WAIT_S)
        self.seq += 1
        assert (event.session, event.seq, trouble_with(event.type, event.data)) == ("", self.seq, None)
        return event

    def told(self, *types: str) -> list[dict[str, Any]]:
        """The data of the next events, which have these types; what took time took less than WAIT_S."""
        found = [self.next() for _ in types]
        assert tuple(event.type for event in found) == types
        for event in found:
            assert 0 <= float(str(event.data.pop("duration_s", 0.0))) < WAIT_S  # type: ignore[attr-defined]
        return [dict(event.data) for event in found]


def kill(desk: Desk, name: str) -> int:
    """SIGKILL of the process of this name; its serial."""
    row = next(row for row in desk.client.processes() if row["name"] == name)
    ref = desk.client.monitor(name)
    send_signal(int(str(row["os_pid"])), signal.SIGKILL)
    assert desk.client.wait_down(ref, WAIT_S).reason == "killed"
    return int(str(row["serial"]))


def test_acceptance_163_a_killed_store_is_told_as_started_crashed_and_restarted(desk: Desk) -> None:
    watch = Watch(desk)
    row: Any = desk.client.call(SERVICES, ["ensure", "store"])
    assert watch.told("service_started") == [{"name": "store", "pid": row["serial"], "restart_count": 0}]
    killed = kill(desk, "system:store")
    again: Any = desk.client.call(SERVICES, ["ensure", "store"])
    assert watch.told("service_crashed", "service_restarted") == [
        {"name": "store", "reason": "killed", "pid": killed, "restart_count": 0},
        {"name": "store", "old_pid": killed, "new_pid": again["serial"], "restart_count": 1},
    ]
    counters = desk.client.manager.counters()
    counted = {"service_started": 1, "service_crashed": 1, "service_restarted": 1}
    assert {kind: count for kind, count in counters.items() if kind in KINDS} == counted


def test_acceptance_163_a_cache_that_crashes_over_its_budget_is_told_as_given_up_and_then_as_stopped(desk: Desk) -> None:
    watch = Watch(desk)
    spec = ChildSpec("cache", ProcessSpec(CACHE, name="cache"), restart="permanent", intensity=0)
    pid = desk.client.start_session(spec)["serial"]
    killed = kill(desk, "cache")
    assert (killed, watch.told("service_started", "service_crashed", "service_gave_up")) == (pid, [
        {"name": "cache", "pid": pid, "restart_count": 0},
        {"name": "cache", "reason": "killed", "pid": pid, "restart_count": 0},
        {"name": "cache", "reason": "killed", "restart_count": 0},
    ])  # fmt: skip
    desk.client.stop_session("cache")
    assert watch.told("service_stopped") == [{"name": "cache", "reason": "killed", "restart_count": 0}]
    with pytest.raises(RequestError):
        desk.client.start_session(ChildSpec("bad", ProcessSpec(CACHE, [{"max_entries": 0}])))
    (refused,) = watch.told("service_stopped")
    assert (refused["name"], list(refused["reason"])) == ("bad", ["invalid_spec"])


def test_acceptance_163_174_a_pool_that_refuses_tells_it_once_until_it_takes_again(desk: Desk) -> None:
    watch = Watch(desk)
    pools = TaskPools(desk.client)
    pools.create("narrow", size=1, max_waiting=0)
    assert watch.told("service_started")[0]["name"] == "narrow"
    for _ in range(2):
        held: Any = desk.client.call("narrow", ["start_child", HOLDING])
        ref = desk.client.monitor(Pid(desk.client.pid.instance, held))
        for _ in range(3):
            with pytest.raises(RequestError, match=r"^busy"):
                desk.client.call("narrow", ["start_child", HOLDING])
        desk.client.exit(Pid(desk.client.pid.instance, held), "kill")
        assert desk.client.wait_down(ref, WAIT_S).reason == "killed"
    pools.shutdown("narrow")
    told = watch.told("service_refused", "service_refused", "service_stopped")
    assert told == [*[{"name": "narrow", "code": "busy"}] * 2, {"name": "narrow", "reason": "shutdown", "restart_count": 0}]


@pytest.mark.parametrize("name", ["limiter", "services", "manager"])
def test_acceptance_163_the_death_of_a_resident_is_told_with_a_count(desk: Desk, name: str) -> None:
    killed_twice(desk, name)


def test_acceptance_163_the_supervisor_of_the_sessions_is_told_as_any_other_resident(tmp_path: Path) -> None:
    with Daemon(tmp_path / "run") as daemon, desk_of(daemon) as desk:  # whose death ends its sessions
        killed_twice(desk, "sessions")


def killed_twice(desk: Desk, name: str) -> None:
    watch = Watch(desk)
    for count in (1, 2):
        before = desk.client.whereis(f"system:{name}")
        ref = desk.client.monitor(f"system:{name}")
        desk.client.exit(f"system:{name}", "kill")
        assert desk.client.wait_down(ref, WAIT_S).reason == "killed"
        after = desk.client.whereis(f"system:{name}")
        assert before is not None and after is not None
        assert watch.told("service_crashed", "service_restarted") == [
            {"name": name, "reason": "killed", "pid": before.serial, "restart_count": count - 1},
            {"name": name, "old_pid": before.serial, "new_pid": after.serial, "restart_count": count},
        ]
