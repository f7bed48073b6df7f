"""RELIABILITY B8, B10, acceptance 101, 126: a session's real process is killed at every named point of saving and of resuming."""

from __future__ import annotations

import signal
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from actorcore.errors import CallFailed, RequestError
from actorcore.faults import FILE_POINTS
from actorcore.signals import ProcessSpec
from supervisors.client import Client
from supervisors.persistence.files import TEMPORARY
from supervisors.persistence.index import Index
from supervisors.persistence.signing import decode_ring
from supervisors.session.record import Policy
from supervisors.session.requests import GetMessages, Save, SendMessage, WriteFile
from supervisors.tree.child_spec import ChildSpec
from tests.daemon_fixture import WAIT_S, Daemon, Desk, desk_of, send_signal
from tests.fault.test_birth_points import Armed, await_stop

POINTS = [name for name in FILE_POINTS if name.startswith("database.")]
RESUMING = {"database.opened", "database.head"}
FIRST = {"database.created", "database.filled"}
"""Passed when a session is made, or its disk has failed."""


@pytest.fixture(scope="module")
def armed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Armed]:
    folder = tmp_path_factory.mktemp("armed")
    plan = folder / "plan"
    plan.write_text("")
    with Daemon(folder / "run", options=["--faults", str(plan)]) as daemon:
        daemon.bystanders()
        yield Armed(daemon, Path(plan))


@pytest.fixture
def desk(armed: Armed) -> Iterator[Desk]:
    armed.arm()
    with desk_of(armed.daemon) as desk:
        yield desk


def spec_of(id: str) -> ChildSpec:
    record = {"id": id, "name": "one", "project": {"path": "/srv/one"}, "created_at": 5.0}
    process = ProcessSpec("tests.fault.keepers:Keeper", [record], name=id, trap_exit=True)
    return ChildSpec(id, process, restart="permanent", intensity=1000, backoff_step_s=0.0, backoff_max_s=0.0)


def one_that_was_told(desk: Desk, count: int) -> tuple[str, list[str]]:
    """A session, and what it has acknowledged."""
    id, said = str(uuid.uuid4()), [f"word {number}" for number in range(count)]
    desk.client.start_session(spec_of(id))
    for word in said:
        desk.client.call(id, ["add", word], WAIT_S)
    return id, said


@pytest.mark.parametrize("point", [point for point in POINTS if point not in RESUMING | FIRST])
def test_B8_acceptance_101_a_session_killed_at_a_point_of_saving_has_all_that_it_had_acknowledged(
    armed: Armed, desk: Desk, point: str
) -> None:
    id, said = one_that_was_told(desk, 5)
    ref = desk.client.monitor(id)
    armed.arm(f"{point}:1:kill")
    if point.startswith("database.clos"):
        desk.client.stop_session(id)
        passed = armed.passed()
        desk.client.start_session(spec_of(id))
    else:
        is_save = point in ("database.checkpoint", "database.replaced", "database.checkpointed", "database.folded")
        with pytest.raises(CallFailed):
            desk.client.call(id, ["save"] if is_save else ["add", "unanswered"], WAIT_S)
        passed = armed.passed()
        while desk.row(id)["state"] != "active":
            pass
    assert (desk.client.wait_down(ref, WAIT_S).reason, passed.count(point)) == ("killed", 1)
    kept = desk.client.call(id, ["texts"], WAIT_S)
    assert kept == [*said, *(["unanswered"] if point in ("database.written", "database.appended", "database.noted") else [])]
    desk.client.stop_session(id)


@pytest.mark.parametrize("point", ["database.inserted", "database.written", "database.noted"])
@pytest.mark.parametrize("again", sorted(RESUMING))
def test_B9_a_session_killed_at_a_point_of_saving_and_killed_again_as_it_recovers_has_all_that_it_had_acknowledged(
    armed: Armed, desk: Desk, point: str, again: str
) -> None:
    id, said = one_that_was_told(desk, 3)
    armed.arm(f"{point}:1:kill", *(f"{again}:{nth}:kill" for nth in (1, 2)))
    with pytest.raises(CallFailed):
        desk.client.call(id, ["add", "unanswered"], WAIT_S)
    while (row := desk.row(id))["state"] != "active" or row["restarts"] != 3:
        pass
    passed = armed.passed()
    assert (passed.count(point), passed.count(again)) == (1, 3)
    assert desk.client.call(id, ["texts"], WAIT_S) == [*said, *([] if point == "database.inserted" else ["unanswered"])]
    desk.client.stop_session(id)


@pytest.mark.parametrize("point", sorted(RESUMING))
def test_B10_acceptance_126_a_session_killed_as_it_comes_back_is_still_saved(armed: Armed, desk: Desk, point: str) -> None:
    id = str(uuid.uuid4())
    desk.client.start_session(spec_of(id))
    desk.client.call(id, ["add", "kept"], WAIT_S)
    desk.client.stop_session(id)
    armed.arm(f"{point}:1:kill")
    with pytest.raises(RequestError, match=r"^start_failed"):
        desk.client.start_session(spec_of(id))
    assert armed.passed().count(point) == 1
    armed.arm()
    desk.client.start_session(spec_of(id))
    assert desk.client.call(id, ["texts"], WAIT_S) == ["kept"]
    desk.client.stop_session(id)


def folders_of(desk: Desk, armed: Armed) -> list[str]:
    """Whoever has a folder, once the store has noted what has ended: whom it answers, it has told before."""
    assert desk.client.saved.bad() == 0
    return sorted(path.name for path in (armed.daemon.directory / "state" / "sessions").iterdir())


@pytest.mark.parametrize("point", ["created", "filled", "head", "opened", "append", "written", "noted"])
def test_B8_acceptance_15_16_a_create_that_is_refused_leaves_no_folder(
    armed: Armed, desk: Desk, tmp_path: Path, point: str
) -> None:
    before = folders_of(desk, armed)
    with desk.client.manager.subscribe() as events:
        armed.arm(f"database.{point}:1:kill")
        with pytest.raises(RequestError, match="start_failed"):
            desk.client.manager.create(tmp_path)
        assert armed.passed().count(f"database.{point}") == 1
        while events.next(WAIT_S).type != "session_terminated":
            pass
    assert folders_of(desk, armed) == before
    desk.client.manager.stop(str(desk.client.manager.create(tmp_path)["id"]))


@pytest.mark.parametrize("point", ["written", "appended", "noted", "checkpointed", "folded"])
def test_acceptance_70_159_what_a_session_had_written_as_it_was_killed_is_told_once(
    armed: Armed, desk: Desk, tmp_path: Path, point: str
) -> None:
    policy = Policy(backoff_step_s=0.0, backoff_max_s=0.0)
    row = desk.client.manager.create(tmp_path, policy=policy, limits={"checkpoint_records": 3})
    id, first, second = str(row["id"]), SendMessage("user", "told", id="first"), SendMessage("user", "killed", id="second")
    with desk.client.manager.subscribe(id, ["conversation_added", "session_restarted"]) as events:
        desk.client.call(id, first, WAIT_S)
        told = [events.next(WAIT_S)]
        armed.arm(f"database.{point}:1:kill")
        with pytest.raises(CallFailed, match="killed"):  # it is the third record: the second is the session's own
            desk.client.call(id, second, WAIT_S)
        assert armed.passed().count(f"database.{point}") == 1
        told += [events.next(WAIT_S), events.next(WAIT_S)]
        again = [desk.client.call(id, request, WAIT_S)["seq"] for request in (first, second, SendMessage("user", "later"))]  # type: ignore[index, call-overload]
        told.append(events.next(WAIT_S))
        desk.client.manager.stop(id)
    assert again == [1, 2, 3]
    said = [(one.data["message"], one.data["content"]) for one in told if one.type == "conversation_added"]
    assert said == [(1, "told"), (2, "killed"), (3, "later")]


@pytest.mark.parametrize("victim", ["node", "system:manager"])
def test_acceptance_70_159_what_was_told_is_not_told_again_whoever_dies(desk: Desk, tmp_path: Path, victim: str) -> None:
    id = str(desk.client.manager.create(tmp_path, policy=Policy(backoff_step_s=0.0, backoff_max_s=0.0))["id"])
    with desk.client.manager.subscribe(id, ["conversation_added", "session_restarted"]) as events:
        desk.client.call(id, SendMessage("user", "before"), WAIT_S)
        told = [events.next(WAIT_S)]
        if victim == "node":
            send_signal(desk.node_os_pid(), signal.SIGKILL)
        else:
            desk.client.exit(victim, "kill")
        desk.client.kill(id, 9)
        told.append(events.next(WAIT_S))
        desk.client.call(id, SendMessage("user", "after"), WAIT_S)
        told.append(events.next(WAIT_S))
        desk.client.manager.stop(id)
    assert [one.data.get("content", one.type) for one in told] == ["before", "session_restarted", "after"]


def saved_session(desk: Desk, *said: str) -> str:
    """One that does not live, and was told these."""
    id = str(uuid.uuid4())
    desk.client.start_session(spec_of(id))
    for word in said:
        desk.client.call(id, ["add", word], WAIT_S)
    desk.client.stop_session(id)
    return id


def state_of(armed: Armed) -> Path:
    return armed.daemon.directory / "state"


def await_listed(armed: Armed, desk: Desk, *ids: str) -> None:
    """Until the store's list on the disk has the last save of these: it is written when the store has nothing else to do."""
    wanted = {line.id: line.generation for line in desk.client.saved.list() if line.id in ids}
    index, ring = Index(str(state_of(armed))), decode_ring((state_of(armed) / "keys").read_bytes())
    while not (index.load(ring) and {id: index.lines[id].generation for id in ids if id in index.lines} == wanted):
        pass


def temporary(armed: Armed) -> list[str]:
    return [path.name for path in state_of(armed).iterdir() if path.name.endswith(TEMPORARY)]


REPLACED = {"renamed", "durable"}
"""At these the new file is the one that is there."""


@pytest.mark.parametrize("point", [point for point in FILE_POINTS if point.startswith("secret.")])
def test_B8_the_store_killed_as_it_writes_its_keys_has_the_old_ring_or_the_new_one_and_every_save(
    armed: Armed, desk: Desk, point: str
) -> None:
    id = saved_session(desk, "kept")
    before = len(decode_ring((state_of(armed) / "keys").read_bytes()).secrets)
    ref = desk.client.monitor("system:store")
    armed.arm(f"{point}:1:kill")
    desk.client.saved.rotate()  # the client asks the next one
    assert (armed.passed().count(point), desk.client.wait_down(ref, WAIT_S).reason) == (2, "killed")
    armed.arm()
    assert id in {line.id for line in desk.client.saved.list()}
    assert temporary(armed) == []
    ring = decode_ring((state_of(armed) / "keys").read_bytes())
    assert len(ring.secrets) == before + 1 + (point.partition(".")[2] in REPLACED)
    desk.client.start_session(spec_of(id))
    assert desk.client.call(id, ["texts"], WAIT_S) == ["kept"]
    desk.client.stop_session(id)


@pytest.mark.parametrize("action", ["eio", "enospc"])
@pytest.mark.parametrize("point", ["secret.opened", "secret.written", "secret.synced"])
def test_B8_a_key_ring_that_cannot_be_written_is_refused_and_the_old_one_goes_on(
    armed: Armed, desk: Desk, point: str, action: str
) -> None:
    id = saved_session(desk, "kept")
    before = (state_of(armed) / "keys").read_bytes()
    armed.arm(f"{point}:1:{action}")
    with pytest.raises(RequestError, match=f"^secret_unusable: {action}$"):
        desk.client.saved.rotate()
    assert armed.passed().count(point) == 1
    armed.arm()
    assert ((state_of(armed) / "keys").read_bytes(), temporary(armed)) == (before, [])
    assert id in {line.id for line in desk.client.saved.list()}
    desk.client.saved.rotate()


@pytest.mark.parametrize("point", [point for point in FILE_POINTS if point.startswith("index.")])
def test_B8_the_store_killed_as_it_writes_its_list_knows_every_save_that_there_is_and_no_other(
    armed: Armed, desk: Desk, point: str
) -> None:
    kept, gone = saved_session(desk, "kept"), saved_session(desk, "gone")
    await_listed(armed, desk, kept, gone)
    others = {line.id for line in desk.client.saved.list()} - {kept, gone}
    ref = desk.client.monitor("system:store")
    armed.arm(f"{point}:1:kill")
    assert desk.client.saved.delete(gone)  # the client asks the next one
    passes = 1 if point.partition(".")[2] in REPLACED else 2
    assert (armed.passed().count(point), desk.client.wait_down(ref, WAIT_S).reason) == (passes, "killed")
    armed.arm()
    assert {line.id for line in desk.client.saved.list()} - others == {kept}
    assert temporary(armed) == []
    for id, texts in ((kept, ["kept"]), (gone, [])):
        desk.client.start_session(spec_of(id))
        assert desk.client.call(id, ["texts"], WAIT_S) == texts
        desk.client.stop_session(id)
    assert {line.id for line in desk.client.saved.list()} - others == {kept, gone}


def test_B8_an_id_whose_line_on_the_list_outlived_its_files_is_free_again_once_it_is_deleted(armed: Armed, desk: Desk) -> None:
    gone = saved_session(desk, "gone")
    await_listed(armed, desk, gone)
    ref = desk.client.monitor("system:store")
    assert gone in {line.id for line in desk.client.saved.list()}  # and so it is done with writing
    armed.arm("index.opened:1:eio")
    assert desk.client.saved.delete(gone)  # the files are gone, the list on the disk is the old one
    assert armed.passed().count("index.opened") == 1
    armed.arm()
    desk.client.kill("system:store", signal.SIGKILL)
    assert desk.client.wait_down(ref, WAIT_S).reason == "killed"
    assert gone not in {line.id for line in desk.client.saved.list()}
    with pytest.raises(RequestError, match="signature_verification_failed"):
        desk.client.start_session(spec_of(gone))
    assert desk.client.saved.delete(gone)  # what the refused start has left
    desk.client.start_session(spec_of(gone))
    assert desk.client.call(gone, ["texts"], WAIT_S) == []
    desk.client.stop_session(gone)


@pytest.mark.parametrize("point", [point for point in FILE_POINTS if point.startswith("file.")])
@pytest.mark.parametrize("path", ["old.txt", "src/deep/new.txt"])
def test_acceptance_7_101_a_session_killed_while_it_writes_a_file_of_its_project_leaves_the_old_one_and_no_other(
    armed: Armed, desk: Desk, tmp_path: Path, point: str, path: str
) -> None:
    (tmp_path / "old.txt").write_text("old")
    id = str(desk.client.manager.create(tmp_path, "a project", policy=Policy(backoff_step_s=0.0, backoff_max_s=0.0))["id"])
    with desk.client.manager.subscribe(id, ["session_restarted"]) as events:
        armed.arm(f"{point}:1:kill")
        with pytest.raises(CallFailed, match="killed"):
            desk.client.call(id, WriteFile(path, "new"), WAIT_S)
        assert armed.passed().count(point) == 1
        events.next(WAIT_S)
    assert {str(one.relative_to(tmp_path)): one.read_text() for one in tmp_path.rglob("*") if one.is_file()} == {"old.txt": "old"}
    desk.client.call(id, WriteFile(path, "new"), WAIT_S)
    assert (tmp_path / path).read_text() == "new"
    desk.client.manager.stop(id)


@pytest.mark.parametrize("point", [point for point in FILE_POINTS if point.startswith("database.checkpoint")])
def test_acceptance_107_a_save_that_is_held_up_delays_no_other_session(
    armed: Armed, desk: Desk, tmp_path: Path, point: str
) -> None:
    folders = [tmp_path / name for name in ("saving", "other", "late")]
    for folder in folders:
        folder.mkdir()
    saving, other = (str(desk.client.manager.create(folder)["id"]) for folder in folders[:2])
    answers: list[Any] = []

    def save() -> None:
        with Client.connect(armed.daemon.directory, WAIT_S) as client:
            answers.append(client.call(saving, Save(), WAIT_S))

    thread = threading.Thread(target=save)
    armed.arm(f"{point}:1:stop")
    thread.start()
    held = armed.await_pass(point)
    for request in (SendMessage("user", "meanwhile"), Save()):
        desk.client.call(other, request, WAIT_S)
    late = str(desk.client.manager.create(folders[2])["id"])
    desk.client.manager.stop(other)
    desk.client.manager.resume(other)
    assert [row["id"] for row in desk.client.manager.list()] == [saving, other, late]
    assert desk.client.call(other, GetMessages())["total"] == 1  # type: ignore[index, call-overload]
    assert answers == []
    await_stop(held)
    send_signal(held, signal.SIGCONT)
    thread.join()
    assert answers == [True]
    for id in (saving, other, late):
        desk.client.manager.stop(id)


@pytest.mark.parametrize("point", sorted(FIRST | RESUMING))
def test_B8_a_session_killed_as_it_is_made_can_be_made_again(armed: Armed, desk: Desk, point: str) -> None:
    id = str(uuid.uuid4())
    armed.arm(f"{point}:1:kill")
    with pytest.raises(RequestError, match=r"^start_failed"):
        desk.client.start_session(spec_of(id))
    armed.arm()
    desk.client.start_session(spec_of(id))
    assert desk.client.call(id, ["add", "first"], WAIT_S) == ["first"]
    desk.client.stop_session(id)
