"""The command line without a real daemon: usage, exit codes, texts, starting on demand."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest

from actorcore import frames
from actorcore.errors import CallFailed, RequestError
from actorcore.frames import Numbered
from actorcore.pids import Pid
from actorcore.signals import Ask, Down, Monitor, Processes, SendExit, Spawn, Whereis
from supervisors import launch
from supervisors.cli import output
from supervisors.cli.commands import run
from tests.fake_node import INSTANCE, FakeNode, Script, Session, running

RESIDENTS = {"system:node": 2, "system:sessions": 3, "system:manager": 4}
ACTORCORE = [sys.executable, "-m", "supervisors"]


class Output:
    """Runs command lines against one directory and keeps what they print."""

    def __init__(self, directory: Path, capture: pytest.CaptureFixture[str]) -> None:
        self.directory = directory
        self._capture = capture
        self.out = ""
        self.err = ""

    def run(self, *words: str) -> int:
        code = run(["--dir", str(self.directory), *words])
        self.out, self.err = self._capture.readouterr()
        return code


@pytest.fixture
def cli(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Output:
    return Output(tmp_path / "run", capsys)


@contextlib.contextmanager
def node_of(cli: Output, script: Script) -> Iterator[FakeNode]:
    with running(cli.directory, script) as node:
        yield node


def world(session: Session, said: Numbered) -> None:
    """A daemon with process 7 named ``counter``, which is session ``c``."""
    row = {"id": "c", "name": "counter", "serial": 7, "state": "active", "restarts": 0, "restart": "permanent", "reason": None}
    match said.body:
        case Whereis(name):
            session.answer(said, {**RESIDENTS, "counter": 7}.get(name))
        case Ask(2):
            session.answer(said, {"state": "ready", "generation": 1})
        case Ask(3, body) if frames.term_decoder.decode(body)[0] == "list_sessions":  # type: ignore[index]
            session.answer(said, {"sessions": [row], "next": None})
        case Ask(3):
            session.answer(said, row)
        case Ask(4):
            session.answer(said, error=("not_found", None))
        case Processes(0):
            process = {"serial": 7, "kind": "process", "name": "counter", "phase": "running", "os_pid": 99, "start": "m:f"}
            session.answer(said, [process, {**process, "serial": 8, "name": None, "start": "", "phase": "warm"}])
        case Processes():
            session.answer(said, [])
        case Spawn():
            session.answer(said, 9)
        case Monitor(ref):
            session.answer(said)
            session.deliver(Down([ref], 7, "killed"))
        case _:
            session.answer(said, True)


# ---- usage ----------------------------------------------------------------------------------------------------------


def test_help_names_every_command_and_needs_neither_client_nor_rich() -> None:
    heavy = "{'msgspec', 'rich', 'platformdirs'}"
    code = f"import sys, supervisors.cli.commands as c; c.run(['--help']); print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    listed = done.stdout.split("The daemon:")[1].split("Exit codes:")[0]
    assert "..." not in listed
    words = {line.split()[0] for line in listed.splitlines() if line.strip() and line.startswith(" ")}
    assert words == {
        "start", "status", "spawn", "ls", "call", "send", "monitor", "kill", "stop", "restart", "reload", "down", "demo",
        "doctor", "whereis", "up", "sys", "trace", "code-change", "create", "sessions", "info", "rename", "suspend", "wake", "rm",
        "events", "say", "history", "save", "log", "update", "default",
        "saved", "resume", "delete", "cleanup", "export", "import", "rotate",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["nonsense"], "No such command 'nonsense'"),
        (["call", "x"], "Missing argument 'JSON'"),
        (["call", "x", "{"], "'{' is not JSON"),
        (["call", "x", "NaN"], "NaN is not in JSON"),
        (["kill", "-s", "WHAT", "x"], "'WHAT' is not a signal"),
        (["spawn", "m:f", "--restart", "often"], "'often' is not one of"),
    ],
)
def test_wrong_usage_is_exit_code_2_and_starts_nothing(cli: Output, words: list[str], text: str) -> None:
    assert cli.run(*words) == 2
    assert text in cli.err
    assert cli.directory.exists() is False


# ---- no daemon ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["status", "reload", "down"])
def test_status_reload_and_down_without_a_daemon_are_exit_code_3_and_start_none(cli: Output, command: str) -> None:
    assert cli.run(command) == 3
    assert cli.err == "error: not_running: the daemon is not running; `actorcore start` starts it\n"
    assert cli.directory.exists() is False


def test_an_unsafe_directory_is_refused(cli: Output) -> None:
    cli.directory.mkdir(mode=0o755)
    cli.directory.chmod(0o755)
    assert cli.run("ls") == 1
    assert cli.err == f"error: not_permitted: runtime directory {cli.directory} has mode 0755, not 0700\n"


def test_a_daemon_that_fails_to_start_is_told_and_leaves_its_words_in_the_log(cli: Output) -> None:
    with pytest.raises(RequestError) as caught:
        launch.connect_or_start(cli.directory, "no_such_module_of_ours")
    assert caught.value.code == "start_failed"
    log = cli.directory / "daemon.log"
    assert "no_such_module_of_ours" in log.read_text()
    assert log.stat().st_mode & 0o777 == 0o600


# ---- commands -------------------------------------------------------------------------------------------------------


def test_start_says_that_the_daemon_runs_already(cli: Output) -> None:
    with node_of(cli, world):
        assert cli.run("start", "--json") == 0
    assert json.loads(cli.out) == {"started": False, "dir": str(cli.directory)}


def test_status_prints_what_the_node_answers(cli: Output) -> None:
    with node_of(cli, world):
        assert cli.run("status") == 0
    assert cli.out == "state: ready\ngeneration: 1\n"


def test_ls_is_a_table_without_colours_when_no_terminal_reads_it(cli: Output) -> None:
    with node_of(cli, world):
        assert cli.run("ls") == 0
    assert cli.out.splitlines() == [
        "PID     NAME     KIND     STATE    OS_PID  START",
        "7f3a.7  counter  process  running  99      m:f",
    ]


def test_ls_in_json_is_the_rows(cli: Output) -> None:
    with node_of(cli, world):
        assert cli.run("ls", "--sessions", "--json") == 0
    assert json.loads(cli.out) == [
        {
            "pid": "7f3a.7", "id": "c", "name": "counter", "state": "active", "restarts": 0, "restart": "permanent",
            "reason": None,
        }
    ]  # fmt: skip


def test_spawn_without_restart_is_a_bare_process(cli: Output) -> None:
    with node_of(cli, world) as node:
        assert cli.run("spawn", "m:f", "1", '{"a": null}', "--restart", "none") == 0
    (spawned,) = [said.body for said in node.requests if isinstance(said.body, Spawn)]
    assert (spawned.spec.start, spawned.spec.args, cli.out) == ("m:f", [1, {"a": None}], "7f3a.9\n")


def test_spawn_is_a_session_under_its_name(cli: Output) -> None:
    with node_of(cli, world) as node:
        assert cli.run("spawn", "m:f", "--name", "counter", "--restart", "permanent") == 0
    (asked,) = [frames.term_decoder.decode(said.body.body) for said in node.requests if isinstance(said.body, Ask)]
    assert isinstance(asked, list)
    assert (asked[0], cli.out) == ("start_session", "counter\n")


def test_monitor_prints_the_reason_of_the_death(cli: Output) -> None:
    with node_of(cli, world):
        assert cli.run("monitor", "counter", "--json") == 0
    assert json.loads(cli.out) == {"pid": "7f3a.7", "reason": "killed"}


@pytest.mark.parametrize("target", ["counter", "c", str(Pid(INSTANCE, 7))])
def test_a_target_is_a_name_a_session_id_or_a_pid(cli: Output, target: str) -> None:
    with node_of(cli, world) as node:
        assert cli.run("kill", target) == 0
    assert [said.body for said in node.requests if isinstance(said.body, SendExit)] == [SendExit(7, "kill")]


def test_an_unknown_target_is_not_found(cli: Output) -> None:
    with node_of(cli, world):
        assert cli.run("kill", "nobody\x1b[2J") == 1
    assert cli.err == "error: not_found: nobody\\x1b[2J is no pid, name or session; see `actorcore ls`\n"


def test_down_returns_when_the_daemon_is_gone(cli: Output) -> None:
    def ending(session: Session, said: Numbered) -> None:
        world(session, said)
        if isinstance(said.body, Ask):
            session.node.listener.shutdown(2)
            session.die()

    with node_of(cli, ending):
        assert cli.run("down") == 0
    assert cli.out == "down\n"


# ---- words and interrupts -------------------------------------------------------------------------------------------


def test_S15_the_code_and_the_detail_with_which_a_session_refuses_are_one_line_that_moves_no_cursor(
    capsys: pytest.CaptureFixture[str]
) -> None:
    for error in (RequestError("bad\x1b[2J\nerror: forged", "x\ny\x9b"), CallFailed("died\x1b[2J\r")):
        output.say_error(error)
    assert capsys.readouterr().err == (
        "error: bad\\x1b[2J\\nerror: forged: x\\ny\\x9b\n"
        "error: process_not_alive: died\\x1b[2J\\r (the process is dead or never lived)\n"
    )


def test_S15_printed_text_cannot_move_the_cursor() -> None:
    assert output.printable("a\n\x1b]0;x\x07\u202eb é") == "a\\n\\x1b]0;x\\x07\\u202eb é"


def test_json_says_pids_as_text_and_bytes_in_base64() -> None:
    assert output.to_json({"pid": Pid(0x7F3A, 1), "data": [b"\x00"]}) == '{"pid": "7f3a.1", "data": [{"base64": "AA=="}]}'


def test_ctrl_c_is_exit_code_130_without_a_traceback(cli: Output) -> None:
    held: list[int] = []
    reader, writer = os.pipe()

    def hold(session: Session, said: Numbered) -> None:
        if isinstance(said.body, Monitor):
            session.answer(said)
            held.append(os.write(writer, b"1"))
        else:
            world(session, said)

    try:
        with node_of(cli, hold):
            command = [*ACTORCORE, "--dir", str(cli.directory), "monitor", "counter"]
            with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
                os.read(reader, 1)
                process.send_signal(signal.SIGINT)
                _, err = process.communicate(timeout=20)
    finally:
        os.close(reader)
        os.close(writer)
    assert (process.returncode, err.strip()) == (130, "")


LOST_IN_A_CALLBACK = """
import signal, sys, weakref
from supervisors.__main__ import main

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "supervisors.cli.commands":
            weakref.finalize(set(), signal.raise_signal, signal.SIGINT)

sys.meta_path.insert(0, Finder())
sys.argv = ["actorcore", "--help"]
main()
"""


def test_ctrl_c_in_a_callback_in_the_middle_of_an_import_ends_the_command_too() -> None:
    done = subprocess.run([sys.executable, "-c", LOST_IN_A_CALLBACK], capture_output=True, text=True, timeout=20, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_an_interrupt_that_is_ignored_stays_ignored() -> None:
    code = "import signal; signal.signal(2, signal.SIG_IGN); import sys; from supervisors.__main__ import main; " \
        "sys.argv = ['actorcore', 'doctor', '--json']; import supervisors.cli.doctor; signal.raise_signal(2); main()"  # fmt: skip
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=20, check=False)
    assert (done.returncode, done.stderr, json.loads(done.stdout)[0]["feature"]) == (0, "", "python")


@pytest.mark.parametrize(("words", "err"), [
    (["--version"], "error: write_failed: No space left on device\n"),
    (["doctor"], "error: write_failed: No space left on device\n"),
    (["doctor", "--json"], '{"error": {"code": "write_failed", "detail": "No space left on device", "meaning": '
                           '"it could not be written; the log has the reason"}}\n'),
])  # fmt: skip
def test_output_that_cannot_be_written_is_an_error_in_one_line(words: list[str], err: str) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run([*ACTORCORE, *words], stdout=full, stderr=subprocess.PIPE, text=True, timeout=20, check=False)
    assert (done.returncode, done.stderr) == (1, err)


def test_without_a_standard_output_a_command_does_what_it_does() -> None:
    shell = f"exec {sys.executable} -m supervisors doctor >&-"
    done = subprocess.run(shell, shell=True, stderr=subprocess.PIPE, text=True, timeout=20, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_version_is_that_of_the_package(cli: Output) -> None:
    assert cli.run("--version") == 0
    assert cli.out == f"actorcore {metadata.version('actorcore')}\n"


def test_a_turn_at_the_start_lock_that_comes_too_late_is_let_go_of(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with open(path, "w") as holder:
        fcntl.flock(holder, fcntl.LOCK_EX)
        late, before = os.open(path, os.O_RDWR), set(threading.enumerate())
        assert launch.Turn(late).wait(0.0) is False
        (waiting,) = set(threading.enumerate()) - before
    waiting.join()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(late)
