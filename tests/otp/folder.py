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

from actorcore.residents import Order, Tell
from actorcore.runtime.clock import monotonic_s
from tests.otp.scene import DRIVER
from tests.otp.settle import TICK_S, sleep_ticks

RESIDENT_INIT = "resident_init"


class Labels:
    """Who is who, read from the end of what was read before: each line is ``[serial, name, os_pid, definition]``."""

    def __init__(self, fd: int) -> None:
        self._fd, self._offset = fd, 0
        self._counts: dict[str, int] = {}
        self._names: dict[int, str] = {}
        self._os_pids: dict[int, int] = {}
        self._definitions: dict[str, str] = {}

    def read(self) -> None:
        """Take in the lines that are new; each was written by one write."""
        data = os.pread(self._fd, os.fstat(self._fd).st_size - self._offset, self._offset)
        self._offset += len(data)
        for line in data.split(b"\n")[:-1]:
            serial, name, os_pid, definition = msgspec.json.decode(line)
            if serial not in self._names:  # its first line numbers it
                self._counts[name] = self._counts.get(name, 0) + 1
                self._names[serial] = name if name == DRIVER else f"{name}#{self._counts[name]}"
            if os_pid:
                self._os_pids[serial] = os_pid
            if definition:
                self._definitions[name] = definition

    def names(self) -> dict[int, str]:
        """serial → label, in order of incarnations."""
        self.read()
        return self._names

    def count(self, name: str) -> int:
        self.read()
        return self._counts.get(name, 0)

    def os_pids(self) -> dict[int, int]:
        """serial → OS pid, as each process said itself."""
        self.read()
        return self._os_pids

    def definition(self, name: str) -> str:
        self.read()
        return self._definitions[name]


class Folder:
    """See Scene."""

    tick_s = TICK_S
    template = "scenario"

    def __init__(self, directory: str) -> None:
        self.directory = self.token = directory
        scenario = msgspec.json.decode(Path(directory, "scenario").read_bytes())
        self.definitions: dict[str, Any] = scenario["defs"]
        self.placement: str = scenario["placement"]
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        self._log = os.open(f"{directory}/log", flags, 0o600)
        self._file = os.open(f"{directory}/labels", flags, 0o600)
        self._labels = Labels(self._file)
        self._pidfds: dict[int, int] = {}

    def close(self) -> None:
        for fd in (self._log, self._file, *self._pidfds.values()):
            os.close(fd)

    def write(self, label: str, *event: object) -> None:
        """Log ``event`` before the action that it announces."""
        os.write(self._log, msgspec.json.encode([monotonic_s(), label, *event]) + b"\n")

    def announce(self, serial: int, label: str) -> list[Order]:
        """Into the node's log: only there it is in order with the deaths of residents."""
        return [Tell(RESIDENT_INIT, serial, label)]

    def lines(self) -> list[list[Any]]:
        """All lines of the log; each was written by one write."""
        data = os.pread(self._log, os.fstat(self._log).st_size, 0)
        return [msgspec.json.decode(line) for line in data.split(b"\n") if line]

    def introduce(self, serial: int, name: str, os_pid: int = 0, definition: str = "") -> str:
        """See Scene; who starts a process says its name, and only itself the rest."""
        os.write(self._file, msgspec.json.encode([serial, name, os_pid, definition]) + b"\n")
        return self.label(serial)

    def labels(self) -> dict[int, str]:
        """serial → label, in order of incarnations."""
        return dict(self._labels.names())

    def os_pids(self) -> dict[int, int]:
        return dict(self._labels.os_pids())

    def label(self, serial: int) -> str:
        return self._labels.names()[serial]

    def find(self, target: str) -> int | None:
        """The serial of ``a#2``, or of the latest incarnation of ``a``."""
        found = [serial for serial, label in self._labels.names().items() if target in (label, label.split("#")[0])]
        return found[-1] if found else None

    def inits(self, name: str) -> int:
        return self._labels.count(name)

    def definition_of(self, name: str) -> str:
        return self._labels.definition(name)

    def sleep(self, serial: int, ticks: float) -> None:
        sleep_ticks(ticks)

    def hold(self, serial: int) -> None:
        """Be ready to kill it at once."""
        if serial not in self._pidfds and (os_pid := self.os_pids().get(serial)) is not None:
            try:
                handle = os.pidfd_open(os_pid)
            except ProcessLookupError:
                return
            if name_of(os_pid) == f"actor {serial}":
                self._pidfds[serial] = handle
            else:  # it is dead, and its number may be a stranger's
                os.close(handle)

    def kill(self, serial: int) -> bool:
        """A real SIGKILL from outside, of which the runtime is not told; False: it is a resident of the node."""
        return self.signal(serial, signal.SIGKILL)

    def signal(self, serial: int, number: int) -> bool:
        """A real signal, of which nobody is told; False: there is no process of that serial, and never was."""
        if serial not in self.os_pids():
            return False
        self.hold(serial)
        if serial in self._pidfds:
            try:
                signal.pidfd_send_signal(self._pidfds[serial], number)
            except ProcessLookupError:
                pass
        return True


def name_of(os_pid: int) -> str:
    try:
        return Path(f"/proc/{os_pid}/comm").read_text().strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""
