"""Victims of the kernel's want of memory: whose death the evidence names, and whose it does not (RELIABILITY C13)."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from actorcore.runtime import clock, oom
from actorcore.runtime.oom import DYING_S, Victims

VICTIM = b"3,4711,61,-;Memory cgroup out of memory: Killed process %d (actor 9) total-vm:278952kB, anon-rss:245352kB\n"
FORGED = b"12,4712,61,-;Out of memory: Killed process %d (actor 9)\n"


class KernelLog:
    """In its place: one record with each read."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.fd = theirs.detach()
        monkeypatch.setattr(oom, "kernel_log", lambda: self.fd)

    def say(self, record: bytes) -> None:
        self._ours.send(record)

    def close(self) -> None:
        self._ours.close()
        os.close(self.fd)


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Iterator[KernelLog]:
    log = KernelLog(monkeypatch)
    yield log
    log.close()


def test_C13_who_is_named_is_a_victim_once_and_nobody_else_is(log: KernelLog) -> None:
    victims = Victims()
    for os_pid in (7, 9):
        log.say(VICTIM % os_pid)
    log.say(b"6,4713,62,-;actor 8[8]: segfault at 0 ip 0 sp 0 error 4\n")
    assert [victims.claim(os_pid) for os_pid in (9, 8, 7, 7, 9)] == [True, False, True, False, False]


def test_C13_what_a_user_has_written_to_the_log_names_nobody(log: KernelLog) -> None:
    victims = Victims()
    log.say(FORGED % 9)
    assert victims.claim(9) is False


def test_C13_a_number_that_comes_again_later_is_another_s(log: KernelLog, monkeypatch: pytest.MonkeyPatch) -> None:
    victims = Victims()
    log.say(VICTIM % 9)
    assert victims.claim(8) is False
    now_s = clock.monotonic_s()
    monkeypatch.setattr(clock, "monotonic_s", lambda: now_s + 6.0)
    assert victims.claim(9) is False


def test_C13_who_was_named_when_nobody_of_ours_died_gives_its_number_to_nobody(
    log: KernelLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another program's process: its record was read with the next death of ours, however late, as if it were of then."""
    victims = Victims()
    log.say(VICTIM % 9)
    now_s = clock.monotonic_s()
    victims.look(now_s)
    monkeypatch.setattr(clock, "monotonic_s", lambda: now_s + 6.0)
    assert victims.claim(9) is False


@pytest.fixture
def count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The file of a cgroup that counts three victims; there is no log."""
    path = tmp_path / "memory.events"
    path.write_text("low 0\nmax 8\noom 5\noom_kill 3\noom_group_kill 4\n")
    fd = os.open(path, os.O_RDONLY)
    monkeypatch.setattr(oom, "kernel_log", lambda: -1)
    monkeypatch.setattr(oom, "cgroup_count", lambda: fd)
    yield path
    os.close(fd)


def counts(path: Path, number: int) -> None:
    path.write_text(f"oom 5\noom_kill {number}\noom_group_kill 4\n")


def test_C13_so_many_deaths_are_victims_as_were_counted(count: Path) -> None:
    victims = Victims()
    assert victims.claim(7) is False
    counts(count, 5)
    assert [victims.claim(os_pid) for os_pid in (7, 8, 9)] == [True, True, False]


def test_C13_a_victim_may_take_its_time_to_die(count: Path) -> None:
    """It was told to be killed by somebody when it took more than a second, as a large one does, or one that nobody runs."""
    victims = Victims()
    victims.look(10.0)
    counts(count, 4)
    for turn in range(1, 5):
        victims.look(10.0 + turn)
    assert victims.claim(7) is True


def test_C13_one_that_was_counted_long_before_is_no_reason(count: Path) -> None:
    """It was a process that is none of ours, or a session's own child."""
    victims = Victims()
    counts(count, 4)
    victims.look(10.0)
    assert victims.claim(7) is True
    counts(count, 5)
    for turn in range(1, 3):
        victims.look(10.0 + turn * DYING_S)
    assert victims.claim(8) is False


def test_C13_a_count_that_is_gone_ends_nobody(count: Path) -> None:
    """Whoever is moved to another cgroup, and whose own is removed then, reads ENODEV; here of a pipe ESPIPE. It was the
    guardian, and with it everything."""
    victims = Victims()
    reader, writer = os.pipe()
    os.dup2(reader, victims._count)
    victims.look(10.0)
    assert victims.claim(7) is False
    os.close(reader)
    os.close(writer)


def test_C13_with_neither_nobody_is_said_to_be_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(oom, "kernel_log", lambda: -1)
    monkeypatch.setattr(oom, "cgroup_count", lambda: -1)
    victims = Victims()
    victims.look(10.0)
    assert victims.claim(7) is False


def test_C13_the_log_of_this_machine_is_read_from_its_end_or_not_at_all() -> None:
    fd = oom.kernel_log()
    if fd >= 0:
        with pytest.raises(BlockingIOError):
            os.read(fd, 8192)
        os.close(fd)
