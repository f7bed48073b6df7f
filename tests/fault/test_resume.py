"""Saved sessions come back as they were, or stay saved as they are: by hand, and when a daemon or the machine has died."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from actorcore.errors import ActorError, CallFailed, RequestError
from supervisors.client import Client
from supervisors.persistence.store_words import GetSaved
from supervisors.services.rate_limit import RATES, RESUME
from supervisors.session.project_path import draft_of
from supervisors.session.record import SERVER
from supervisors.session.requests import AddPrompt, GetMessages, GetPrompts, GetRecord, GetTodos, SendMessage, SetTodos
from supervisors.session.words import CreateSession, Publish, ResumeSession
from tests.conftest import Size, Tell
from tests.daemon_fixture import WAIT_S, Daemon, await_deaths, send_signal, watched
from tests.session_world import project_in

Row = dict[str, Any]
GATED, UNLUCKY = "tests.fault.talkers:Gated", "tests.fault.talkers:Unlucky"


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Daemon]:
    with Daemon(tmp_path / "run") as daemon:
        yield daemon


def files_of(daemon: Daemon, id: str) -> dict[str, bytes]:
    """What is saved of the session, byte by byte."""
    folder = daemon.directory / "state" / "sessions" / id
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def talk(client: Client, id: str, *texts: str) -> None:
    for text in texts:
        client.call(id, SendMessage("user", text), WAIT_S)


def contents(client: Client, id: str) -> list[str]:
    page: Any = client.call(id, GetMessages(), WAIT_S)
    return [message["content"] for message in page["items"]]


def everything(client: Client, id: str) -> list[Any]:
    record: Any = client.call(id, GetRecord(), WAIT_S)
    kept = {key: record[key] for key in ("id", "name", "project", "config", "metadata", "created_at")}
    return [kept, *(client.call(id, request, WAIT_S) for request in (GetMessages(), GetTodos(), GetPrompts()))]


def saved(client: Client, project: Path) -> Row:
    """A session with something of everything, that was stopped."""
    row = client.manager.create(project, "the name", config={"temperature": 0.0}, metadata={"a": [1]})
    id = str(row["id"])
    talk(client, id, "one", "two", "three")
    client.call(id, SetTodos([{"content": "ship", "status": "in_progress"}]))
    for text in ("first", "second"):
        client.call(id, AddPrompt(text))
    before = everything(client, id)
    client.manager.stop(id)
    return {"id": id, "before": before}


def code(client: Client, id: object) -> str:
    with pytest.raises(RequestError) as error:
        client.manager.resume(id)  # type: ignore[arg-type]
    return error.value.code


def test_acceptance_117_118_ten_cycles_of_save_and_resume_change_nothing(running: Daemon, tmp_path: Path) -> None:
    client = running.client()
    session = saved(client, project_in(tmp_path))
    for turn in range(10):
        if turn % 5 == 0:
            client.call("system:limiter", ["reset", "resume", session["id"]])
        client.manager.resume(session["id"])
        assert everything(client, session["id"]) == session["before"]
        client.manager.stop(session["id"])


def test_a_resume_is_told_as_such(running: Daemon, tmp_path: Path) -> None:
    client = running.client()
    session = saved(client, project_in(tmp_path))
    with running.client().manager.subscribe(types=["session_resumed"]) as events:
        client.manager.resume(session["id"])
        assert events.next(WAIT_S).session == session["id"]


NO_IDS = (
    "", "x", "../../etc/passwd", "/etc/passwd", "a\0b", "6ba7b810-9dad-11d1-80b4-00c04fd430c8", None, 5,
    "00000000-0000-4000-8000-00000000000G",
)  # fmt: skip


def test_acceptance_119_what_is_no_id_is_refused_and_touches_nothing(running: Daemon) -> None:
    client = running.client()
    assert {id: code(client, id) for id in NO_IDS} == dict.fromkeys(NO_IDS, "invalid_id")
    assert not (running.directory / "state").exists()


def test_acceptance_119_an_unknown_session_is_not_found(running: Daemon) -> None:
    assert code(running.client(), "00000000-0000-4000-8000-000000000000") == "not_found"


def gone(project: Path) -> None:
    project.rmdir()


def replaced(project: Path) -> None:
    project.rmdir()
    project.write_text("")


@pytest.mark.parametrize(("change", "expected"), [(gone, "project_path_not_found"), (replaced, "project_path_not_directory")])
def test_acceptance_120_122_without_its_folder_a_session_stays_saved(
    running: Daemon, tmp_path: Path, change: Any, expected: str
) -> None:
    client, project = running.client(), project_in(tmp_path)
    session = saved(client, project)
    before = files_of(running, session["id"])
    change(project)
    assert code(client, session["id"]) == expected
    assert (files_of(running, session["id"]), list(client.manager.list())) == (before, [])


def test_acceptance_120_122_a_path_in_use_and_a_limit_refuse_a_resume(tmp_path: Path) -> None:
    with Daemon(tmp_path / "run", configuration="[sessions]\nmax_sessions = 1\n") as daemon:
        client, project = daemon.client(), project_in(tmp_path)
        session = saved(client, project)
        before = files_of(daemon, session["id"])
        other = client.manager.create(project_in(tmp_path, "other"))
        assert code(client, session["id"]) == "session_limit_reached"
        client.manager.stop(str(other["id"]))
        assert files_of(daemon, session["id"]) == before


def test_acceptance_120_the_folder_of_a_live_session_is_not_opened_twice(running: Daemon, tmp_path: Path) -> None:
    client, project = running.client(), project_in(tmp_path)
    session = saved(client, project)
    client.manager.create(project)
    assert code(client, session["id"]) == "project_already_open"


def another_mode(project: Path) -> None:
    project.chmod(0o700)


def another_folder(project: Path) -> None:
    project.rename(project.with_name("old"))
    project.mkdir(0o755)


@pytest.mark.parametrize("change", [another_mode, another_folder])
def test_acceptance_121_122_a_folder_that_changes_between_check_and_start_starts_nothing(
    running: Daemon, tmp_path: Path, change: Any
) -> None:
    client, project = running.client(), project_in(tmp_path)
    session = saved(client, project)
    before = files_of(running, session["id"])
    checked = draft_of(client.call("system:store", GetSaved(session["id"]), WAIT_S))
    change(project)
    client.call("system:manager", ResumeSession(session["id"]))
    with pytest.raises(RequestError, match=r"^project_path_changed"):
        client.call("system:manager", CreateSession(checked, True), WAIT_S)
    assert (files_of(running, session["id"]), client.whereis(session["id"]), list(client.manager.list())) == (before, None, [])


def test_acceptance_124_a_resume_while_the_session_saves_itself_is_refused_and_disturbs_nothing(
    running: Daemon, tmp_path: Path
) -> None:
    client, gate = running.client(), tmp_path / "gate"
    id = str(client.manager.create(project_in(tmp_path), module=GATED, metadata={"gate": str(gate)})["id"])
    talk(client, id, "one", "two")
    before = everything(client, id)
    os.mkfifo(gate)
    with Client.connect(running.directory, WAIT_S) as other:
        thread = threading.Thread(target=other.manager.stop, args=(id,))
        thread.start()
        gate.read_bytes()  # it has been told to end, and is about to save
        assert code(client, id) == "session_exists"
        gate.write_bytes(b"go on")
        thread.join()
    gate.unlink()
    client.manager.resume(id)
    assert everything(client, id) == before


def test_acceptance_123_of_ten_resumes_at_once_one_succeeds(running: Daemon, tmp_path: Path) -> None:
    session = saved(running.client(), project_in(tmp_path))
    clients = [running.client() for _ in range(10)]
    outcomes: list[str] = []

    def attempt(client: Client) -> None:
        try:
            client.manager.resume(session["id"])
        except ActorError as error:
            outcomes.append(str(getattr(error, "code", error)))
        else:
            outcomes.append("resumed")

    threads = [threading.Thread(target=attempt, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Counter(outcomes) == {"resumed": 1, "session_exists": 4, "rate_limit_exceeded": 5}  # five may try in a minute
    client = running.client()
    assert len([row for row in client.processes() if row["name"] == session["id"]]) == 1
    assert everything(client, session["id"]) == session["before"]


def test_acceptance_146_148_the_sixth_resume_in_a_minute_waits_and_failures_count(running: Daemon, tmp_path: Path) -> None:
    client, project = running.client(), project_in(tmp_path)
    session = saved(client, project)
    project.rmdir()
    assert [code(client, session["id"]) for _ in range(5)] == ["project_path_not_found"] * 5
    with pytest.raises(RequestError) as error:
        client.manager.resume(session["id"])
    assert error.value.code == "rate_limit_exceeded"
    assert 1 <= int(error.value.detail) <= 60


def test_acceptance_146_154_who_asks_the_manager_itself_is_counted_too(running: Daemon, tmp_path: Path) -> None:
    client = running.client()
    session = saved(client, project_in(tmp_path))
    checked = draft_of(client.call("system:store", GetSaved(session["id"]), WAIT_S))
    with pytest.raises(RequestError, match="ask to resume it first"):
        client.call("system:manager", CreateSession(checked, True))
    with running.client().manager.subscribe() as events:
        for _ in range(5):
            client.call("system:manager", ResumeSession(session["id"]))
        with pytest.raises(RequestError) as error:
            client.call("system:manager", ResumeSession(session["id"]))
        told = events.next(WAIT_S)
    assert (error.value.code, 1 <= int(error.value.detail) <= 60) == ("rate_limit_exceeded", True)
    assert (told.session, told.type, told.data) == (
        "", "rate_limited", {"operation": "resume", "key": session["id"], "retry_after": int(error.value.detail)},
    )  # fmt: skip


def test_acceptance_9_a_new_session_does_not_take_the_place_of_a_saved_one(running: Daemon, tmp_path: Path) -> None:
    client = running.client()
    session = saved(client, project_in(tmp_path))
    before = files_of(running, session["id"])
    for created_at in ({}, {"created_at": session["before"][0]["created_at"]}):
        draft = {"id": session["id"], "name": "n", "project": session["before"][0]["project"], "module": SERVER, **created_at}
        with pytest.raises(RequestError) as error:
            client.call("system:manager", CreateSession(draft), WAIT_S)
        assert error.value.code == "session_exists"
    with pytest.raises(RequestError) as error:
        client.manager.create(project_in(tmp_path, "other"), id=session["id"])
    assert (error.value.code, list(client.manager.list()), files_of(running, session["id"])) == ("session_exists", [], before)
    client.manager.resume(session["id"])
    assert everything(client, session["id"]) == session["before"]


def test_acceptance_127_a_resume_of_what_was_tampered_with_is_told_and_changes_nothing(running: Daemon, tmp_path: Path) -> None:
    client = running.client()
    session = saved(client, project_in(tmp_path))
    (path,) = (running.directory / "state" / "sessions" / session["id"]).glob("*.db")
    path.write_bytes(path.read_bytes().replace(b"the name", b"the game"))
    before = files_of(running, session["id"])
    with running.client().manager.subscribe() as events:
        assert code(client, session["id"]) == "signature_verification_failed"
        told = events.next(WAIT_S)
    expected = {"id": session["id"], "code": "signature_verification_failed"}
    assert (told.type, told.data, files_of(running, session["id"])) == ("resume_failed", expected, before)


def test_a_session_of_any_size_is_exported_deleted_imported_and_resumed(running: Daemon, tmp_path: Path) -> None:
    client = running.client()
    id = str(client.manager.create(project_in(tmp_path))["id"])
    talk(client, id, *(f"{number} ".ljust(5000, "x") for number in range(100)))
    before = everything(client, id)
    client.manager.stop(id)
    data = client.saved.export(id)
    assert len(data) > 500_000
    assert (client.saved.delete(id), code(client, id), client.saved.import_(data)) == (True, "not_found", id)
    client.manager.resume(id)
    assert everything(client, id) == before


def test_acceptance_126_a_kill_of_a_resumed_session_loses_nothing(running: Daemon, tmp_path: Path) -> None:
    client = running.client()
    session = saved(client, project_in(tmp_path))
    row = client.manager.resume(session["id"])
    with running.client().manager.subscribe(types=["session_restarted"]) as events:
        os_pid = next(one["os_pid"] for one in client.processes() if one["serial"] == row["serial"])
        send_signal(int(str(os_pid)), signal.SIGKILL)
        events.next(WAIT_S)
    assert everything(client, session["id"]) == session["before"]


def kill_daemon(daemon: Daemon) -> None:
    """SIGKILL of the guardian: everything below it ends with it."""
    node = Client.connect(daemon.directory, WAIT_S)
    os_pid = int(str(node.node("status")["node_os_pid"]))
    with watched([daemon.guardian_pid, os_pid]) as handles:
        send_signal(daemon.guardian_pid, signal.SIGKILL)
        assert await_deaths(handles)
    daemon.process.wait()
    with pytest.raises(CallFailed, match="noconnection"):
        node.call("system:node", {"verb": "status"}, 10.0)
    node.close()


def resumed(daemon: Daemon, count: int) -> list[str]:
    """The ids of the first ``count`` sessions that come back by themselves."""
    types = ["session_resumed"]
    with Client.connect(daemon.directory, WAIT_S) as client, client.manager.subscribe(types=types, after=0) as events:
        return sorted(events.next(WAIT_S).session for _ in range(count))


@pytest.mark.sized
def test_acceptance_125_all_that_were_alive_come_back_at_once_more_than_anybody_may_resume_in_a_minute(
    running: Daemon, tmp_path: Path, size: Size, tell: Tell
) -> None:
    count = size("RESUMES", 25, 100, 100)
    assert count > RATES.overall[RESUME].limit
    client = running.client()
    ids = [str(client.manager.create(project_in(tmp_path, f"p{n}"))["id"]) for n in range(count)]
    for id in ids:
        talk(client, id, f"said to {id}")
    kill_daemon(running)
    began = time.perf_counter()
    running.start()
    assert resumed(running, count) == sorted(ids)
    client = running.client()
    assert {id: contents(client, id) for id in ids} == {id: [f"said to {id}"] for id in ids}
    tell(f"125: {count} sessions are back and answer {time.perf_counter() - began:.1f} s after the next daemon is told to start")


def test_acceptance_125_sessions_that_were_alive_come_back_with_the_next_daemon_and_stopped_ones_do_not(
    running: Daemon, tmp_path: Path
) -> None:
    client = running.client()
    stopped = saved(client, project_in(tmp_path, "stopped"))
    ids = [str(client.manager.create(project_in(tmp_path, f"p{n}"), f"name {n}")["id"]) for n in range(3)]
    for id in ids:
        talk(client, id, f"said to {id}", "and more")
    before = {id: everything(client, id) for id in ids}
    kill_daemon(running)
    shutil.rmtree(tmp_path / "p2")
    running.start()
    assert resumed(running, 2) == sorted(ids[:2])
    client = running.client()
    assert {id: everything(client, id) for id in ids[:2]} == {id: before[id] for id in ids[:2]}
    project_in(tmp_path, "p2")
    client.manager.resume(ids[2])
    assert everything(client, ids[2])[1:] == before[ids[2]][1:]
    assert stopped["id"] not in client.manager.ids()
    client.manager.resume(stopped["id"])
    assert everything(client, stopped["id"]) == stopped["before"]


@contextmanager
def slow_to_die(path: Path) -> Iterator[Callable[[], object]]:
    """From the death of who has locked the file until the end of the block somebody else has it, as if he were dying for so
    long; what is given waits until he has."""
    code = (
        "import fcntl, sys; file = open(sys.argv[1], 'r+b'); fcntl.lockf(file, fcntl.LOCK_EX, 1)\n"
        "print(flush=True); sys.stdin.read()"
    )
    argv = [sys.executable, "-c", code, str(path)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as dying:
        assert dying.stdin is not None and dying.stdout is not None
        yield dying.stdout.readline
        dying.stdin.close()


def has_pidfd(os_pid: object) -> bool:
    """Whether the process is waiting for the end of another one."""
    with suppress(OSError):  # it is not born yet; the descriptor is closed again
        return any(os.readlink(entry) == "anon_inode:[pidfd]" for entry in Path(f"/proc/{os_pid}/fd").iterdir())
    return False


@pytest.mark.parametrize("who", ["a session", "the store"])
def test_acceptance_125_what_is_slow_to_die_with_its_daemon_is_awaited_by_the_next_one(
    running: Daemon, tmp_path: Path, who: str
) -> None:
    client, state = running.client(), running.directory / "state"
    ids = [str(client.manager.create(project_in(tmp_path, f"p{n}"))["id"]) for n in range(2)]
    for id in ids:
        talk(client, id, f"said to {id}")
    with slow_to_die(state / "sessions" / ids[0] / "head" if who == "a session" else state / "store.lock") as has_it:
        kill_daemon(running)
        has_it()
        running.start()
        if who == "a session":
            assert resumed(running, 1) == ids[1:]
        else:
            client = running.client()
            while not any(row["name"] == "system:store" and has_pidfd(row["os_pid"]) for row in client.processes()):
                pass
    assert resumed(running, 2) == sorted(ids)
    client = running.client()
    assert {id: contents(client, id) for id in ids} == {id: [f"said to {id}"] for id in ids}


@pytest.mark.parametrize("end", ["kill", "raise"])
def test_a_start_that_fails_when_its_code_has_spoken_has_left_nothing_and_a_resume_all_as_it_was(
    running: Daemon, tmp_path: Path, end: str
) -> None:
    client, project, luck, id = running.client(), project_in(tmp_path), tmp_path / "luck", str(uuid4())

    def create() -> Row:
        return client.manager.create(project, id=id, module=UNLUCKY, metadata={"luck": str(luck), "end": end})

    with pytest.raises(RequestError, match=r"^start_failed"):
        create()
    assert (list(client.saved.list()), list(client.saved.resumable())) == ([], [])
    kill_daemon(running)
    running.start()
    client = running.client()
    luck.touch()
    with client.manager.subscribe(types=["session_resumed", "session_created", "conversation_added"], after=0) as events:
        create()
        told = [events.next(WAIT_S) for _ in range(2)]
    assert [event.type for event in told] == ["session_created", "conversation_added"]  # nobody came back, and it spoke once
    assert (told[1].data["content"], contents(client, id)) == ("hello 0", ["hello 0"])
    client.manager.stop(id)
    luck.unlink()
    assert code(client, id) == "start_failed"
    luck.touch()
    client.manager.resume(id)
    assert contents(client, id) == ["hello 0", "hello 1"]


def test_nobody_else_speaks_for_a_session_that_starts_or_starts_again(running: Daemon, tmp_path: Path) -> None:
    client, gate, id = running.client(), tmp_path / "gate", str(uuid4())
    os.mkfifo(gate)

    def forge() -> str:
        with pytest.raises(RequestError) as refused:
            client.call("system:manager", Publish(id, [("llm_response", {"content": "forged"})]))
        return refused.value.code

    with Client.connect(running.directory, WAIT_S) as other, client.manager.subscribe(types=["llm_response"]) as events:
        arguments: Any = {"module": GATED, "metadata": {"gate": str(gate)}, "id": id}
        thread = threading.Thread(target=lambda: other.manager.create(project_in(tmp_path), **arguments))
        thread.start()
        gate.read_bytes()
        assert (client.manager.info(id)["status"], forge()) == ("initializing", "not_permitted")
        gate.write_bytes(b"1")
        thread.join()
        client.kill(id, signal.SIGKILL)
        gate.read_bytes()
        assert (client.manager.info(id)["status"], forge()) == ("restarting", "not_permitted")
        gate.write_bytes(b"1")
        with client.manager.subscribe(id, types=["session_restarted"], after=0) as restarts:
            restarts.next(WAIT_S)
        gate.unlink()
        assert list(events) == []


def resume_in_vain(client: Client, id: str) -> threading.Thread:
    """A resume that the end of the daemon ends."""

    def attempt() -> None:
        with pytest.raises(CallFailed, match="noconnection"):
            client.manager.resume(id)

    thread = threading.Thread(target=attempt)
    thread.start()
    return thread


def test_acceptance_125_a_daemon_that_is_killed_before_the_session_has_begun_has_lost_nothing(
    running: Daemon, tmp_path: Path
) -> None:
    client = running.client()
    session = saved(client, project_in(tmp_path))
    before = files_of(running, session["id"])
    store = next(int(str(row["os_pid"])) for row in client.processes() if row["name"] == "system:store")
    send_signal(store, signal.SIGSTOP)
    with Client.connect(running.directory, WAIT_S) as other:
        thread = resume_in_vain(other, session["id"])
        kill_daemon(running)
        thread.join()
    running.start()
    assert files_of(running, session["id"]) == before
    client = running.client()
    client.manager.resume(session["id"])
    assert everything(client, session["id"]) == session["before"]


def test_acceptance_125_a_daemon_that_is_killed_while_the_session_remembers_has_lost_nothing(
    running: Daemon, tmp_path: Path
) -> None:
    client, gate = running.client(), tmp_path / "gate"
    id = str(client.manager.create(project_in(tmp_path), module=GATED, metadata={"gate": str(gate)})["id"])
    talk(client, id, "one", "two")
    before = everything(client, id)
    client.manager.stop(id)
    os.mkfifo(gate)
    with Client.connect(running.directory, WAIT_S) as other:
        thread = resume_in_vain(other, id)
        gate.read_bytes()  # it has opened its database, and remembers
        kill_daemon(running)
        thread.join()
    gate.unlink()
    running.start()
    assert resumed(running, 1) == [id]
    assert everything(running.client(), id) == before
