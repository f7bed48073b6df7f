"""The output of a process as a stream, and its log from the node's side."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from actorcore.runtime.node.process_logs import MAX_DEAD, ProcessLogs
from actorcore.runtime.output import CHECK_BYTES, KEPT_BYTES, LOG_BYTES, Output, cut, own


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "1.log"


def opened(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND)


def test_what_cannot_be_written_is_counted_and_told_as_soon_as_something_can(log: Path) -> None:
    full, fd = os.open("/dev/full", os.O_WRONLY), opened(log)
    kept = os.dup(fd)
    output = Output(fd)
    assert output.write(b"one\n") == 4
    os.dup2(full, fd)
    assert [output.write(b"two\n"), output.write(b"three\n")] == [4, 6]
    os.dup2(kept, fd)
    assert output.write(b"four\n") == 5
    assert log.read_bytes() == b"one\n[10 bytes were lost here]\nfour\n"
    for each in (full, fd, kept):
        os.close(each)


def test_a_closed_descriptor_is_no_error(log: Path) -> None:
    fd = opened(log)
    output = Output(fd)
    os.close(fd)
    assert output.write(b"x" * CHECK_BYTES) == CHECK_BYTES


def test_a_cut_log_begins_with_a_whole_line_and_loses_none_at_its_end(log: Path) -> None:
    fd = opened(log)
    own(fd)
    lines = [b"%07d\n" % number for number in range(LOG_BYTES // 8)]
    os.write(fd, b"".join(lines))
    cut(fd)
    assert log.stat().st_size == LOG_BYTES
    os.write(fd, b"last\n")
    cut(fd)
    first, *kept = log.read_bytes().splitlines(keepends=True)
    assert (first, kept) == (b"[cut here]\n", [*lines[len(lines) - len(kept) + 1 :], b"last\n"])
    assert KEPT_BYTES - 8 <= sum(map(len, kept)) <= KEPT_BYTES
    os.close(fd)


def test_the_log_of_a_dead_process_goes_when_it_is_empty_and_when_it_is_too_old(tmp_path: Path) -> None:
    logs = ProcessLogs(str(tmp_path), 0.0)
    for serial in range(1, MAX_DEAD + 4):
        (tmp_path / f"{serial}.log").write_text("" if serial % 50 == 0 else "words")
        logs.ended(serial)
    logs.ended(1000)  # never had one
    empty = {50, 100}
    assert {int(path.stem) for path in tmp_path.iterdir()} == set(range(2, MAX_DEAD + 4)) - empty


def test_a_successor_counts_the_logs_of_the_dead_that_it_finds_and_spares_the_living(tmp_path: Path) -> None:
    for serial in range(1, MAX_DEAD + 3):
        (tmp_path / f"{serial}.log").write_text("words")
    (tmp_path / "other.txt").touch()
    logs = ProcessLogs(str(tmp_path), 10.0)
    (tmp_path / "500.log").write_text("words")
    logs.ended(500)
    assert (tmp_path / "3.log").exists()  # nobody has looked yet
    logs.look(11.0, {1, 2})
    left = {path.name for path in tmp_path.iterdir()}
    assert {"1.log", "2.log", "4.log", "500.log", "other.txt"} <= left
    assert "3.log" not in left


def test_one_living_log_a_second_is_looked_at_and_emptied_when_far_too_large(tmp_path: Path) -> None:
    logs = ProcessLogs(str(tmp_path), 0.0)
    sizes = {1: 2 * LOG_BYTES + 1, 2: 2 * LOG_BYTES, 3: 2 * LOG_BYTES + 1}
    for serial, size_bytes in sizes.items():
        (tmp_path / f"{serial}.log").write_bytes(bytes(size_bytes))
    seen = []
    for now_s in (10.0, 10.9, 11.0, 12.0, 13.0):
        logs.look(now_s, {1: None, 2: None, 3: None, 4: None})
        seen.append([(tmp_path / f"{serial}.log").stat().st_size for serial in sizes])
    _, two, three = sizes.values()
    assert seen == [[0, two, three], [0, two, three], [0, two, three], [0, two, 0], [0, two, 0]]


def test_without_a_directory_there_is_nothing_to_do() -> None:
    logs = ProcessLogs("", 0.0)
    logs.ended(1)
    logs.look(10.0, {1: None})
