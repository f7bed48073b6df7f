"""``actorcore log``: what processes write, as it comes, and the daemon's own records."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from actorcore.pids import Pid
from supervisors.cli.tail import Tail, follow
from supervisors.client import Client
from tests.daemon_fixture import WAIT_S, Daemon
from tests.test_cli import beside, command
from tests.test_cli_offline import Output

NOISY = """
import os

def run(process, gate):
    print("born", os.getpid(), flush=True)
    while True:
        word = process.receive().body
        if word == "fail":
            raise ValueError("as asked")
        # In one piece: whoever reads the line may kill at once.
        print("heard", word, end="\\nno end of line" if word == "last" else "\\n", flush=True)
"""


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    with Daemon(tmp_path_factory.mktemp("daemon") / "run") as daemon:
        yield daemon


@pytest.fixture
def line(daemon: Daemon, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Output]:
    """The command line, with a session ``noisy`` in the daemon."""
    output = Output(daemon.directory, capsys)
    (tmp_path / "noise.py").write_text(NOISY)
    assert output.run("spawn", "noise:run", "0", "--path", str(tmp_path), "--name", "noisy", "--restart", "permanent") == 0
    yield output
    output.run("stop", "noisy")


def read(stream: subprocess.Popen[str], count: int) -> list[str]:
    assert stream.stdout is not None
    return [stream.stdout.readline().rstrip("\n") for _ in range(count)]


def test_what_a_process_writes_is_followed_until_its_death(line: Output) -> None:
    with Client.connect(line.directory, WAIT_S) as client:
        pid = client.whereis("noisy")
        with beside(*command(line.directory, "log", "noisy", "-f")) as reader:
            (born,) = read(reader, 1)
            client.send("noisy", "one")
            assert (born.split()[0], read(reader, 1)) == ("born", ["heard one"])
            client.send("noisy", "last")
            assert read(reader, 1) == ["heard last"]
            client.kill("noisy", signal.SIGKILL)
            out, err = reader.communicate(timeout=WAIT_S)
        assert (reader.returncode, out, err) == (0, "no end of line\n", "")
        assert line.run("log", str(pid), "--json", "-n", "2") == 0
    told = [json.loads(text) for text in line.out.splitlines()]
    assert told == [{"pid": str(pid), "line": "heard last"}, {"pid": str(pid), "line": "no end of line"}]


def test_the_process_before_says_why_it_died(line: Output) -> None:
    with Client.connect(line.directory, WAIT_S) as client:
        assert line.run("log", "noisy", "--previous") == 1
        assert line.err == "error: not_found: noisy has had no process before this one\n"
        first = client.whereis("noisy")
        ref = client.monitor("noisy")
        client.send("noisy", "fail")
        client.wait_down(ref, WAIT_S)
        while client.whereis("noisy") is None:
            pass
        assert line.run("log", "noisy", "-p") == 0
        assert line.out.splitlines()[1] == "process dies: {'error': {'type': 'ValueError', 'text': 'as asked'}}"
        assert (line.run("log", str(first)), line.out.splitlines()[0].split()[0]) == (0, "born")
        assert line.run("ls", "--sessions", "--json") == 0
        (row,) = [row for row in json.loads(line.out) if row["id"] == "noisy"]
        assert (row["previous"], 0 <= row["uptime_s"] < WAIT_S) == (str(first), True)
        assert (line.run("log", "noisy", "-n", "0"), line.out) == (0, "")


@pytest.mark.parametrize(("words", "err"), [
    (["nobody"], "error: not_found: nobody is no pid, name or session; see `actorcore ls`\n"),
    (["system:node"], "error: not_found: no log of system:node is kept: nothing was written, or it is too long ago\n"),
    (["system:node", "-f"], "error: not_found: no log of system:node is kept: nothing was written, or it is too long ago\n"),
])  # fmt: skip
def test_there_is_no_log_of_who_wrote_none(line: Output, words: list[str], err: str) -> None:
    assert (line.run("log", *words), line.out, line.err) == (1, "", err)


def test_what_a_process_writes_cannot_move_the_cursor(line: Output) -> None:
    with Client.connect(line.directory, WAIT_S) as client:
        client.send("noisy", "\x1b[2J\tthere")
        with beside(*command(line.directory, "log", "noisy", "-f")) as reader:
            assert read(reader, 2)[1] == "heard \\x1b[2J      there"
            reader.send_signal(signal.SIGINT)
            assert (reader.wait(WAIT_S), reader.communicate()[1]) == (130, "")


def test_the_daemons_records_have_the_time_of_day_and_are_there_without_it(
    daemon: Daemon, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    records = [json.loads(text) for text in daemon.log.read_text().splitlines()]
    (started,) = [record for record in records if record["kind"] == "node_took_over"]
    assert (started["detail"], len(started["time"]), started["time"][10::13]) == (1, 24, "TZ")
    line = Output(tmp_path / "run", capsys)
    assert line.run("log") == 1
    assert line.err == "error: not_found: no log of the daemon is kept: nothing was written, or it is too long ago\n"
    line.directory.mkdir(mode=0o700)
    (line.directory / "daemon.log").write_text("no record\n" + json.dumps(started) + "\n[]\n")
    assert (line.run("log"), line.out) == (0, f"no record\n{started['time']}  node_took_over  -  1\n[]\n")
    assert (line.run("log", "-n", "1"), line.out) == (0, "[]\n")
    assert line.run("log", "--json") == 0
    assert [json.loads(text) for text in line.out.splitlines()] == [{"line": "no record"}, started, {"line": "[]"}]
    assert (line.run("log", "noisy"), line.err.split(": ")[1]) == (3, "not_running")


# ---- the end of a file ----------------------------------------------------------------------------------------------


def test_a_line_is_told_when_it_is_whole_and_a_file_that_was_cut_from_its_beginning(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with open(path, "wb", buffering=0) as file, io.FileIO(path) as ours:
        tail = Tail(ours)
        file.write(b"one\ntw")
        assert tail.lines() == ["one"]
        file.write(b"o\n\xff")
        assert tail.lines() == ["two"]
        os.truncate(path, 0)
        file.seek(0)
        file.write(b"[cut]\n3")
        assert (tail.lines(), tail.lines(is_last=True), tail.lines(is_last=True)) == (["[cut]"], ["3"], [])
        file.write(b"\xff")
        assert tail.lines(is_last=True) == ["\\xff"]


def test_following_ends_with_what_the_writer_wrote_last(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.touch()
    reader, writer = os.pipe()
    batches = follow(path, reader)
    assert next(batches) == []
    path.write_text("more\nand")
    assert next(batches) == ["more"]
    os.close(writer)  # readable for ever, as the pidfd of who is dead
    rest = [line for lines in batches for line in lines]
    os.close(reader)
    assert rest == ["and"]


def test_a_pid_that_is_dead_has_no_writer(line: Output) -> None:
    with Client.connect(line.directory, WAIT_S) as client, beside(*command(line.directory, "log", "noisy", "-f")) as reader:
        pid = client.whereis("noisy")
        assert (isinstance(pid, Pid), read(reader, 1)[0].split()[0]) == (True, "born")
        line.run("stop", "noisy")
    assert line.run("log", str(pid), "-f") == 0
    assert line.out.split()[0] == "born"
