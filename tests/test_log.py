"""The daemon's log: one record is one line, nothing blocks, nothing is lost without being counted (C20, S15)."""

from __future__ import annotations

import fcntl
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from actorcore.runtime import log as log_module
from actorcore.runtime.log import Log
from actorcore.runtime.log_cap import KEPT_BYTES, LOG_BYTES, LogCap

DEEP: object = []
for _ in range(100_000):  # C code goes 10,000 levels down under CPython 3.13, 1,000 under 3.11
    DEEP = [DEEP]


@contextmanager
def stderr_is(fd: int) -> Iterator[Log]:
    """A log that was opened while ``fd`` was stderr."""
    saved = os.dup(2)
    os.dup2(fd, 2)
    log = Log()
    try:
        log.open_stderr()
        yield log
    finally:
        if log._fd != 2:
            os.close(log._fd)
        os.dup2(saved, 2)
        os.close(saved)


@contextmanager
def pipe(size: int = 4096) -> Iterator[tuple[int, Log]]:
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, size)
    try:
        with stderr_is(writer) as log:
            yield reader, log
    finally:
        os.close(reader)
        os.close(writer)


def test_a_full_pipe_drops_records_and_the_next_one_tells_how_many() -> None:
    with pipe() as (reader, log):
        for number in range(1000):
            log.report("flood", number)
        dropped = log.dropped
        told = [json.loads(line) for line in os.read(reader, 1 << 16).splitlines()]
        assert [record["serial"] for record in told] == list(range(1000 - dropped))
        log.report("again", 0)
        assert json.loads(os.read(reader, 1 << 16))["dropped"] == dropped
        log.report("again", 0)
        assert json.loads(os.read(reader, 1 << 16))["dropped"] == 0


def test_the_descriptor_that_others_share_stays_as_it_was() -> None:
    with pipe() as (_, log):
        log.report("x", 0)
        assert os.get_blocking(2)


@pytest.mark.parametrize("detail", [
    "line\nline", "\x1b[31m", "nul\0", "\r\n", "\u2028", {"a\n": ["\n"]}, b"\n\xff", float("nan"),
])  # fmt: skip
def test_S15_a_record_is_one_line_of_printable_bytes(detail: object) -> None:
    with pipe() as (reader, log):
        log.report("kind\n", 1, detail)  # type: ignore[arg-type]
        line = os.read(reader, 1 << 16)
    assert (line.count(b"\n"), line[-1:], json.loads(line)["kind"]) == (1, b"\n", "kind\n")
    assert all(byte >= 32 and byte != 127 for byte in line[:-1])


@pytest.mark.parametrize(("detail", "told"), [("x" * 10_000, "truncated"), ([[[]]] * 9000, "truncated"), (DEEP, "no plain data")])
def test_what_cannot_be_a_line_is_still_a_record(detail: object, told: str) -> None:
    with pipe(1 << 16) as (reader, log):
        log.report("odd", 1, detail)  # type: ignore[arg-type]
        assert json.loads(os.read(reader, 1 << 16))["detail"] == told
        assert log.dropped == 0


def test_what_strangers_can_cause_at_will_is_told_once_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(log_module.clock, "monotonic_s", lambda: now)
    with pipe(1 << 16) as (reader, log):
        for _ in range(1000):
            log.report_seldom("junk", 0)
        log.report_seldom("other", 0)
        now += 1.0
        log.report_seldom("junk", 0)
        told = [json.loads(line) for line in os.read(reader, 1 << 16).splitlines()]
    assert [(record["kind"], record.get("suppressed")) for record in told] == [("junk", None), ("other", None), ("junk", 999)]


def test_a_socket_as_stderr_does_not_block_either() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, stderr_is(theirs.fileno()) as log:
        while not log.dropped:
            log.report("flood", 0, "x" * 1000)
        assert os.get_blocking(2)


def test_a_closed_stderr_is_counted() -> None:
    with stderr_is(2) as log:
        os.close(2)
        log.report("x", 0)
        assert log.dropped == 1


def test_the_rest_of_a_line_that_a_disk_did_not_take_spoils_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[bytes] = []
    room = [10, 1 << 20, 1 << 20]
    monkeypatch.setattr(log_module.os, "write", lambda fd, data: written.append(data[: room[0]]) or min(len(data), room.pop(0)))
    log = Log()
    for number in range(3):
        log.report("x", number)
    lines = b"".join(written).split(b"\n")
    assert [json.loads(line)["serial"] for line in lines[1:] if line] == [1, 2]
    assert log.dropped == 1


def test_C20_only_the_log_that_is_still_where_it_was_is_cut(tmp_path: Path) -> None:
    log = tmp_path / "log"
    line = b"x" * 999 + b"\n"
    log.write_bytes(line * (LOG_BYTES // len(line) + 1))
    size = log.stat().st_size
    with open(log, "ab") as file, stderr_is(file.fileno()):
        for moved in ("none", "other"):
            LogCap(str(tmp_path / moved)).look(1.0)
            (tmp_path / "other").write_bytes(b"")
        assert log.stat().st_size == size
        cap = LogCap(str(log))
        cap.look(1.0)
        first, *others = log.read_bytes().splitlines(keepends=True)
        assert json.loads(first)["detail"] == {"bytes": size - len(others) * len(line)}
        assert (set(others), len(others)) == ({line}, KEPT_BYTES // len(line) - (KEPT_BYTES % len(line) == 0))
        file.write(line * (LOG_BYTES // len(line) + 1))
        file.flush()
        cap.look(1.5)
        assert log.stat().st_size > LOG_BYTES, "looked at once a second"
        cap.look(2.0)
        assert log.stat().st_size <= KEPT_BYTES + 200
