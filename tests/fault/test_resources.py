"""RELIABILITY C8, C10-C12, C14, C20, C23: the daemon without descriptors, processes, memory or a log; and with idle crowds."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import resource
import signal
import socket
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from actorcore.errors import RequestError
from actorcore.frames import Farewell, decode_down, decode_up
from actorcore.pids import Pid
from actorcore.runtime import descriptors
from actorcore.signals import Answer, ProcessSpec, Spawn
from supervisors import paths
from supervisors.client import Client
from supervisors.launch import connect_or_start
from supervisors.tree.child_spec import ChildSpec
from tests.daemon_fixture import (
    ROOT,
    WAIT_S,
    WITNESS,
    Daemon,
    Desk,
    await_deaths,
    descriptors_beyond,
    desk_of,
    send_signal,
    watched,
)
from tests.fault.limits import gate, no_descriptors_left
from tests.fault.wire import ANSWERS, dial, farewell_of, frame_of, greeted, hello, request, send

TOO_MANY = Farewell("resource_exhausted", "too many connections")
POOL = 8
"""Of the template lean, without a configuration."""
MORE_THAN_THE_POOL = 2 * POOL
BURST = 60
WHY = {"directory": "Is a directory", "symlink": "Too many levels of symbolic links", "fifo": "No such device or address"}


def records(log: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]


def count(log: Path, kind: str) -> int:
    return sum(record["kind"] == kind for record in records(log))


# ---- descriptors ----------------------------------------------------------------------------------------------------


def test_C8_out_of_descriptors_newcomers_are_refused_with_a_word_and_the_others_are_served(own: Daemon) -> None:
    with desk_of(own) as desk:
        await_pool(desk)  # or a newborn's pidfd finds no room, which the node does not survive
        node, before = desk.node_os_pid(), descriptors_beyond(desk)
        started = time.monotonic()
        with no_descriptors_left(node):
            for _ in range(100):
                with dial(desk) as sock:
                    assert farewell_of(sock) == TOO_MANY
                assert desk.client.call("ada", ["state", None]) == desk.before["ada"]
                assert desk.client.whereis("ada") is not None
            with pytest.raises(RequestError) as caught:
                Client.connect(own.directory, WAIT_S)
            assert caught.value.code == "resource_exhausted"
        elapsed_s = time.monotonic() - started
        with Client.connect(own.directory, WAIT_S) as client:
            assert client.call("ada", ["state", None]) == desk.before["ada"]
        assert 1 <= count(own.log, "descriptors_exhausted") <= elapsed_s + 1
        assert (desk.node_os_pid(), descriptors_beyond(desk)) == (node, before)


def test_C8_S18_the_last_descriptors_are_not_for_newcomers(own: Daemon) -> None:
    """Those who are here still need some: for a channel, for a look into /proc."""
    with desk_of(own) as desk, ExitStack() as stack:
        node, limit = desk.node_os_pid(), 128
        resource_limit(node, limit)
        answers = []
        while TOO_MANY not in answers:
            sock = stack.enter_context(dial(desk))
            send(sock, hello())
            answers.append(first_frame(sock))
        assert limit - len(os.listdir(f"/proc/{node}/fd")) >= descriptors.RESERVED // 2
        assert [desk.client.call(name, ["state", None]) for name in desk.before] == list(desk.before.values())


def test_C10_a_node_without_descriptors_refuses_spawns_and_leaks_nothing(own: Daemon) -> None:
    with desk_of(own) as desk:
        await_pool(desk)
        node, before = desk.node_os_pid(), descriptors_beyond(desk)
        with no_descriptors_left(node):
            assert spawn_many(desk) == ("resource_exhausted", "emfile")
            assert start_session(desk, "late") == ("start_failed", '{"resource_exhausted":"emfile"}')
        end_spawned(desk)
        desk.start("late")
        desk.client.stop_session("late")
        assert (desk.node_os_pid(), descriptors_beyond(desk)) == (node, before)


def test_C10_a_burst_at_the_edge_keeps_a_descriptor_for_every_process_that_is_born(own: Daemon) -> None:
    """A process costs the node a second descriptor only when it is there: the pidfd must still find room."""
    with desk_of(own) as desk, dial(desk) as sock:
        await_pool(desk)
        node, before = desk.node_os_pid(), descriptors_beyond(desk)
        greeted(sock)
        resource_limit(node, len(os.listdir(f"/proc/{node}/fd")) + descriptors.RESERVED + POOL)
        for number in range(1, BURST + 1):
            sock.sendall(request(number, Spawn(ProcessSpec(WITNESS))))
        answers = [decode_down(frame_of(sock))[0].body for _ in range(BURST)]
        refused = [body.error for body in answers if isinstance(body, Answer) and body.error is not None]
        assert refused == [("resource_exhausted", "emfile")] * len(refused)
        assert POOL <= BURST - len(refused) < BURST
        resource_limit(node, before + 1000)
        for body in answers:
            if isinstance(body, Answer) and isinstance(body.value, int):
                desk.client.kill(Pid(desk.client.pid.instance, body.value))
        assert (desk.node_os_pid(), descriptors_beyond(desk)) == (node, before)


def test_C10_a_guardian_without_descriptors_has_spawns_refused_and_lives_on(own: Daemon) -> None:
    with desk_of(own) as desk:
        await_pool(desk)  # a newborn that the guardian cannot watch is killed
        node, before = desk.node_os_pid(), descriptors_beyond(desk)
        with no_descriptors_left(own.guardian_pid):
            assert spawn_many(desk) == ("resource_exhausted", "emfile")
        end_spawned(desk)
        desk.start("late")
        desk.client.stop_session("late")
        assert (desk.node_os_pid(), descriptors_beyond(desk)) == (node, before)


def test_C10_a_guardian_without_descriptors_still_tells_deaths_and_takeovers(own: Daemon) -> None:
    with desk_of(own) as desk:
        victim = desk.start("victim")
        await_pool(desk)  # whoever starts again does so in a process that is there
        with no_descriptors_left(own.guardian_pid):
            assert desk.signal("victim", victim, signal.SIGKILL).reason == "killed"
            node = desk.node_os_pid()
            with watched([node]) as handles:
                send_signal(node, signal.SIGKILL)
                assert await_deaths(handles)
            assert desk.node_os_pid() != node
            assert desk.await_up("victim") != victim
        desk.client.stop_session("victim")


def test_a_daemon_takes_all_the_descriptors_that_it_may_have_and_its_processes_get_what_it_was_given(tmp_path: Path) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    daemon = Daemon(tmp_path / "run")
    daemon.command = ["sh", "-c", 'ulimit -Sn 256 && exec "$@"', "sh", *daemon.command]
    with daemon:
        daemon.bystanders()
        with desk_of(daemon) as desk:
            for os_pid in (daemon.guardian_pid, desk.node_os_pid()):
                assert resource.prlimit(os_pid, resource.RLIMIT_NOFILE) == (hard, hard)
            given = {}
            for isolation, limits in (("fork", {}), ("exec", {}), ("fork", {"nofile": 300})):
                spec = ProcessSpec("tests.fault.newborn:Newborn", isolation=isolation, limits=limits)  # type: ignore[arg-type]
                pid = desk.client.spawn_spec(spec)
                given[isolation, *limits] = desk.client.call(pid, ["found", None])["limits"]["nofile"]  # type: ignore[index, call-overload]
                desk.client.stop(pid)
            assert given == {("fork",): [256, hard], ("exec",): [256, hard], ("fork", "nofile"): [300, 300]}


def test_C10_a_zygote_without_descriptors_is_replaced_and_no_spawn_is_lost(own: Daemon) -> None:
    with desk_of(own) as desk:
        await_pool(desk)  # what is forked under the limit has it too
        with no_descriptors_left(own.zygote_pid()):
            pids = [desk.client.spawn(WITNESS) for _ in range(MORE_THAN_THE_POOL)]
        assert len(set(pids)) == MORE_THAN_THE_POOL
        for pid in pids:
            desk.client.kill(pid)


# ---- processes and memory -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [errno.EAGAIN, errno.ENOMEM])
def test_C11_C12_when_the_kernel_refuses_forks_askers_hear_it_and_restarts_wait(tmp_path: Path, number: int) -> None:
    name = errno.errorcode[number].lower()
    own = Daemon(tmp_path / "run")
    flag = gate(tmp_path)
    own.environment["PYTHONPATH"] = f"{tmp_path}:{ROOT}"
    with own:
        own.bystanders()
        with desk_of(own) as desk:
            before = descriptors_beyond(desk)
            victim = desk.start("victim", intensity=1, period_s=1000.0)
            flag.write_text(str(number))
            replace_zygote(own)
            assert spawn_many(desk) == ("resource_exhausted", name)
            assert start_session(desk, "late") == ("start_failed", f'{{"resource_exhausted":"{name}"}}')
            ref = desk.client.monitor("victim")
            send_signal(victim, signal.SIGKILL)
            assert desk.client.wait_down(ref, WAIT_S).reason == "killed"
            while desk.row("victim")["reason"] != {"resource_exhausted": name}:  # its first restart has failed
                pass
            assert desk.row("victim")["state"] == "restarting"
            flag.unlink()
            replace_zygote(own)
            desk.await_up("victim")
            assert (desk.row("victim")["state"], desk.row("victim")["restarts"]) == ("active", 1)
            end_spawned(desk)
            desk.client.stop_session("victim")
            assert descriptors_beyond(desk) == before


# ---- memory: a frame that this process cannot hold decoded ------------------------------------------------------------


def test_C14_a_frame_that_there_is_no_memory_to_decode_is_refused_as_any_other() -> None:
    many_maps = b"\x91\x93\xa8numbered\x01\x93\xa9send_exit\x05\x81\xa1x\xdc\xd6\xd8" + b"\x80" * 0xD6D8
    reader, writer = os.pipe()
    if (child := os.fork()) == 0:
        try:
            used = int(Path("/proc/self/statm").read_text().split()[0]) * 4096
            resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 20), resource.RLIM_INFINITY))
            decode_up(many_maps)
        except BaseException as error:
            os.write(writer, type(error).__name__.encode())
        finally:  # whatever happens, also for want of memory, it does not go on as a second run of the tests
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as said:
        assert said.read() == "ProtocolError"
    os.waitpid(child, 0)


# ---- the daemon's log -------------------------------------------------------------------------------------------------


def test_C20_a_log_pipe_that_nobody_reads_delays_nobody_and_what_is_lost_is_counted(tmp_path: Path) -> None:
    own = Daemon(tmp_path / "run")
    reader, own.stderr = os.pipe()
    fcntl.fcntl(own.stderr, fcntl.F_SETPIPE_SZ, 4096)
    with os.fdopen(reader, "rb") as pipe, own:
        os.close(own.stderr)
        own.bystanders()
        with desk_of(own) as desk:
            await_dropped(desk)
            victim = desk.start("victim")
            started = time.monotonic()
            assert desk.signal("victim", victim, signal.SIGKILL).reason == "killed"
            desk.await_up("victim")
            desk.client.stop_session("victim")
            assert time.monotonic() - started < WAIT_S
            node = desk.node_os_pid()
            with watched([node]) as handles:
                send_signal(node, signal.SIGKILL)
                assert await_deaths(handles)
            assert desk.node_os_pid() != node
            os.set_blocking(reader, False)
            told = b""
            while not any(b'"dropped":' in line and b'"dropped":0' not in line for line in told.splitlines()):
                told += pipe.read() or b""  # room again: the next record tells how many before it are missing
                Client.connect(own.directory, WAIT_S).close()
        assert [json.loads(line)["kind"] for line in told.splitlines(keepends=True) if line.endswith(b"\n")] != []


@pytest.mark.parametrize("log", ["/dev/full", "deleted"])
def test_C20_a_full_disk_or_a_deleted_log_harms_nobody(tmp_path: Path, log: str) -> None:
    own = Daemon(tmp_path / "run")
    if log == "deleted":
        path = tmp_path / "gone.log"
        own.stderr = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        path.unlink()
    else:
        own.stderr = os.open(log, os.O_WRONLY)
    with own:
        os.close(own.stderr)
        own.bystanders()
        with desk_of(own) as desk:
            victim = desk.start("victim")
            assert desk.signal("victim", victim, signal.SIGSEGV).reason == {"signal": "SIGSEGV"}
            desk.await_up("victim")
            node = desk.node_os_pid()
            with watched([node]) as handles:
                send_signal(node, signal.SIGKILL)
                assert await_deaths(handles)
            assert desk.node_os_pid() != node
            desk.client.stop_session("victim")
            if log == "/dev/full":
                await_dropped(desk)


@pytest.mark.parametrize("obstacle", ["directory", "symlink", "fifo"])
def test_C20_a_log_path_that_is_something_else_is_refused_in_words(tmp_path: Path, obstacle: str) -> None:
    directory = paths.prepare_directory(tmp_path / "run")
    path = directory / paths.LOG_NAME
    {"directory": path.mkdir, "symlink": lambda: path.symlink_to(tmp_path / "x"), "fifo": lambda: os.mkfifo(path)}[obstacle]()
    with pytest.raises(RequestError) as caught:
        connect_or_start(directory)
    assert caught.value.code == "start_failed"
    assert caught.value.detail == f"{paths.LOG_NAME} in the runtime directory cannot be written: {WHY[obstacle]}"


# ---- crowds -----------------------------------------------------------------------------------------------------------


def test_C23_a_thousand_idle_clients_and_a_slow_loris_disturb_nobody(own: Daemon, capsys: pytest.CaptureFixture[str]) -> None:
    with desk_of(own) as desk, ExitStack() as stack:
        node, before = desk.node_os_pid(), descriptors_beyond(desk)
        for _ in range(1000):
            greeted(stack.enter_context(dial(desk)))
        slow = stack.enter_context(dial(desk))
        slow.settimeout(0.1)
        waits, whole, gone = [], hello(), False
        for at in range(len(whole)):  # a byte every tenth of a second: the whole hello takes longer than the deadline
            started = time.perf_counter()
            assert desk.client.call("ada", ["state", None]) == desk.before["ada"]
            assert desk.client.whereis("ada") is not None
            waits.append(time.perf_counter() - started)
            send(slow, whole[at : at + 1])
            try:
                gone = bool(slow.recv(1, socket.MSG_PEEK))
                break
            except TimeoutError:
                pass
        assert gone
        slow.settimeout(WAIT_S)
        assert farewell_of(slow) == Farewell("timeout", "no hello")
        with capsys.disabled():
            print(f"\nC23: beside 1,000 idle clients call and whereis: {sorted(waits)[len(waits) // 2] * 1e3:.2f} ms (median)")
        stack.close()
        assert (desk.node_os_pid(), descriptors_beyond(desk)) == (node, before)


# ---- what the tests share ---------------------------------------------------------------------------------------------


def resource_limit(os_pid: int, limit: int) -> None:
    resource.prlimit(os_pid, resource.RLIMIT_NOFILE, (limit, resource.prlimit(os_pid, resource.RLIMIT_NOFILE)[1]))


def first_frame(sock: socket.socket) -> object:
    return ANSWERS.decode(frame_of(sock))


def await_pool(desk: Desk) -> None:
    """Until no fork is under way and none is wanted."""
    while sum(row["phase"] == "warm" for row in desk.client.processes()) < POOL:
        pass


def spawn_many(desk: Desk) -> tuple[str, str]:
    """Spawn until it is refused, once the pool is empty; the refusal."""
    for _ in range(MORE_THAN_THE_POOL):
        try:
            desk.client.spawn(WITNESS)
        except RequestError as error:
            return error.code, error.detail
    raise AssertionError("never refused")


def end_spawned(desk: Desk) -> None:
    """What spawn_many has started, which is no session."""
    mine = desk.client.pid.serial
    for row in list(desk.client.processes()):
        if row["parent"] == mine:
            desk.client.kill(type(desk.client.pid)(desk.client.pid.instance, int(str(row["serial"]))))


def start_session(desk: Desk, session: str) -> tuple[str, str]:
    with pytest.raises(RequestError) as caught:
        desk.client.start_session(ChildSpec(id=session, process=ProcessSpec(WITNESS, [desk.name], name=session)))
    return caught.value.code, caught.value.detail


def await_dropped(desk: Desk) -> None:
    """Until the status shows that lines of the log are lost; every client that comes and goes costs some."""
    while not desk.client.node("status")["log_dropped"]:
        Client.connect(desk.daemon.directory, WAIT_S).close()


def replace_zygote(daemon: Daemon) -> None:
    """Kill the zygote; the next one is there when this returns."""
    zygote = daemon.zygote_pid()
    with watched([zygote]) as handles:
        send_signal(zygote, signal.SIGKILL)
        assert await_deaths(handles)


# ---- the node's own state ---------------------------------------------------------------------------------------------


def is_crowded(desk: Desk) -> bool:
    try:
        return not desk.client.demonitor(desk.client.monitor("ada"))
    except RequestError as error:
        return error.code == "resource_exhausted"


def test_more_state_than_a_snapshot_can_hold_is_refused_and_the_daemon_goes_on(own: Daemon) -> None:
    """Each process has 50 kB of arguments, which the ledger keeps while it lives; half of the ledger is 32 MiB."""
    big = ProcessSpec("tests.fault.actors:idle", ["x" * 50_000])
    with desk_of(own) as desk:
        node = desk.node_os_pid()
        pids = []
        with pytest.raises(RequestError, match=r"^resource_exhausted: the daemon holds all that it can"):
            while len(pids) < 1000:
                pids.append(desk.client.spawn_spec(big, wait_init=False))
        assert 200 < len(pids) < 500
        with pytest.raises(RequestError, match=r"^resource_exhausted"):
            desk.client.monitor("ada")
        assert desk.client.call("ada", ["add", 0], WAIT_S) == 1  # beside hundreds that are being born
        for pid in pids:
            desk.client.exit(pid, "kill")
        while desk.client.node("status")["dying"]:
            pass
        while is_crowded(desk):  # until the next snapshot
            pass
        assert desk.node_os_pid() == node
