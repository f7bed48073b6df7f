"""R4, R5, R8, R12, A18, A19 in numbers: kills by the thousand on a real daemon, after which nothing is missing and nothing left.

In ``make test`` the numbers are small; ``make torture`` takes those of the goals (TORTURE=small, mid or full).
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from actorcore.pids import Pid
from actorcore.words import ProcessSpec
from supervisors.client import Client
from supervisors.clients.messages import DownMessage, InfoMessage, Ref
from supervisors.tree.child_spec import ChildSpec
from tests.conftest import Size, Tell
from tests.daemon_fixture import (
    WAIT_S,
    Daemon,
    Desk,
    await_deaths,
    descendants,
    descriptors_beyond,
    desk_of,
    send_signal,
    watched,
)
from tests.torture.load import ECHO, IDLE, Load, resident_bytes

DEADLY: dict[int, object] = {
    signal.SIGKILL: "killed", signal.SIGTERM: "shutdown",
    **{number: {"signal": number.name} for number in (
        signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGHUP, signal.SIGINT, signal.SIGUSR1, signal.SIGXCPU)},
}  # fmt: skip

pytestmark = pytest.mark.sized


def test_R4_kills_of_sessions_harm_no_bystander(tmp_path: Path, size: Size, tell: Tell) -> None:
    """A dozen at once, each with a true reason and back under its name; the bystanders' pids and counts stay."""
    kills, at_once = size("R4_KILLS", 1_000, 10_000, 100_000), 12
    chance = random.Random(4)
    with Daemon(tmp_path / "run") as daemon:
        daemon.bystanders()
        with desk_of(daemon) as desk:
            victims = {f"victim{number}": desk.start(f"victim{number}") for number in range(at_once)}
            before = descriptors_beyond(desk)
            done = 0
            while done < kills:
                done += kill_all(desk, victims, chance)
                assert desk.untouched() == desk.before, f"after {done} kills"
            assert descriptors_beyond(desk) == before
    tell(f"R4: {done:,} kills of sessions, 0 bystanders harmed")


def kill_all(desk: Desk, victims: dict[str, int], chance: random.Random) -> int:
    """Signal each victim's process; when this returns, all deaths were told truly and all victims are back."""
    expected: dict[Ref, object] = {}
    for name, os_pid in victims.items():
        number = chance.choice(list(DEADLY))
        expected[desk.client.monitor(name)] = DEADLY[number]
        send_signal(os_pid, number)
    assert {ref: desk.client.wait_down(ref, WAIT_S).reason for ref in expected} == expected
    for name in victims:
        victims[name] = desk.await_up(name)
    return len(expected)


def test_R8_kills_of_the_node_under_load_lose_no_connect_no_call_and_no_session(tmp_path: Path, size: Size, tell: Tell) -> None:
    kills = size("R8_KILLS", 50, 200, 1_000)
    with Daemon(tmp_path / "run") as daemon:
        daemon.bystanders()
        with desk_of(daemon) as desk, Load(daemon, clients=3) as load:
            generation = generation_of(desk)
            sessions = {f"s{number}": desk.start(f"s{number}") for number in range(20)}
            for _ in range(kills):
                with watched([desk.node_os_pid()]) as handles:
                    signal.pidfd_send_signal(handles[0], signal.SIGKILL)
                    assert await_deaths(handles)
            assert generation_of(desk) == generation + kills
            calls, connects = load.end()
            assert {name: desk.client.call(name, ["state", None], WAIT_S) for name in sessions} == {
                name: [os_pid, 0] for name, os_pid in sessions.items()
            }
    tell(f"R8: {kills:,} kills of the node under load, 0 of {connects:,} connects refused, 0 of {calls:,} calls lost, "
         f"0 of {len(sessions)} sessions lost")  # fmt: skip


def generation_of(desk: Desk) -> int:
    found = desk.client.node("status", WAIT_S)["generation"]
    assert isinstance(found, int)
    return found


def test_H4_R12_process_lifetimes_leave_nothing_and_memory_is_flat(tmp_path: Path, size: Size, tell: Tell) -> None:
    """H4: fds, shared memory, files, zombies as before; node and guardian grow by less than 1 KiB in 1,000 lifetimes."""
    lifetimes, batch = size("R12_LIVES", 1_000, 10_000, 100_000), 25
    chance = random.Random(12)
    own = Daemon(tmp_path / "run")
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    own.environment["TMPDIR"] = str(temporary)  # in the machine's others have something of the daemon's name as well
    with own as daemon:
        daemon.bystanders()
        with desk_of(daemon) as desk:
            for _ in range(12):  # pools, caches and the interpreter's own stores fill
                live_and_die(desk.client, batch, chance)
            before, memory = (descriptors_beyond(desk), litter(desk, temporary)), resident_bytes(daemon, desk.node_os_pid())
            for _ in range(lifetimes // batch):
                live_and_die(desk.client, batch, chance)
            assert (descriptors_beyond(desk), litter(desk, temporary)) == before
            assert makers_of_shared_memory(daemon) == set()
            grown = resident_bytes(daemon, desk.node_os_pid()) - memory
            assert grown < 256 * 1024 + lifetimes * 1.024, f"{grown} bytes more after {lifetimes} lifetimes"
    tell(f"R12: {lifetimes:,} process lifetimes, 0 descriptors, files, zombies left, {grown / 1024:.0f} KiB more memory")


def live_and_die(client: Client, count: int, chance: random.Random) -> None:
    """So many processes start, are called, and die in one of three ways; each death is told once."""
    pids = [client.spawn(ECHO) for _ in range(count)]
    refs: dict[Ref, tuple[Pid, str]] = {}
    for pid in pids:
        assert client.call(pid, 1) == 1
        reason = chance.choice(["killed", "shutdown", "normal"])
        refs[client.monitor(pid)] = (pid, reason)
        if reason == "normal":
            client.cast(pid, "stop")
        else:
            client.exit(pid, "kill" if reason == "killed" else reason)
    for ref, (pid, reason) in refs.items():
        assert client.wait_down(ref, WAIT_S) == DownMessage(ref, pid, reason)


def litter(desk: Desk, temporary: Path) -> list[str]:
    """Files of the daemon but the logs of who lives, temporary files, and those of its name in shared memory."""
    found = list(desk.daemon.directory.rglob("*"))
    living = {f"{row['serial']}.log" for row in desk.client.processes()}  # those on their way into the pool as well
    own = [str(path) for path in found if path.name not in living]
    return sorted([*own, *map(str, [*temporary.rglob("*"), *Path("/dev/shm").glob("actorcore*")])])


def makers_of_shared_memory(daemon: Daemon) -> set[str]:
    """The modules in its processes that make semaphores and memory of any name, as other programs of this machine do all the
    time: whose those are nobody can tell (shm_overview(7))."""
    found = set()
    for os_pid in [daemon.guardian_pid, *descendants(daemon.guardian_pid)]:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it is gone
            lines = Path(f"/proc/{os_pid}/maps").read_text().splitlines()
            found |= {name for line in lines for name in ("_posixshmem", "_multiprocessing") if f"/{name}." in line}
    return found


CLIENT = """
import sys
from supervisors.client import Client
client = Client.connect(sys.argv[1])
linked = client.spawn("tests.torture.actors:idle", link=True)
free = client.spawn("tests.torture.actors:idle")
client.send(sys.argv[2], {"linked": linked.serial, "free": free.serial})
for number in range(1_000_000):
    client.call("ada", ["state", None], 60)
    client.call(client.spawn("tests.torture.actors:idle", link=True), None, 60) if number % 3 == 1 else None
"""


def test_A18_clients_killed_in_mid_request_take_along_what_they_were_linked_to_and_nothing_else(
    tmp_path: Path, size: Size, tell: Tell
) -> None:
    kills = size("A18_KILLS", 10, 50, 500)
    chance = random.Random(18)
    with Daemon(tmp_path / "run") as daemon:
        daemon.bystanders()
        with desk_of(daemon) as desk:
            desk.client.node("status")
            before = processes(desk.client)
            for _ in range(kills):
                argv = [sys.executable, "-c", CLIENT, str(daemon.directory), desk.name]
                with subprocess.Popen(argv, env=daemon.environment) as client:
                    mail = desk.client.receive(WAIT_S)
                    assert isinstance(mail, InfoMessage)
                    serials = mail.body
                    assert isinstance(serials, dict)
                    pids = {word: Pid(desk.client.pid.instance, int(str(serial))) for word, serial in serials.items()}
                    refs = {word: desk.client.monitor(pid) for word, pid in pids.items()}
                    for _ in range(chance.randrange(40)):  # it is at work meanwhile, somewhere
                        desk.client.node("status")
                    client.kill()
                assert desk.client.wait_down(refs["linked"], WAIT_S).reason == "noconnection"
                assert desk.client.demonitor(refs["free"])
                desk.client.exit(pids["free"], "kill")
            while processes(desk.client) != before:  # what the last one was just starting dies of its link
                desk.client.node("status")
    tell(f"A18: {kills} clients killed in mid request, 0 of what they did not own lost, 0 processes left")


def processes(client: Client) -> list[object]:
    """Serials of all processes with a spec, and of all clients."""
    return [row["serial"] for row in client.processes() if row["phase"] != "warm" and row["phase"] != "forking"]


def test_A19_everything_killed_at_once_under_load_starts_again_clean(tmp_path: Path, size: Size, tell: Tell) -> None:
    rounds = size("A19_ROUNDS", 3, 20, 100)
    killed = 0
    with Daemon(tmp_path / "run") as daemon:
        for seed in range(rounds):
            daemon.bystanders()
            with Client.connect(daemon.directory, WAIT_S) as client:
                for _ in range(20):
                    client.spawn(IDLE)
                client.start_session(ChildSpec(f"s{seed}", ProcessSpec(IDLE), "permanent"))
                everybody = [daemon.guardian_pid, *descendants(daemon.guardian_pid)]
                random.Random(seed).shuffle(everybody)
                for _ in range(seed % 4):
                    client.spawn(IDLE, wait_init=False)
                killed += kill_everybody(everybody)
            assert daemon.process.wait() == -signal.SIGKILL
            daemon.start()
        daemon.bystanders()
        with desk_of(daemon) as desk:
            assert [row["id"] for row in desk.client.sessions()] == list(desk.before)
    tell(f"A19: {rounds} times everything killed at once, {killed:,} processes, 0 left, {rounds} clean starts")


def kill_everybody(os_pids: list[int]) -> int:
    """SIGKILL to all that are still there; how many died."""
    handles = []
    for os_pid in os_pids:
        try:
            handles.append(os.pidfd_open(os_pid))
        except ProcessLookupError:
            continue
    try:
        for handle in handles:
            try:
                signal.pidfd_send_signal(handle, signal.SIGKILL)
            except ProcessLookupError:  # an orphan that its reaper took first
                pass
        assert await_deaths(handles)
    finally:
        for handle in handles:
            os.close(handle)
    return len(handles)
