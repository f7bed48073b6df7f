"""Stopping sessions that are kept on disk: whatever they are at, they end saved, and nothing of them is left behind."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from actorcore.errors import ActorError, RequestError
from actorcore.signals import ProcessSpec
from supervisors.async_client import AsyncClient
from supervisors.client import Client
from supervisors.session.record import Policy
from supervisors.session.requests import CachePut, GetMessages, Save, SendMessage, StartStreaming, StreamChunk
from supervisors.tree.child_spec import ChildSpec
from tests.daemon_fixture import WAIT_S, Daemon, Desk, descriptors_beyond, desk_of, send_signal

Row = dict[str, Any]
GATED = "tests.fault.talkers:Gated"


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    made = [tmp_path / f"project{number}" for number in range(5)]
    for folder in made:
        folder.mkdir()
    return made


@pytest.fixture
def quiet(tmp_path: Path) -> Iterator[Desk]:
    """A daemon without bystanders, and a desk."""
    with Daemon(tmp_path / "run") as daemon, desk_of(daemon) as desk:
        yield desk


def contents(client: Client, id: str) -> list[str]:
    page: Any = client.call(id, GetMessages(), WAIT_S)
    return [message["content"] for message in page["items"]]


def gone(desk: Desk, id: str) -> None:
    """Nothing finds it any more, and no process of it is there."""
    assert (desk.client.manager.ids(), desk.client.whereis(id)) == ([], None)
    rows = [row for row in desk.client.processes() if row["kind"] == "process" and row["start"].startswith("supervisors.session")]  # type: ignore[union-attr]
    assert rows == []


def test_acceptance_71_79_a_stopped_session_is_saved_and_leaves_nothing_but_its_files(quiet, folders) -> None:
    desk = quiet
    first = str(desk.client.manager.create(folders[0])["id"])
    desk.client.manager.stop(first)
    before = descriptors_beyond(desk)
    id = str(desk.client.manager.create(folders[0])["id"])
    with desk.client.manager.subscribe(id) as events:
        desk.client.call(id, SendMessage("user", "kept"))
        told = [events.next(WAIT_S).type]  # a session tells its watchers after its answer: else the stop may be told first
        desk.client.call(id, CachePut("key", "value", None))
        assert desk.client.manager.stop(id)["reason"] == "shutdown"
        told += [events.next(WAIT_S).type for _ in range(4)]
    assert told == ["conversation_added", "session_status", "session_saved", "session_status", "session_terminated"]
    gone(desk, id)
    assert descriptors_beyond(desk) == before
    state = desk.daemon.directory / "state" / "sessions"
    names = sorted(path.name for path in (state / id).iterdir())
    assert [name for name in names if "tmp" in name or name.endswith(("-wal", "-shm"))] == []
    assert desk.client.manager.resume(id)["id"] == id
    assert contents(desk.client, id) == ["kept"]
    desk.client.manager.stop(id)


def test_acceptance_74_a_save_that_fails_does_not_keep_a_session_from_ending_and_is_told(quiet, folders) -> None:
    desk = quiet
    id = str(desk.client.manager.create(folders[0])["id"])
    desk.client.call(id, SendMessage("user", "lost"))
    with desk.client.manager.subscribe(id, ["save_failed", "session_terminated"]) as events:
        shutil.rmtree(desk.daemon.directory / "state" / "sessions" / id)
        assert desk.client.manager.stop(id)["status"] == "terminated"
        assert [events.next(WAIT_S).type for _ in range(2)] == ["save_failed", "session_terminated"]
    gone(desk, id)


def test_acceptance_80_stopped_in_the_middle_of_a_stream_it_is_gone_and_no_half_message_was_kept(quiet, folders) -> None:
    desk = quiet
    id = str(desk.client.manager.create(folders[0])["id"])
    desk.client.call(id, SendMessage("user", "whole"))
    desk.client.call(id, StartStreaming("assistant"))
    desk.client.cast(id, StreamChunk("half"))
    assert desk.client.manager.stop(id)["status"] == "terminated"
    gone(desk, id)
    desk.client.manager.resume(id)
    assert contents(desk.client, id) == ["whole"]
    desk.client.manager.stop(id)


def test_acceptance_80_stopped_during_a_save_it_is_gone(quiet, folders) -> None:
    desk = quiet
    id = str(desk.client.manager.create(folders[0])["id"])
    for number in range(20):
        desk.client.call(id, SendMessage("user", f"{number} " + "x" * 9000))

    async def both() -> Row:
        async with await AsyncClient.connect(desk.daemon.directory, WAIT_S) as client:
            await client.manager.info(id)  # it knows whom to ask: the requests leave in the order in which they are made
            await client.call(id, GetMessages(0, 1))
            saving = asyncio.ensure_future(client.call(id, Save(), WAIT_S))
            await asyncio.wait([saving], timeout=0)
            stopped = await client.manager.stop(id)
            await asyncio.gather(saving, return_exceptions=True)
            return stopped

    assert asyncio.run(both())["status"] == "terminated"
    gone(desk, id)
    desk.client.manager.resume(id)
    assert len(contents(desk.client, id)) == 20
    desk.client.manager.stop(id)


@pytest.mark.parametrize("busy", ["restart", "resume"])
def test_acceptance_80_stopped_during_a_restart_or_a_resume_it_is_gone_and_still_saved(
    quiet, folders, tmp_path: Path, busy: str
) -> None:
    desk, gate = quiet, tmp_path / "gate"
    id = str(desk.client.manager.create(folders[0], module=GATED, metadata={"gate": str(gate)})["id"])
    desk.client.call(id, SendMessage("user", "kept"))
    if busy == "resume":
        desk.client.manager.stop(id)
    os.mkfifo(gate)

    async def both() -> tuple[Row, object]:
        async with await AsyncClient.connect(desk.daemon.directory, WAIT_S) as client:
            at_it = asyncio.ensure_future(client.manager.restart(id) if busy == "restart" else client.manager.resume(id))
            await asyncio.to_thread(gate.read_bytes)  # it is about to end, or it remembers and is not ready yet
            stopping = asyncio.ensure_future(client.manager.stop(id))
            while (await client.manager.info(id))["status"] != "terminating":
                pass
            writer = os.open(gate, os.O_WRONLY)  # it waits for that
            gate.unlink()
            os.close(writer)
            return await stopping, (await asyncio.gather(at_it, return_exceptions=True))[0]

    stopped, answer = asyncio.run(both())
    assert stopped["status"] == "terminated"
    assert isinstance(answer, RequestError)  # it was not to be
    gone(desk, id)
    desk.client.manager.resume(id)
    assert contents(desk.client, id) == ["kept"]
    desk.client.manager.stop(id)


def test_acceptance_75_80_who_never_comes_out_of_its_start_is_killed_after_its_grace_time(quiet, folders, tmp_path: Path) -> None:
    desk, gate = quiet, tmp_path / "gate"
    os.mkfifo(gate)

    async def both() -> tuple[Row, object]:
        async with await AsyncClient.connect(desk.daemon.directory, WAIT_S) as client:
            policy = Policy(start_timeout_s=600.0, shutdown_s=0.1)
            creating = asyncio.ensure_future(
                client.manager.create(folders[0], module=GATED, metadata={"gate": str(gate)}, policy=policy)
            )
            await asyncio.to_thread(gate.read_bytes)
            (id,) = await client.manager.ids()
            return await client.manager.stop(id), (await asyncio.gather(creating, return_exceptions=True))[0]

    stopped, answer = asyncio.run(both())
    assert (stopped["status"], stopped["reason"]) == ("terminated", "killed")
    assert isinstance(answer, RequestError)
    assert answer.code == "start_failed"
    gone(desk, stopped["id"])
    assert desk.client.saved.bad() == 0  # it has been told by now
    assert os.listdir(desk.daemon.directory / "state" / "sessions") == []


def test_acceptance_81_who_is_being_started_does_not_hold_up_the_end_of_the_daemon(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    for path in (fifo, Path(f"{fifo}.up")):
        os.mkfifo(path)
    record = {"config": {"how": "wait", "fifo": str(fifo)}}
    spec = ProcessSpec("tests.fault.session_actors:Broken", [record], init_timeout_s=600.0)

    async def end(daemon: Daemon) -> int:
        async with await AsyncClient.connect(daemon.directory, WAIT_S) as client:
            starting = asyncio.ensure_future(client.start_session(ChildSpec("late", spec)))
            await asyncio.to_thread(Path(f"{fifo}.up").read_bytes)
            status = await asyncio.to_thread(daemon.stop)
            assert isinstance((await asyncio.gather(starting, return_exceptions=True))[0], ActorError)
            return status

    with Daemon(tmp_path / "run") as daemon:
        assert asyncio.run(end(daemon)) == 0


def test_acceptance_81_a_daemon_that_is_told_to_end_has_saved_every_session(tmp_path: Path, folders) -> None:
    with Daemon(tmp_path / "run") as daemon:
        client = daemon.client()
        ids = [str(client.manager.create(folder)["id"]) for folder in folders]
        for number, id in enumerate(ids):
            client.call(id, SendMessage("user", f"word {number}"))
        assert daemon.stop(signal.SIGTERM) == 0
        daemon.start()
        after = daemon.client()
        assert sorted(one.id for one in after.saved.resumable()) == sorted(ids)
        assert (after.manager.ids(), after.saved.bad()) == ([], 0)
        for number, id in enumerate(ids):
            after.manager.resume(id)
            assert contents(after, id) == [f"word {number}"]


def test_acceptance_81_sessions_are_asked_to_end_in_reverse_start_order(tmp_path: Path) -> None:
    daemon = Daemon(tmp_path / "run", module="tests.fault.noting")
    daemon.environment["NOTES"] = str(tmp_path / "notes")
    with daemon:
        client = daemon.client()
        serials = []
        for number in range(20):
            folder = tmp_path / f"p{number}"
            folder.mkdir()
            serials.append(client.manager.create(folder, durability="none")["serial"])
        assert daemon.stop(signal.SIGTERM) == 0
    asked = [int(line) for line in (tmp_path / "notes").read_text().split()]
    assert [serial for serial in asked if serial in serials] == serials[::-1]


def test_a_session_that_is_killed_while_it_saves_is_back_with_all_it_had_acknowledged(quiet, folders) -> None:
    desk = quiet
    row = desk.client.manager.create(folders[0])
    id = str(row["id"])
    with desk.client.manager.subscribe(id, ["session_restarted"]) as events:
        for turn in range(3):
            desk.client.call(id, SendMessage("user", f"{turn} " + "x" * 9000))
            os_pid = next(row["os_pid"] for row in desk.client.processes() if row["name"] == id)
            desk.client.cast(id, Save())
            send_signal(int(str(os_pid)), signal.SIGKILL)
            assert events.next(WAIT_S).data["restart_count"] == turn + 1
    assert [text.split()[0] for text in contents(desk.client, id)] == ["0", "1", "2"]
    desk.client.manager.stop(id)
    assert os.listdir(folders[0]) == []
