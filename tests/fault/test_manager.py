"""Sessions in folders on a real daemon: creating, finding, dying, stopping, and the node or the manager killed under them."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from actorcore.errors import CallTimeout, RequestError
from supervisors.async_client import AsyncClient
from supervisors.client import Client
from supervisors.session.record import Policy
from tests.daemon_fixture import (
    ROOT,
    WAIT_S,
    Daemon,
    Desk,
    await_deaths,
    comm,
    descendants,
    descriptors_beyond,
    desk_of,
    send_signal,
    still_there,
    watched,
)
from tests.fault.weighed import SCALE, SCALE_BYTES, leave_garbage_out, weights

PLAIN = "tests.fault.session_actors:Plain"
GATED = "tests.fault.session_actors:Gated"
STUBBORN = "tests.fault.session_actors:Stubborn"
BROKEN = "tests.fault.session_actors:Broken"
NOBODY_UID = 65534
LIMITED = "[sessions]\nmax_sessions = 10\n"


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    """Ten folders to work in."""
    made = [tmp_path / f"project{number}" for number in range(10)]
    for folder in made:
        folder.mkdir()
    return made


def create(desk: Desk, folder: Path, **fields: Any) -> dict[str, Any]:
    """The row of a new session, which the desk stops in the end."""
    row = desk.client.manager.create(str(folder), **{"module": PLAIN, **fields})
    if row["id"] not in desk.started:
        desk.started.append(str(row["id"]))
    return row


def refused(desk: Desk, path: object, **fields: Any) -> str:
    """With what the creation is refused."""
    with pytest.raises(RequestError) as caught:
        desk.client.manager.create(path, **{"module": PLAIN, **fields})
    return caught.value.code


def os_pid_of(desk: Desk, id: str) -> int:
    found = desk.client.call(id, ["pid"], WAIT_S)
    assert isinstance(found, int)
    return found


def states(desk: Desk, ids: list[str]) -> list[tuple[Any, ...]]:
    """Everything that must not change when another dies."""
    rows = [desk.client.manager.info(id) for id in ids]
    call = desk.client.call
    return [(row["serial"], row["status"], row["restarts"], os_pid_of(desk, str(row["id"])), call(str(row["id"]), ["add", 0]))
            for row in rows]  # fmt: skip


# ---- creating -------------------------------------------------------------------------------------------------------


def test_acceptance_1_2_19_a_created_session_lives_works_in_its_folder_and_has_its_name(desk: Desk, folders) -> None:
    row = create(desk, folders[0], metadata={"a": [1, None]}, config={"temperature": 0.0})
    assert (str(UUID(row["id"])), UUID(row["id"]).version) == (row["id"], 4)
    assert (row["project"]["path"], row["name"], row["created_at"] == row["updated_at"]) == (str(folders[0]), "project0", True)
    assert os_pid_of(desk, row["id"]) in descendants(desk.daemon.guardian_pid)
    named = create(desk, folders[1], name="n" * 50)
    assert named["name"] == "n" * 50
    info = desk.client.manager.info(row["id"])
    assert (info, info["metadata"], info["config"]) == (row, {"a": [1, None]}, {"temperature": 0.0})
    record = desk.client.call(row["id"], ["record"])
    assert record == {key: row[key] for key in record}


def test_acceptance_3_a_folder_whose_name_is_too_long_needs_another(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / ("n" * 51)).mkdir()
    assert refused(desk, str(tmp_path / ("n" * 51))) == "name_too_long"
    assert create(desk, tmp_path / ("n" * 51), name="short")["name"] == "short"


def test_acceptance_4_5_each_mistake_in_a_path_has_its_code(desk: Desk, folders) -> None:
    (folders[0] / "file").touch()
    (folders[0] / "loop").symlink_to("loop")
    (folders[0] / "a..b").mkdir()
    paths: dict[object, str] = {
        None: "missing_project_path", "": "missing_project_path", 7: "invalid_project_path", "/a\0b": "invalid_project_path",
        "/\udcff": "invalid_project_path", "relative": "path_not_absolute", "/" + "x" * 4096: "path_too_long",
        f"{folders[0]}/../x": "path_traversal_detected", f"{folders[0]}/none": "path_not_found",
        f"{folders[0]}/loop": "path_not_found", f"{folders[0]}/file": "path_not_directory",
        f"{folders[0]}/file/x": "path_not_directory", f"/{'y' * 300}": "path_too_long",
    }  # fmt: skip
    assert {path: refused(desk, path) for path in paths} == paths
    assert create(desk, folders[0] / "a..b")["name"] == "a..b"


@pytest.mark.parametrize("mode", [0o300, 0o500, 0o600])
def test_acceptance_4_a_folder_that_may_not_be_read_written_or_entered_is_refused(daemon: Daemon, tmp_path: Path, mode) -> None:
    folder = tmp_path / "closed"
    folder.mkdir()
    os.chmod(folder, mode)
    code = "import sys\ntry: project_path.examine(sys.argv[1])\nexcept Exception as error: print(error)"
    if os.geteuid() == 0:  # whom no mode keeps out
        os.chmod(tmp_path, 0o755)
        for parent in list(tmp_path.parents)[:-2]:
            os.chmod(parent, os.stat(parent).st_mode | 0o011)
        os.chown(folder, NOBODY_UID, NOBODY_UID)
        code = f"import os; os.setgroups([]); os.setgid({NOBODY_UID}); os.setuid({NOBODY_UID})\n" + code
    code = "from supervisors.session import project_path\n" + code
    done = subprocess.run([sys.executable, "-c", code, str(folder)], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "path_permission_denied\n"
    os.chmod(folder, 0o700)


def test_acceptance_6_9_13_a_folder_is_one_folder_by_whatever_name_it_is_reached(desk: Desk, folders, tmp_path: Path) -> None:
    for name in ("first", "second"):
        (tmp_path / name).symlink_to(folders[0])
    row = create(desk, tmp_path / "first")
    assert (row["project"]["path"], row["name"]) == (str(folders[0]), "project0")
    assert refused(desk, str(tmp_path / "second")) == "project_already_open"
    assert refused(desk, str(folders[1]), id=row["id"]) == "session_exists"
    os.rename(folders[0], tmp_path / "moved")
    assert refused(desk, str(tmp_path / "moved")) == "project_already_open"
    assert desk.client.manager.find("path", str(folders[0]))["id"] == row["id"]
    os.rename(tmp_path / "moved", folders[0])


def test_acceptance_7_creating_leaves_no_trace_whoever_is_killed_in_the_middle(desk: Desk, folders, tmp_path) -> None:
    before = os.stat(folders[0])
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    code = (
        "import sys; from supervisors.client import Client\n"
        "with Client.connect(sys.argv[1]) as client:\n"
        f"    client.manager.create(sys.argv[2], module={BROKEN!r}, config={{'how': 'wait', 'fifo': sys.argv[3]}})\n"
    )
    up = tmp_path / "fifo.up"
    os.mkfifo(up)
    creator = subprocess.Popen([sys.executable, "-c", code, str(desk.daemon.directory), str(folders[0]), str(fifo)], cwd=ROOT)
    up.read_bytes()  # its session is in the middle of its start
    creator.kill()
    assert creator.wait() == -signal.SIGKILL
    (id,) = desk.client.manager.ids()
    desk.started.append(id)
    assert desk.client.manager.info(id)["status"] == "initializing"
    fifo.write_bytes(b"")
    with desk.client.manager.subscribe(id, after=0) as events:
        seen = [events.next(WAIT_S) for _ in range(2)]
    assert [event.type for event in seen] == ["session_created", "session_status"]
    assert desk.client.manager.stop(id)["status"] == "terminated"
    after = os.stat(folders[0])
    assert os.listdir(folders[0]) == []
    assert (after.st_mtime_ns, after.st_ctime_ns) == (before.st_mtime_ns, before.st_ctime_ns)


@pytest.mark.parametrize("path", ["/etc", "/usr/bin", "/dev/shm", "/"])
def test_acceptance_8_system_directories_are_refused(desk: Desk, path: str) -> None:
    assert refused(desk, path, name="mine") == "not_permitted"


def test_acceptance_10_12_14_of_fifty_at_once_ten_get_a_place_and_no_reader_sees_more(tmp_path: Path) -> None:
    paths = [tmp_path / str(number) for number in range(50)]
    for path in paths:
        path.mkdir()

    async def race(directory: Path) -> tuple[list[Any], int]:
        async with await AsyncClient.connect(directory, WAIT_S) as client, await AsyncClient.connect(directory, WAIT_S) as reader:
            most, is_over = 0, False
            work = asyncio.gather(*(client.manager.create(str(path), module=PLAIN) for path in paths), return_exceptions=True)
            while not is_over:  # and once when all are answered
                is_over = work.done()
                most = max(most, int(str((await reader.manager.count())["total"])), len(await reader.manager.ids()))
            return list(await work), most

    with Daemon(tmp_path / "run", configuration=LIMITED) as daemon:
        results, most = asyncio.run(race(daemon.directory))
        rows = [one for one in results if isinstance(one, dict)]
        errors = [(one.code, one.detail) for one in results if isinstance(one, RequestError)]
        client = daemon.client()
        assert (len(rows), errors, most) == (10, [("session_limit_reached", "10/10 sessions open")] * 40, 10)
        assert {row["status"] for row in client.manager.list()} == {"active"}
        assert len(set(client.manager.ids())) == len(set(client.manager.pids())) == 10
        stopped = client.manager.stop(str(rows[0]["id"]))
        assert client.manager.create(stopped["project"]["path"], module=PLAIN)["status"] == "active"  # type: ignore[index,call-overload]


def test_acceptance_13_of_fifty_for_one_folder_one_gets_it(desk: Desk, folders) -> None:
    async def race() -> list[Any]:
        async with await AsyncClient.connect(desk.daemon.directory, WAIT_S) as client:
            work = (client.manager.create(str(folders[0]), module=PLAIN) for _ in range(50))
            return list(await asyncio.gather(*work, return_exceptions=True))

    results = asyncio.run(race())
    (row,) = [one for one in results if isinstance(one, dict)]
    desk.started.append(str(row["id"]))
    assert [one.code for one in results if isinstance(one, RequestError)] == ["project_already_open"] * 49


@pytest.mark.parametrize(
    ("how", "code", "detail"),
    [("raise", "start_failed", '{"error":{"type":"RuntimeError","text":"flawed"}}'), ("exit", "start_failed", '{"exit":3}'),
     ("wait", "start_timeout", "")],
)  # fmt: skip
def test_acceptance_15_a_start_that_fails_leaves_nothing(desk: Desk, folders, tmp_path: Path, how, code, detail) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    if how == "wait":
        os.mkfifo(f"{fifo}.up")
        up = os.open(f"{fifo}.up", os.O_RDONLY | os.O_NONBLOCK)
    born = tmp_path / "os_pid"
    with pytest.raises(RequestError) as caught:
        policy = Policy(start_timeout_s=2.0 if how == "wait" else 20.0)
        desk.client.manager.create(str(folders[0]), module=BROKEN, config={"how": how, "fifo": str(fifo), "born": str(born)},
                                   policy=policy)  # fmt: skip
    if how == "wait":
        os.close(up)
    assert (caught.value.code, caught.value.detail) == (code, detail)
    assert desk.client.manager.ids() == []
    assert [row for row in desk.client.processes() if row["start"] == BROKEN] == []
    os_pid, started = map(int, born.read_text().split())
    assert (started > 0, still_there({os_pid: started})) == (True, [])
    assert create(desk, folders[0])["status"] == "active"


def test_acceptance_16_17_18_killed_in_its_start_or_left_by_its_client(desk: Desk, folders, tmp_path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    os.mkfifo(f"{fifo}.up")
    config = {"how": "wait", "fifo": str(fifo)}
    with Client.connect(desk.daemon.directory, WAIT_S) as leaving:
        leaving.manager.count()  # it knows whom to ask from now on
        with pytest.raises(CallTimeout):
            leaving._driver.run(_creation(leaving, folders[0], config), 0.0)
    Path(f"{fifo}.up").read_bytes()  # in init; its client is gone
    (id,) = desk.client.manager.ids()
    other = create(desk, folders[1])
    assert [row["status"] for row in desk.client.manager.list()] == ["initializing", "active"]
    assert desk.client.manager.stop(other["id"])["status"] == "terminated"
    row = next(row for row in desk.client.processes() if row["start"] == BROKEN)
    with desk.client.manager.subscribe(id) as events:
        send_signal(int(str(row["os_pid"])), signal.SIGKILL)
        told = [events.next(WAIT_S) for _ in range(3)]
    assert [event.type for event in told] == ["session_status", "session_status", "session_terminated"]
    assert told[-1].data["reason"] == "killed"
    assert desk.client.manager.ids() == []
    assert create(desk, folders[0])["status"] == "active"


def _creation(client: Client, folder: Path, config: dict[str, Any]) -> Any:
    from supervisors.clients import manager_steps
    from supervisors.session.record import POLICY

    return manager_steps.create(client._core, str(folder), None, BROKEN, config, None, None, POLICY, None, "none", None)


def test_acceptance_21_22_23_24_25_26_any_client_finds_what_another_created(desk: Desk, folders) -> None:
    manager = desk.client.manager
    with pytest.raises(RequestError) as caught:
        manager.default()
    assert caught.value.code == "no_sessions"
    first, second = create(desk, folders[0], name="twin"), create(desk, folders[1], name="twin")
    with Client.connect(desk.daemon.directory, WAIT_S) as other:
        assert other.manager.find("name", "twin") == other.manager.find("id", first["id"]) == first
        assert other.manager.find("path", str(folders[1])) == other.manager.resolve("2") == second
        assert [row["id"] for row in other.manager.list()] == list(other.manager.ids()) == [first["id"], second["id"]]
        assert [pid.serial for pid in other.manager.pids()] == [first["serial"], second["serial"]]
        assert other.manager.default() == first
        other.manager.set_default(second["id"])
        renamed = other.manager.rename(second["id"], "other")
        assert manager.default() == renamed == {**second, "name": "other", "updated_at": renamed["updated_at"]}
        assert other.call(second["id"], ["record"])["name"] == "other"  # type: ignore[index,call-overload]
        assert other.manager.update(first["id"], {"temperature": 0})["config"] == {"temperature": 0}
    manager.set_default("")
    send_signal(os_pid_of(desk, second["id"]), signal.SIGKILL)
    with manager.subscribe(second["id"], ["session_restarted"], after=0) as events:
        events.next(WAIT_S)
    assert desk.client.call(second["id"], ["record"])["name"] == "other"  # type: ignore[index,call-overload]


# ---- dying ----------------------------------------------------------------------------------------------------------


def test_acceptance_41_a_kill_of_one_of_ten_changes_nothing_of_the_others(desk: Desk, folders) -> None:
    ids = [create(desk, folder)["id"] for folder in folders]
    for number, id in enumerate(ids):
        desk.client.call(id, ["add", number])
    others = ids[:4] + ids[5:]
    before = states(desk, others)
    with desk.client.manager.subscribe(types=["session_crashed", "session_restarted"]) as events:
        send_signal(os_pid_of(desk, ids[4]), signal.SIGKILL)
        told = [events.next(WAIT_S) for _ in range(2)]
    assert [(event.type, event.session) for event in told] == [("session_crashed", ids[4]), ("session_restarted", ids[4])]
    assert states(desk, others) == before
    assert desk.client.call(ids[4], ["add", 0]) == 0


def test_acceptance_46_a_killed_temporary_session_is_gone_with_its_place_its_folder_and_its_name(desk: Desk, folders) -> None:
    row = create(desk, folders[0], policy=Policy(restart="temporary"))
    with desk.client.manager.subscribe(row["id"]) as events:
        send_signal(os_pid_of(desk, row["id"]), signal.SIGKILL)
        told = [events.next(WAIT_S) for _ in range(4)]
    assert [event.type for event in told] == ["session_status", "session_crashed", "session_status", "session_terminated"]
    assert (desk.client.manager.ids(), desk.client.whereis(row["id"])) == ([], None)
    assert create(desk, folders[0], id=row["id"])["status"] == "active"


def test_acceptance_48_49_a_death_is_one_crash_with_its_reason_and_one_restart_and_no_row_has_a_dead_pid(
    desk, folders, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    row = create(desk, folders[0], module=GATED, config={"gate": str(gate)})
    os_pid = os_pid_of(desk, row["id"])
    os.mkfifo(gate)
    with desk.client.manager.subscribe(row["id"]) as events:
        ref = desk.client.monitor(row["id"])
        send_signal(os_pid, signal.SIGSEGV)
        assert desk.client.wait_down(ref, WAIT_S).reason == {"signal": "SIGSEGV"}
        dead = desk.client.manager.info(row["id"])  # nobody hears of a death before the manager has
        gate.write_bytes(b"1")
        told = [events.next(WAIT_S) for _ in range(5)]
        assert list(events) == []
    new = desk.client.manager.info(row["id"])
    assert (dead["status"], dead["serial"], dead["reason"]) == ("restarting", 0, {"signal": "SIGSEGV"})
    assert (new["status"], new["restarts"], new["id"]) == ("active", 1, row["id"])
    crashed, restarted = told[1], told[4]
    assert (crashed.type, crashed.data["reason"], crashed.data["pid"]) == (
        "session_crashed", {"signal": "SIGSEGV"}, row["serial"])  # fmt: skip
    assert (restarted.type, restarted.data["old_pid"], restarted.data["new_pid"], restarted.data["restart_count"]) == (
        "session_restarted", row["serial"], new["serial"], 1)  # fmt: skip


def test_acceptance_52_70_a_killed_node_or_manager_changes_no_pid_and_no_number_is_missing(own: Daemon, folders) -> None:
    with desk_of(own) as desk:
        ids = [create(desk, folder)["id"] for folder in folders[:3]]
        for number, id in enumerate(ids):
            desk.client.call(id, ["add", number])
        desk.client.manager.suspend(ids[2])
        before, rows = states(desk, ids[:2]), list(desk.client.manager.list())
        with desk.client.manager.subscribe(ids[0]) as events, desk.client.manager.subscribe() as everything:
            numbers: list[int] = []
            seqs: list[int] = []
            for turn in range(4):
                if turn % 2:
                    desk.client.exit("system:manager", "kill")
                    told = [everything.next(WAIT_S) for _ in range(2)]
                    assert [event.type for event in told] == ["service_crashed", "service_restarted"]
                    numbers += [event.number for event in told]
                else:
                    send_signal(desk.node_os_pid(), signal.SIGKILL)
                assert list(desk.client.manager.list()) == rows
                desk.client.call(ids[0], ["publish", [["llm_response", {"content": str(turn)}]]])
                event = events.next(WAIT_S)
                numbers.append(event.number)
                seqs.append(event.seq)
                assert event.data == {"content": str(turn)}
        assert states(desk, ids[:2]) == before
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        assert seqs == list(range(seqs[0], seqs[0] + 4))
        assert desk.client.manager.wake(ids[2])["status"] == "active"


def test_acceptance_70_what_a_manager_had_told_before_its_death_is_there_to_be_read_after_it(desk: Desk, folders) -> None:
    id = create(desk, folders[0])["id"]
    with desk.client.manager.subscribe(id) as events:
        desk.client.call(id, ["publish", [["llm_response", {"content": "before"}]]])
        desk.client.exit("system:manager", "kill")
        desk.client.manager.info(id)  # from now on the client knows another manager
        desk.client.call(id, ["publish", [["llm_response", {"content": "after"}]]])
        assert [events.next(WAIT_S).data["content"] for _ in range(2)] == ["before", "after"]


def test_acceptance_70_what_was_told_by_a_manager_that_came_and_died_while_nobody_looked_is_told(desk: Desk, folders) -> None:
    id = create(desk, folders[0])["id"]
    with desk.client.manager.subscribe(id) as events, Client.connect(desk.daemon.directory, WAIT_S) as other:
        said = list(map(str, range(150)))  # more than is sent ahead
        for at, text in enumerate(said):
            if at % 50 == 49:
                other.exit("system:manager", "kill")
                other.manager.info(id)
            other.call(id, ["publish", [["llm_response", {"content": text}]]])
        assert [events.next(WAIT_S).data["content"] for _ in said] == said


@pytest.mark.parametrize("name", ["node", "sessions", "services", "limiter", "manager"])
def test_acceptance_52_any_resident_of_the_node_is_killed_and_goes_on_under_its_name(tmp_path: Path, folders, name: str) -> None:
    with Daemon(tmp_path / "run") as daemon:
        client = daemon.client()
        row = client.manager.create(str(folders[0]), module=PLAIN, policy=Policy(restart="permanent"))
        before = client.whereis(f"system:{name}")
        client.exit(f"system:{name}", "kill")
        after = client.whereis(f"system:{name}")
        assert (before is None, after is None, before == after) == (False, False, False)
        # A supervisor takes its children along, as OTP's does; everybody else is in nobody's way.
        expected = [] if name == "sessions" else [row]
        assert list(client.manager.list()) == expected
        send_signal(int(str(client.node("status")["node_os_pid"])), signal.SIGKILL)
        assert list(client.manager.list()) == expected
        fresh = client.manager.create(str(folders[1]), module=PLAIN)
        assert client.call(str(fresh["id"]), ["add", 2], WAIT_S) == 2
        assert client.saved.bad() == 0
        assert client.manager.stop(str(fresh["id"]))["status"] == "terminated"


def test_acceptance_55_three_services_killed_at_one_instant_come_back_and_sessions_go_on(own: Daemon, folders) -> None:
    with desk_of(own) as desk:
        ids = [create(desk, folder)["id"] for folder in folders[:3]]
        before = states(desk, ids)
        old = services(own)
        with watched(old) as handles:
            for os_pid in old:
                send_signal(os_pid, signal.SIGKILL)
            assert await_deaths(handles)
        assert states(desk, ids) == before
        fresh = create(desk, folders[3])  # which needs all of them
        assert fresh["status"] == "active"
        new = services(own)
        assert (len(new), set(new) & set(old)) == (3, set())


def services(daemon: Daemon) -> list[int]:
    """The OS pids of node, spare and zygote, when all of them are there."""
    while True:
        found = [os_pid for os_pid in descendants(daemon.guardian_pid) if comm(os_pid) == "actor-node"]
        if len(found) == 2:
            try:
                return [*found, daemon.zygote_pid()]
            except ValueError:  # it is being replaced
                continue


def test_acceptance_59_60_a_stopped_session_is_told_and_listed_and_can_be_stopped(desk: Desk, folders) -> None:
    row = create(desk, folders[0], policy=Policy(shutdown_s=0.1))
    with desk.client.manager.subscribe(row["id"]) as events:
        send_signal(os_pid_of(desk, row["id"]), signal.SIGSTOP)
        hung = [events.next(WAIT_S) for _ in range(2)]
        assert [(event.type, event.data.get("status")) for event in hung] == [
            ("session_status", "unresponsive"), ("session_hung", None)]  # fmt: skip
        assert create(desk, folders[1])["status"] == "active"
        assert desk.client.manager.info(row["id"])["status"] == "unresponsive"
        assert desk.client.manager.stop(row["id"])["reason"] == "killed"


# ---- stopping -------------------------------------------------------------------------------------------------------


def test_acceptance_71_72_a_stopped_session_is_gone_when_stop_returns(desk: Desk, folders) -> None:
    row = create(desk, folders[0])
    os_pid = os_pid_of(desk, row["id"])
    with watched([os_pid]) as handles:
        assert desk.client.manager.stop(row["id"])["reason"] == "shutdown"
        assert await_deaths(handles, 0.0)
    assert desk.client.whereis(row["id"]) is None
    for by, value in (("id", row["id"]), ("name", "project0"), ("path", str(folders[0]))):
        with pytest.raises(RequestError) as caught:
            desk.client.manager.find(by, value)  # type: ignore[arg-type]
        assert caught.value.code == "not_found"
    with pytest.raises(RequestError) as caught:
        desk.client.manager.stop(row["id"])
    assert caught.value.code == "not_found"
    assert create(desk, folders[0])["status"] == "active"


def test_acceptance_75_76_a_session_that_ignores_the_request_is_killed_and_one_of_ten_who_stop_it_is_told(desk, folders) -> None:
    row = create(desk, folders[0], module=STUBBORN, policy=Policy(shutdown_s=0.3))

    async def stop() -> list[Any]:
        clients = [await AsyncClient.connect(desk.daemon.directory, WAIT_S) for _ in range(10)]
        results = await asyncio.gather(*(client.manager.stop(str(row["id"])) for client in clients), return_exceptions=True)
        for client in clients:
            await client.close()
        return list(results)

    results = asyncio.run(stop())
    assert [(one["status"], one["reason"]) for one in results if isinstance(one, dict)] == [("terminated", "killed")]
    assert [one.code for one in results if isinstance(one, RequestError)] == ["not_found"] * 9


def test_acceptance_73_77_ten_are_stopped_at_once_some_of_which_are_dead_by_then(desk: Desk, folders) -> None:
    rows = [create(desk, folder) for folder in folders]

    async def stop() -> list[Any]:
        async with await AsyncClient.connect(desk.daemon.directory, WAIT_S) as client:
            return list(await asyncio.gather(*(client.manager.stop(str(row["id"])) for row in rows)))

    os_pids = [os_pid_of(desk, row["id"]) for row in rows]
    for os_pid in os_pids[::3]:
        send_signal(os_pid, signal.SIGKILL)
    assert [one["status"] for one in asyncio.run(stop())] == ["terminated"] * 10
    assert (desk.client.manager.ids(), list(desk.client.manager.list())) == ([], [])


@pytest.mark.sized
@pytest.mark.parametrize(("module", "forgets"), [("tests.fault.weighed", True), ("tests.fault.leaking", False)])
def test_acceptance_82_created_and_stopped_again_and_again_leaves_everything_as_it_was(
    tmp_path: Path, folders, module: str, forgets: bool, size, tell
) -> None:
    """Known bad: a manager that keeps what it knew of a session, 1.7 KiB, is found out."""
    scale = tmp_path / "scale"
    scale.write_bytes(bytes(SCALE_BYTES))
    daemon = Daemon(tmp_path / "run", module=module)
    daemon.environment[SCALE] = str(scale)
    with daemon, desk_of(daemon) as desk:
        filling = str(create(desk, folders[1])["id"])
        cycle(desk, folders[0], 40)  # what is allocated once has been
        before, descriptors = weight(desk, filling, scale), descriptors_beyond(desk)
        cycle(desk, folders[0], count := size("SESSION_CYCLES", 60, 1000, 1000))
        assert descriptors_beyond(desk) == descriptors
        more = weight(desk, filling, scale) - before
        tell(f"82: {count} sessions came and went, {more:+,} bytes and no descriptor in a node that forgets them: {forgets}")
        assert (more < min(count * 1000, 200_000)) == forgets
        assert desk.client.manager.count() == {"total": 1, "limit": 1000, "status": {"active": 1}}


def cycle(desk: Desk, folder: Path, count: int) -> None:
    for _ in range(count):
        desk.client.manager.stop(str(desk.client.manager.create(str(folder), module=PLAIN)["id"]))


def weight(desk: Desk, filling: str, scale: Path) -> int:
    """Bytes that the node holds without its garbage, with a history of events that is full of the same."""
    for turn in range(42):
        leave_garbage_out(scale, turn == 41)
        desk.client.call(filling, ["publish", [["llm_response", {"content": "x" * 200}]] * 25], WAIT_S)
    leave_garbage_out(scale, False)
    return weights(scale)[0]


# ---- events ---------------------------------------------------------------------------------------------------------


def test_acceptance_155_159_a_life_is_told_in_order_to_whoever_watches_all(desk: Desk, folders) -> None:
    with desk.client.manager.subscribe() as events:
        id = create(desk, folders[0])["id"]
        desk.client.manager.stop(id)
        told = [events.next(WAIT_S) for _ in range(5)]
        assert list(events) == []
    assert [(event.type, event.data.get("status")) for event in told] == [
        ("session_created", None), ("session_status", "active"), ("session_status", "terminating"),
        ("session_status", "terminated"), ("session_terminated", None)]  # fmt: skip
    assert [event.seq for event in told] == [1, 2, 3, 4, 5]
    assert [event.number - told[0].number for event in told] == [0, 1, 2, 3, 4]
    assert {event.instance for event in told} == {desk.client.pid.instance}


def test_acceptance_156_157_158_each_watches_his_own(desk: Desk, folders) -> None:
    first, second = (create(desk, folder)["id"] for folder in folders[:2])
    with Client.connect(desk.daemon.directory, WAIT_S) as other:
        mine, theirs = desk.client.manager.subscribe(first), other.manager.subscribe(second)
        for id in (first, second, first):
            desk.client.call(id, ["publish", [["llm_response", {"content": id}]]])
        assert [mine.next(WAIT_S).session for _ in range(2)] == [first, first]
        assert theirs.next(WAIT_S).data == {"content": second}
        assert (list(mine), list(theirs)) == ([], [])
        theirs.close()
        desk.client.call(second, ["publish", [["llm_response", {"content": "late"}]]])
        other.node("status")  # what was told before this answer has come
        with pytest.raises(CallTimeout):
            other.receive(0)
        mine.close()


def test_C21_acceptance_160_161_a_watcher_that_is_stopped_or_killed_delays_nobody(desk: Desk, folders) -> None:
    id = create(desk, folders[0])["id"]
    code = (
        "import sys; from supervisors.client import Client\n"
        "with Client.connect(sys.argv[1]) as client:\n"
        "    events = client.manager.subscribe(sys.argv[2])\n"
        "    print('on', flush=True)\n"
        "    while (event := events.next(None)).type != 'events_dropped':\n"
        "        pass\n"
        "    print(event.data['count'], flush=True)\n"
        "    while events.next(None):\n"
        "        pass\n"
    )
    command = [sys.executable, "-c", code, str(desk.daemon.directory), id]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as watcher:
        assert watcher.stdout is not None
        assert watcher.stdout.readline() == "on\n"
        send_signal(watcher.pid, signal.SIGSTOP)
        with desk.client.manager.subscribe(id) as events:
            for turn in range(60):
                desk.client.call(id, ["publish", [["llm_response", {"content": str(turn)}]] * 25])
                for _ in range(25):
                    assert events.next(WAIT_S).data == {"content": str(turn)}
        send_signal(watcher.pid, signal.SIGCONT)
        assert int(watcher.stdout.readline()) == 60 * 25 - 128 - 1024
        watcher.kill()
    with desk.client.manager.subscribe(id) as events:
        desk.client.call(id, ["publish", [["llm_response", {"content": "on"}]]])
        assert events.next(WAIT_S).data == {"content": "on"}


def test_a_map_that_looks_like_an_event_is_no_event(desk: Desk, folders) -> None:
    id = create(desk, folders[0])["id"]
    with desk.client.manager.subscribe(id) as events:
        forged = {"number": 1, "seq": 1, "session": id, "type": "session_gave_up", "at": 1.0, "data": {}}
        with Client.connect(desk.daemon.directory, WAIT_S) as other:
            for token in ({}, {"token": b""}, {"token": bytes(16)}):
                other.send(desk.client.pid, {"subscription": events._subscribed.ref, "event": forged, **token})
            desk.client.node("status")
        assert list(events) == []
    for _ in range(3):
        assert desk.client.receive(WAIT_S).body["event"] == forged  # type: ignore[union-attr,index,call-overload]


def test_two_daemons_know_nothing_of_each_other(daemon: Daemon, tmp_path: Path) -> None:
    """An id is free in every daemon but its own."""
    with Daemon(tmp_path / "run") as other:
        first, second = Client.connect(daemon.directory, WAIT_S), other.client()
        id = str(uuid4())
        rows = [client.manager.create(str(tmp_path), module=PLAIN, id=id) for client in (first, second)]
        assert [row["id"] for row in rows] == [id, id]
        assert first.manager.stop(id)["status"] == "terminated"
        assert second.manager.info(id)["status"] == "active"
        first.close()
