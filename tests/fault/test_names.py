"""Names under fire: real deaths, real daemons, names read through shared memory by other processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from actorcore.effects import Kill
from actorcore.errors import RequestError
from actorcore.frames import Numbered, Welcome, encoder
from actorcore.names import encode_value
from actorcore.pids import Pid
from actorcore.signals import Booted, Born, Exited, ProcessSpec, Register, RegisterMany, SendExit, Whereis
from supervisors.client import Client
from supervisors.tree.child_spec import ChildSpec
from tests.daemon_fixture import ROOT, WAIT_S, Daemon, Desk, await_deaths, desk_of, send_signal, stopped, watched
from tests.fault.wire import ANSWERS, dialled, exact, framed, hello
from tests.linearizability import FREE, Operation, first_impossible
from tests.registry_torture import fork, heard
from tests.table_driver import Driver

WITNESS, IDLE, HISTORIAN = "tests.fault.actors:Witness", "tests.fault.actors:idle", "tests.fault.historian:Historian"
SIGNALS = [
    signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGABRT, signal.SIGSEGV, signal.SIGBUS,
    signal.SIGFPE, signal.SIGILL, signal.SIGXCPU, signal.SIGXFSZ, signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM,
    signal.SIGVTALRM, signal.SIGPROF, signal.SIGTRAP, signal.SIGSYS,
]  # fmt: skip


WAITING: Any = {"restart": "permanent", "backoff_initial_s": 60.0, "backoff_max_s": 60.0, "give_up": "never"}
"""A session that is not back before the test has looked around."""


def pid_of(desk: Desk, serial: int) -> Pid:
    return Pid(desk.client.pid.instance, serial)


def os_pid_of(desk: Desk, serial: int) -> int:
    [os_pid] = [row["os_pid"] for row in desk.client.processes() if row["serial"] == serial]
    assert isinstance(os_pid, int)
    return os_pid


def seen(desk: Desk, name: str, by: Pid | str = "ada") -> object:
    """What another process finds in shared memory; who asks a Pid asks past the node."""
    return desk.client.call(by, ["lookup_value", name])


# ---- the holder dies ----


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_acceptance_33_a_name_is_gone_when_its_owner_s_death_by_any_signal_is_told_and_can_be_taken(
    desk: Desk, number: signal.Signals
) -> None:  # fmt: skip
    owner = desk.client.spawn(WITNESS)
    assert desk.client.call(owner, ["register", ["own", {"n": 1}]]) is True
    assert seen(desk, "own") == [owner.serial, {"n": 1}]
    assert desk.client.call("ada", ["lookup", "own"]) == owner.serial
    ref = desk.client.monitor(owner)
    send_signal(os_pid_of(desk, owner.serial), number)
    desk.client.wait_down(ref, WAIT_S)
    assert (desk.client.call("ada", ["lookup", "own"]), seen(desk, "own"), desk.client.lookup("own")) == (None, None, None)
    heir = desk.client.spawn(IDLE)
    desk.client.register("own", heir, "again")
    assert seen(desk, "own") == [heir.serial, "again"]
    desk.client.unregister("own")
    desk.client.exit(heir, "kill")


def test_B12_a_killed_session_keeps_the_name_in_its_spec_and_loses_the_one_it_took(desk: Desk) -> None:
    spec = ChildSpec("waiting", ProcessSpec(WITNESS, name="in-spec"), **WAITING)
    other = ChildSpec("plain", ProcessSpec(WITNESS), **WAITING)
    first, plain = (desk.client.start_session(one)["serial"] for one in (spec, other))
    assert isinstance(first, int) and isinstance(plain, int)
    desk.started += ["waiting", "plain"]
    assert desk.client.call(pid_of(desk, plain), ["register", ["taken-by-itself", None]]) is True
    for serial in (first, plain):
        ref = desk.client.monitor(pid_of(desk, serial))
        send_signal(os_pid_of(desk, serial), signal.SIGKILL)
        assert desk.client.wait_down(ref, WAIT_S).reason == "killed"
    assert [desk.row(id)["state"] for id in ("waiting", "plain")] == ["restarting", "restarting"]
    assert (seen(desk, "in-spec"), desk.client.whereis("in-spec")) == (None, None)
    with pytest.raises(RequestError) as refused:
        desk.client.register("in-spec", desk.client.whereis("ada"))
    assert refused.value.code == "already_registered"
    thief = desk.client.spawn(WITNESS)
    assert desk.client.call(thief, ["register", ["in-spec", None]]) == "already_registered"
    with pytest.raises(RequestError):
        desk.client.spawn(IDLE, name="in-spec")
    assert desk.client.call(thief, ["register", ["taken-by-itself", None]]) is True
    desk.client.exit(thief, "kill")
    row = desk.client.restart_session("waiting")
    assert row["serial"] != first
    assert desk.client.call("ada", ["lookup", "in-spec"]) == row["serial"]


def test_B12_the_name_of_a_session_that_is_stopped_while_it_waits_is_free(desk: Desk) -> None:
    spec = ChildSpec("waiting", ProcessSpec(WITNESS, name="in-spec"), **WAITING)
    serial = desk.client.start_session(spec)["serial"]
    assert isinstance(serial, int)
    ref = desk.client.monitor("in-spec")
    send_signal(os_pid_of(desk, serial), signal.SIGKILL)
    desk.client.wait_down(ref, WAIT_S)
    desk.client.stop_session("waiting")
    pid = desk.client.spawn(IDLE, name="in-spec")
    desk.client.exit(pid, "kill")


def test_B11_B18_who_waits_for_its_restart_is_dead_for_monitors_and_a_stop_ends_its_waiting_at_once(desk: Desk) -> None:
    serial = desk.client.start_session(ChildSpec("waiting", ProcessSpec(WITNESS, name="in-spec"), **WAITING))["serial"]
    assert isinstance(serial, int)
    first = desk.client.monitor("in-spec")
    send_signal(os_pid_of(desk, serial), signal.SIGKILL)
    assert desk.client.wait_down(first, WAIT_S).reason == "killed"
    assert desk.row("waiting")["state"] == "restarting"
    for target in ("in-spec", pid_of(desk, serial), pid_of(desk, 1 << 40), "never-was"):
        assert desk.client.wait_down(desk.client.monitor(target), WAIT_S).reason == "noproc"
    assert desk.client.stop_session("waiting")["state"] == "stopped"
    assert ("waiting" in {row["id"] for row in desk.client.sessions()}, desk.client.whereis("in-spec")) == (False, None)


# ---- the registry's owner dies, or stands still ----


def test_acceptance_53_B6_after_a_node_s_death_all_names_and_values_are_there_again(own: Daemon) -> None:
    with desk_of(own) as desk:
        pids = {f"name-{at}": desk.client.spawn(IDLE) for at in range(20)}
        values = {name: {"at": name, "filler": "x" * 90 * at} for at, name in enumerate(pids)}
        desk.client.register_many(pids, values)
        wanted = {name: [pid.serial, values[name]] for name, pid in pids.items()}
        assert {name: seen(desk, name) for name in pids} == wanted
        ada = desk.client.whereis("ada")
        assert ada is not None and seen(desk, "name-0", ada) == wanted["name-0"]
        kill_the_node(desk)
        assert {name: seen(desk, name, ada) for name in pids} == wanted  # also while there is no node
        assert {name: desk.client.lookup(name) for name in pids} == {name: (pids[name], values[name]) for name in pids}
        desk.start("kept", **WAITING)
        refs = [desk.client.monitor(name) for name in ("name-7", "kept")]
        kill_the_node(desk, "name-7", "kept")
        assert [desk.client.wait_down(ref, WAIT_S).reason for ref in refs] == ["killed", "killed"]
        desk.client.exit(pids.pop("name-7"), "kill")
        assert {name: seen(desk, name) for name in wanted} == {**wanted, "name-7": None}
        with pytest.raises(RequestError, match=r"^already_registered"):
            desk.client.register("kept", desk.client.whereis("ada"))
        for pid in pids.values():
            desk.client.exit(pid, "kill")


def kill_the_node(desk: Desk, *names: str) -> None:
    """And, an instant before, who has these names."""
    node = desk.node_os_pid()
    doomed = [os_pid_of(desk, pid.serial) for pid in map(desk.client.whereis, names) if pid is not None]
    with watched([*doomed, node]) as handles:
        for handle in handles:
            signal.pidfd_send_signal(handle, signal.SIGKILL)
        assert await_deaths(handles)


def test_acceptance_40_names_and_values_are_read_while_the_node_is_stopped(own: Daemon) -> None:
    with desk_of(own) as desk:
        pid = desk.client.spawn(IDLE)
        desk.client.register("here", pid, [1, 2])
        ada = desk.client.whereis("ada")
        assert ada is not None and seen(desk, "here", ada) == [pid.serial, [1, 2]]  # and the channel to ada is open
        with stopped(desk.node_os_pid()):
            for name in ("here", "nowhere", "here"):
                found = [pid.serial, [1, 2]] if name == "here" else None
                assert (seen(desk, name, ada), desk.client.call(ada, ["lookup", name])) == (found, found and found[0])
        desk.client.exit(pid, "kill")


# ---- batches ----


def test_acceptance_37_a_client_killed_in_the_middle_of_a_batch_has_registered_all_of_it_or_nothing(desk: Desk) -> None:
    pids = [desk.client.spawn(IDLE) for _ in range(3)]
    names = [f"batch-{at}" for at in range(3)]
    entries = [Register(name, pid.serial, encode_value(name)) for name, pid in zip(names, pids, strict=True)]
    frame = framed(encoder.encode([Numbered(1, RegisterMany(entries))]))
    all_of_it = {name: [pid.serial, name] for name, pid in zip(names, pids, strict=True)}
    for cut in (1, 4, 5, len(frame) // 2, len(frame) - 1, len(frame)):
        told, said = os.pipe()

        def say_and_wait(cut: int = cut, said: int = said) -> str:
            with dialled(desk) as sock:
                sock.sendall(hello())
                welcome = ANSWERS.decode(exact(sock, int.from_bytes(exact(sock, 4), "big")))
                assert isinstance(welcome, Welcome)
                sock.sendall(frame[:cut])
                os.write(said, welcome.serial.to_bytes(8, "big"))
                signal.pause()
            return ""

        child, pipe = fork(say_and_wait)
        serial = int.from_bytes(os.read(told, 8), "big")
        os.close(told)
        os.close(said)
        ref = desk.client.monitor(pid_of(desk, serial))
        send_signal(child, signal.SIGKILL)
        heard(child, pipe)
        desk.client.wait_down(ref, WAIT_S)
        found = {name: seen(desk, name) for name in names}
        assert found == (all_of_it if cut == len(frame) else dict.fromkeys(names)), f"{cut} of {len(frame)} bytes"
    for pid in pids:  # acceptance 38
        ref = desk.client.monitor(pid)
        desk.client.exit(pid, "kill")
        desk.client.wait_down(ref, WAIT_S)
    assert {name: seen(desk, name) for name in names} == dict.fromkeys(names)


def test_acceptance_32_36_38_a_batch_with_one_bad_name_registers_none_and_takes_no_name_from_a_death(desk: Desk) -> None:
    pids = {f"batch-{at}": desk.client.spawn(IDLE) for at in range(3)}
    with pytest.raises(RequestError) as refused:
        desk.client.register_many({**pids, "Bad": desk.client.pid})
    assert refused.value.code == "invalid_key"
    assert [seen(desk, name) for name in pids] == [None] * 3
    desk.client.register_many(pids)
    with pytest.raises(RequestError, match=r'^already_registered: {"another":"batch-0"}'):
        desk.client.register_many({"another": pids["batch-0"], "batch-1": pids["batch-1"]})
    assert [seen(desk, name) for name in pids] == [[pid.serial, None] for pid in pids.values()]
    for pid in pids.values():
        ref = desk.client.monitor(pid)
        send_signal(os_pid_of(desk, pid.serial), signal.SIGKILL)
        assert desk.client.wait_down(ref, WAIT_S).reason == "killed"
    assert [seen(desk, name) for name in (*pids, "another")] == [None] * 4


# ---- everybody at once ----


def test_R10_what_the_node_and_shared_memory_tell_of_names_is_linearizable_over_node_deaths(own: Daemon) -> None:
    names, rounds, count = ["one", "two"], 8, 300
    histories: list[list[Operation]] = [[] for _ in names]

    def ask(at: int, pid: Pid, seed: int) -> None:
        with Client.connect(own.directory, WAIT_S) as client:
            notes = client.call(pid, [names, count, seed], WAIT_S)
        assert isinstance(notes, list)
        for place, *operation in notes:
            histories[place].append(Operation(*operation))

    with desk_of(own) as desk:
        pids = [desk.client.spawn(HISTORIAN) for _ in range(4)]
        for turn in range(rounds):
            with ThreadPoolExecutor() as threads:
                asked = [threads.submit(ask, at, pid, turn * 10 + at) for at, pid in enumerate(pids)]
                kill_the_node(desk)
            for one in asked:
                one.result()
        for pid in pids:
            desk.client.exit(pid, "kill")
    assert [first_impossible(history) for history in histories] == [None, None]
    assert sum(map(len, histories)) == rounds * count * len(pids)
    assert all(sum(one.need == FREE != one.then for one in history) > 100 for history in histories)


# ---- numbers that come again ----


def test_acceptance_34_D4_an_os_pid_that_comes_again_resolves_to_nobody_s_name(tmp_path: Path) -> None:
    """With a pid namespace of its own the kernel is made to give a dead one's number again."""
    namespace = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
    if subprocess.run([*namespace, "true"], capture_output=True).returncode != 0:
        os_pids_come_again_in_the_table()
        return
    argv = [*namespace, sys.executable, "-m", "tests.fault.pid_reuse", str(tmp_path)]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, "reused"), done.stderr[-2000:]


def test_acceptance_34_D4_D6_the_table_knows_incarnations_by_serial_not_by_os_pid() -> None:
    os_pids_come_again_in_the_table()


def os_pids_come_again_in_the_table() -> None:
    """The same promise at the boundary of the pure core, for machines that give no namespaces."""
    node = Driver()
    dead, stranger = node.fork(), node.fork()
    node.do(Born(dead, 1234))
    node.do(Booted(dead))
    node.value(dead, Register("victim"))
    node.kill(dead)
    node.do(Born(stranger, 1234))
    node.do(Booted(stranger))
    client = node.client()
    assert node.value(client, Whereis("victim")) is None
    assert [e for e in node.ask(client, SendExit(dead, "kill")) if isinstance(e, Kill)] == []
    node.value(stranger, Register("victim"))
    node.do(Exited(dead, 2, 9))  # told late, or once more
    assert node.value(client, Whereis("victim")) == stranger
