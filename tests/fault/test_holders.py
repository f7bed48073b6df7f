"""Registries of keys and process groups, read by real processes through shared memory while the node stands still."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import Any

import pytest

from actorcore.pids import Pid
from actorcore.signals import ProcessSpec
from actorcore.words import RESIDENT
from supervisors.clients.messages import InfoMessage
from tests.daemon_fixture import ROOT, WAIT_S, Desk, send_signal, stopped

READERS = ("Reader", "AsyncReader")


class Scene:
    """A registry ``keys``, groups ``groups``, a holder and a reader."""

    def __init__(self, desk: Desk, kind: str) -> None:
        self.desk, self.client = desk, desk.client
        self.services = [
            self.client.spawn_spec(ProcessSpec("registry", [{"keys": "duplicate"}], template=RESIDENT, name="keys")),
            self.client.spawn_spec(ProcessSpec("groups", template=RESIDENT, name="groups")),
        ]
        self.holder, self.reader = (
            self.client.spawn_spec(ProcessSpec(f"tests.fault.holder_actors:{name}", path=str(ROOT))) for name in ("Reader", kind)
        )

    def hold(self, key: str, value: Any) -> None:
        self.ask(self.holder, "ask", "keys", ["register", key, value])

    def ask(self, whom: Pid, *words: Any) -> Any:
        return self.client.call(whom, list(words), WAIT_S)

    def os_pid(self, pid: Pid) -> int:
        (os_pid,) = [row["os_pid"] for row in self.client.processes() if row["serial"] == pid.serial]
        assert isinstance(os_pid, int)
        return os_pid

    def close(self) -> None:
        for pid in (self.reader, self.holder):
            self.client.kill(pid)
        for pid in self.services:
            self.client.stop(pid, timeout_s=WAIT_S)


@pytest.fixture(params=READERS)
def stage(desk: Desk, request: pytest.FixtureRequest) -> Iterator[Scene]:
    scene = Scene(desk, request.param)
    yield scene
    scene.close()


def test_acceptance_40_keys_and_groups_are_read_while_the_node_is_stopped(stage: Scene) -> None:
    stage.hold("db", {"port": 5})
    holder, reader = stage.holder.serial, stage.reader.serial
    stage.client.call("groups", ["join", "g", [holder, reader]])
    assert stage.ask(stage.reader, "of", "keys", "db") == [[holder, {"port": 5}]]
    with stopped(stage.desk.node_os_pid()):
        assert stage.ask(stage.reader, "of", "keys", "db") == [[holder, {"port": 5}]]
        assert stage.ask(stage.reader, "of", "keys", "nothing") == []
        assert stage.ask(stage.reader, "members", "groups", "g") == [holder, reader]
        assert stage.ask(stage.reader, "members", "groups", "nobody") == []


def test_acceptance_33_a_key_and_a_membership_are_gone_when_their_holders_death_is_told(stage: Scene) -> None:
    stage.hold("db", 1)
    stage.client.call("groups", ["join", "g", [stage.holder.serial]])
    ref = stage.client.monitor(stage.holder)
    send_signal(stage.os_pid(stage.holder), signal.SIGKILL)
    assert stage.client.wait_down(ref, WAIT_S).reason == "killed"
    assert stage.ask(stage.reader, "of", "keys", "db") == []
    assert stage.ask(stage.reader, "members", "groups", "g") == []


def test_what_is_too_long_to_stand_there_is_asked_for(stage: Scene) -> None:
    long_key, long_value = "k" * 200, "v" * 5000
    stage.hold(long_key, 1)
    stage.hold("long", long_value)
    assert stage.ask(stage.reader, "of", "keys", long_key) == [[stage.holder.serial, 1]]
    assert stage.ask(stage.reader, "of", "keys", "long") == [[stage.holder.serial, long_value]]


def test_a_registry_in_a_process_of_its_own_is_asked(stage: Scene) -> None:
    registry = stage.client.spawn_spec(ProcessSpec("registry", template="lean", name="apart"))
    stage.ask(stage.holder, "ask", "apart", ["register", "db", 1])
    assert stage.ask(stage.reader, "of", "apart", "db") == [[stage.holder.serial, 1]]
    assert stage.ask(stage.reader, "of", "apart", "nothing") == []
    stage.ask(stage.holder, "ask", "apart", ["unregister", "db"])
    stage.client.stop(registry, timeout_s=WAIT_S)


def test_keys_are_found_after_the_death_of_the_node(stage: Scene) -> None:
    stage.hold("db", "before")
    send_signal(stage.desk.node_os_pid(), signal.SIGKILL)
    stage.hold("db", "after")
    serial = stage.holder.serial
    assert stage.ask(stage.reader, "of", "keys", "db") == [[serial, "before"], [serial, "after"]]


def test_a_listener_hears_once_of_each_change_over_the_death_of_the_node(desk: Desk) -> None:
    spec = ProcessSpec("registry", [{"listeners": [desk.name]}], template=RESIDENT, name="watched")
    registry = desk.client.spawn_spec(spec)
    holder = desk.client.spawn_spec(ProcessSpec("tests.fault.holder_actors:Reader", path=str(ROOT)))
    for key in ("one", "two"):
        assert desk.client.call(holder, ["ask", "watched", ["register", key, 1]], WAIT_S) is True
        send_signal(desk.node_os_pid(), signal.SIGKILL)
        news = desk.client.receive(WAIT_S)
        assert news == InfoMessage(registry, ["register", "watched", key, holder, 1])
    desk.client.kill(holder)
    desk.client.stop(registry, timeout_s=WAIT_S)
