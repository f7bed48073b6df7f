"""Hot replacement of a module's code: who runs it keeps pid, state, mailbox, links; new code that fails changes nothing."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from actorcore.errors import RequestError
from actorcore.pids import Pid
from actorcore.signals import ProcessSpec
from supervisors import exit_codes
from supervisors.async_client import AsyncClient
from supervisors.client import Client
from supervisors.clients.code import CodeChanged
from tests.daemon_fixture import ROOT, WAIT_S, Daemon, Desk, desk_of

OLD = """
import os
from actorcore.gen_server import GenServer, Reply

__version__ = "1"

class Counter(GenServer):
    def init(self, *args):
        self.count = 0

    {async_}def handle_call(self, request, frm):
        self.count += 1
        return Reply(["old", self.count])

    def handle_info(self, info):
        open(info.body, "rb").read()
"""
NEW = """
from actorcore.gen_server import GenServer, Reply

__version__ = "2"

class Counter(GenServer):
    {async_}def handle_call(self, request, frm):
        self.total += 1
        return Reply(["new", self.total])

    def handle_cast(self, request):
        self.total += 100
        return None

    def code_change(self, old_version, state, extra):
        if extra == "fail" or state["count"] == 13:
            raise ValueError("cannot")
        return {{"total": state["count"] * 10, "was": [old_version, extra]}}
"""


class Code:
    """The file of a module that no other test has."""

    def __init__(self, folder: Path, desk: Desk, async_: str) -> None:
        self.folder, self.desk, self.async_ = folder, desk, async_
        self.module = f"hot_{os.getpid()}_{id(self)}"
        self.write(OLD)

    def write(self, text: str) -> None:
        (self.folder / f"{self.module}.py").write_text(text.format(async_=self.async_))

    def spawn(self, **fields: Any) -> Pid:
        return self.desk.client.spawn_spec(ProcessSpec(f"{self.module}:Counter", path=str(self.folder), **fields))

    def stop(self, *pids: Pid) -> None:
        for pid in pids:
            self.desk.client.stop(pid, timeout_s=WAIT_S)


@pytest.fixture(params=["", "async "])
def code(request: pytest.FixtureRequest, desk: Desk, tmp_path: Path) -> Code:
    return Code(tmp_path, desk, request.param)


def add(client: Client, pid: Pid) -> object:
    return client.call(pid, "add", WAIT_S)


def test_many_processes_go_on_with_the_new_code_and_what_it_makes_of_their_state(desk: Desk, code: Code) -> None:
    client = desk.client
    pids = [code.spawn() for _ in range(20)]  # a warm blank goes before an older one on its way
    for times, pid in enumerate(pids[:3], 1):
        assert [add(client, pid) for _ in range(times)] == [["old", n] for n in range(1, times + 1)]
    rows = {row["serial"]: row["os_pid"] for row in client.processes()}
    code.write(NEW)
    assert client.change_code(code.module, extra="more") == CodeChanged(sorted(pids), {})
    assert [client.sys.get_state(pid) for pid in pids[:4]] == [
        {"total": count * 10, "was": ["1", "more"]} for count in (1, 2, 3, 0)
    ]  # fmt: skip
    assert [add(client, pid) for pid in pids[:4]] == [["new", 11], ["new", 21], ["new", 31], ["new", 1]]
    assert {pid.serial: rows[pid.serial] for pid in pids} == {
        row["serial"]: row["os_pid"] for row in client.processes() if row["serial"] in {pid.serial for pid in pids}
    }  # fmt: skip
    code.stop(*pids)


def test_name_link_monitor_and_mailbox_stay(desk: Desk, code: Code) -> None:
    client = desk.client
    pid = code.spawn(name=code.module)
    client.link(pid)
    ref = client.monitor(pid)
    client.sys.suspend(pid)
    client.cast(pid, "waits in the mailbox")
    code.write(NEW)
    assert client.change_code(code.module) == CodeChanged([pid], {})
    assert (client.whereis(code.module), add(client, pid)) == (pid, ["new", 101])
    client.exit(pid, {"shutdown": "enough"})
    assert client.wait_down(ref, WAIT_S).reason == {"shutdown": "enough"}
    assert client.receive(WAIT_S).reason == {"shutdown": "enough"}  # type: ignore[union-attr]  # the exit signal of the link


def test_a_code_change_that_raises_leaves_that_process_with_its_old_code_and_tells_why(desk: Desk, code: Code) -> None:
    client = desk.client
    unlucky, lucky = code.spawn(), code.spawn()
    for _ in range(13):
        add(client, unlucky)
    code.write(NEW)
    told = client.change_code(code.module)
    assert told == CodeChanged([lucky], {unlucky: ("callback_failed", "ValueError: cannot")})
    assert (add(client, unlucky), add(client, lucky)) == (["old", 14], ["new", 1])
    assert client.change_code(code.module).changed == [unlucky]  # what did not fit then fits now
    assert client.sys.get_state(unlucky) == {"total": 140, "was": ["1", None]}
    code.stop(unlucky, lucky)


@pytest.mark.parametrize(("text", "trouble"), [
    ("class Counter(:", "SyntaxError"), ("raise RuntimeError('at import')", "RuntimeError: at import"),
    ("Counter = 1", "TypeError: Counter is no class any more"), ("", "AttributeError"),
])  # fmt: skip
def test_a_module_that_does_not_load_changes_nobody(desk: Desk, code: Code, text: str, trouble: str) -> None:
    client = desk.client
    pid = code.spawn()
    code.write(text)
    told = client.change_code(code.module)
    ((failed, (reason, detail)),) = told.failed.items()
    assert (told.changed, failed, reason, str(detail)[: len(trouble)]) == ([], pid, "callback_failed", trouble)
    assert add(client, pid) == ["old", 1]
    code.write(NEW)
    assert client.change_code(code.module) == CodeChanged([pid], {})
    assert add(client, pid) == ["new", 11]
    assert client.sys.get_state(pid) == {"total": 11, "was": ["1", None]}  # the module of before was there all the time
    code.stop(pid)


def test_code_of_the_same_size_written_in_the_same_second_is_the_new_code(desk: Desk, code: Code) -> None:
    client = desk.client
    pid = code.spawn()
    assert add(client, pid) == ["old", 1]
    path = code.folder / f"{code.module}.py"
    before = path.stat()
    path.write_text(path.read_text().replace('"old"', '"odd"'))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert client.change_code(code.module) == CodeChanged([pid], {})
    assert add(client, pid) == ["odd", 2]
    code.stop(pid)


def test_who_is_busy_for_too_long_keeps_its_code_and_the_others_do_not_wait_for_it(
    desk: Desk, code: Code, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, driver = desk.client, desk.client._driver
    busy, idle = code.spawn(), code.spawn()
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    client.send(busy, str(fifo))
    wait = driver._wait

    def impatient(number: int, deadline: float | None) -> object:
        """As if the time were over as soon as the busy one is waited for, and however slow the others are, not before."""
        return wait(number, 0.0 if driver.core.awaited.get(number) == busy.serial else deadline)

    with open(fifo, "wb"):  # it waits for the end
        code.write(NEW)
        with monkeypatch.context() as patch:
            patch.setattr(driver, "_wait", impatient)
            assert client.change_code(code.module, timeout_s=WAIT_S) == CodeChanged([idle], {busy: ("timeout", None)})
        assert add(client, idle) == ["new", 1]
    assert add(client, busy) == ["old", 1]  # it was suspended then, and resumed
    code.stop(busy, idle)


def test_the_async_client_changes_code_as_well(desk: Desk, code: Code) -> None:
    pid = code.spawn()
    code.write(NEW)

    async def change() -> tuple[CodeChanged, object]:
        async with await AsyncClient.connect(desk.daemon.directory) as client:
            return await client.change_code(code.module), await client.sys.get_state(pid)

    assert asyncio.run(change()) == (CodeChanged([pid], {}), {"total": 0, "was": ["1", None]})
    code.stop(pid)


def is_suspended(status: object) -> bool:
    return isinstance(status, dict) and status["status"] == "suspended"


def test_who_gives_up_in_the_middle_leaves_nobody_suspended(desk: Desk, code: Code, tmp_path: Path) -> None:
    """A task of a loop is cancelled while one process is too busy to be suspended, and another one is already."""
    client, fifo = desk.client, tmp_path / "fifo"
    os.mkfifo(fifo)
    ready, busy = code.spawn(), code.spawn()
    client.send(busy, str(fifo))

    async def begin_and_give_up() -> None:
        async with await AsyncClient.connect(desk.daemon.directory) as other:
            change = asyncio.create_task(other.change_code(code.module))
            while not is_suspended(await other.sys.get_status(ready)):
                pass
            change.cancel()
            assert isinstance((await asyncio.gather(change, return_exceptions=True))[0], asyncio.CancelledError)
            assert await other.call(ready, "add") == ["old", 1]

    with open(fifo, "wb"):  # it reads, and waits for the end
        asyncio.run(begin_and_give_up())
    assert add(client, busy) == ["old", 1]
    code.stop(ready, busy)


def test_ctrl_c_in_a_code_change_leaves_nobody_suspended(desk: Desk, code: Code, tmp_path: Path) -> None:
    client, fifo = desk.client, tmp_path / "fifo"
    os.mkfifo(fifo)
    ready, busy = code.spawn(), code.spawn()
    client.send(busy, str(fifo))
    command = [sys.executable, "-m", "supervisors", "--dir", str(desk.daemon.directory), "code-change", code.module]
    with open(fifo, "wb"), subprocess.Popen([*command, "--timeout", "60"], cwd=ROOT) as change:
        while not is_suspended(client.sys.get_status(ready)):
            pass
        change.send_signal(signal.SIGINT)
        assert change.wait(WAIT_S) == exit_codes.INTERRUPTED
    assert (add(client, ready), add(client, busy)) == (["old", 1], ["old", 1])
    code.stop(ready, busy)


def test_only_a_suspended_process_and_only_of_that_module_changes(desk: Desk, code: Code) -> None:
    client = desk.client
    pid = code.spawn()
    for module, refusal in ((code.module, "not_permitted"), ("actorcore.gen_server", "not_permitted")):
        with pytest.raises(RequestError) as refused:
            client.sys.change_code(pid, module)
        assert refused.value.code == refusal
    client.sys.suspend(pid)
    with pytest.raises(RequestError) as refused:
        client.sys.change_code(pid, "actorcore.gen_server")
    assert refused.value.code == "not_found"
    client.sys.resume(pid)
    assert add(client, pid) == ["old", 1]
    code.stop(pid)


def test_a_blocking_class_cannot_become_one_that_needs_a_loop(desk: Desk, tmp_path: Path) -> None:
    code = Code(tmp_path, desk, "")
    pid = code.spawn()
    code.write(NEW.replace("{async_}", "async "))
    assert desk.client.change_code(code.module) == CodeChanged(
        [], {pid: ("callback_failed", "TypeError: Counter needs a loop, and this process has none")}
    )
    assert add(desk.client, pid) == ["old", 1]
    code.stop(pid)


STATEM = """
from actorcore.gen_statem import GenStatem, NextState, Ok, Reply, StateTimeout, KeepState

class Switch(GenStatem):
    callback_mode = "state_functions"
    def init(self, *args):
        self.count = 0
        return Ok("off")
    def off(self, event):
        return NextState("on", [Reply("on"), StateTimeout(60.0)])
    def on(self, event):
        return NextState("off", [Reply("off")])
"""


def test_a_state_machine_gets_a_new_state_with_its_new_code(desk: Desk, tmp_path: Path) -> None:
    code = Code(tmp_path, desk, "")
    (tmp_path / f"{code.module}.py").write_text(STATEM)
    client = desk.client
    pid = client.spawn_spec(ProcessSpec(f"{code.module}:Switch", path=str(tmp_path)))
    assert client.call(pid, "turn") == "on"
    change = """
    def bright(self, event):
        return KeepState([Reply(["bright", self.lumen])])
    def code_change(self, old_version, state, extra):
        name, data = state
        return {"on": "bright"}[name], {**data, "lumen": extra}
"""
    (tmp_path / f"{code.module}.py").write_text(STATEM.replace("def on(self", "def unused(self") + change)
    assert client.change_code(code.module, extra=800) == CodeChanged([pid], {})
    assert client.call(pid, "turn") == ["bright", 800]
    assert client.sys.get_state(pid) == ["bright", {"count": 0, "lumen": 800}]
    assert list(client.change_code(code.module).failed) == [pid]  # bright is no state that it can change from
    assert client.call(pid, "turn") == ["bright", 800]
    code.stop(pid)


def test_nobody_runs_it_and_nothing_happens(desk: Desk) -> None:
    assert desk.client.change_code("no_such_module") == CodeChanged([], {})


def test_a_template_that_has_the_module_in_its_image_forks_from_a_new_one(tmp_path: Path) -> None:
    module = tmp_path / "imaged.py"
    module.write_text(OLD.format(async_=""))
    daemon = Daemon(tmp_path / "run", configuration='[templates.imaged]\npreload = ["imaged"]\npool = 2\n')
    daemon.environment["PYTHONPATH"] += f":{tmp_path}"
    with daemon:
        daemon.bystanders()
        with desk_of(daemon) as desk:
            before = desk.client.spawn("imaged:Counter", template="imaged")
            assert add(desk.client, before) == ["old", 1]
            module.write_text(NEW.format(async_="") + "\n    def init(self, *args):\n        self.total = 0\n")
            assert desk.client.change_code("imaged") == CodeChanged([before], {})
            after = [desk.client.spawn("imaged:Counter", template="imaged") for _ in range(4)]
            assert [add(desk.client, pid) for pid in after] == [["new", 1]] * 4
            for pid in (before, *after):
                desk.client.stop(pid, timeout_s=WAIT_S)
