"""Templates on a real daemon: which one serves whom, and that one which cannot serve harms nobody and says why."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from actorcore.errors import RequestError
from supervisors.client import Client
from supervisors.tree.child_spec import ChildSpec, ProcessSpec
from tests.daemon_fixture import WAIT_S, Daemon, Desk, await_deaths, desk_of, send_signal, watched

COUNTER, ASYNC_COUNTER = "supervisors.demo_actors:Counter", "supervisors.demo_actors:AsyncCounter"
MODULES = {
    "fine_module": "LOADED_BY = __import__('os').getpid()\n",
    "thready": "import threading, time\nthreading.Thread(target=threading.Event().wait).start()\n",
    "crashing": "import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n",
    "leaving": "raise SystemExit(0)\n",
    # Its first fork after ``hang`` was written hangs before it has begun; the file is gone by then.
    "hanging": (
        "import os\n"
        "def before():\n"
        "    if os.path.exists({hang!r}):\n"
        "        os.unlink({hang!r})\n"
        "        open({fifo!r}, 'rb').read()\n"
        "os.register_at_fork(before=before)\n"
    ),
}
CONFIGURATION = """
[templates.lean]
pool = 0
[templates.fine]
preload = ["fine_module"]
pool = 2
[templates.missing]
preload = ["json", "no_such_module"]
[templates.thready]
preload = ["thready"]
[templates.leaving]
preload = ["leaving"]
[templates.crashing]
preload = ["crashing"]
[templates.hanging]
preload = ["hanging"]
"""
IMPORT, THREADS, CRASH = (
    "a module of its preload list cannot be imported; the daemon's log says why",
    "a module of its preload list starts threads",
    "its preload list makes it crash",
)


class Served:
    """A daemon with these templates, and the folder of their modules."""

    def __init__(self, folder: Path) -> None:
        self.modules = folder / "modules"
        self.modules.mkdir()
        self.hang, self.fifo = folder / "hang", folder / "fifo"
        os.mkfifo(self.fifo)
        for name, text in MODULES.items():
            text = text.format(hang=str(self.hang), fifo=str(self.fifo)) if name == "hanging" else text
            (self.modules / f"{name}.py").write_text(text)
        self.daemon = Daemon(folder / "run", configuration=CONFIGURATION)
        self.daemon.environment["PYTHONPATH"] += f":{self.modules}"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    served = Served(tmp_path_factory.mktemp("templates"))
    with served.daemon:
        served.daemon.bystanders()
        yield served


@pytest.fixture
def desk(served: Served) -> Iterator[Desk]:
    with desk_of(served.daemon) as desk:
        yield desk


def refusal(client: Client, template: str) -> tuple[str, str]:
    with pytest.raises(RequestError) as refused:
        client.spawn(COUNTER, template=template)
    return refused.value.code, refused.value.detail


def row(client: Client, pid: Any) -> dict[str, Any]:
    (found,) = [row for row in client.processes() if row["serial"] == pid.serial]
    return found


def test_an_async_class_runs_in_a_loop_on_any_template_and_auto_learns_that_it_wants_asyncio(desk: Desk) -> None:
    pids = [desk.client.spawn(ASYNC_COUNTER, template=template) for template in ("auto", "auto", "lean", "asyncio", "fine")]
    assert [desk.client.call(pid, "add", WAIT_S) for pid in pids] == [1] * 5
    assert [row(desk.client, pid)["template"] for pid in pids] == ["lean", "asyncio", "lean", "asyncio", "fine"]
    plain = desk.client.spawn(COUNTER)
    assert row(desk.client, plain)["template"] == "lean"
    for pid in (*pids, plain):
        desk.client.exit(pid, "kill")


@pytest.mark.parametrize("name", ["INT", "TERM", "HUP", "USR1", "CHLD", "SEGV", "KILL"])
def test_A2_A7_a_signal_to_a_process_in_a_loop_is_what_it_is_to_any_other(desk: Desk, name: str) -> None:
    """A loop has a wakeup descriptor and handlers of its own; none of them may swallow a signal or be its reason."""
    pids = [desk.client.spawn(start, template="asyncio") for start in (COUNTER, ASYNC_COUNTER)]
    reasons = []
    for pid in pids:
        assert desk.client.call(pid, "add", WAIT_S) == 1
        ref = desk.client.monitor(pid)
        send_signal(row(desk.client, pid)["os_pid"], getattr(signal, f"SIG{name}"))
        if name == "CHLD":  # ignored by default
            assert desk.client.call(pid, "add", WAIT_S) == 2
            desk.client.exit(pid, "kill")
        reasons.append(desk.client.wait_down(ref, WAIT_S).reason)
    assert reasons[0] == reasons[1]
    assert reasons[0] == {"TERM": "shutdown", "KILL": "killed", "CHLD": "killed"}.get(name, {"signal": f"SIG{name}"})


def test_what_is_preloaded_was_imported_once_by_the_zygote(served: Served, desk: Desk) -> None:
    pids = [desk.client.spawn("tests.fault.template_actors:Importer", template=template) for template in ("fine", "fine", "lean")]
    loaded_by = [desk.client.call(pid, "fine_module", WAIT_S) for pid in pids]
    zygote = served.daemon.zygote_pid("fine")
    assert loaded_by == [zygote, zygote, row(desk.client, pids[2])["os_pid"]]
    for pid in pids:
        desk.client.exit(pid, "kill")


@pytest.mark.parametrize(("template", "why"), [
    ("nope", "there is none of this name"), ("missing", IMPORT), ("leaving", IMPORT), ("thready", THREADS), ("crashing", CRASH),
])  # fmt: skip
def test_a_spawn_from_a_template_that_is_not_served_is_refused_with_its_reason(desk: Desk, template: str, why: str) -> None:
    assert refusal(desk.client, template) == ("invalid_spec", f"template '{template}': {why}")


def test_a_session_of_such_a_template_fails_to_start_for_that_reason(desk: Desk) -> None:
    with pytest.raises(RequestError) as refused:
        desk.client.start_session(ChildSpec("s", ProcessSpec(COUNTER, template="missing"), restart="permanent"))
    told = f"template 'missing': {IMPORT}"
    assert (refused.value.code, json.loads(refused.value.detail)) == ("start_failed", {"invalid_spec": told})
    assert [session["id"] for session in desk.client.sessions() if session["id"] == "s"] == []


def test_status_tells_which_templates_are_served_and_why_others_are_not(desk: Desk) -> None:
    for template in ("missing", "thready", "leaving", "crashing"):
        refusal(desk.client, template)
    assert desk.client.node("status")["templates"] == {
        "lean": "served", "asyncio": "served", "session": "served", "supervisor": "served", "fine": "served",
        "hanging": "served", "missing": IMPORT, "leaving": IMPORT, "thready": THREADS, "crashing": CRASH,
    }  # fmt: skip


def test_the_log_has_one_line_for_each_cause(served: Served, desk: Desk) -> None:
    for template in ("missing", "thready", "leaving", "crashing"):
        refusal(desk.client, template)
    lines = served.daemon.log.read_text().splitlines()
    assert sorted(line for line in lines if line.startswith("template ")) == [
        "template leaving: import of leaving: SystemExit: 0",
        "template missing: import of no_such_module: ModuleNotFoundError: No module named 'no_such_module'",
        "template thready: one of thready starts threads, and a process with threads is not forked",
    ]
    assert [sum(f"template {name} is not served" in line for line in lines) for name in ("missing", "crashing")] == [1, 1]


def test_A14_a_zygote_that_owes_a_child_and_is_silent_is_replaced_and_each_spawn_is_answered_once(
    served: Served, desk: Desk
) -> None:
    desk.client.exit(desk.client.spawn(COUNTER, template="hanging"), "kill")
    with watched([served.daemon.zygote_pid("hanging")]) as handles:
        served.hang.write_text("")
        answers: list[int] = []
        spawners = [threading.Thread(target=_spawn, args=(served.daemon, answers)) for _ in range(5)]
        for spawner in spawners:
            spawner.start()
        for spawner in spawners:
            spawner.join()
        assert await_deaths(handles)
    assert len(set(answers)) == 5
    living = [row["serial"] for row in desk.client.processes() if row["template"] == "hanging"]
    assert sorted(living) == sorted(answers)
    for serial in answers:
        desk.client.exit(type(desk.client.pid)(desk.client.pid.instance, serial), "kill")


def _spawn(daemon: Daemon, answers: list[int]) -> None:
    with Client.connect(daemon.directory, WAIT_S) as client:
        answers.append(client.spawn(COUNTER, template="hanging").serial)


def test_a_successor_of_the_node_refuses_as_its_predecessor_did_and_the_pools_are_kept(served: Served, desk: Desk) -> None:
    node = desk.node_os_pid()
    with watched([node]) as handles:
        send_signal(node, signal.SIGKILL)
        assert await_deaths(handles)
    assert refusal(desk.client, "thready") == ("invalid_spec", f"template 'thready': {THREADS}")
    while True:
        rows = [row for row in desk.client.processes() if row["template"] == "fine" and row["phase"] == "warm"]
        if len(rows) == 2:
            break


def test_reload_gives_a_refused_template_another_chance(served: Served, desk: Desk) -> None:
    assert refusal(desk.client, "missing")[0] == "invalid_spec"
    (served.modules / "no_such_module.py").write_text("")
    desk.client.node("reload", WAIT_S)
    pid = desk.client.spawn(COUNTER, template="missing")
    assert desk.client.call(pid, "add", WAIT_S) == 1
    desk.client.exit(pid, "kill")
    assert refusal(desk.client, "thready") == ("invalid_spec", f"template 'thready': {THREADS}")


def test_A14_a_module_that_never_ends_its_import_costs_its_template_and_nobody_else(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "endless.py").write_text(f"open({str(tmp_path / 'fifo')!r}, 'rb').read()\n")
    configuration = '[templates.endless]\npreload = ["endless"]\npool = 2\n'
    daemon = Daemon(tmp_path / "run", module="tests.fault.impatient", configuration=configuration)
    daemon.environment["PYTHONPATH"] += f":{tmp_path}"
    with daemon:
        client = daemon.client()
        assert client.call(client.spawn(COUNTER), "add", WAIT_S) == 1
        told = ("invalid_spec", "template 'endless': its preload list takes longer than 0.5 s")
        assert [refusal(client, "endless"), refusal(client, "endless")] == [told, told]
        assert [row for row in client.processes() if row["template"] == "endless"] == []


def test_a_zygote_that_imports_for_long_holds_up_nobody_however_many_orders_wait_for_it(tmp_path: Path) -> None:
    """More than its socket takes: the node waited for room in it, did nothing else, and was killed as one that hangs."""
    fifo, empty = tmp_path / "fifo", tmp_path / "empty"
    os.mkfifo(fifo)
    empty.touch()
    (tmp_path / "slow.py").write_text(f"open({str(fifo)!r}, 'rb').read()\n")
    daemon = Daemon(tmp_path / "run", module="tests.fault.narrow", configuration="[templates.slow]\npreload = ['slow']\n")
    daemon.environment["PYTHONPATH"] += f":{tmp_path}"
    with daemon:
        client = daemon.client()
        pids = [client.spawn_spec(ProcessSpec(COUNTER, template="slow"), wait_init=False) for _ in range(100)]
        assert client.node("status")["generation"] == 1
        with fifo.open("wb"):
            empty.replace(fifo)  # another zygote finds nothing to wait for: one that brings no child for two seconds is replaced
        assert [client.call(pid, "add", WAIT_S) for pid in pids] == [1] * 100
        assert client.node("status")["generation"] == 1
