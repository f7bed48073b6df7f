"""Sessions of several processes, under real kills: who dies, who comes back, and what is remembered."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from actorcore.pids import Pid
from supervisors.client import Client
from supervisors.clients.manager import Subscription
from supervisors.session.record import Policy
from supervisors.session.requests import GetMessages, GetRecord, SendMessage
from tests.daemon_fixture import WAIT_S, Desk, send_signal
from tests.session_world import project_in

MEMBER = "tests.fault.talkers:Member"
MEMBERS = ("state", "agent", "tools")


@pytest.fixture
def session(desk: Desk, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """The id of a session of three processes; its members report to the desk."""
    members = [{"id": member, "start": MEMBER, "args": [desk.name], "trap_exit": True} for member in ("agent", "tools")]
    row = desk.client.manager.create(
        project_in(tmp_path), module="tests.fault.talkers:State", metadata={"watcher": desk.name},
        group={"strategy": getattr(request, "param", "one_for_one"), "members": members},
    )  # fmt: skip
    id = str(row["id"])
    yield id
    if id in desk.client.manager.ids():
        desk.client.manager.stop(id)


def ups(desk: Desk, session: str, *members: str) -> dict[str, int]:
    """OS pids of the incarnations of ``members`` that report next."""
    return {member: desk.await_up(name_of(session, member)) for member in members}


def name_of(session: str, member: str) -> str:
    """Under which ``member`` is registered."""
    return session if member == "state" else f"{session}.{member}"


@contextmanager
def watching(desk: Desk, session: str) -> Iterator[Subscription]:
    """Its events, to a client of its own."""
    with Client.connect(desk.daemon.directory, WAIT_S) as client, client.manager.subscribe(session) as events:
        yield events


def contents(desk: Desk, session: str) -> list[str]:
    page: Any = desk.client.call(session, GetMessages(), WAIT_S)
    return [message["content"] for message in page["items"]]


def pid_of(desk: Desk, name: str) -> Pid:
    found = desk.client.whereis(name)
    assert found is not None
    return found


def test_acceptance_57_killing_the_agent_leaves_the_state_and_its_data_alive(desk: Desk, session: str) -> None:
    before = ups(desk, session, *MEMBERS)
    desk.client.call(session, SendMessage("user", "remember me"))
    state, row = pid_of(desk, session), desk.client.manager.info(session)
    desk.signal(f"{session}.agent", before["agent"], signal.SIGKILL)
    ups(desk, session, "agent")
    assert (pid_of(desk, session), contents(desk, session)) == (state, ["remember me"])
    assert desk.client.manager.info(session) == row
    assert desk.client.call(f"{session}.agent", ["said", session], WAIT_S) == ["remember me"]


@pytest.mark.parametrize(("session", "victim", "restarted"), [
    ("one_for_one", "tools", ("tools",)), ("one_for_all", "agent", ("state", "agent", "tools")),
    ("rest_for_one", "agent", ("agent", "tools")), ("rest_for_one", "tools", ("tools",)),
    ("rest_for_one", "state", ("state", "agent", "tools")), ("one_for_one", "state", ("state",)),
], indirect=["session"])  # fmt: skip
def test_acceptance_57_a_death_takes_with_it_whom_the_strategy_says_and_nothing_that_was_said(
    desk: Desk, session: str, victim: str, restarted: tuple[str, ...]
) -> None:
    names = {member: name_of(session, member) for member in MEMBERS}
    ups(desk, session, *MEMBERS)
    desk.client.call(session, SendMessage("user", "said before"))
    before = {member: pid_of(desk, name) for member, name in names.items()}
    refs = {member: desk.client.monitor(names[member]) for member in restarted}
    desk.client.kill(names[victim], signal.SIGKILL)
    for ref in refs.values():
        desk.client.wait_down(ref, WAIT_S)
    ups(desk, session, *restarted)
    after = {member: pid_of(desk, name) for member, name in names.items()}
    assert {member for member in names if after[member] != before[member]} == set(restarted)
    assert contents(desk, session) == ["said before"]
    assert desk.client.call(session, SendMessage("user", "said after"), WAIT_S)["seq"] == 2  # type: ignore[index, call-overload]


def test_a_group_has_a_budget_of_its_own_and_its_end_is_a_crash_of_the_session(desk: Desk, tmp_path: Path) -> None:
    member = {"id": "agent", "start": MEMBER, "args": [desk.name]}
    group = {"members": [member], "intensity": 1}
    row = desk.client.manager.create(project_in(tmp_path), group=group, policy=Policy(intensity=0, shutdown_s=1.0))
    id = str(row["id"])
    with watching(desk, id) as events:
        for _ in range(2):
            send_signal(ups(desk, id, "agent")["agent"], signal.SIGKILL)
        while (event := events.next(WAIT_S)).type != "session_gave_up":
            pass
    assert event.data["reason"] == "shutdown"
    assert [desk.client.whereis(name) for name in (id, f"{id}.agent")] == [None, None]
    desk.client.manager.stop(id)


@pytest.mark.parametrize("end", ["of itself", "by a kill", "at its shutdown time"])
def test_a_group_whose_supervisor_is_killed_comes_back_when_its_state_has_ended_and_that_is_one_restart(
    desk: Desk, tmp_path: Path, end: str
) -> None:
    gate = tmp_path / "gate"
    row = desk.client.manager.create(
        project_in(tmp_path), module="tests.fault.talkers:Gated", metadata={"gate": str(gate)},
        group={"members": [{"id": "agent", "start": MEMBER, "args": [desk.name]}]},
        policy=Policy(intensity=1, period_s=60.0, shutdown_s=0.3 if end == "at its shutdown time" else 60.0),
    )  # fmt: skip
    id = str(row["id"])
    ups(desk, id, "agent")
    desk.client.call(id, SendMessage("user", "said before"))
    state = pid_of(desk, id)
    (os_pid,) = [row["os_pid"] for row in desk.client.processes() if row["serial"] == state.serial]
    ref = desk.client.monitor(state)
    os.mkfifo(gate)
    with watching(desk, id) as events:
        desk.client.kill(Pid(state.instance, desk.row(id)["serial"]))
        gate.read_bytes()  # it has its exit signal
        with gate.open("wb") as held:  # and stands until this is closed
            gate.unlink()
            if end == "of itself":
                assert desk.client.manager.info(id)["status"] == "restarting"
                held.close()
            elif end == "by a kill":
                send_signal(int(str(os_pid)), signal.SIGKILL)
            assert desk.client.wait_down(ref, WAIT_S).reason == "killed"
        ups(desk, id, "agent")
        told = [events.next(WAIT_S)]
        while told[-1].type != "session_restarted":
            told.append(events.next(WAIT_S))
    assert [event.type for event in told].count("session_crashed") == told[-1].data["restart_count"] == 1
    assert contents(desk, id) == ["said before"]
    desk.client.manager.stop(id)


def test_a_group_that_is_stopped_has_ended_with_each_of_its_members_also_one_that_hangs(desk: Desk, tmp_path: Path) -> None:
    member = {"id": "agent", "start": MEMBER, "args": [desk.name], "trap_exit": True, "shutdown_s": 1.2}
    row = desk.client.manager.create(project_in(tmp_path), group={"members": [member]}, policy=Policy(shutdown_s=1.0))
    id = str(row["id"])
    ups(desk, id, "agent")
    refs = [desk.client.monitor(name) for name in (f"{id}.agent", id)]
    desk.loop(f"{id}.agent", tmp_path / "fifo")
    assert desk.client.manager.stop(id)["reason"] == "shutdown"
    assert [desk.client.wait_down(ref, 0).reason for ref in refs] == ["killed", "shutdown"]


def test_a_group_publishes_is_renamed_and_stops_as_one(desk: Desk, session: str) -> None:
    ups(desk, session, *MEMBERS)
    refs = [desk.client.monitor(name) for name in (name_of(session, member) for member in MEMBERS)]
    with watching(desk, session) as events:
        desk.client.call(session, SendMessage("user", "hello"))
        told = [events.next(WAIT_S)]  # a session tells its watchers after its answer: else the rename may be told first
        desk.client.manager.rename(session, "renamed")
        with Client.connect(desk.daemon.directory, WAIT_S) as later:  # its introduction comes after the news of the manager
            record: Any = later.call(session, GetRecord(), WAIT_S)
        desk.client.manager.stop(session)
        while told[-1].type != "session_terminated":
            told.append(events.next(WAIT_S))
    assert record["name"] == "renamed"
    assert [event.type for event in told] == [
        "conversation_added", "session_updated", "session_status", "session_saved", "session_status", "session_terminated",
    ]  # fmt: skip
    assert [event.seq for event in told] == list(range(told[0].seq, told[0].seq + 6))
    assert [desk.client.wait_down(ref, WAIT_S).reason for ref in refs] == ["shutdown"] * 3
