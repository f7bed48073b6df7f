"""The command line against a real daemon: every command, as a person and as a program types it."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from actorcore.errors import CODES, MEANINGS
from actorcore.pids import Pid
from supervisors import exit_codes, paths
from supervisors.cli import commands as cli
from supervisors.client import Client
from supervisors.clients.messages import InfoMessage
from supervisors.exit_codes import error_json
from supervisors.node_entry import kernel
from tests.daemon_fixture import ROOT, WAIT_S, Daemon, await_deaths, descendants, send_signal, still_there, watched
from tests.test_cli_offline import Output

WITNESS = "tests.fault.actors:Witness"
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}
OF_START = tuple(exit_codes.MEANINGS)
COMMANDS = sorted(set(cli.cli.commands) - {"[]"})


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    with Daemon(tmp_path_factory.mktemp("daemon") / "run") as daemon:
        yield daemon


@pytest.fixture
def line(daemon: Daemon, capsys: pytest.CaptureFixture[str]) -> Iterator[Output]:
    """The command line, with a session named ``ada`` in the daemon."""
    output = Output(daemon.directory, capsys)
    assert output.run("spawn", WITNESS, "--name", "ada", "--restart", "permanent") == 0
    yield output
    assert output.run("stop", "ada", "--json") == 0


def command(directory: Path, *words: str) -> list[str]:
    return [sys.executable, "-m", "supervisors", "--dir", str(directory), *words]


def guardian_of(directory: Path) -> int:
    """The OS pid of the guardian that serves ``directory``."""
    with Client.connect(directory, WAIT_S) as client:
        node = client.node("status")["node_os_pid"]
    return int(Path(f"/proc/{node}/stat").read_text().rpartition(")")[2].split()[1])


@contextmanager
def beside(*argv: str, **options: Any) -> Iterator[subprocess.Popen[str]]:
    """A program that runs beside the test and does not outlive it; nor does a daemon, whose guardian it is."""
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    process = subprocess.Popen(argv, **streams, text=True, env=ENVIRONMENT, cwd=ROOT)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()


# ---- words --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_of_every_command_shows_an_example_and_json(line: Output, name: str) -> None:
    assert line.run(name, "--help") == 0
    assert f"actorcore {name}" in line.out.split("Example")[1].replace("--dir /tmp/mine ", "")
    assert "--json" in line.out
    assert exit_codes.explained(OF_START if name == "start" else exit_codes.OF_COMMANDS) in " ".join(line.out.split())


def test_the_help_explains_every_exit_code(line: Output) -> None:
    assert line.run("--help") == 0
    assert exit_codes.explained(tuple(exit_codes.MEANINGS)) in " ".join(line.out.split())


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["spawn", "no_such_module:x"], "start_failed"),
        (["spawn", "tests.fault.actors:nothing"], "start_failed"),
        (["spawn", "os:environ", "--restart", "none"], "start_failed"),
        (["spawn", WITNESS, "--id", "Not An Id"], "invalid_spec"),
        (["spawn", WITNESS, "--id", "ada"], "already_exists"),
        (["spawn", WITNESS, "--name", "system:node", "--restart", "none"], "start_failed"),
        (["spawn", WITNESS, "--template", "none", "--restart", "none"], "invalid_spec"),
        (["call", "nobody", "1"], "not_found"),
        (["call", "7f3a.42", "1"], "not_found"),
        (["call", "system:node", '{"verb": "explode"}'], "unknown_request"),
        (["call", "system:node", "[]"], "invalid_message"),
        (["send", "nobody", "1"], "not_found"),
        (["whereis", "nobody"], "not_found"),
        (["monitor", "nobody"], "not_found"),
        (["monitor", "ada", "--timeout", "0.01"], "timeout"),
        (["kill", "nobody"], "not_found"),
        (["stop", "nobody"], "not_found"),
        (["restart", "nobody"], "not_found"),
        (["stop", "system:sessions"], "invalid_message"),
    ],
)
def test_what_is_refused_is_a_code_on_stderr_and_loses_nothing(line: Output, words: list[str], error: str) -> None:
    line.run("ls", "--sessions", "--json")
    sessions = json.loads(line.out)
    line.run("call", "ada", '["add", 1]')
    assert line.run(*words) == 1
    assert error in CODES
    assert (line.out, line.err.split(": ")[:2]) == ("", ["error", error])
    assert line.err.count("\n") == 1
    line.run("ls", "--sessions", "--json")
    assert [row | {"uptime_s": 0} for row in json.loads(line.out)] == [row | {"uptime_s": 0} for row in sessions]
    assert (line.run("call", "ada", '["add", 1]'), line.out) == (0, "2\n")


@pytest.mark.parametrize(("words", "exit_code", "code"), [
    (["whereis", "nobody"], 1, "not_found"), (["spawn", "no_such_module:x"], 1, "start_failed"),
    (["monitor", "ada", "--timeout", "0.01"], 1, "timeout"), (["call", "ada", "no json"], 2, "usage"), (["explode"], 2, "usage"),
])  # fmt: skip
def test_with_json_what_went_wrong_is_json_too(line: Output, words: list[str], exit_code: int, code: str) -> None:
    assert line.run(*words, "--json") == exit_code
    (error,) = json.loads(line.err).values()
    assert (line.out, sorted(error), error["code"], error["meaning"]) == (
        "", ["code", "detail", "meaning"], code, MEANINGS.get(code, ""),
    )  # fmt: skip


# ---- commands -----------------------------------------------------------------------------------------------------


def test_a_monitor_whose_time_is_over_says_that_its_target_lives(line: Output) -> None:
    assert (line.run("monitor", "ada", "--timeout", "0.01"), line.err) == (1, "error: timeout: ada is still alive\n")


def test_a_long_list_has_the_cpu_time_and_the_memory_of_os_processes(line: Output) -> None:
    assert line.run("ls", "-l", "--json") == 0
    rows = {row["name"]: row for row in json.loads(line.out)}
    ada, node = rows["ada"], rows["system:node"]
    assert (0 <= ada["cpu_s"] < WAIT_S, 1e6 < ada["memory_bytes"] < 1e8) == (True, True)
    assert (node["cpu_s"], node["memory_bytes"]) == (None, None)
    assert line.run("ls", "-l") == 0
    head, *table = line.out.splitlines()
    assert head.split() == ["PID", "NAME", "KIND", "STATE", "OS_PID", "CPU", "MEMORY", "START"]
    (shown,) = [text.split() for text in table if text.split()[1] == "ada"]
    assert (shown[4], shown[6], shown[8:]) == (str(ada["os_pid"]), "s", ["MB", WITNESS])
    (shown,) = [text.split() for text in table if text.split()[1] == "system:node"]
    assert shown[4:] == ["-", "-", "-"]
    assert (line.run("ls", "-l", "--sessions"), line.err.splitlines()[-1]) == (
        2, "Error: --long is of processes: without --sessions",
    )  # fmt: skip


def completed(directory: Path, *words: str) -> list[str]:
    """What the shell offers for the last of ``words``."""
    typed = ["actorcore", "--dir", str(directory), *words]
    asked = {"_ACTORCORE_COMPLETE": "bash_complete", "COMP_WORDS": " ".join(typed), "COMP_CWORD": str(len(typed) - 1)}
    program = "from supervisors.cli.commands import run; run([])"
    done = subprocess.run(
        [sys.executable, "-c", program], env=ENVIRONMENT | asked, capture_output=True, text=True, check=True, cwd=ROOT
    )  # fmt: skip
    assert done.stderr == ""
    return [text.partition(",")[2] for text in done.stdout.splitlines()]


def test_the_shell_completes_commands_names_and_ids_and_starts_no_daemon(line: Output, tmp_path: Path) -> None:
    assert (line.run("create", str(tmp_path), "--name", "adalbert", "--json"), line.err) == (0, "")
    id = json.loads(line.out)["id"]
    ids = [id] if id.startswith("ad") else []
    try:
        assert completed(line.directory, "ad") == [""]  # which bash takes for: nothing
        assert completed(line.directory, "re") == ["reload", "restart", "rename", "resume"]
        assert completed(line.directory, "call", "ad") == sorted([*ids, "ada"])
        assert completed(line.directory, "history", "ad") == ["adalbert"]
        assert completed(line.directory, "export", "ad") == ["adalbert"]
        assert completed(line.directory, "call", id[:8]) == [id]
        assert completed(tmp_path / "none", "call", "ad") == [""]
        assert (tmp_path / "none").exists() is False
    finally:
        assert line.run("rm", "adalbert") == 0


def test_call_prints_the_answer_and_counts_on(line: Output) -> None:
    assert [(line.run("call", "ada", '["add", 2]'), line.out) for _ in range(2)] == [(0, "2\n"), (0, "4\n")]


def test_whereis_prints_the_pid_and_the_value_of_a_name(line: Output, daemon: Daemon) -> None:
    line.run("ls", "--json")
    (pid,) = [row["pid"] for row in json.loads(line.out) if row["name"] == "ada"]
    assert (line.run("whereis", "ada"), line.out) == (0, f"{pid}\n")
    assert (line.run("whereis", "ada", "--json"), json.loads(line.out)) == (0, {"pid": pid, "value": None})
    with Client.connect(daemon.directory, WAIT_S) as client:
        client.register("with-value", value={"port": 80})
        assert (line.run("whereis", "with-value"), line.out.splitlines()) == (0, [str(client.pid), '{"port": 80}'])


def test_send_is_a_plain_message(line: Output) -> None:
    assert (line.run("send", "ada", '{"hello": [1, null]}'), line.out) == (0, "sent\n")
    assert (line.run("send", "ada", '"again"', "--json"), json.loads(line.out)) == (0, {"sent": True})


def test_status_says_what_there_is_and_who_the_node_is(daemon: Daemon, line: Output) -> None:
    assert line.run("status", "--json") == 0
    status = json.loads(line.out)
    assert (status["generation"], status["processes"] > 0) == (1, True)
    assert status["residents"] == kernel(1).table.statistics().residents
    assert status["node_os_pid"] in descendants(daemon.guardian_pid)
    assert line.run("status") == 0
    assert f"node_os_pid: {status['node_os_pid']}\n" in line.out


def test_ls_lists_processes_and_sessions_under_one_pid(line: Output) -> None:
    line.run("ls", "--json")
    (row,) = [row for row in json.loads(line.out) if row["name"] == "ada"]
    line.run("ls", "--sessions", "--json")
    (session,) = [row for row in json.loads(line.out) if row["id"] == "ada"]
    assert (row["state"], row["start"], session["pid"], session["state"]) == ("running", WITNESS, row["pid"], "active")
    assert line.run("ls", "--sessions") == 0
    assert line.out.splitlines()[0].split() == ["ID", "NAME", "PID", "STATE", "UPTIME", "RESTARTS", "RESTART", "REASON"]


def test_a_spawn_without_a_name_gets_an_id_and_one_without_restart_a_pid(line: Output) -> None:
    assert line.run("spawn", WITNESS) == 0
    identity = line.out.strip()
    assert (line.run("stop", identity), line.out) == (0, f"stopped {identity}\n")
    assert line.run("spawn", WITNESS, "--name", "told", "--json") == 0
    row = json.loads(line.out)
    assert (line.run("whereis", "told"), line.out) == (0, f"{row['pid']}\n")
    assert (list(row)[:2], "serial" in row, line.run("stop", "told")) == (["pid", "previous"], False, 0)
    assert line.run("spawn", WITNESS, "--restart", "none") == 0
    pid = line.out.strip()
    assert (line.run("call", pid, '["add", 1]'), line.out) == (0, "1\n")
    assert line.run("stop", pid, "--json") == 0
    assert json.loads(line.out) == {"pid": pid, "reason": "shutdown"}
    refusal = "error: process_not_alive: noproc (the process is dead or never lived)\n"
    assert (line.run("call", pid, '["add", 1]'), line.err) == (1, refusal)


def test_a_spawn_takes_json_arguments_and_a_folder(line: Output, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("def run(process, *args):\n    process.send('reader', args)\n    process.receive()\n")
    with Client.connect(line.directory, WAIT_S) as client:
        client.register("reader")
        assert line.run("spawn", "mine:run", "1", '{"name": "x"}', "--path", str(tmp_path), "--restart", "none") == 0
        pid = line.out.strip()
        ref = client.monitor(Pid.parse(pid))
        assert client.receive(WAIT_S) == InfoMessage(Pid.parse(pid), [1, {"name": "x"}])
        assert line.run("send", pid, "1") == 0
        assert client.wait_down(ref, WAIT_S).reason == "normal"


def test_a_machine_of_the_node_is_spawned_as_a_session_or_by_itself(line: Output) -> None:
    assert (line.run("spawn", "registry", "--template", "resident", "--name", "keys"), line.out) == (0, "keys\n")
    tree = {"strategy": "one_for_one", "children": [{"id": "only", "process": {"start": WITNESS, "name": "leaf"}}]}
    words = ["supervisor", json.dumps(tree), "--template", "resident", "--name", "tree", "--restart", "none"]
    assert line.run("spawn", *words) == 0
    assert (line.run("call", "leaf", '["add", 1]'), line.out) == (0, "1\n")
    line.run("ls", "--json")
    kinds = {row["name"]: (row["kind"], row["start"]) for row in json.loads(line.out)}
    assert (kinds["keys"], kinds["tree"]) == (("resident", "registry"), ("resident", "supervisor"))
    assert [line.run("stop", name) for name in ("tree", "keys")] == [0, 0]
    assert (line.run("whereis", "leaf"), line.err) == (1, "error: not_found: leaf (there is nothing of that name or id)\n")


@pytest.mark.parametrize(("words", "code"), [
    (["nonsense", "--restart", "none"], "start_failed"), (["supervisor", '{"nonsense": 1}'], "start_failed"),
])  # fmt: skip
def test_a_machine_that_there_is_not_or_that_cannot_be_so_is_refused(line: Output, words: list[str], code: str) -> None:
    assert line.run("spawn", *words, "--template", "resident") == 1
    assert line.err.startswith(f'error: {code}: {{"invalid_spec":')


def test_a_spawn_says_when_it_hangs_what_then_and_of_which_program_it_is(line: Output, tmp_path: Path) -> None:
    words = ["--busy-timeout", "0.2", "--when-hung", "kill", "--isolation", "exec", "--restart", "none"]
    assert line.run("spawn", WITNESS, *words) == 0
    pid = line.out.strip()
    line.run("ls", "--json")
    assert [row["isolation"] for row in json.loads(line.out) if row["pid"] == pid] == ["exec"]
    with Client.connect(line.directory, WAIT_S) as client:
        ref = client.monitor(Pid.parse(pid))
        os.mkfifo(tmp_path / "gate")
        reader = os.open(tmp_path / "gate", os.O_RDONLY | os.O_NONBLOCK)  # or it is killed while it waits for one
        client.cast(Pid.parse(pid), ["loop", str(tmp_path / "gate")])
        assert client.wait_down(ref, WAIT_S).reason == {"killed": "unresponsive"}
        os.close(reader)


def test_the_demo_as_json_tells_what_it_would_show(line: Output) -> None:
    assert line.run("demo", "--json") == 0
    told = json.loads(line.out)
    assert (told["kept"], told["broken"], [len(rows) for rows in told["shown"].values()]) == (True, [], [6, 5])


@contextmanager
def unwatched(line: Output) -> Iterator[Client]:
    """A client, when the monitors of the tests before are gone: the next is the one that a test waits for."""
    with Client.connect(line.directory, WAIT_S) as client:
        while client.node("status")["monitors"]:
            pass
        yield client


@pytest.mark.parametrize(("words", "reason"), [([], "killed"), (["-s", "SEGV"], {"signal": "SIGSEGV"}), (["-s", "9"], "killed")])
def test_kill_is_an_accident_of_which_a_monitor_tells(line: Output, words: list[str], reason: object) -> None:
    argv = command(line.directory, "monitor", "ada", "--json")
    with unwatched(line) as client, beside(*argv) as watcher:
        while client.node("status")["monitors"] == 0:
            pass
        (row,) = [row for row in client.sessions() if row["id"] == "ada"]
        assert line.run("kill", *words, "ada", "--json") == 0
        out, _ = watcher.communicate(timeout=WAIT_S)
        told = json.loads(out)
        assert (told["reason"], told["pid"].endswith(f".{row['serial']}"), watcher.returncode) == (reason, True, 0)


def test_restart_and_reload_and_a_session_that_stays(line: Output) -> None:
    line.run("call", "ada", '["state", null]')
    before = json.loads(line.out)
    assert line.run("reload", "--json") == 0
    generation = json.loads(line.out)["generation"]
    line.run("status", "--json")
    assert json.loads(line.out)["generation"] == generation
    line.run("call", "ada", '["state", null]')
    assert json.loads(line.out) == before
    assert (line.run("restart", "ada"), line.out) == (0, "restarted ada\n")
    line.run("call", "ada", '["state", null]')
    assert json.loads(line.out)[0] != before[0]
    assert (line.run("reload"), line.out) == (0, "reloaded\n")


def test_ctrl_c_ends_a_monitor_without_a_word_and_its_watch_with_it(line: Output) -> None:
    with unwatched(line) as client:
        with beside(*command(line.directory, "monitor", "ada")) as watcher:
            while client.node("status")["monitors"] == 0:
                pass
            watcher.send_signal(signal.SIGINT)
            out, err = watcher.communicate(timeout=WAIT_S)
        assert (watcher.returncode, out, err.strip()) == (130, "", "")
        while client.node("status")["clients"] > 1:
            pass
        assert client.node("status")["monitors"] == 0


def test_colours_are_for_a_terminal_only(line: Output) -> None:
    assert line.run("ls") == 0
    assert "\x1b" not in line.out
    shown = on_terminal(command(line.directory, "ls"))
    assert b"\x1b[1m" in shown
    assert b"ada" in shown
    assert b"\x1b" not in on_terminal(command(line.directory, "ls", "--json"))


def test_a_narrow_terminal_costs_no_pid_its_end(line: Output) -> None:
    assert line.run("whereis", "ada") == 0
    pid = line.out.strip()
    lines = on_terminal(command(line.directory, "ls"), columns=60).decode().splitlines()
    (row,) = [one for one in lines if one.startswith(pid)]
    assert (max(map(len, lines[1:])) <= 60, "ada" in row) == (True, True)


def on_terminal(argv: list[str], columns: int = 200) -> bytes:
    """What the command writes when its standard output is a terminal of so many columns."""
    ours, theirs = pty.openpty()
    environment = {**ENVIRONMENT, "TERM": "xterm-256color", "COLUMNS": str(columns)}
    environment.pop("NO_COLOR", None)
    with subprocess.Popen(argv, stdout=theirs, stderr=theirs, env=environment, cwd=ROOT) as process:
        os.close(theirs)
        written = b""
        while True:
            assert select.select([ours], [], [], WAIT_S)[0]
            try:
                some = os.read(ours, 1 << 16)
            except OSError:  # EIO: nobody has the terminal open any more
                break
            if not some:
                break
            written += some
        assert process.wait(WAIT_S) == 0
    os.close(ours)
    return written


# ---- start and down -------------------------------------------------------------------------------------------------


@pytest.mark.timeout(150)
def test_ten_commands_at_once_start_one_daemon(tmp_path: Path) -> None:
    directory = tmp_path / "run"
    try:
        with ExitStack() as stack:
            many = [stack.enter_context(beside(*command(directory, "start", "--json"))) for _ in range(10)]
            outs = [process.communicate(timeout=2 * WAIT_S) for process in many]
        assert [(process.returncode, err) for process, (_, err) in zip(many, outs, strict=True)] == [(0, "")] * 10
        assert sorted(json.loads(out)["started"] for out, _ in outs) == [False] * 9 + [True]
        left = descendants(guardian_of(directory))
    finally:
        down = subprocess.run(command(directory, "down"), capture_output=True, text=True, env=ENVIRONMENT, cwd=ROOT, check=False)
    assert (down.returncode, down.stdout, down.stderr) == (0, "down\n", "")
    assert still_there(left) == []
    assert [path.name for path in directory.iterdir() if path.is_socket()] == []


def test_a_command_that_needs_the_daemon_starts_it_and_down_leaves_nothing(tmp_path: Path) -> None:
    directory = tmp_path / "run"

    def run(*words: str) -> tuple[int, str, str]:
        done = subprocess.run(command(directory, *words), capture_output=True, text=True, env=ENVIRONMENT, cwd=ROOT, check=False)
        return done.returncode, done.stdout, done.stderr

    missing = (3, "", "error: not_running: the daemon is not running; `actorcore start` starts it\n")
    assert run("status") == missing
    assert run("spawn", WITNESS, "--name", "ada") == (0, "ada\n", "")
    guardian = guardian_of(directory)
    left = {**descendants(guardian)}
    with watched([guardian]) as handles:
        assert run("down", "--json") == (0, '{"down": true}\n', "")
        assert [bool(select.select([handle], [], [], 0)[0]) for handle in handles] == [True]  # not after a while: now
    assert still_there(left) == []
    assert run("down") == missing


@pytest.mark.parametrize("as_json", [False, True])
def test_a_daemon_in_the_foreground_says_when_it_serves_and_ends_with_ctrl_c(tmp_path: Path, as_json: bool) -> None:
    directory = tmp_path / "run"
    argv = command(directory, "start", "--foreground", *(["--json"] if as_json else []))
    with beside(*argv) as process:
        assert process.stdout is not None
        said = process.stdout.readline()
        assert (json.loads(said) if as_json else said) == (
            {"started": True, "dir": str(directory)} if as_json else f"serving {directory}\n"
        )
        second = subprocess.run(argv, capture_output=True, text=True, env=ENVIRONMENT, cwd=ROOT, check=False)
        assert (second.returncode, second.stdout) == (100, "")
        refusal = ("already_exists", f"already running pid {process.pid}")
        said = second.stderr
        assert said == (error_json(*refusal) if as_json else "error: {}: {}".format(*refusal)) + "\n"
        assert guardian_of(directory) == process.pid
        left = descendants(process.pid)
        send_signal(process.pid, signal.SIGINT)
        process.communicate(timeout=WAIT_S)
    assert (process.returncode, still_there(left)) == (0, [])


Program: TypeAlias = subprocess.Popen[str]


def at_a_lock() -> set[int]:
    """The OS pids of all who wait for a file lock; one that is stopped does not (proc(5), ``locks``)."""
    lines = (line.split() for line in Path("/proc/locks").read_text().splitlines())
    return {int(words[5]) for words in lines if words[1] == "->"}


@contextmanager
def queued(directory: Path, count: int) -> Iterator[tuple[Program, list[Program], Callable[[list[Program]], None]]]:
    """A start in the foreground and ``count`` others at the start lock; what opens it for all but those that it stops."""
    with ExitStack() as stack:
        directory.mkdir(0o700)
        lock = stack.enter_context(open(directory / paths.LOCK_NAME, "w"))
        fcntl.flock(lock, fcntl.LOCK_EX)
        front = stack.enter_context(beside(*command(directory, "start", "--foreground", "--json")))
        many = [stack.enter_context(beside(*command(directory, "start", "--json"))) for _ in range(count)]
        while not {front.pid, *(process.pid for process in many)} <= at_a_lock():
            os.sched_yield()

        def let_go_but(some: list[Program]) -> None:
            for process in some:
                process.send_signal(signal.SIGSTOP)
                os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)  # which waits for no lock then
            lock.close()

        yield front, many, let_go_but


def take_down(directory: Path, many: list[Program]) -> list[bool]:
    """Whether each of the commands has started the daemon, which is down then."""
    outs = [process.communicate(timeout=2 * WAIT_S) for process in many]
    assert [(process.returncode, err) for process, (_, err) in zip(many, outs, strict=True)] == [(0, "")] * len(many)
    down = subprocess.run(command(directory, "down"), capture_output=True, text=True, env=ENVIRONMENT, cwd=ROOT, check=False)
    assert (down.returncode, down.stderr) == (0, "")
    return sorted(json.loads(out)["started"] for out, _ in outs)


@pytest.mark.timeout(150)
def test_commands_that_come_after_a_start_in_the_foreground_find_its_daemon(tmp_path: Path) -> None:
    with queued(tmp_path / "run", 5) as (front, many, let_go_but):
        let_go_but(many)
        assert front.stdout is not None
        assert json.loads(front.stdout.readline())["started"] is True
        for process in many:
            process.send_signal(signal.SIGCONT)
        assert take_down(tmp_path / "run", many) == [False] * 5
        front.communicate(timeout=2 * WAIT_S)
        assert front.returncode == 0


@pytest.mark.timeout(150)
def test_a_start_in_the_foreground_that_comes_after_other_commands_is_told_that_there_is_one(tmp_path: Path) -> None:
    with queued(tmp_path / "run", 5) as (front, many, let_go_but):
        let_go_but([front])
        with watched([process.pid for process in many]) as handles:
            assert await_deaths(handles)
        front.send_signal(signal.SIGCONT)
        said, refusal = front.communicate(timeout=2 * WAIT_S)
        assert (said, json.loads(refusal)["error"]["code"], front.returncode) == ("", "already_exists", 100)
        assert take_down(tmp_path / "run", many) == [False] * 4 + [True]


@pytest.mark.parametrize("deaf", ["ready", "announced"])
def test_a_daemon_whose_starter_has_died_meanwhile_serves_all_the_same(tmp_path: Path, deaf: str) -> None:
    ready, announced = os.pipe(), os.pipe()
    heard, unheard = (announced, ready) if deaf == "ready" else (ready, announced)
    os.close(unheard[0])
    argv = [sys.executable, "-m", "supervisors.daemon", "--dir", str(tmp_path / "run"), "--announce", "1"]
    with beside(*argv, "--ready-fd", str(ready[1]), stdout=announced[1], pass_fds=[ready[1]]) as process:
        os.close(ready[1])
        os.close(announced[1])
        assert os.read(heard[0], 1) == b"1"
        os.close(heard[0])
        assert guardian_of(tmp_path / "run") == process.pid
        send_signal(process.pid, signal.SIGTERM)
        assert process.wait(WAIT_S) == 0
