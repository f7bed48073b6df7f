"""What is saved, under a real daemon with real deaths: acceptance 104–107, 111, 114–127, 137, 141, 144, 145, B9, F16'."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from actorcore.errors import RequestError
from actorcore.signals import ProcessSpec
from actorcore.words import RESIDENT
from supervisors.client import Client
from supervisors.own_names import STORE
from supervisors.persistence.asking import ask_store
from supervisors.persistence.store_words import (
    CleanUp,
    DeleteSaved,
    Export,
    GetSaved,
    Import,
    ListResumable,
    ListSaved,
    OpenSession,
    Rotate,
)
from supervisors.session.requests import GetMessages, Save, SendMessage
from supervisors.tree.child_spec import ChildSpec
from tests.daemon_fixture import ROOT, WAIT_S, Daemon, Desk, await_deaths, desk_of, send_signal, watched
from tests.session_world import SERVER, project_in, record_of

EVERYTHING = ListSaved()
KEEPER = "tests.fault.keepers:Keeper"


def keeper(name: str = "one") -> dict[str, Any]:
    return {"id": str(uuid.uuid4()), "name": name, "project": {"path": f"/srv/{name}"}, "created_at": 5.0}


def start(client: Client, record: dict[str, Any], module: str = KEEPER) -> str:
    """A session of this record, supervised; its id."""
    id = str(record["id"])
    process = ProcessSpec(module, [record], name=id, trap_exit=True)
    client.start_session(ChildSpec(id, process, restart="permanent", intensity=1000, backoff_step_s=0.0, backoff_max_s=0.0))
    return id


def kill_and_await(desk: Desk, id: str) -> None:
    """SIGKILL the session; it is there again when this returns."""
    os_pid, restarts = int(desk.client.call(id, ["os_pid"])), desk.row(id)["restarts"]  # type: ignore[arg-type]
    with watched([os_pid]) as handles:
        send_signal(os_pid, signal.SIGKILL)
        assert await_deaths(handles)
    while (row := desk.row(id))["restarts"] == restarts or row["state"] != "active":
        pass


def folder_of(daemon: Daemon, id: str) -> Path:
    return daemon.directory / "state" / "sessions" / id


def content_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def saved(client: Client, request: ListSaved | ListResumable = EVERYTHING) -> list[str]:
    answer = ask_store(client, request, WAIT_S)
    assert isinstance(answer, dict)
    return [str(line["id"]) for line in answer["sessions"]]  # type: ignore[index,union-attr,call-overload]


def code_of(client: Client, to: str, request: object) -> str:
    with pytest.raises(RequestError) as caught:
        client.call(to, request, WAIT_S)
    return caught.value.code


def test_acceptance_115_B9_a_killed_session_has_everything_back_that_it_had_acknowledged(daemon: Daemon) -> None:
    with desk_of(daemon) as desk:
        id = start(desk.client, keeper())
        said = []
        for turn in range(5):
            for number in range(4):
                said.append(f"{turn}.{number}")
                assert desk.client.call(id, ["add", said[-1]]) == said
            if turn == 2:
                desk.client.call(id, ["save"])
            kill_and_await(desk, id)
            assert desk.client.call(id, ["texts"]) == said
        desk.client.stop_session(id)


def test_acceptance_114_117_a_stopped_session_was_saved_and_is_the_same_when_it_starts_again(own: Daemon, tmp_path: Path) -> None:
    record = record_of(project_in(tmp_path), name="the session", config={"model": "m"})
    with desk_of(own) as desk:
        id = start(desk.client, record, SERVER)
        for number in range(20):
            desk.client.call(id, SendMessage("user", f"message {number}"))
        before = desk.client.call(id, GetMessages())
        desk.client.stop_session(id)
        got = desk.client.call(STORE, GetSaved(id))
        assert isinstance(got, dict)
        assert got["session"] == record
        assert saved(desk.client, ListResumable()) == [id]
        start(desk.client, record, SERVER)
        assert desk.client.call(id, GetMessages()) == before
        desk.client.stop_session(id)


def said_after_a_kill(desk: Desk, id: str) -> list[str]:
    """What the session has of its conversation when it is back."""
    ref = desk.client.monitor(id)
    desk.client.kill(id, signal.SIGKILL)
    assert desk.client.wait_down(ref, WAIT_S).reason == "killed"
    while desk.row(id)["state"] != "active":
        pass
    items = desk.client.call(id, GetMessages())["items"]  # type: ignore[index,call-overload]
    return [message["content"] for message in items]  # type: ignore[index,union-attr,call-overload,misc]


def test_acceptance_115_with_checkpoints_only_what_came_after_the_last_one_is_lost(daemon: Daemon, tmp_path: Path) -> None:
    record = record_of(project_in(tmp_path), durability="checkpoint")
    with desk_of(daemon) as desk:
        id = start(desk.client, record, SERVER)
        desk.client.call(id, SendMessage("user", "saved"))
        desk.client.call(id, Save())
        desk.client.call(id, SendMessage("user", "not yet"))
        assert said_after_a_kill(desk, id) == ["saved"]
        desk.client.stop_session(id)
        assert desk.client.call(STORE, GetSaved(id))["session"] == record  # type: ignore[index,call-overload]


def test_acceptance_115_how_many_changes_a_death_may_cost_is_configured(daemon: Daemon, tmp_path: Path) -> None:
    record = record_of(project_in(tmp_path), durability="checkpoint", limits={"checkpoint_records": 4})
    with desk_of(daemon) as desk:
        id = start(desk.client, record, SERVER)  # its own record is the first change
        for number in range(1, 9):
            desk.client.call(id, SendMessage("user", str(number)))
        assert said_after_a_kill(desk, id) == [str(number) for number in range(1, 8)]
        desk.client.stop_session(id)


def test_acceptance_118_ten_cycles_of_stop_and_start_change_nothing(daemon: Daemon, tmp_path: Path) -> None:
    record = record_of(project_in(tmp_path))
    with desk_of(daemon) as desk:
        id = start(desk.client, record, SERVER)
        for number in range(9):
            desk.client.call(id, SendMessage(("user", "assistant", "tool")[number % 3], f"message {number}"))
        before = desk.client.call(id, GetMessages())
        for _ in range(10):
            desk.client.stop_session(id)
            start(desk.client, record, SERVER)
            assert desk.client.call(id, GetMessages()) == before
        desk.client.stop_session(id)


@pytest.mark.parametrize("spoil", ["gone", "file", "changed"])
def test_acceptance_120_121_122_a_session_whose_project_is_not_what_it_was_stays_saved_byte_for_byte(
    daemon: Daemon, tmp_path: Path, spoil: str
) -> None:
    project = project_in(tmp_path)
    record = record_of(project)
    with desk_of(daemon) as desk:
        id = start(desk.client, record, SERVER)
        desk.client.call(id, SendMessage("user", "keep me"))
        desk.client.stop_session(id)
        before = content_of(folder_of(daemon, id))
        if spoil == "changed":
            project.chmod(0o700)
        else:
            project.rmdir()
            if spoil == "file":
                project.write_text("")
        with pytest.raises(RequestError) as caught:
            start(desk.client, record, SERVER)
        code = {"gone": "project_path_not_found", "file": "project_path_not_directory", "changed": "project_path_changed"}[spoil]
        assert (caught.value.code, caught.value.detail) == ("start_failed", code)
        assert content_of(folder_of(daemon, id)) == before
        assert [row for row in desk.client.processes() if row["name"] == id] == []
        if spoil == "changed":
            project.chmod(0o755)
            start(desk.client, record, SERVER)
            assert desk.client.call(id, GetMessages())["total"] == 1  # type: ignore[index,call-overload]
            desk.client.stop_session(id)


def test_acceptance_122_127_a_session_that_was_tampered_with_does_not_start_and_stays_as_it_is(daemon: Daemon) -> None:
    record = keeper()
    with desk_of(daemon) as desk:
        id = start(desk.client, record)
        desk.client.call(id, ["add", "x" * 100])
        desk.client.stop_session(id)
        path = folder_of(daemon, id) / "1.db"
        path.write_bytes(path.read_bytes().replace(b'"name":"one"', b'"name":"two"'))
        before = content_of(folder_of(daemon, id))
        with pytest.raises(RequestError, match="signature_verification_failed"):
            start(desk.client, record)
        assert code_of(desk.client, STORE, GetSaved(id)) == "signature_verification_failed"
        assert content_of(folder_of(daemon, id)) == before


def test_acceptance_125_126_a_daemon_was_killed_and_its_sessions_are_there_for_the_next_one(own: Daemon, tmp_path: Path) -> None:
    records = [record_of(project_in(tmp_path, f"p{number}")) for number in range(3)]
    with Client.connect(own.directory, WAIT_S) as client:
        for record in records:
            id = start(client, record, SERVER)
            client.call(id, SendMessage("user", f"in {record['name']}"))
        client.stop_session(str(records[2]["id"]))
    own.stop(signal.SIGKILL)
    own.start()
    with Client.connect(own.directory, WAIT_S) as client:
        start(client, records[2], SERVER)
        for record in records:
            while client.whereis(str(record["id"])) is None:  # the two others come back by themselves
                pass
            (message,) = client.call(str(record["id"]), GetMessages())["items"]  # type: ignore[index,call-overload,misc]
            assert message["content"] == f"in {record['name']}"
            client.stop_session(str(record["id"]))
    own.bystanders()


def test_acceptance_123_F16_ten_starts_of_one_session_at_once_are_one_process(daemon: Daemon) -> None:
    record = keeper()
    outcomes: list[str] = []

    def one() -> None:
        with Client.connect(daemon.directory, WAIT_S) as client:
            try:
                start(client, record)
                outcomes.append("started")
            except RequestError as error:
                outcomes.append(error.code)

    with desk_of(daemon) as desk:
        threads = [threading.Thread(target=one) for _ in range(10)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(outcomes) == ["already_exists"] * 9 + ["started"]
        assert [row["phase"] for row in desk.client.processes() if row["name"] == record["id"]] == ["running"]
        desk.client.stop_session(str(record["id"]))


def test_acceptance_104_105_106_107_saves_are_serial_a_killed_client_blocks_none_and_others_are_not_delayed(
    daemon: Daemon,
) -> None:
    record = keeper()
    with desk_of(daemon) as desk:
        id = start(desk.client, record)
        said: list[str] = []

        def save() -> None:
            with Client.connect(daemon.directory, WAIT_S) as client:
                for _ in range(10):
                    client.call(id, ["save"], WAIT_S)

        threads = [threading.Thread(target=save) for _ in range(4)]
        for thread in threads:
            thread.start()
        for number in range(60):
            said.append(str(number))
            assert desk.client.call(id, ["add", said[-1]], WAIT_S) == said
        for thread in threads:
            thread.join()
        program = (
            "import sys; from supervisors.client import Client; client = Client.connect(sys.argv[1]); print(1, flush=True)\n"
            "while True: client.call(sys.argv[2], ['save'])"
        )
        argv = [sys.executable, "-c", program, str(daemon.directory), id]
        with subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE) as hasty:
            assert hasty.stdout is not None
            hasty.stdout.readline()
            hasty.kill()
        assert desk.client.call(id, ["save"], WAIT_S) == said
        kill_and_await(desk, id)
        assert desk.client.call(id, ["texts"]) == said
        desk.client.stop_session(id)


def test_acceptance_141_what_is_too_old_goes_when_the_store_starts(own: Daemon) -> None:
    with desk_of(own) as desk:
        old, young = start(desk.client, keeper()), start(desk.client, keeper("two"))
        for id in (old, young):
            desk.client.stop_session(id)
        text = desk.client.call(STORE, Export(old))
        assert isinstance(text, bytes)
        fields = {**json.loads(text), "saved_at": time.time() - 31 * 86400}
        desk.client.call(STORE, DeleteSaved(old))
        assert desk.client.call(STORE, Import(json.dumps(fields).encode(), unsigned=True)) == old
        assert saved(desk.client) == [young, old]
        store = next(row for row in desk.client.processes() if row["name"] == STORE)
        with watched([int(str(store["os_pid"]))]) as handles:
            send_signal(int(str(store["os_pid"])), signal.SIGKILL)
            assert await_deaths(handles)
        while saved(desk.client) != [young]:
            pass


def test_acceptance_144_lists_during_saves_and_deletes_are_whole(own: Daemon) -> None:
    names = [f"s{number}" for number in range(3)]

    def live(name: str) -> None:
        with Client.connect(own.directory, WAIT_S) as client:
            for _ in range(4):
                id = start(client, keeper(name))
                client.call(id, ["save"], WAIT_S)
                client.stop_session(id)
                assert client.call(STORE, DeleteSaved(id), WAIT_S) is True

    with desk_of(own) as desk:
        saved(desk.client)
        threads = [threading.Thread(target=live, args=(name,)) for name in names]
        for thread in threads:
            thread.start()
        seen = set()
        while any(thread.is_alive() for thread in threads):
            page = desk.client.call(STORE, ListSaved(), WAIT_S)
            assert isinstance(page, dict)
            assert page["bad"] == 0
            seen |= {str(line["name"]) for line in page["sessions"]}  # type: ignore[index,union-attr,call-overload]
        for thread in threads:
            thread.join()
        assert seen <= set(names)
        assert saved(desk.client) == []


def test_acceptance_111_F17_at_the_limit_fifty_starts_at_once_leave_exactly_as_many_as_there_may_be(own: Daemon) -> None:
    with desk_of(own) as desk:
        assert saved(desk.client) == []  # the store has its secret: it makes none where sessions are saved already
        taken = 90
        for _ in range(taken):
            os.mkdir(folder_of(own, str(uuid.uuid4())), 0o700)
        outcomes: list[str] = []

        def one() -> None:
            with Client.connect(own.directory, WAIT_S) as client:
                try:
                    outcomes.append(start(client, keeper()))
                except RequestError as error:
                    outcomes.append(error.detail)

        threads = [threading.Thread(target=one) for _ in range(25)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        refused = [detail for detail in outcomes if "session_limit_reached" in detail]
        assert (len(refused), len(os.listdir(folder_of(own, "x").parent))) == (15, 100)
        for id in set(outcomes) - set(refused):
            desk.client.stop_session(id)


def test_a_session_s_keys_are_given_to_nobody_else(daemon: Daemon) -> None:
    with desk_of(daemon) as desk:
        id = start(desk.client, keeper())
        other = start(desk.client, keeper("two"))
        assert code_of(desk.client, STORE, OpenSession(id)) == "not_permitted"
        assert code_of(desk.client, other, ["open", id]) == "not_permitted"
        for session in (id, other):
            desk.client.stop_session(session)


@pytest.mark.parametrize("above", ["a resident", "a resident below a resident", "a client"])
def test_acceptance_131_whom_the_supervisor_of_the_sessions_has_not_started_gets_no_keys(daemon: Daemon, above: str) -> None:
    with desk_of(daemon) as desk:
        record = keeper()
        id = start(desk.client, record)
        desk.client.stop_session(id)
        child = {"id": "x", "process": {"start": KEEPER, "args": [record], "name": id, "trap_exit": True}}
        tree = {"strategy": "one_for_one", "children": [child]}
        below = {"id": "tree", "type": "supervisor", "process": {"start": "supervisor", "template": RESIDENT, "args": [tree]}}
        spec = {
            "a resident": ProcessSpec("supervisor", [tree], template=RESIDENT),
            "a resident below a resident": ProcessSpec("supervisor", [{**tree, "children": [below]}], template=RESIDENT),
            "a client": ProcessSpec(KEEPER, [record], name=id, trap_exit=True),
        }[above]
        with pytest.raises(RequestError, match="not_permitted"):
            desk.client.spawn_spec(spec)
        assert desk.client.call(start(desk.client, record), ["texts"], WAIT_S) == []
        desk.client.stop_session(id)


def test_a_session_that_lives_is_not_deleted_exported_or_cleaned_up(own: Daemon) -> None:
    with desk_of(own) as desk:
        id = start(desk.client, keeper())
        desk.client.call(id, ["save"])
        assert [code_of(desk.client, STORE, word) for word in (DeleteSaved(id), Export(id), GetSaved(id))] == ["running"] * 3
        assert desk.client.call(STORE, CleanUp(1)) == {"deleted": 0, "skipped": 1, "failed": 0, "errors": {}}
        assert (saved(desk.client), saved(desk.client, ListResumable())) == ([id], [])
        desk.client.stop_session(id)
        assert (desk.client.call(STORE, DeleteSaved(id)), desk.client.call(STORE, DeleteSaved(id))) == (True, False)


def test_the_store_is_killed_and_nobody_loses_anything(own: Daemon) -> None:
    with desk_of(own) as desk:
        id = start(desk.client, keeper())
        desk.client.call(id, ["add", "before"])
        store = next(int(str(row["os_pid"])) for row in desk.client.processes() if row["name"] == STORE)
        with watched([store]) as handles:
            send_signal(store, signal.SIGKILL)
            assert await_deaths(handles)
        assert desk.client.call(id, ["add", "after"]) == ["before", "after"]
        assert desk.client.call(id, ["save"]) == ["before", "after"]
        assert saved(desk.client) == [id]
        ask_store(desk.client, Rotate())
        kill_and_await(desk, id)
        assert desk.client.call(id, ["texts"]) == ["before", "after"]
        desk.client.stop_session(id)


def test_C4_without_a_place_for_saves_sessions_that_need_none_run_and_the_others_are_told(own: Daemon, tmp_path: Path) -> None:
    with desk_of(own) as desk:
        Path(own.directory, "state").write_text("no directory")
        with pytest.raises(RequestError, match="path_not_directory"):
            start(desk.client, record_of(project_in(tmp_path)), SERVER)
        id = start(desk.client, record_of(project_in(tmp_path, "other"), durability="none"), SERVER)
        desk.client.call(id, SendMessage("user", "hello"))
        desk.client.stop_session(id)
        Path(own.directory, "state").unlink()
        id = start(desk.client, record_of(project_in(tmp_path, "third")), SERVER)
        assert saved(desk.client) == [id]
        desk.client.stop_session(id)


def test_C5_a_session_whose_folder_is_deleted_says_so_and_saves_again(own: Daemon, tmp_path: Path) -> None:
    with desk_of(own) as desk:
        id = start(desk.client, record_of(project_in(tmp_path)), SERVER)
        desk.client.call(id, SendMessage("user", "one"))
        shutil.rmtree(folder_of(own, id))
        assert code_of(desk.client, id, SendMessage("user", "two")) == "path_not_found"
        assert desk.client.call(id, Save()) is True
        desk.client.call(id, SendMessage("user", "two"))
        desk.client.stop_session(id)
        assert saved(desk.client) == [id]


def test_S14_acceptance_145_no_session_and_no_answer_shows_the_secret_or_a_path(daemon: Daemon) -> None:
    with desk_of(daemon) as desk:
        id = start(desk.client, keeper())
        keys = (daemon.directory / "state" / "keys").read_text().split()[1]
        os_pid = int(desk.client.call(id, ["os_pid"]))  # type: ignore[arg-type]
        found = [any(text in some for some in memories_of(os_pid)) for text in (id.encode(), bytes.fromhex(keys), keys.encode())]
        assert found == [True, False, False], "its own id is there"
        with pytest.raises(RequestError) as caught:
            desk.client.call(STORE, GetSaved(str(uuid.uuid4())), WAIT_S)
        assert str(caught.value) == "not_found: no saved session has this id"
        desk.client.stop_session(id)


def memories_of(os_pid: int) -> Iterator[bytes]:
    """Everything that the process can write to, place by place; nothing of one that is gone."""
    gone = suppress(FileNotFoundError, ProcessLookupError)
    with gone, open(f"/proc/{os_pid}/maps") as maps, open(f"/proc/{os_pid}/mem", "rb", 0) as memory:
        for entry in maps:
            place, mode, *_ = entry.split()
            if mode.startswith("rw") and "[v" not in entry:
                begin, end = (int(number, 16) for number in place.split("-"))
                memory.seek(begin)
                with suppress(OSError):
                    yield memory.read(end - begin)


@pytest.fixture
def in_memory(tmp_path: Path) -> Iterator[Daemon]:
    """One whose saves cost no disk."""
    daemon = Daemon(tmp_path / "run")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as state:
        daemon.environment["ACTORCORE_STATE"] = state
        with daemon:
            daemon.bystanders()
            yield daemon


def test_acceptance_107_a_save_of_a_thousand_messages(
    in_memory: Daemon, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with desk_of(in_memory) as desk:
        id = start(desk.client, record_of(project_in(tmp_path)), SERVER)
        for number in range(1000):
            desk.client.call(id, SendMessage("user", f"message {number}".ljust(200)), WAIT_S)
        took = []
        for _ in range(5):
            began = time.perf_counter()
            desk.client.call(id, Save(), WAIT_S)
            took.append(time.perf_counter() - began)
        with capsys.disabled():
            print(f"\n107: a save of 1,000 messages takes {min(took) * 1e3:.1f} ms at best (target: 100)")
        desk.client.stop_session(id)
        start(desk.client, {**record_of(tmp_path / "project"), "id": id}, SERVER)
        assert desk.client.call(id, GetMessages(0, 1))["total"] == 1000  # type: ignore[index,call-overload]
        desk.client.stop_session(id)


@pytest.mark.parametrize("verb", ["get_state", "get_status", "suspend", "trace"])
def test_nobody_sees_into_the_store_or_holds_it_by_sys(daemon: Daemon, verb: str) -> None:
    with desk_of(daemon) as desk:
        before = ask_store(desk.client, EVERYTHING)  # starts it
        with pytest.raises(RequestError) as refused:
            getattr(desk.client.sys, verb)(STORE)
        assert refused.value.code == "not_permitted"
        with pytest.raises(RequestError) as refused:
            desk.client.sys.replace_state(STORE, "builtins:vars")
        assert refused.value.code == "not_permitted"
        assert ask_store(desk.client, EVERYTHING) == before
