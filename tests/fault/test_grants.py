"""RELIABILITY S5, S6: what a session may ask for, start and pose as; the table of verbs is in tests/test_grants.py."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from actorcore.errors import RequestError
from actorcore.signals import ProcessSpec
from supervisors import paths
from supervisors.client import Pid
from supervisors.session.record import Policy
from supervisors.session.requests import GetMessages, Save, SendMessage
from tests.daemon_fixture import WAIT_S, WITNESS, Desk
from tests.fault.confined import Try
from tests.fault.wire import dialled, greeted
from tests.test_grants import REFUSED

CONFINED = "tests.fault.confined:Confined"
ADMIN: list[tuple[str, object]] = [
    *(("system:node", {"verb": verb}) for verb in ("down", "reload", "renew")), ("system:sessions", ["shutdown"]),
    *(("system:sessions", [f"{verb}_session", "ada"]) for verb in ("stop", "restart", "remove")),
    ("system:sessions", ["start_session", {"id": "x", "process": {"start": WITNESS}}]),
    ("system:manager", ["create", {"project": {"path": "/tmp"}}]), ("system:manager", ["resume", "x"]),
    *(("system:manager", [verb, "x"]) for verb in ("stop", "restart", "suspend", "wake")), ("system:limiter", ["reset"]),
    *((name, ["start_child", {"id": "x", "process": {"start": WITNESS}}]) for name in ("tree", "crowd", "tasks")),
    ("tree", ["terminate_child", "c"]), ("tree", ["stop"]), ("crowd", ["stop"]), ("tasks", ["stop"]),
]  # fmt: skip
OWN = [list(asked) for asked in ADMIN if asked[0].startswith("system:")]
"""Of the daemon's own residents."""


def confined(desk: Desk, **fields: Any) -> Pid:
    return desk.client.spawn_spec(ProcessSpec(CONFINED, **fields))


def call(desk: Desk, pid: Pid, verb: str, argument: object) -> Any:
    return desk.client.call(pid, [verb, argument], WAIT_S)


def test_S5_a_session_without_the_grant_is_refused_every_verb_of_those_who_run_the_daemon(desk: Desk) -> None:
    machines = {"tree": "supervisor", "crowd": "dynamic_supervisor", "tasks": "task_supervisor"}
    residents = [desk.client.spawn(kind, template="resident", name=name) for name, kind in machines.items()]
    pid, node = confined(desk, may_spawn=False), desk.node_os_pid()
    assert [call(desk, pid, "ask", list(asked)) for asked in ADMIN] == [[*REFUSED]] * len(ADMIN)
    assert call(desk, pid, "ask", ["system:node", {"verb": "status"}])["node_os_pid"] == node
    assert call(desk, pid, "ask", ["tree", ["count_children"]])["specs"] == 0
    assert call(desk, pid, "ask", ["ada", ["add", 0]]) == desk.before["ada"][1]
    for each in (pid, *residents):
        desk.client.exit(each, "kill")


def test_S5_a_session_of_a_project_without_the_grant_is_a_whole_one_and_may_start_nothing(desk: Desk, tmp_path: Path) -> None:
    """It converses, saves, is restarted and resumed; what it may not, it may not in each of its lives."""
    create = partial(desk.client.manager.create, tmp_path, module=f"{CONFINED}Session")
    trusted = str(create(policy=Policy())["id"])
    child = desk.client.call(trusted, Try("spawn", {"start": WITNESS}), WAIT_S)
    desk.client.manager.stop(trusted)
    id = str(create(policy=Policy(may_spawn=False))["id"])
    desk.started.append(id)
    lives = []
    for end in (desk.client.kill, desk.client.manager.restart, desk.client.manager.stop):
        desk.client.call(id, SendMessage("user", "again"), WAIT_S)
        desk.client.call(id, Save(), WAIT_S)
        asked = [desk.client.call(id, Try("ask", each), WAIT_S) for each in OWN]
        lives.append([*asked, desk.client.call(id, Try("spawn", {"start": WITNESS}), WAIT_S)])
        with desk.client.manager.subscribe(types=["session_restarted"]) as restarts:
            end(id)
            if end == desk.client.kill:
                restarts.next(WAIT_S)
    assert desk.client.manager.resume(id)["status"] == "active"
    said = [message["content"] for message in desk.client.call(id, GetMessages(), WAIT_S)["items"]]
    assert (child, lives, said) == (True, [[[*REFUSED]] * (len(OWN) + 1)] * 3, ["again"] * 3)


@pytest.mark.parametrize("may_spawn", [True, False])
def test_S5_nobody_below_the_daemon_is_its_client_whatever_it_has_left(desk: Desk, may_spawn: bool) -> None:
    pid = confined(desk, may_spawn=may_spawn)
    before = clients(desk)
    assert call(desk, pid, "connect", str(desk.daemon.directory / paths.SOCKET_NAME)) == ["not_permitted"] * 3
    assert set(clients(desk)) <= set(before)  # those of earlier connections end in their time
    with dialled(desk) as sock:
        assert greeted(sock).instance == desk.client.pid.instance
    desk.client.exit(pid, "kill")


def clients(desk: Desk) -> list[object]:
    return [row["serial"] for row in desk.client.processes() if row["kind"] == "client"]


@pytest.fixture
def telling(tmp_path: Path) -> Path:
    """A folder with a module that leaves a file there when it is imported."""
    (tmp_path / "telling.py").write_text(f"open({str(tmp_path / 'imported')!r}, 'w').close()\ndef f(process): pass\n")
    return tmp_path


@pytest.mark.parametrize("start", ["telling:f", "os:system", "builtins:eval", "telling:f.__globals__"])
def test_S6_what_a_session_may_not_start_is_refused_and_not_imported(desk: Desk, telling: Path, start: str) -> None:
    pid = confined(desk, may_spawn=False)
    for isolation in ("fork", "exec"):
        asked = {"start": start, "path": str(telling), "isolation": isolation}
        assert call(desk, pid, "spawn", asked) == [*REFUSED]
    assert not (telling / "imported").exists()
    desk.client.exit(pid, "kill")


NO_NAMES = ["telling:f.__globals__", "telling:f.x:y", "telling.f.__class__", "telling:__import__('os')", "telling:", "telling"]


@pytest.mark.parametrize("start", NO_NAMES)
def test_S6_a_name_is_one_module_and_one_attribute_or_nothing_is_imported(desk: Desk, telling: Path, start: str) -> None:
    with pytest.raises(RequestError) as caught:
        desk.client.spawn_spec(ProcessSpec(start, path=str(telling)))
    assert caught.value.code == "start_failed"
    assert "not module:name" in str(caught.value.detail)
    assert not (telling / "imported").exists()
    pid = desk.client.spawn_spec(ProcessSpec("telling:f", path=str(telling)))
    desk.client.exit(pid, "kill")
    assert (telling / "imported").exists(), "the file tells"


@pytest.mark.parametrize("template", ["lean", "asyncio", "session", "supervisor"])
def test_S6_no_folder_of_whoever_started_the_daemon_is_searched_for_code(desk: Desk, template: str) -> None:
    pid = confined(desk, template=template)
    assert [folder for folder in call(desk, pid, "path", None) if not Path(folder).is_absolute()] == []
    desk.client.exit(pid, "kill")
