"""What supervisors of programs supervise here: the same smallest program for all, which says that it runs.

It writes its number into a FIFO, then it is ``sleep``: its first line is its first answer. Another FIFO takes the names of
the dead, from whatever a supervisor runs after a death. Such a supervisor moves no messages.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from abc import abstractmethod
from collections.abc import Callable
from pathlib import Path

from benchmarks.peers.contract import Peer
from benchmarks.peers.process_tree import end_below

NO_MESSAGES = dict.fromkeys(("call", "casts"), "moves no messages")
PUNISHED_S = 1.05
"""Who dies in its first second is started again a second later by s6 and runit, and is no success to supervisord."""


class Fifo:
    """Read line by line."""

    def __init__(self, path: Path) -> None:
        self.path = path
        os.mkfifo(path)
        self.fd = os.open(path, os.O_RDWR)

    def line(self) -> str:
        """The next one, when it comes."""
        told = b""
        while not told.endswith(b"\n"):
            told += os.read(self.fd, 1)
        return told.decode().strip()

    def close(self) -> None:
        os.close(self.fd)
        self.path.unlink()


class Service:
    """One program, by its name; ``os_pid`` is what it said last."""

    def __init__(self, folder: Path, number: int) -> None:
        self.name = f"echo-{number}"
        self.folder = folder / self.name
        self.up = Fifo(folder / f"{self.name}.up")
        self.os_pid = 0

    def await_up(self) -> None:
        self.os_pid = int(self.up.line())

    def close(self) -> None:
        self.up.close()

    @property
    def script(self) -> str:
        """The program, for a shell."""
        return f"echo $$ >{self.up.path}; exec sleep 2147483647"

    def write_scripts(self, **scripts: str) -> None:
        """Its folder, with executables of these names."""
        self.folder.mkdir()
        for name, text in scripts.items():
            file = self.folder / name
            file.write_text(f"#!/bin/sh\n{text}\n")
            file.chmod(0o755)


class ServicePeer(Peer[Service]):
    """``folder`` is the peer's own; :meth:`add` starts a service, :meth:`remove` ends it, both as the peer wants it."""

    lacks = NO_MESSAGES
    settle_s = PUNISHED_S

    def open(self) -> None:
        self.services = 0
        self.folder = Path(tempfile.mkdtemp(prefix="actorcore-compare-"))
        self.deaths = Fifo(self.folder / "deaths")

    def close(self) -> None:
        self.deaths.close()
        end_below(os.getpid())
        shutil.rmtree(self.folder)

    @abstractmethod
    def add(self, service: Service) -> None:
        """Have it run."""

    @abstractmethod
    def remove(self, service: Service) -> None:
        """Have it gone."""

    def service(self) -> Service:
        self.services += 1
        return Service(self.folder, self.services)

    def spawn(self) -> Service:
        service = self.service()
        self.add(service)
        service.await_up()
        return service

    def spawn_many(self, count: int) -> list[Service]:
        services = [self.service() for _ in range(count)]
        for service in services:
            self.add(service)
        for service in services:
            service.await_up()
        return services

    def supervise_many(self, count: int) -> list[Service]:
        return self.spawn_many(count)

    def end(self, actor: Service) -> None:
        self.remove(actor)
        actor.close()

    def os_pid(self, actor: Service) -> int:
        return actor.os_pid

    def watch(self, actor: Service) -> Callable[[], object]:
        def await_told() -> None:
            while self.deaths.line() != actor.name:
                pass

        return await_told

    def await_replacement(self, actor: Service) -> None:
        actor.await_up()


def command(*argv: str | Path) -> None:
    """Run it, silently; it must succeed."""
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)
