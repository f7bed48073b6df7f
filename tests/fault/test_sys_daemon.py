"""OTP's sys by a real daemon: from clients, from processes, from the command line; of processes and of residents."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from actorcore.errors import CallFailed, CallTimeout, RequestError
from actorcore.pids import Pid
from actorcore.signals import ProcessSpec
from supervisors.async_client import AsyncClient
from supervisors.clients.messages import ExitMessage, InfoMessage
from tests.daemon_fixture import ROOT, WAIT_S, Desk
from tests.test_cli_offline import Output

ACTORS = "tests.fault.sys_actors:"


@pytest.fixture
def counter(desk: Desk) -> Iterator[Pid]:
    pid = desk.client.spawn(ACTORS + "Counter", name="counted")
    assert desk.client.call(pid, "add") == 1
    yield pid
    desk.client.stop(pid, timeout_s=WAIT_S)


def test_a_client_sees_replaces_suspends_and_resumes(desk: Desk, counter: Pid) -> None:
    sys_ = desk.client.sys
    assert sys_.get_state("counted") == {"count": 1}
    assert sys_.replace_state(counter, ACTORS + "times_ten", 4) == {"count": 14}
    assert sys_.suspend(counter) is True
    with pytest.raises(Exception, match="no answer in time"):
        desk.client.call(counter, "add", 0.05)
    assert sys_.get_state(counter) == {"count": 14}
    assert sys_.resume(counter) is True
    assert desk.client.call(counter, "add") == 16
    assert sys_.statistics(counter, True) is True
    desk.client.call(counter, "add")
    counted = sys_.statistics(counter)
    assert isinstance(counted, dict)
    assert (counted["messages_in"], counted["messages_out"]) == (1, 1)


def test_a_client_traces(desk: Desk, counter: Pid) -> None:
    desk.client.sys.trace(counter)
    desk.client.call(counter, "add")
    me = desk.client.pid
    assert [desk.client.receive(WAIT_S) for _ in range(2)] == [
        InfoMessage(counter, ["trace", counter, ["in", "call", "add", me]], False),  # type: ignore[list-item]
        InfoMessage(counter, ["trace", counter, ["out", 2, me]], False),  # type: ignore[list-item]
    ]
    desk.client.sys.trace(counter, False)
    desk.client.call(counter, "add")


@pytest.mark.parametrize("asker", ["Asker", "AsyncAsker"])
def test_a_process_asks_the_behaviour_of_another(desk: Desk, counter: Pid, asker: str) -> None:
    client = desk.client
    other = client.spawn(ACTORS + asker)
    assert client.call(other, ["get_state", counter]) == {"count": 1}
    assert client.call(other, ["suspend", "counted"]) is True
    status = client.call(other, ["get_status", "counted"])
    assert isinstance(status, dict)
    assert status["status"] == "suspended"
    assert client.call(other, ["resume", counter]) is True
    sessions = client.call(other, ["get_state", "system:sessions"])
    assert isinstance(sessions, dict)
    assert "sessions" in sessions
    client.stop(other, timeout_s=WAIT_S)


def test_the_async_client_asks_many_at_once(desk: Desk, counter: Pid) -> None:
    async def ask() -> list[object]:
        async with await AsyncClient.connect(desk.daemon.directory) as client:
            return await asyncio.gather(*(client.sys.get_state(counter) for _ in range(10)))

    assert asyncio.run(ask()) == [{"count": 1}] * 10


def test_a_function_a_client_and_the_dead_are_told_apart(desk: Desk) -> None:
    client = desk.client
    function = client.spawn(ACTORS + "function")
    with pytest.raises(RequestError) as refused:
        client.sys.get_state(function)
    assert refused.value.code == "unsupported"
    client.exit(function, "kill")
    with pytest.raises(CallFailed) as failed:
        client.sys.get_state("nobody")
    assert failed.value.reason == "noproc"
    asker = client.spawn(ACTORS + "Asker")
    client.cast(asker, None)
    with pytest.raises(CallFailed):
        client.call(asker, ["get_state", client.pid])


def test_a_suspended_registry_survives_a_takeover_and_answers_what_came_meanwhile(desk: Desk) -> None:
    client = desk.client
    registry = client.spawn_spec(ProcessSpec("registry", template="resident"))
    client.sys.suspend(registry)
    with pytest.raises(Exception, match="no answer in time"):
        client.call(registry, ["register", "key", 1], 0.05)
    generation = client.node("status")["generation"]
    os.kill(desk.node_os_pid(), 9)
    status = client.sys.get_status(registry, WAIT_S)
    assert isinstance(status, dict)
    assert client.node("status")["generation"] != generation
    assert (status["status"], status["waiting"]) == ("suspended", 1)
    client.sys.resume(registry)
    assert client.call(registry, ["lookup", "key"]) == [[client.pid.serial, 1]]
    client.stop(registry, timeout_s=WAIT_S)
    assert client.receive(WAIT_S) == ExitMessage(registry, "normal")  # who registers is linked


# ---- the command line -----------------------------------------------------------------------------------------------


@pytest.fixture
def line(desk: Desk, capsys: pytest.CaptureFixture[str]) -> Output:
    return Output(desk.daemon.directory, capsys)


def said(line: Output, *words: str) -> object:
    assert line.run(*words) == 0, line.err
    return json.loads(line.out)


def test_the_commands_of_sys(line: Output, counter: Pid) -> None:
    assert said(line, "sys", "get-state", "counted") == {"count": 1}
    assert said(line, "sys", "replace-state", "counted", ACTORS + "times_ten", "5", "--json") == {"count": 15}
    assert said(line, "sys", "suspend", str(counter)) is True
    status = said(line, "sys", "get-status", "counted", "--json")
    assert isinstance(status, dict)
    assert (status["pid"], status["module"], status["status"]) == (str(counter), ACTORS + "Counter", "suspended")
    assert said(line, "sys", "resume", "counted") is True
    assert said(line, "sys", "statistics", "counted", "on") is True
    assert said(line, "sys", "log", "counted", "5") is True
    assert said(line, "call", "counted", '"add"') == 16
    counted = said(line, "sys", "statistics", "counted")
    assert isinstance(counted, dict)
    assert (counted["messages_in"], counted["messages_out"]) == (1, 1)
    log = said(line, "sys", "log", "counted")
    assert isinstance(log, list)
    assert [event[:-1] for event in log] == [["in", "call", "add"], ["out", 16]]
    sessions = said(line, "sys", "get-state", "system:sessions")
    assert isinstance(sessions, dict)


@pytest.mark.parametrize(("words", "code", "error"), [
    (["sys", "get-state", "nobody"], 1, "not_found"),
    (["sys", "suspend", "system:node"], 1, "not_permitted"),
    (["sys", "replace-state", "counted", "os:nothing"], 1, "callback_failed"),
    (["sys", "replace-state", "system:sessions", "os:getcwd"], 1, "unsupported"),
    (["sys", "log", "counted", "many"], 2, "usage"), (["sys", "replace-state", "counted"], 2, "usage"),
    (["sys", "dance", "counted"], 2, "usage"),
])  # fmt: skip
def test_what_sys_refuses_is_a_stable_code(line: Output, counter: Pid, words: list[str], code: int, error: str) -> None:
    assert line.run(*words, "--json") == code
    assert json.loads(line.err)["error"]["code"] == error
    assert said(line, "sys", "get-state", "counted") == {"count": 1}


def test_a_stop_for_which_nobody_waits_any_more_leaves_no_monitor(desk: Desk) -> None:
    pid = desk.client.spawn("tests.fault.actors:idle")  # it has no behaviour that could end it
    before = desk.client.node("status")["monitors"]
    with pytest.raises(CallTimeout):
        desk.client.stop(pid, timeout_s=0.1)
    assert desk.client.node("status")["monitors"] == before
    desk.client.kill(pid)


def test_trace_prints_events_until_the_end_of_its_target(desk: Desk, counter: Pid) -> None:
    command = [sys.executable, "-m", "supervisors", "--dir", str(desk.daemon.directory), "trace", "counted"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    pid = desk.client.spawn(ACTORS + "Counter", name="traced")
    with subprocess.Popen([*command[:-1], "traced"], stdout=subprocess.PIPE, text=True, env=environment, cwd=ROOT) as tracer:
        while (status := desk.client.sys.get_status(pid)) and isinstance(status, dict) and not status["trace"]:
            pass
        desk.client.call(pid, {"add": 1})
        desk.client.send(pid, "hello")
        desk.client.stop(pid, "shutdown", WAIT_S)
        assert tracer.stdout is not None
        me = desk.client.pid
        assert tracer.stdout.read().splitlines() == [
            f'*DBG* traced got call {{"add": 1}} from {me}', f"*DBG* traced sent 1 to {me}",
            f'*DBG* traced got info "hello" from {me}', '*DBG* traced is dead: "shutdown"',
        ]  # fmt: skip


def test_code_change_tells_who_changed(line: Output, counter: Pid) -> None:
    assert line.run("code-change", "tests.fault.sys_actors", "--json") == 0
    told = json.loads(line.out)
    assert (str(counter) in told["changed"], told["failed"]) == (True, {})
    assert said(line, "call", "counted", '"add"') == 2


@pytest.mark.parametrize("kind", ["Ender", "EnderInLoop"])
def test_an_actor_stops_another_by_pid_or_name_in_a_loop_or_not_and_hears_its_death_once(desk: Desk, kind: str) -> None:
    client = desk.client
    ender = client.spawn(ACTORS + kind)
    client.spawn(ACTORS + "Counter", name="stopped")
    by_pid, stubborn = client.spawn(ACTORS + "Counter"), client.spawn(ACTORS + "Stubborn")
    tree = client.spawn_spec(ProcessSpec("supervisor", [{}], template="resident"))
    refs = [client.monitor(to) for to in ("stopped", by_pid, tree)]
    assert client.call(ender, ["stopped", "normal", None], WAIT_S) == [None, []]
    assert client.call(ender, [by_pid, {"shutdown": 7}, WAIT_S], WAIT_S) == [None, []]
    assert client.call(ender, [tree, "shutdown", WAIT_S], WAIT_S) == [None, []]
    assert [client.wait_down(ref).reason for ref in refs] == ["normal", {"shutdown": 7}, "shutdown"]
    assert client.call(ender, [by_pid, "normal", None], WAIT_S) == ["noproc", []]
    assert client.call(ender, [stubborn, "normal", 0.05], WAIT_S) == ["timeout", []]
    ref = client.monitor(stubborn)
    client.exit(stubborn, "kill")
    assert client.wait_down(ref).reason == "killed"
    assert client.call(ender, [stubborn, "normal", None], WAIT_S) == ["noproc", []]  # nor was it told then
    client.stop(ender)


@pytest.mark.parametrize("kind", ["supervisor", "dynamic_supervisor", "registry", "groups"])
def test_a_machine_in_a_process_shows_the_state_that_it_shows_inside_the_node(desk: Desk, kind: str) -> None:
    seen = []
    for template in ("resident", "lean"):
        pid = desk.client.spawn_spec(ProcessSpec(kind, [{}], template=template))
        state, status = desk.client.sys.get_state(pid), desk.client.sys.get_status(pid)
        assert isinstance(state, dict)
        assert isinstance(status, dict)
        assert status["state"] == state
        seen.append({name: value for name, value in state.items() if name not in ("parent", "instance")})
        desk.client.stop(pid)
    assert (seen[0], len(seen[0]) > 2) == (seen[1], True)
