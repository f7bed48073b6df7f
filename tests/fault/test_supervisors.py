"""Supervisors as residents, on a real daemon: real processes below them, real SIGKILL, and the node killed under them."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from actorcore.errors import CallFailed, CallTimeout, RequestError
from actorcore.exit_reason import Reason
from actorcore.pids import Pid
from actorcore.signals import ProcessSpec
from actorcore.words import AUTO, RESIDENT
from supervisors.clients.messages import DownMessage, ExitMessage, Mail, Ref
from supervisors.machines import MACHINES
from tests.daemon_fixture import WAIT_S, WITNESS, Daemon, Desk, desk_of, send_signal, stopped

NAMES = ("one", "two", "three")


def child(desk: Desk, name: str, **fields: Any) -> dict[str, Any]:
    """A child spec as plain data: a Witness that reports to the desk."""
    process = ProcessSpec(WITNESS, [desk.name], name=name, trap_exit=True)
    return {"id": name, "process": msgspec.to_builtins(process), **fields}


def start(desk: Desk, strategy: str = "one_for_one", **flags: Any) -> Pid:
    """A supervisor over the three."""
    spec = {"strategy": strategy, "intensity": 5, "children": [child(desk, name) for name in NAMES], **flags}
    pid = desk.client.spawn_spec(ProcessSpec("supervisor", [spec], template=RESIDENT))
    assert pid is not None
    return pid


def ups(desk: Desk, *names: str) -> dict[str, int]:
    """OS pids of the incarnations that report next."""
    return {name: desk.await_up(name) for name in names}


def in_order_of_start(desk: Desk) -> list[str]:
    return sorted(NAMES, key=lambda name: int(str(desk.client.call(name, ["began", None]))))


def deaths(desk: Desk, watched: dict[Ref, str]) -> list[tuple[str, Reason]]:
    """Of all these, as they were told."""
    downs: list[Mail] = [*desk.mail]  # what came while a successor was waited for
    desk.mail.clear()
    downs += [desk.client.receive(WAIT_S) for _ in range(len(watched) - len(downs))]
    return [(watched[down.ref], down.reason) for down in downs if isinstance(down, DownMessage)]


@pytest.mark.parametrize(("strategy", "restarted", "ended"), [
    ("one_for_one", ("two",), ["two"]), ("rest_for_one", ("two", "three"), ["two", "three"]),
    ("one_for_all", NAMES, ["two", "three", "one"]),
])  # fmt: skip
def test_acceptance_57_a_killed_child_takes_with_it_whom_the_strategy_says_in_its_order(
    desk: Desk, strategy: str, restarted: tuple[str, ...], ended: list[str]
) -> None:
    tree = start(desk, strategy)
    before = ups(desk, *NAMES)
    assert in_order_of_start(desk) == list(NAMES)
    watched = {desk.client.monitor(name): name for name in restarted}
    send_signal(before["two"], signal.SIGKILL)
    after = {**before, **ups(desk, *restarted)}
    assert deaths(desk, watched) == [(name, "killed" if name == "two" else "shutdown") for name in ended]
    assert {name for name in NAMES if after[name] != before[name]} == set(restarted)
    assert [name for name in in_order_of_start(desk) if name in restarted] == list(restarted)
    assert [row[0] for row in desk.client.call(tree, ["which_children"])] == list(NAMES)  # type: ignore[union-attr, index]
    watched = {desk.client.monitor(name): name for name in NAMES}
    desk.client.stop(tree, timeout_s=WAIT_S)
    assert deaths(desk, watched) == [(name, "shutdown") for name in reversed(NAMES)]


def test_a_supervisor_lives_on_when_its_node_is_killed(desk: Desk) -> None:
    tree = start(desk, "one_for_all")
    before = ups(desk, *NAMES)
    rows = desk.client.call(tree, ["which_children"])
    send_signal(desk.node_os_pid(), signal.SIGKILL)
    assert desk.client.call(tree, ["which_children"], WAIT_S) == rows
    desk.signal("one", before["one"], signal.SIGKILL)
    after = ups(desk, *NAMES)
    assert not set(after.values()) & set(before.values())
    desk.client.stop(tree, timeout_s=WAIT_S)


def test_a_restart_limit_ends_the_supervisor_and_its_children(desk: Desk) -> None:
    tree = start(desk, intensity=1, period_s=3600.0)
    pids = ups(desk, *NAMES)
    send_signal(pids["one"], signal.SIGKILL)
    os_pid = desk.await_up("one")
    refs = [desk.client.monitor(name) for name in NAMES]
    ref = desk.client.monitor(tree)
    send_signal(os_pid, signal.SIGKILL)
    assert desk.client.wait_down(ref, WAIT_S) == DownMessage(ref, tree, "shutdown")
    assert [desk.client.wait_down(ref, WAIT_S).reason for ref in refs] == ["killed", "shutdown", "shutdown"]
    with pytest.raises(CallFailed, match="noproc"):
        desk.client.call(tree, ["which_children"])


def test_acceptance_42_a_kill_of_the_supervisor_ends_who_does_not_trap_and_leaves_no_name(desk: Desk) -> None:
    tree = start(desk)
    ups(desk, *NAMES)
    refs = [desk.client.monitor(name) for name in NAMES]
    desk.client.exit(tree, "kill")
    assert [desk.client.wait_down(ref, WAIT_S).reason for ref in refs] == ["killed"] * 3
    assert [desk.client.whereis(name) for name in NAMES] == [None] * 3


@pytest.mark.parametrize("template", [RESIDENT, AUTO])
def test_a_killed_supervisor_is_back_with_its_named_children_and_costs_one_restart(desk: Desk, template: str) -> None:
    """Those before are dying still when their successors are started, and no budget is spent on waiting for that."""
    processes = [ProcessSpec(WITNESS, [desk.name], name=name) for name in NAMES]  # they die of their link
    children = [{"id": one.name, "process": msgspec.to_builtins(one)} for one in processes]
    inner = {"strategy": "one_for_all", "children": children}
    process = ProcessSpec("supervisor", [inner], template=template, name="inner")
    branch = {"id": "inner", "type": "supervisor", "process": msgspec.to_builtins(process)}
    tree = desk.client.spawn_spec(ProcessSpec("supervisor", [{"children": [branch], "intensity": 5}], template=RESIDENT))
    before = ups(desk, *NAMES)
    for _ in range(5):
        desk.client.exit("inner", "kill")
        after = ups(desk, *NAMES)
        assert {name for name in NAMES if after[name] != before[name]} == set(NAMES)
        before = after
        desk.client.call(tree, ["which_children"], WAIT_S)  # answered when it waits for nobody
    desk.client.stop(tree, timeout_s=WAIT_S)
    assert [desk.client.whereis(name) for name in (*NAMES, "inner")] == [None] * 4


def test_a_supervisor_that_is_stopped_waits_for_a_child_that_was_killed_and_is_not_gone_yet(own: Daemon) -> None:
    """The guardian, which would reap it, stands still: so far the child is killed, and what it is linked to lives."""
    with desk_of(own) as desk:
        only = {"id": "one", "process": msgspec.to_builtins(ProcessSpec(WITNESS, [desk.name], name="one"))}
        tree = desk.client.spawn_spec(ProcessSpec("supervisor", [{"children": [only]}], template=RESIDENT), link=True)
        ups(desk, "one")
        ref = desk.client.monitor(tree)
        with stopped(own.guardian_pid):
            desk.client.exit("one", "kill")
            desk.client.exit(tree, "shutdown")
            for _ in range(20):  # all that can be decided now is
                desk.client.node("status")
            with pytest.raises(CallTimeout):
                desk.client.receive(0)
        assert desk.client.wait_down(ref, WAIT_S).reason == "shutdown"
        assert desk.client.receive(WAIT_S) == ExitMessage(tree, "shutdown")
        assert [row for row in desk.client.processes() if row["name"] == "one"] == []


def test_children_come_and_go_under_a_dynamic_supervisor(desk: Desk) -> None:
    tree = desk.client.spawn_spec(ProcessSpec("dynamic_supervisor", [{"max_children": 1}], template=RESIDENT))
    assert tree is not None
    serial = desk.client.call(tree, ["start_child", child(desk, "one")], WAIT_S)
    os_pid = desk.await_up("one")
    with pytest.raises(RequestError, match=r"^max_children"):
        desk.client.call(tree, ["start_child", child(desk, "two")])
    desk.signal("one", os_pid, signal.SIGKILL)
    desk.await_up("one")
    ((_, again, kind),) = desk.client.call(tree, ["which_children"])  # type: ignore[union-attr, misc]
    assert (kind, again != serial) == ("worker", True)
    assert desk.client.call(tree, ["terminate_child", "", again], WAIT_S) is True
    assert desk.client.whereis("one") is None
    desk.client.stop(tree, timeout_s=WAIT_S)


@pytest.mark.parametrize(("spec", "trouble"), [
    ({"strategy": "one_for_some"}, "one_for_some"), ({"intensity": -1}, "intensity"), ({"kids": []}, "kids"),
])  # fmt: skip
def test_a_bad_spec_is_refused_with_the_field(desk: Desk, spec: dict[str, Any], trouble: str) -> None:
    with pytest.raises(RequestError, match=trouble):
        desk.client.spawn_spec(ProcessSpec("supervisor", [spec], template=RESIDENT))


def test_a_machine_that_nobody_knows_is_refused(desk: Desk, tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=f"one of {', '.join(sorted(MACHINES))}"):
        desk.client.spawn_spec(ProcessSpec("superviser", template=RESIDENT))
