"""RELIABILITY D5, D8, D9, F12'-F15', S1-S4: what may stand around the daemon in the file system, and who may come in."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from actorcore.frames import Farewell
from actorcore.runtime.memory import PAGE_BYTES
from supervisors import paths, place
from supervisors.client import Client
from supervisors.own_names import STORE
from supervisors.persistence.asking import ask_store
from supervisors.persistence.store_words import ListSaved
from tests.daemon_fixture import (
    BYSTANDERS,
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
    watched,
)
from tests.fault.test_store import memories_of
from tests.fault.wire import ANSWERS, dial

NOBODY_UID = 65534
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")


def second_start(directory: Path, *options: str) -> tuple[int, str]:
    """Exit status of a daemon that is started on ``directory``, and its last words."""
    argv = [sys.executable, "-m", "supervisors.daemon", "--dir", str(directory), *options]
    done = subprocess.run(argv, cwd=ROOT, stderr=subprocess.PIPE, text=True, timeout=WAIT_S, check=False)
    return done.returncode, done.stderr


def in_child(uid: int, act: Callable[[], bytes]) -> bytes:
    """What ``act`` returns, called in a child with this uid; an OSError gives the errno's name."""
    reader, writer = os.pipe()
    if (child := os.fork()) == 0:
        try:
            os.setgroups([])
            os.setresgid(uid, uid, uid)
            os.setresuid(uid, uid, uid)
            os.write(writer, act())
        except OSError as error:
            os.write(writer, type(error).__name__.encode())
        finally:  # whatever happens it does not go on as a second run of the tests
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as told:
        said = told.read()
    os.waitpid(child, 0)
    return said


# ---- what stands in the socket's place --------------------------------------------------------------------------------


def test_F12_the_socket_of_a_daemon_that_was_killed_is_replaced(tmp_path: Path) -> None:
    with Daemon(tmp_path / "run") as own:
        with watched(list(descendants(own.guardian_pid))) as handles:
            send_signal(own.guardian_pid, signal.SIGKILL)
            own.process.wait()
            assert await_deaths(handles)
        assert (own.directory / paths.SOCKET_NAME).is_socket()
        own.start()
        with Client.connect(own.directory, WAIT_S) as client:
            assert client.node("status")["generation"] == 1


@pytest.mark.parametrize("kind", ["file", "link to a file", "link to a socket", "directory", "fifo"])
def test_F12_what_is_not_a_socket_is_left_there_and_no_daemon_starts(tmp_path: Path, kind: str) -> None:
    directory = paths.prepare_directory(tmp_path / "run")
    path, other = directory / paths.SOCKET_NAME, tmp_path / paths.SOCKET_NAME
    with socket.socket(socket.AF_UNIX) as elsewhere, paths.socket_address(tmp_path) as address:
        elsewhere.bind(address)
        {
            "file": lambda: path.write_text("mine"),
            "link to a file": lambda: path.symlink_to(ROOT / "README.md"),
            "link to a socket": lambda: path.symlink_to(other),
            "directory": path.mkdir,
            "fifo": lambda: os.mkfifo(path),
        }[kind]()
        before = os.lstat(path)
        status, said = second_start(directory)
    assert (status, said) == (1, "error: not_permitted: actorcore.sock in the runtime directory is not a socket\n")
    assert os.lstat(path) == before
    assert other.is_socket()


@needs_root
def test_F12_a_socket_of_another_user_is_left_there(tmp_path: Path) -> None:
    directory = paths.prepare_directory(tmp_path / "run")
    with socket.socket(socket.AF_UNIX) as theirs, paths.socket_address(directory) as address:
        theirs.bind(address)
        os.chown(directory / paths.SOCKET_NAME, NOBODY_UID, NOBODY_UID)
        refusal = f"error: not_permitted: actorcore.sock in the runtime directory belongs to uid {NOBODY_UID}\n"
        assert second_start(directory) == (1, refusal)
        assert (directory / paths.SOCKET_NAME).is_socket()


def test_F13_a_second_daemon_says_who_runs_already_and_touches_nothing(own: Daemon) -> None:
    with desk_of(own) as desk:
        before = os.lstat(own.directory / paths.SOCKET_NAME), desk.node_os_pid()
        assert second_start(own.directory) == (100, f"error: already_exists: already running pid {own.guardian_pid}\n")
        assert (os.lstat(own.directory / paths.SOCKET_NAME), desk.node_os_pid()) == before


def test_a_refused_daemon_speaks_json_if_it_is_asked_to(tmp_path: Path) -> None:
    (tmp_path / "run").touch()
    detail = f"runtime directory {tmp_path / 'run'} is not a directory"
    meaning = "this may not be done, by this process or in this directory"
    expected = {"error": {"code": "not_permitted", "detail": detail, "meaning": meaning}}
    status, said = second_start(tmp_path / "run", "--json")
    assert (status, json.loads(said)) == (1, expected)


def test_D5_the_pid_of_a_living_stranger_in_the_lock_file_means_nothing(tmp_path: Path) -> None:
    directory = paths.prepare_directory(tmp_path / "run")
    (directory / place.LOCK_NAME).write_text(f"{os.getpid()}\n")
    with Daemon(directory) as own, Client.connect(directory, WAIT_S) as client:
        assert client.node("status")["generation"] == 1
        assert (directory / place.LOCK_NAME).read_text() == f"{own.guardian_pid}\n"


# ---- the runtime directory --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [0o777, 0o755, 0o710])
def test_F14_a_directory_that_others_may_enter_starts_no_daemon(tmp_path: Path, mode: int) -> None:
    directory = tmp_path / "run"
    directory.mkdir()
    directory.chmod(mode)
    assert second_start(directory) == (1, f"error: not_permitted: runtime directory {directory} has mode {mode:04o}, not 0700\n")
    assert os.listdir(directory) == []


def test_F14_a_symbolic_link_starts_no_daemon(tmp_path: Path) -> None:
    paths.prepare_directory(tmp_path / "real")
    (tmp_path / "run").symlink_to(tmp_path / "real")
    refusal = f"error: not_permitted: runtime directory {tmp_path / 'run'} is a symbolic link\n"
    assert second_start(tmp_path / "run") == (1, refusal)
    assert os.listdir(tmp_path / "real") == []


@needs_root
def test_F14_a_directory_of_another_user_starts_no_daemon(tmp_path: Path) -> None:
    directory = paths.prepare_directory(tmp_path / "run")
    os.chown(directory, NOBODY_UID, NOBODY_UID)
    refusal = f"error: not_permitted: runtime directory {directory} belongs to uid {NOBODY_UID}, not to 0\n"
    assert second_start(directory) == (1, refusal)


def test_F14_S1_S3_a_missing_directory_and_all_that_is_in_it_is_made_for_us_alone_even_under_umask_0(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with Daemon(tmp_path / "run") as own:
            own.bystanders()
            with desk_of(own) as desk:
                ask_store(desk.client, ListSaved(), WAIT_S)
            assert stat.S_IMODE(os.lstat(own.directory).st_mode) == 0o700
            modes = {path.name: stat.S_IMODE(path.lstat().st_mode) & 0o077 for path in own.directory.rglob("*")}
            assert {place.LOCK_NAME, paths.SOCKET_NAME, "state", "keys"} <= modes.keys()
            assert modes == dict.fromkeys(modes, 0)
            masks = {os_pid: umask_of(os_pid) for os_pid in (own.guardian_pid, *descendants(own.guardian_pid))}
            assert (masks[own.guardian_pid], set(masks.values()) - {""}) == ("0077", {"0077"})
    finally:
        os.umask(before)


def umask_of(os_pid: int) -> str:
    """Octal; empty for who is gone, as a zygote may be that nobody has run for two seconds."""
    try:
        return Path(f"/proc/{os_pid}/status").read_text().partition("Umask:\t")[2][:4]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def test_F15_a_socket_path_of_any_length_works(tmp_path: Path) -> None:
    (tmp_path / ("d" * 120)).mkdir()
    with Daemon(tmp_path / ("d" * 120) / ("e" * 120)) as own:
        own.bystanders()
        with desk_of(own) as desk:
            node = desk.node_os_pid()
            send_signal(node, signal.SIGKILL)  # the client finds the same path again
            while desk.node_os_pid() == node:
                pass


def test_S3_the_socket_has_its_mode_from_birth(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even under umask 0, and without a chmod of the path, which would come too late."""
    directory = paths.prepare_directory(tmp_path / "run")
    monkeypatch.setattr(os, "chmod", None)
    before = os.umask(0)
    try:
        with place.listen(directory):
            assert stat.S_IMODE(os.lstat(directory / paths.SOCKET_NAME).st_mode) == 0o600
    finally:
        os.umask(before)


def test_S2_no_socket_of_the_daemon_is_abstract(own: Daemon) -> None:
    named = names_of_sockets(own.guardian_pid, *descendants(own.guardian_pid))
    assert {Path(name).name for name in named} == {paths.SOCKET_NAME}
    with socket.socket(socket.AF_UNIX) as planted:
        planted.bind(f"\0{os.getpid()}")
        assert f"@{os.getpid()}" in names_of_sockets(os.getpid())


def names_of_sockets(*os_pids: int) -> set[str]:
    """Of all that these have open; an abstract one begins with @ (proc_net_unix(5))."""
    inodes = set[int]().union(*map(held, os_pids))
    lines = [line.split() for line in Path("/proc/net/unix").read_text().splitlines()[1:]]
    return {fields[7] for fields in lines if len(fields) > 7 and int(fields[6]) in inodes}


def test_S20_no_connection_of_a_client_is_ever_the_guardian_s(desk: Desk) -> None:
    guardian, node = (held(os_pid) for os_pid in (desk.daemon.guardian_pid, desk.node_os_pid()))
    lines = [line.split() for line in Path("/proc/net/unix").read_text().splitlines()[1:]]
    ours = {int(fields[6]): fields[3] for fields in lines if fields[7:] and fields[7].endswith(paths.SOCKET_NAME)}
    listening = {inode: flags for inode, flags in ours.items() if inode in guardian}
    assert list(listening.values()) == ["00010000"]  # __SO_ACCEPTCON
    assert len(ours.keys() & node) > len(listening)  # the desk's own, at least


def held(os_pid: int) -> set[int]:
    """The inodes of the sockets that a process has open; a file may have the same number."""
    found = set()
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it is gone
        for entry in os.listdir(f"/proc/{os_pid}/fd"):
            with contextlib.suppress(FileNotFoundError):  # closed meanwhile, as a newborn closes what it was forked with
                status = os.stat(f"/proc/{os_pid}/fd/{entry}")
                found |= {status.st_ino} if stat.S_ISSOCK(status.st_mode) else set()
    return found


# ---- who comes in -----------------------------------------------------------------------------------------------------


@needs_root
def test_S1_D8_another_user_does_not_reach_the_socket(desk: Desk) -> None:
    def act() -> bytes:
        dial(desk).close()
        return b"connected"

    assert in_child(NOBODY_UID, act) == b"PermissionError"


@needs_root
def test_S4_D8_another_user_who_reaches_it_all_the_same_is_refused_before_a_byte_is_read(own: Daemon) -> None:
    with desk_of(own) as desk:
        before = descriptors_beyond(desk)
        for path, mode in ((own.directory, 0o711), (own.directory / paths.SOCKET_NAME, 0o666)):
            os.chmod(path, mode)
        opened = [path for path in own.directory.parents if not path.stat().st_mode & 0o001]
        for path in opened:
            os.chmod(path, path.stat().st_mode | 0o001)
        try:
            said = in_child(NOBODY_UID, lambda: dial(desk).recv(1000))
        finally:
            for path in opened:
                os.chmod(path, path.stat().st_mode & ~0o001)
            os.chmod(own.directory, 0o700)
        assert ANSWERS.decode(said[4:]) == Farewell("not_permitted", "this daemon serves another user")
        assert descriptors_beyond(desk) == before


@needs_root
def test_S8_G11_nobody_of_the_user_may_look_into_guardian_node_and_store(tmp_path: Path) -> None:
    """proc(5): what may not be traced (PR_SET_DUMPABLE) has files of group 0 there, whatever group it runs in."""
    own = Daemon(tmp_path / "run")
    own.command = ["setpriv", "--regid", str(NOBODY_UID), "--clear-groups", *own.command]
    with own:
        own.bystanders()
        with desk_of(own) as desk:
            ask_store(desk.client, ListSaved(), WAIT_S)
            while len(nodes := [os_pid for os_pid in descendants(own.guardian_pid) if comm(os_pid) == "actor-node"]) < 2:
                pass  # until the spare bears its name
            at = {row["name"]: row["os_pid"] for row in desk.client.processes()}
            closed = [own.guardian_pid, *nodes, at[STORE]]
            groups = {os_pid: os.stat(f"/proc/{os_pid}/mem").st_gid for os_pid in (*closed, at["ada"])}
            assert (desk.node_os_pid() in nodes, len(nodes)) == (True, 2)
            assert groups == {**dict.fromkeys(closed, 0), at["ada"]: NOBODY_UID}


@needs_root
def test_S14_the_machine_secret_is_in_the_memory_of_the_store_and_of_nobody_else(own: Daemon, tmp_path: Path) -> None:
    """As root, for nobody else may look; also as the text that the file has."""
    (tmp_path / "project").mkdir()
    with desk_of(own) as desk:
        desk.started.append(str(desk.client.manager.create(str(tmp_path / "project"))["id"]))
        text = (own.directory / "state" / "keys").read_bytes().split()[1]
        secrets = (bytes.fromhex(text.decode()), text)
        at = {row["os_pid"]: str(row["name"]) for row in desk.client.processes()}
        everybody = [own.guardian_pid, *descendants(own.guardian_pid)]
        knowing = [os_pid for os_pid in everybody if any(s in some for some in memories_of(os_pid) for s in secrets)]
        assert [at.get(os_pid) for os_pid in knowing] == [STORE]
        assert {STORE, *BYSTANDERS} <= {at.get(os_pid) for os_pid in everybody}


@needs_root
def test_S13_S19_the_ledger_and_what_writes_to_the_registry_are_the_guardian_s_and_its_nodes_alone(desk: Desk) -> None:
    """The state that a successor or new code takes over is in a memfd that nobody else has or can find."""
    pid = desk.client.spawn("tests.fault.async_actors:idle")
    everybody = [desk.daemon.guardian_pid, *descendants(desk.daemon.guardian_pid)]
    held = {(name.rpartition("-")[2], *memory) for name, memories in map(named_with_memory, everybody) for memory in memories}
    desk.client.exit(pid, "kill")
    ours = {"guardian", "node"}
    assert {name for name, what, _ in held if what == "actorcore-ledger"} == ours
    assert {name for name, what, mode in held if what == "actorcore-registry" and "w" in mode} == ours
    actors = {memory[1:] for memory in held if memory[0].startswith("actor ")}  # a zygote, by whatever name, passes on two fds
    assert actors == {("actorcore-registry", "r--s"), ("actorcore-status", f"rw-s {PAGE_BYTES}")}
    assert {memory[1:] for memory in held if memory[0] not in ours} - actors <= {
        ("actorcore-registry", "fd"), ("actorcore-status", "fd")
    }  # fmt: skip


def named_with_memory(os_pid: int) -> tuple[str, set[tuple[str, str]]]:
    """The name that the process bears, and what it shares under it: who is just becoming another program is looked at again."""
    while True:
        name = comm(os_pid)
        memories = shared_by(os_pid) if name else set()
        if comm(os_pid) == name:
            return name, memories


def shared_by(os_pid: int) -> set[tuple[str, str]]:
    """Each memfd that the process has mapped, and how, or open (``fd``)."""
    found = set()
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it is gone
        for line in Path(f"/proc/{os_pid}/maps").read_text().splitlines():
            if "/memfd:" in line:
                place, mode, *_ = line.split()
                begin, end = (int(number, 16) for number in place.split("-"))
                found.add((line.partition("/memfd:")[2].split()[0], f"{mode} {end - begin}" if "w" in mode else mode))
        for entry in os.listdir(f"/proc/{os_pid}/fd"):
            with contextlib.suppress(FileNotFoundError):
                target = os.readlink(f"/proc/{os_pid}/fd/{entry}")
                found |= {(target.removeprefix("/memfd:").split()[0], "fd")} if target.startswith("/memfd:") else set()
    return found


def test_D9_a_peer_that_is_dead_before_it_is_accepted_leaves_nothing(desk: Desk) -> None:
    node, before = desk.node_os_pid(), descriptors_beyond(desk)

    def act() -> bytes:
        dial(desk).sendall(b"\0")  # it dies with this connection open
        return b"connected"

    send_signal(node, signal.SIGSTOP)
    try:
        assert in_child(os.geteuid(), act) == b"connected"
    finally:
        send_signal(node, signal.SIGCONT)
    assert (desk.node_os_pid(), descriptors_beyond(desk)) == (node, before)
