"""What is saved of a session that is listed stays, with or without a process: acceptance 110, 125, 137, 139, 141–143."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from actorcore.errors import RequestError
from supervisors.client import Client
from supervisors.persistence.notes import saved_note
from supervisors.persistence.signing import Keys
from supervisors.session.record import Policy
from supervisors.session.requests import GetMessages, GetRecord, SendMessage
from tests.daemon_fixture import WAIT_S, Daemon, await_deaths, send_signal, watched
from tests.fault.test_resume import GATED, kill_daemon
from tests.session_world import project_in

POLICIES = {
    "suspended": Policy(),
    "restarting": Policy(intensity=1, period_s=60.0, backoff_initial_s=30.0, backoff_max_s=30.0),
    "gave_up": Policy(intensity=0),
}
DAY_S = 86_400


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Daemon]:
    with Daemon(tmp_path / "run") as daemon:
        yield daemon


def contents(client: Client, id: str) -> list[str]:
    page: Any = client.call(id, GetMessages(), WAIT_S)
    return [message["content"] for message in page["items"]]


def without_a_process(client: Client, project: Path, status: str) -> str:
    """A session with a message, in a status in which no process has it."""
    id = str(client.manager.create(project, policy=POLICIES[status])["id"])
    client.call(id, SendMessage("user", "precious"), WAIT_S)
    if status == "suspended":
        client.manager.suspend(id)
        return id
    with client.manager.subscribe(id, ["session_status"]) as events:
        client.kill(id, signal.SIGKILL)
        while events.next(WAIT_S).data["status"] != status:
            pass
    return id


@pytest.mark.parametrize("status", list(POLICIES))
def test_acceptance_137_142_143_nothing_of_a_listed_session_is_deleted_and_it_is_not_resumed_twice(
    running: Daemon, tmp_path: Path, status: str
) -> None:
    client = running.client()
    id = without_a_process(client, project_in(tmp_path), status)
    assert client.manager.info(id)["status"] == status
    assert ([one.id for one in client.saved.list()], list(client.saved.resumable())) == ([id], [])
    with pytest.raises(RequestError) as refused:
        client.saved.delete(id)
    assert refused.value.code == "running"
    assert client.saved.clear() == {"deleted": 0, "skipped": 1, "failed": 0, "errors": {}}
    with pytest.raises(RequestError) as refused:
        client.manager.resume(id)
    assert refused.value.code == "session_exists"
    client.manager.wake(id) if status == "suspended" else client.manager.restart(id)
    assert contents(client, id) == ["precious"]
    client.manager.stop(id)
    assert client.saved.clear() == {"deleted": 1, "skipped": 0, "failed": 0, "errors": {}}


def test_acceptance_137_a_project_in_which_somebody_works_who_is_not_saved_is_in_use_too(running: Daemon, tmp_path: Path) -> None:
    client, project = running.client(), project_in(tmp_path)
    id = str(client.manager.create(project)["id"])
    client.manager.stop(id)
    assert [one.id for one in client.saved.resumable()] == [id]
    other = str(client.manager.create(project, durability="none")["id"])
    assert list(client.saved.resumable()) == []
    client.manager.stop(other)
    assert [one.id for one in client.saved.resumable()] == [id]


def test_acceptance_125_141_what_was_alive_long_ago_comes_back_before_it_is_too_old(running: Daemon, tmp_path: Path) -> None:
    client = running.client()
    id = str(client.manager.create(project_in(tmp_path))["id"])
    client.call(id, SendMessage("user", "long ago"))
    client.manager.stop(id)
    long_ago = time.time() - 40 * DAY_S
    fields = {**json.loads(client.saved.export(id)), "saved_at": long_ago}
    client.saved.delete(id)
    client.saved.import_(json.dumps(fields).encode(), unsigned=True)
    client.manager.resume(id)
    kill_daemon(running)
    for path in (running.directory / "state" / "sessions" / id).iterdir():
        os.utime(path, (long_ago, long_ago))
    running.start()
    client = running.client()
    with client.manager.subscribe(types=["session_resumed", "resume_failed"], after=0) as events:
        told = events.next(WAIT_S)
    assert (told.type, told.session) == ("session_resumed", id)
    assert contents(client, id) == ["long ago"]


def test_acceptance_110_the_session_that_makes_it_eighty_of_a_hundred_is_told_to_who_watches_all(tmp_path: Path) -> None:
    with Daemon(tmp_path / "run", configuration="[sessions]\nmax_saved = 5\n") as daemon:
        client = daemon.client()
        with client.manager.subscribe(types=["save_limit_near"]) as watched, client.manager.subscribe() as lifecycle:
            ids = [str(client.manager.create(project_in(tmp_path, f"p{n}"))["id"]) for n in range(5)]
            told = [watched.next(WAIT_S) for _ in range(2)]
            seen = [event for event in lifecycle if event.type == "save_limit_near"]
            with pytest.raises(RequestError) as refused:
                client.manager.create(project_in(tmp_path, "p5"))
            assert (refused.value.code, refused.value.detail) == ("session_limit_reached", "5/5 saved sessions")
            client.manager.stop(ids[0])
            client.manager.resume(ids[0])  # it is not a new one
            assert [(event.session, event.data) for event in told] == [
                (ids[3], {"count": 4, "limit": 5}), (ids[4], {"count": 5, "limit": 5})]  # fmt: skip
            assert (seen, list(watched)) == (told, [])
        logs = "".join(path.read_text() for path in (daemon.directory / "log").iterdir())
        assert [f"nearly as many sessions are saved as may be: {count}/5" in logs for count in (3, 4, 5)] == [False, True, True]


def test_acceptance_126_145_a_stranger_neither_changes_whose_session_it_is_nor_says_that_it_was_saved(
    running: Daemon, tmp_path: Path
) -> None:
    client = running.client()
    id = str(client.manager.create(project_in(tmp_path), "mine")["id"])
    client.call(id, SendMessage("user", "precious"), WAIT_S)
    record: Any = client.call(id, GetRecord(), WAIT_S)
    for forged in ({"a": 1}, {**record, "id": id[::-1], "updated_at": 9e9}, {"id": id, "created_at": record["created_at"]},
                   {**record, "name": "older", "updated_at": 1.0}):  # fmt: skip
        client.send(id, {"record": forged})
    with pytest.raises(RequestError) as refused:
        client.call(id, ["change_session", {"a": 1}], WAIT_S)
    assert refused.value.code == "invalid_message"
    forged = saved_note(id, Keys({1: bytes(32)}), 99, {**record, "name": "forged"})
    for note in (forged, {"verb": "saved", "id": id, "generation": 99, "session": {}}, msgspec.structs.replace(forged, key=7)):
        client.cast("system:store", note)
    assert (client.call(id, GetRecord(), WAIT_S), [one.name for one in client.saved.list()]) == (record, ["mine"])
    renamed = client.manager.rename(id, "still mine")
    assert client.call(id, GetRecord(), WAIT_S)["name"] == renamed["name"]  # type: ignore[index,call-overload]
    client.manager.stop(id)
    assert client.manager.resume(id)["name"] == "still mine"
    assert contents(client, id) == ["precious"]


def hung(client: Client, project: Path) -> str:
    """A session whose process is stopped by a signal."""
    id = str(client.manager.create(project, policy=Policy(shutdown_s=0.1))["id"])
    send_signal(int(str(next(row["os_pid"] for row in client.processes() if row["name"] == id))), signal.SIGSTOP)
    return id


def test_acceptance_71_125_who_was_stopped_does_not_come_back_with_the_next_daemon_whatever_became_of_its_process(
    running: Daemon, tmp_path: Path
) -> None:
    client = running.client()
    stopped = [without_a_process(client, project_in(tmp_path, status), status) for status in POLICIES]
    stopped.append(hung(client, project_in(tmp_path, "hung")))
    assert [client.manager.stop(id)["reason"] for id in stopped] == ["shutdown", "killed", "killed", "killed"]
    temporary = str(client.manager.create(project_in(tmp_path, "temporary"), policy=Policy(restart="temporary"))["id"])
    with client.manager.subscribe(temporary, ["session_terminated"]) as events:
        client.kill(temporary, signal.SIGKILL)
        events.next(WAIT_S)
    assert [one.is_running for one in client.saved.list()] == [False] * 5
    alive = str(client.manager.create(project_in(tmp_path, "alive"))["id"])
    kill_daemon(running)
    running.start()
    client = running.client()
    with client.manager.subscribe(types=["session_resumed"], after=0) as events:
        assert events.next(WAIT_S).session == alive
    assert (client.manager.ids(), len(list(client.saved.resumable()))) == ([alive], 5)
    client.manager.resume(stopped[1])
    assert contents(client, stopped[1]) == ["precious"]


def refusal_of(client: Client, id: str) -> str:
    with pytest.raises(RequestError) as refused:
        client.manager.resume(id)
    return refused.value.code


def test_acceptance_71_81_when_the_daemon_is_told_to_end_nobody_comes_back_by_itself_with_or_without_a_process(
    running: Daemon, tmp_path: Path
) -> None:
    client = running.client()
    gate = tmp_path / "gate"
    metadata: dict[str, Any] = {"gate": str(gate)}
    refusals: list[str] = []
    resumed = str(client.manager.create(project_in(tmp_path, "resumed"), module=GATED, metadata=metadata)["id"])
    client.manager.stop(resumed)
    ids = [without_a_process(client, project_in(tmp_path, status), status) for status in POLICIES]
    for name, policy in (("alive", Policy()), ("killed", Policy(shutdown_s="brutal_kill"))):
        ids.append(str(client.manager.create(project_in(tmp_path, name), policy=policy)["id"]))
    os.mkfifo(gate)
    with Client.connect(running.directory, WAIT_S) as other:
        thread = threading.Thread(target=lambda: refusals.append(refusal_of(other, resumed)))
        thread.start()
        gate.read_bytes()  # it has opened its database, and is being born
        writer = os.open(gate, os.O_WRONLY)  # it waits for that
        gate.unlink()
        with watched([running.guardian_pid]) as handles:
            send_signal(running.guardian_pid, signal.SIGTERM)
            with pytest.raises(RequestError, match="shutting_down"):
                while True:
                    client.spawn("tests.fault.actors:idle")
            os.close(writer)
            assert await_deaths(handles)
        thread.join()
    assert (running.process.wait(), refusals) == (0, ["start_failed"])
    running.start()
    saved = running.client().saved
    assert {one.id: one.is_running for one in saved.list()} == dict.fromkeys([resumed, *ids], False)
    assert len(list(saved.resumable())) == 6


def test_acceptance_71_125_who_was_stopped_while_the_store_was_dead_does_not_come_back(running: Daemon, tmp_path: Path) -> None:
    client = running.client()
    stopped = hung(client, project_in(tmp_path))
    store = next(row for row in client.processes() if row["name"] == "system:store")
    send_signal(int(str(store["os_pid"])), signal.SIGSTOP)
    assert client.manager.stop(stopped)["reason"] == "killed"
    down = client.monitor("system:store")
    send_signal(int(str(store["os_pid"])), signal.SIGKILL)
    client.wait_down(down, WAIT_S)
    client.call("system:services", ["ensure", "store"], WAIT_S)
    assert [one.is_running for one in client.saved.list()] == [False]
