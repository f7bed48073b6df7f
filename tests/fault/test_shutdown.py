"""RELIABILITY B13 and B14: while the daemon ends, what crashes stays dead and nothing is started."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from actorcore.errors import RequestError
from actorcore.signals import ProcessSpec
from supervisors.client import Client
from supervisors.tree.child_spec import ChildSpec
from tests.daemon_fixture import WAIT_S, Daemon, await_deaths, descendants, send_signal, watched

IDLE = "tests.fault.actors:idle"
LAST_WORDS = "tests.fault.actors:LastWords"
STARTS: dict[str, Callable[[Client], object]] = {
    "a process": lambda client: client.spawn(IDLE),
    "a process without waiting": lambda client: client.spawn(IDLE, wait_init=False),
    "a session": lambda client: client.start_session(ChildSpec("late", ProcessSpec(IDLE))),
    "a restart": lambda client: client.restart_session("slow"),
}


class Ending:
    """A daemon that has been told to end and waits for session ``slow``, which writes ``words`` when it is released."""

    def __init__(self, daemon: Daemon, client: Client, tmp_path: Path) -> None:
        told, self.release, self.words = (tmp_path / name for name in ("told", "release", "words"))
        for fifo in (told, self.release):
            os.mkfifo(fifo)
        spec = ProcessSpec(LAST_WORDS, [str(told), str(self.release), str(self.words)], trap_exit=True)
        slow = ChildSpec("slow", spec, "permanent", shutdown_s=WAIT_S, backoff_step_s=0.05)  # it ends when it is released
        self.os_pid = self._os_pid(client, client.start_session(slow))
        send_signal(daemon.guardian_pid, signal.SIGTERM)
        assert told.read_bytes() == b"1"

    @staticmethod
    def _os_pid(client: Client, row: dict[str, object]) -> int:
        (found,) = [process["os_pid"] for process in client.processes() if process["serial"] == row["serial"]]
        assert isinstance(found, int)
        return found


def test_B14_nothing_is_started_any_more_and_who_asks_is_told_so(tmp_path: Path) -> None:
    with Daemon(tmp_path / "run") as daemon, Client.connect(daemon.directory, WAIT_S) as client:
        ending = Ending(daemon, client, tmp_path)
        before = {row["serial"] for row in client.processes()}
        with watched([daemon.guardian_pid]) as handles:
            for start in STARTS.values():
                with pytest.raises(RequestError) as caught:
                    start(client)
                assert caught.value.code == "shutting_down"
            assert {row["serial"] for row in client.processes()} == before
            ending.release.write_bytes(b"")
            assert await_deaths(handles)
        assert (daemon.process.wait(), ending.words.read_text()) == (0, "shutdown")


def test_B13_a_session_that_crashes_in_the_shutdown_is_not_restarted_and_ends_it(tmp_path: Path) -> None:
    with Daemon(tmp_path / "run") as daemon, Client.connect(daemon.directory, WAIT_S) as client:
        ending = Ending(daemon, client, tmp_path)
        with watched([daemon.guardian_pid]) as handles:
            send_signal(ending.os_pid, signal.SIGSEGV)
            assert await_deaths(handles)
        assert (daemon.process.wait(), ending.words.exists()) == (0, False)
        assert daemon.log.read_text().count('"kind":"process_started"') == 1


def test_B13_B14_a_node_killed_in_the_shutdown_goes_on_with_it(tmp_path: Path) -> None:
    with Daemon(tmp_path / "run") as daemon, Client.connect(daemon.directory, WAIT_S) as client:
        ending = Ending(daemon, client, tmp_path)
        node = client.node("status")["node_os_pid"]
        assert isinstance(node, int)
        assert node in descendants(daemon.guardian_pid)
        with watched([daemon.guardian_pid]) as handles:
            send_signal(node, signal.SIGKILL)
            with pytest.raises(RequestError, match=r"^shutting_down"):
                client.spawn(IDLE)
            ending.release.write_bytes(b"")
            assert await_deaths(handles)
        assert (daemon.process.wait(), ending.words.read_text()) == (0, "shutdown")


def test_B14_B15_a_reload_in_the_shutdown_is_answered_and_the_new_code_goes_on_with_it(tmp_path: Path) -> None:
    with Daemon(tmp_path / "run") as daemon, Client.connect(daemon.directory, WAIT_S) as client:
        ending = Ending(daemon, client, tmp_path)
        with watched([daemon.guardian_pid]) as handles:
            assert client.node("reload", WAIT_S)["generation"] == 2
            with pytest.raises(RequestError, match=r"^shutting_down"):
                client.spawn(IDLE)
            ending.release.write_bytes(b"")
            assert await_deaths(handles)
        assert (daemon.process.wait(), ending.words.read_text()) == (0, "shutdown")
