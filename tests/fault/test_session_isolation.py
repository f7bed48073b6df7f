"""What one session does or suffers is nothing to the others: acceptance 41, 70; and what a rest or a deletion leaves: 85, 142."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from actorcore.errors import RequestError
from supervisors.async_client import AsyncClient
from supervisors.client import Client
from supervisors.clients.manager_steps import SessionEvent
from supervisors.session.events import INSIDE, LIFECYCLE
from supervisors.session.record import Policy
from supervisors.session.requests import CacheGet, CachePut, GetMessages, GetTodos, SendMessage, SetTodos
from tests.daemon_fixture import WAIT_S, Daemon, Desk, desk_of, send_signal, starttime

PLAIN, AT_WORK = "tests.fault.session_actors:Plain", "tests.fault.session_actors:AtWork"
UNLUCKY = "tests.fault.talkers:Unlucky"


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Desk]:
    """At a daemon of which nothing else is saved."""
    with Daemon(tmp_path / "run") as daemon:
        daemon.bystanders()
        with desk_of(daemon) as desk:
            yield desk


def created(desk: Desk, tmp_path: Path, count: int, name: str = "project", **fields: Any) -> list[str]:
    """The ids of so many new sessions, each in a folder of its own."""
    folders = [tmp_path / f"{name}{number}" for number in range(count)]
    for folder in folders:
        folder.mkdir()
    return [str(desk.client.manager.create(folder, **fields)["id"]) for folder in folders]


def os_pid_of(desk: Desk, id: str) -> int:
    return int(str(next(row["os_pid"] for row in desk.client.processes() if row["name"] == id)))


def everything(desk: Desk, id: str) -> tuple[Any, ...]:
    """Its row, its process and since when that runs, and all that it remembers."""
    os_pid = os_pid_of(desk, id)
    requests = (GetMessages(), GetTodos(), CacheGet("key"))
    return desk.client.manager.info(id), os_pid, starttime(os_pid), [desk.client.call(id, one, WAIT_S) for one in requests]


def test_acceptance_41_a_kill_of_one_of_ten_changes_no_pid_uptime_history_or_cache_of_the_others(
    desk: Desk, tmp_path: Path
) -> None:
    ids = created(desk, tmp_path, 10)
    for number, id in enumerate(ids):
        todos = SetTodos([{"content": f"todo {number}"}])
        for request in (SendMessage("user", f"word {number}"), todos, CachePut("key", number)):
            desk.client.call(id, request, WAIT_S)
    victim, others = ids[4], ids[:4] + ids[5:]
    before = [everything(desk, id) for id in others]
    with desk.client.manager.subscribe(victim, ["session_restarted"]) as events:
        send_signal(os_pid_of(desk, victim), signal.SIGKILL)
        assert events.next(WAIT_S).data["restart_count"] == 1
    assert [everything(desk, id) for id in others] == before
    page: Any = desk.client.call(victim, GetMessages(), WAIT_S)
    assert [message["content"] for message in page["items"]] == ["word 4"]
    assert desk.client.call(victim, CacheGet("key"), WAIT_S) == ["not_found", None]
    for id in ids:
        desk.client.manager.stop(id)


def test_acceptance_70_after_a_kill_of_one_session_the_others_tell_everything_without_a_gap(desk: Desk, tmp_path: Path) -> None:
    victim, *others = created(desk, tmp_path, 3)
    told: dict[str, list[tuple[int, Any]]] = {id: [] for id in others}
    with Client.connect(desk.daemon.directory, WAIT_S) as watcher:
        subscriptions = {id: watcher.manager.subscribe(id) for id in others}
        with desk.client.manager.subscribe(victim, ["session_restarted"]) as restarts:
            for turn in range(6):
                if turn % 2:
                    send_signal(os_pid_of(desk, victim), signal.SIGKILL)
                for id in others:
                    desk.client.call(id, SendMessage("user", f"turn {turn}"), WAIT_S)
                    event = subscriptions[id].next(WAIT_S)
                    told[id].append((event.seq, event.data["content"]))
                if turn % 2:
                    restarts.next(WAIT_S)
        for id in others:
            assert list(subscriptions[id]) == []
            first = told[id][0][0]
            assert told[id] == [(first + turn, f"turn {turn}") for turn in range(6)]
            page: Any = desk.client.call(id, GetMessages(), WAIT_S)
            assert [(message["seq"], message["content"]) for message in page["items"]] == [
                (turn + 1, f"turn {turn}") for turn in range(6)
            ]
    for id in (victim, *others):
        desk.client.manager.stop(id)


def test_acceptance_85_a_session_that_rests_for_its_timeout_is_stopped_and_work_and_messages_put_it_off(
    desk: Desk, tmp_path: Path
) -> None:
    """Who rests with the same timeout is the clock of who works for longer."""
    gate, policy = tmp_path / "gate", Policy(idle_timeout_s=1.0)
    os.mkfifo(gate)
    with desk.client.manager.subscribe(types=["session_status", "session_terminated"]) as events:
        (working,) = created(desk, tmp_path, 1, "working", module=AT_WORK, config={"gate": str(gate)}, policy=policy)
        (resting,) = created(desk, tmp_path, 1, "resting", module=PLAIN, policy=policy)
        (woken,) = created(desk, tmp_path, 1, "woken", module=PLAIN, policy=Policy(idle_timeout_s=4.0))
        told: dict[str, list[SessionEvent]] = {working: [], resting: [], woken: []}

        def until(id: str, expected: str) -> float:
            """When the session is told to have become that."""
            while not told[id] or expected not in (told[id][-1].type, told[id][-1].data.get("status")):
                event = events.next(WAIT_S)
                told[event.session].append(event)
            return told[id][-1].at

        until(woken, "idle")
        desk.client.call(woken, ["add", 1])
        until(woken, "active")
        ended_at = until(resting, "session_terminated")
        assert (statuses(told[working]), desk.client.manager.info(working)["status"]) == (["active"], "active")
        gate.write_bytes(b"1")
        assert until(working, "session_terminated") - ended_at >= policy.idle_timeout_s
    for id in (resting, working):
        assert [status for status in statuses(told[id]) if status != "idle"] == ["active", "terminating", "terminated"]
        assert told[id][-1].data["reason"] == "shutdown"
    assert statuses(told[woken])[:3] == ["active", "idle", "active"]
    assert desk.client.manager.ids() == [woken]
    desk.client.manager.stop(woken)


def statuses(events: list[SessionEvent]) -> list[object]:
    return [event.data["status"] for event in events if event.type == "session_status"]


def test_acceptance_85_a_session_that_rested_for_too_long_was_saved(alone: Desk, tmp_path: Path) -> None:
    """It says by itself how much it remembers as it opens: whoever asks may come when it has gone again."""
    luck = tmp_path / "luck"
    luck.touch()
    with alone.client.manager.subscribe(types=["conversation_added", "session_saved", "session_terminated"]) as events:
        (id,) = created(alone, tmp_path, 1, module=UNLUCKY, metadata={"luck": str(luck)}, policy=Policy(idle_timeout_s=0.3))
        for count in range(2):
            told = [events.next(WAIT_S) for _ in range(3)]
            assert [event.type for event in told] == ["conversation_added", "session_saved", "session_terminated"]
            assert told[0].data["content"] == f"hello {count}"
            assert [one.id for one in alone.client.saved.resumable()] == [id]
            if count == 0:
                alone.client.manager.resume(id)


def test_acceptance_142_of_ten_who_delete_one_session_at_once_one_did_it_and_a_live_one_stays(
    alone: Desk, tmp_path: Path
) -> None:
    gone, live = created(alone, tmp_path, 2)
    alone.client.manager.stop(gone)

    async def delete(id: str) -> list[Any]:
        clients = [await AsyncClient.connect(alone.daemon.directory, WAIT_S) for _ in range(10)]
        results = await asyncio.gather(*(client.saved.delete(id) for client in clients), return_exceptions=True)
        for client in clients:
            await client.close()
        return list(results)

    before = everything(alone, live)
    assert sorted(asyncio.run(delete(gone))) == [False] * 9 + [True]
    assert [one.code for one in asyncio.run(delete(live))] == ["running"] * 10
    assert everything(alone, live) == before
    assert [one.id for one in alone.client.saved.list()] == [live]
    alone.client.manager.stop(live)


@pytest.mark.parametrize("type_", ["session_terminated", "session_crashed", "service_crashed", "rate_limited"])
def test_acceptance_158_a_session_tells_what_happens_in_it_and_nothing_of_what_only_the_daemon_knows(
    desk: Desk, tmp_path: Path, type_: str
) -> None:
    (id,) = created(desk, tmp_path, 1, module=PLAIN)
    samples: dict[type, Any] = {str: "x", int: 1, dict: {}}
    forged = {name: samples[kinds[0]] for name, kinds in LIFECYCLE[type_].required.items()}
    with desk.client.manager.subscribe(id) as events:
        with pytest.raises(RequestError, match=r"^not_permitted"):
            desk.client.call(id, ["try_publish", [[type_, forged]]], WAIT_S)
        desk.client.call(id, ["publish", [["llm_response", {"content": "still told"}]]], WAIT_S)
        event = events.next(WAIT_S)
        assert (event.type, event.data, "llm_response" in INSIDE) == ("llm_response", {"content": "still told"}, True)
    desk.client.manager.stop(id)
