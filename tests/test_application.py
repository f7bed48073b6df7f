"""Applications: what their files may say, where they are wrong, and that they start and stop in order."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from actorcore.pids import Pid
from actorcore.signals import ProcessSpec
from supervisors.client import Client
from supervisors.tree.application import Application, InvalidApplication, parse, read_application
from supervisors.tree.spec import Child, SupervisorSpec
from tests.daemon_fixture import ROOT, WAIT_S, Daemon
from tests.test_cli_offline import Output

HEAD = 'name = "app"\n'
EXAMPLE = ROOT / "examples" / "shop" / "app.toml"


def child(id: str, **fields: Any) -> str:
    """A child as TOML."""
    lines = [f"{key} = {json.dumps(value)}" for key, value in {"id": id, "start": "json:loads", **fields}.items()]
    return "\n".join(["[[children]]", *lines, ""])


def test_a_file_is_the_tree_that_code_would_describe(tmp_path: Path) -> None:
    text = """
name = "app"
strategy = "rest_for_one"
[session]
restart = "permanent"
[[children]]
id = "keys"
start = "registry"
template = "resident"
args = [{ keys = "duplicate" }]
[[children]]
id = "below"
strategy = "one_for_all"
[[children.children]]
id = "one"
start = "json:loads"
restart = "transient"
shutdown_s = "brutal_kill"
"""
    one = Child("one", ProcessSpec("json:loads", path=str(tmp_path)), "transient", "brutal_kill")
    below: dict[str, Any] = {
        "children": [{"id": "one", "process": {"start": "json:loads", "path": str(tmp_path)}, "restart": "transient",
                      "shutdown_s": "brutal_kill", "type": "worker", "significant": False}],
        "strategy": "one_for_all", "intensity": 1, "period_s": 5.0, "backoff_initial_s": 0.0, "backoff_step_s": 0.0,
        "backoff_max_s": 0.0, "auto_shutdown": "never",
    }  # fmt: skip
    tree = SupervisorSpec(
        [
            Child("keys", ProcessSpec("registry", [{"keys": "duplicate"}], template="resident"), type="supervisor"),
            Child("below", ProcessSpec("supervisor", [below], template="resident"), type="supervisor"),
        ],
        "rest_for_one",
    )
    assert parse(text, tmp_path) == Application("app", tree, {"restart": "permanent"})
    assert one.id == below["children"][0]["id"]


def test_a_supervisor_in_a_file_may_have_a_process_of_its_own(tmp_path: Path) -> None:
    text = HEAD + "[[children]]\nid = 'below'\ntemplate = 'lean'\n[[children.children]]\nid = 'keys'\nstart = 'registry'"
    (below,) = parse(text, tmp_path).tree.children
    assert (below.type, below.process.start, below.process.template) == ("supervisor", "supervisor", "lean")
    assert [child["process"]["start"] for child in below.process.args[0]["children"]] == ["registry"]  # type: ignore[index, call-overload]


@pytest.mark.parametrize(("text", "error"), [
    ("name = = 1", ":1: Invalid value (at line 1, column 8)"),
    ("# nothing\n", ":1: name: must match [a-z0-9][a-z0-9._-]{0,63}"),
    ("\nname = 'A b'", ":2: name: must match [a-z0-9][a-z0-9._-]{0,63}"),
    (HEAD + "\nnmae = 1", ":3: nmae: unknown; known are name, path, strategy, intensity, period_s, backoff_initial_s, "
     "backoff_step_s, backoff_max_s, auto_shutdown, session, children"),
    (HEAD + "backoff_initial_s = 1.0", ":2: backoff_initial_s: must be 0 to backoff_max_s"),
    (HEAD + "path = 'nowhere'", ":2: path: is no folder"),
    (HEAD + "strategy = 'one_for_two'", ":2: strategy: Invalid enum value 'one_for_two'"),
    (HEAD + "intensity = -1", ":2: intensity: must be 0 to 1000"),
    (HEAD + "children = 3", ":2: children: must be an array of tables"),
    (HEAD + "session = 3", ":2: session: must be a table"),
    (HEAD + "[session]\nrestart = 'maybe'", ":3: session.restart: Invalid enum value 'maybe'"),
    (HEAD + "[session]\nretries = 2", ":3: session.retries: unknown; known are restart, shutdown_s, intensity, period_s, "
     "backoff_initial_s, backoff_step_s, backoff_max_s, give_up"),
    (HEAD + "[session]\nbackoff_initial_s = 2.0", ":3: session.backoff_initial_s: must be 0 to backoff_max_s"),
    (HEAD + "[session]\nbackoff_step_s = 4.0\nbackoff_max_s = 9.0", ":4: session.backoff_max_s: 4 deaths take 12 s or more, "
     "so the limit of 3 restarts in 5 s is never reached; write give_up=never if that is meant"),
    (HEAD + "intensity = 3\nbackoff_initial_s = 9.0", ":3: backoff_initial_s: "),
    (HEAD + "intensity = 3\nbackoff_step_s = 4.0\nbackoff_max_s = 9.0", ":4: backoff_max_s: 4 deaths take "),
    (HEAD + "[[children]]\nid = 'a'\nchildren = []\nbackoff_initial_s = 6.0\nbackoff_max_s = 9.0",
     ":6: children[0].backoff_max_s: 2 deaths take "),
    (HEAD + child("a") + child("b") + child("a"), ":9: children[2].id: a is there twice"),
    (HEAD + child("a", strat=1), ":5: children[0].strat: unknown; known are id, restart, shutdown_s, significant, start, args, "
     "template, trap_exit, name, via, path, env, limits, init_timeout_s, busy_timeout_s, when_hung, may_spawn"),
    (HEAD + "[[children]]\nstart = 'json:loads'", ":2: children[0].id: is missing"),
    (HEAD + "[[children]]\nid = 'a'", ":2: children[0].start: is missing; or children, for a supervisor"),
    (HEAD + child("a", start="nothing.at.all:f"), ":4: children[0].start: there is no module 'nothing' in"),
    (HEAD + child("a", start="tests.nothing:f"), ":4: children[0].start: there is no module 'tests.nothing' in"),
    (HEAD + child("a", start="json"), ":4: children[0].start: must be module:name"),
    (HEAD + child("a", start="spuervisor", template="resident"), ":4: children[0].start: one of dynamic_supervisor, "),
    (HEAD + child("a", init_timeout_s=-1), ":5: children[0].init_timeout_s: must be more than 0"),
    (HEAD + child("a", init_timeout_s="soon"), ":5: children[0].init_timeout_s: Expected `float`, got `str`"),
    (HEAD + child("a", significant=True), ":5: children[0].significant: means nothing with auto_shutdown never"),
    (HEAD + child("a", limits={"nofile": 1}).replace(": 1", " = 1"), ":5: children[0].limits: nofile: 16 to"),
    (HEAD + "[[children]]\nid = 'a'\n[[children.children]]\nid = 'b'\nstart = 'json:loads'\n[[children.children]]\nid = 'B'\n"
     "start = 'json:loads'", ":8: children[0].children[1].id: must match [a-z0-9][a-z0-9._-]{0,63}"),
    (HEAD + "[[children]]\nid = 'a'\nargs = [\n  '''\nid = 3\n''',\n]\nstrategy = 'one_for_one'",
     ":4: children[0].args: unknown; known are id, restart, "),
])  # fmt: skip
def test_H1_what_is_wrong_is_named_with_its_line(text: str, error: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidApplication) as refused:
        parse(text, tmp_path)
    assert str(refused.value).startswith(error)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidApplication) as refused:
        read_application(tmp_path / "none.toml")
    assert str(refused.value) == f"{tmp_path}/none.toml: No such file or directory"


def test_a_module_is_looked_for_and_not_run(tmp_path: Path) -> None:
    (tmp_path / "loud.py").write_text("raise SystemExit('was imported')")
    (tree,) = parse(HEAD + child("a", start="loud:f"), tmp_path).tree.children
    assert tree.process == ProcessSpec("loud:f", path=str(tmp_path))


# ---- on a daemon ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    with Daemon(tmp_path_factory.mktemp("daemon") / "run") as daemon:
        yield daemon


@pytest.fixture
def line(daemon: Daemon, capsys: pytest.CaptureFixture[str]) -> Output:
    return Output(daemon.directory, capsys)


def sessions(line: Output) -> object:
    assert line.run("ls", "--sessions", "--json") == 0
    return json.loads(line.out)


def diary(log: Path, *names: str, inner: tuple[str, ...] = ()) -> str:
    """An application of Diarists; ``inner`` ones are below a supervisor of their own, which is the last child."""
    fields: dict[str, Any] = {"start": "tests.application_actors:Diarist", "path": str(ROOT), "trap_exit": True}
    text = HEAD + "".join(child(name, **fields, args=[str(log), name]) for name in names)
    if inner:
        text += '[[children]]\nid = "inner"\n'
        text += "".join(child(name, **fields, args=[str(log), name]).replace("[[c", "[[children.c") for name in inner)
    return text


def test_an_application_is_started_in_order_and_stopped_in_reverse(line: Output, tmp_path: Path) -> None:
    log, file = tmp_path / "log", tmp_path / "app.toml"
    file.write_text(diary(log, "a", "b", inner=("c", "d")))
    assert line.run("up", str(file)) == 0
    assert log.read_text().split() == ["+a", "+b", "+c", "+d"]
    assert line.run("up", str(file)) == 1
    assert line.run("stop", "app") == 0
    assert log.read_text().split() == ["+a", "+b", "+c", "+d", "-d", "-c", "-b", "-a"]


def test_an_application_that_cannot_start_leaves_nothing_and_says_which_child(line: Output, tmp_path: Path) -> None:
    log, file = tmp_path / "log", tmp_path / "app.toml"
    file.write_text(diary(log, "a") + child("bad", start="json:Nothing", path=str(ROOT)))
    assert line.run("up", str(file)) == 1
    assert "failed_to_start_child" in line.err and '"bad"' in line.err
    assert log.read_text().split() == ["+a", "-a"]
    assert sessions(line) == []


def test_H1_a_file_with_a_mistake_starts_nothing(line: Output, tmp_path: Path) -> None:
    file = tmp_path / "app.toml"
    file.write_text(HEAD + "intensity = 'much'")
    assert line.run("up", str(file)) == 1
    assert line.err == f"error: invalid_spec: {file}:2: intensity: Expected `int`, got `str`\n"
    assert sessions(line) == []


def test_the_example_opens_sells_is_killed_and_closes(line: Output, daemon: Daemon) -> None:
    assert line.run("up", "--check", str(EXAMPLE)) == 0
    assert line.run("up", str(EXAMPLE)) == 0
    with Client.connect(daemon.directory, WAIT_S) as client:
        assert client.call("till", ["sell", "apples", 3], WAIT_S) == 3
        assert client.call("till", ["audit"], WAIT_S) == {"apples": 7, "pears": 5}
        held: Any = client.call("shelves", ["lookup", "pears"])
        pears = Pid(client.pid.instance, held[0][0])
        ref = client.monitor(pears)
        client.kill(pears, signal.SIGKILL)
        assert client.wait_down(ref, WAIT_S).reason == "killed"
        assert client.call("till", ["sell", "apples", 99], WAIT_S) == 7
    assert line.run("stop", "shop") == 0
    assert sessions(line) == []
