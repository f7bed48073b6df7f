"""Folder: the scene of process mode, shared by all processes of a scenario through files alone.

Everything that a process does before others can know of it, it writes here: its incarnation into ``labels``, each event
into ``log``, with the time of the system-wide monotonic clock, by one write.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import msgspec

from actorcore.runtime.clock import monotonic_s
from tests.otp.scene import DRIVER
from tests.otp.settle import TICK_S, sleep_ticks


class Folder:
    """See Scene."""

    tick_s = TICK_S

    def __init__(self, directory: str) -> None:
        self.directory = self.token = directory
        self.definitions: dict[str, Any] = msgspec.json.decode(Path(directory, "defs").read_bytes())
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        self._log = os.open(f"{directory}/log", flags, 0o600)
        self._labels = os.open(f"{directory}/labels", flags, 0o600)

    def close(self) -> None:
        os.close(self._log)
        os.close(self._labels)

    def write(self, label: str, *event: object) -> None:
        """Log ``event`` before the action that it announces."""
        os.write(self._log, msgspec.json.encode([monotonic_s(), label, *event]) + b"\n")

    def lines(self) -> list[list[Any]]:
        return _lines(self._log)

    def introduce(self, serial: int, name: str, os_pid: int = 0) -> str:
        """Write down that ``serial`` is an incarnation of ``name``; its label."""
        os.write(self._labels, msgspec.json.encode([serial, name, os_pid]) + b"\n")
        return self.labels()[serial]

    def labels(self) -> dict[int, str]:
        """serial → label, in order of incarnations: the first line about a serial numbers it."""
        found: dict[int, str] = {}
        counts: dict[str, int] = {}
        for serial, name, _ in _lines(self._labels):
            if serial not in found:
                counts[name] = counts.get(name, 0) + 1
                found[serial] = name if name == DRIVER else f"{name}#{counts[name]}"
        return found

    def os_pids(self) -> dict[int, int]:
        """serial → OS pid, as each process said itself."""
        return {serial: os_pid for serial, _, os_pid in _lines(self._labels) if os_pid}

    def label(self, serial: int) -> str:
        return self.labels()[serial]

    def find(self, target: str) -> int | None:
        """The serial of ``a#2``, or of the latest incarnation of ``a``."""
        found = [serial for serial, label in self.labels().items() if target in (label, label.split("#")[0])]
        return found[-1] if found else None

    def inits(self, name: str) -> int:
        return sum(line[1].split("#")[0] == name and line[2] == "init" for line in self.lines())

    def definition_of(self, name: str) -> str:
        return name

    def sleep(self, serial: int, ticks: float) -> None:
        sleep_ticks(ticks)

    def kill(self, serial: int) -> None:
        """A real SIGKILL from outside, of which the runtime is not told."""
        os_pid = self.os_pids()[serial]
        try:
            handle = os.pidfd_open(os_pid)
        except ProcessLookupError:
            return
        try:
            if name_of(os_pid) == f"actor {serial}":  # else it is dead, and its number may be a stranger's
                send_kill(handle)
        finally:
            os.close(handle)


def name_of(os_pid: int) -> str:
    try:
        return Path(f"/proc/{os_pid}/comm").read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def send_kill(pidfd: int) -> None:
    try:
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    except ProcessLookupError:
        pass


def _lines(fd: int) -> list[list[Any]]:
    """All whole lines; each was written by one write."""
    data = os.pread(fd, os.fstat(fd).st_size, 0)
    return [msgspec.json.decode(line) for line in data.split(b"\n") if line]
