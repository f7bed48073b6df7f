"""A real guardian whose nodes are puppets: each hands its control socket to the test, which then speaks as that node.

``python -m tests.guardian_world PATH FD`` runs the guardian; PATH is the test's listening socket, FD a pipe that is told the
time of each of its turns.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn, TypeVar

from actorcore import guardian_words as words
from actorcore.frames import decode_up
from actorcore.ledger import Ledger
from actorcore.runtime import clock, memory, sockets
from actorcore.runtime.guardian.guardian import Guardian
from actorcore.runtime.guardian.keep import Mappings
from actorcore.runtime.shared_registry import SharedRegistry
from actorcore.signals import Born

WAIT_S = 20.0
PAGES = 16
LEDGER_BYTES = 1 << 16
INSTANCE = 0x7F3A
PUPPETEER = "PUPPETEER"
W = TypeVar("W")


def puppet(control: socket.socket, ledger: memoryview, registry: memoryview, status: memoryview) -> NoReturn:
    """The node's entry point: give the strings away and stay."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as line:
        line.connect(os.environ[PUPPETEER])
        socket.send_fds(line, [str(os.getpid()).encode()], [control.fileno()])
    control.close()
    while True:
        signal.pause()


def main(path: str, turns: int) -> int:
    os.environ[PUPPETEER] = path
    os.set_blocking(turns, False)

    def on_watch(now_s: float) -> None:
        with contextlib.suppress(BlockingIOError):  # nobody reads them, in most tests
            os.write(turns, struct.pack("d", now_s))

    registry = SharedRegistry(INSTANCE)
    ledger_fd = memory.create_memfd("ledger", LEDGER_BYTES)
    ledger = memory.map_shared(ledger_fd, LEDGER_BYTES, writable=True)
    Ledger.create(ledger)
    status_fd = memory.create_memfd("status", PAGES * 4096)
    status = memory.map_shared(status_fd, PAGES * 4096, writable=True)
    # It stamps as a node does that makes a turn whenever it is asked.
    mappings = Mappings(ledger, registry.memory, status, registry.fd, status_fd, clock.monotonic_ns)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    return Guardian("tests.guardian_world:puppet", listener, mappings, INSTANCE, lambda: None, on_watch=on_watch).run()


class Puppet:
    """One node or spare in the test's hands."""

    def __init__(self, os_pid: int, control: socket.socket) -> None:
        self.os_pid = os_pid
        self.control = control
        self.heard: list[words.ToNode] = []
        self.zygote: socket.socket | None = None

    def close(self) -> None:
        self.control.close()
        if self.zygote is not None:
            self.zygote.close()

    def say(self, word: words.ToGuardian | bytes, fds: tuple[int, ...] = ()) -> None:
        assert sockets.send(self.control, word if isinstance(word, bytes) else words.encoder.encode(word), fds)

    def hear(self, kind: type[W]) -> W:
        """The next word of ``kind``; those before it are kept in ``heard``, descriptors are closed."""
        while True:
            assert select.select([self.control], [], [], WAIT_S)[0], f"no {kind.__name__}; heard {self.heard}"
            datagram = sockets.receive(self.control, max_fds=250)
            assert datagram is not None
            word = words.to_node.decode(datagram.data)
            if isinstance(word, words.Zygote):
                if self.zygote is not None:
                    self.zygote.close()
                self.zygote = socket.socket(fileno=datagram.fds.pop())
            sockets.close_all(datagram.fds)
            if isinstance(word, kind):
                return word
            self.heard.append(word)

    def take_over(self) -> Puppet:
        """Say ready and become the node."""
        self.say(words.Ready(1, 1, words.VERSION))
        assert self.hear(words.Take).instance == INSTANCE
        self.say(words.Serving())
        return self

    def fork(self, serial: int) -> tuple[int, socket.socket]:
        """Have the zygote fork a process that waits for its Begin: its OS pid, and the node's end of its socket."""
        ours, theirs = sockets.pair()
        assert self.zygote is not None
        self.say(words.Hold(serial), (ours.fileno(),))
        with theirs:
            assert sockets.send(self.zygote, words.encoder.encode(words.ForkOrder(serial, serial)), (theirs.fileno(),))
        [born] = decode_up(sockets.await_datagram(ours).data)
        assert isinstance(born, Born)
        return born.os_pid, ours

    def adopt(self, serial: int, os_pid: int) -> None:
        """Have the guardian keep it."""
        self.say(words.Adopt(serial, os_pid))
        assert self.hear(words.Adopted).serial == serial


class World:
    """A guardian from entry to exit; :meth:`puppet` is the next node or spare that it has forked."""

    def __init__(self, directory: Path) -> None:
        self._closers: list[Callable[[], None]] = []
        path = str(directory / "puppeteer")
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listener.bind(path)
        self._listener.listen(64)
        self._log = directory / "guardian.log"
        self._turns, told = os.pipe()
        argv = [sys.executable, "-m", "tests.guardian_world", path, str(told)]
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(argv, pass_fds=[told], stderr=log, cwd=Path(__file__).parent.parent)
        os.close(told)

    def __enter__(self) -> World:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGQUIT)
        assert self.process.wait(WAIT_S) == 0, self.log()
        for close in self._closers:
            close()
        self._listener.close()
        os.close(self._turns)

    def puppet(self) -> Puppet:
        assert select.select([self._listener], [], [], WAIT_S)[0], self.log()
        line, _ = self._listener.accept()
        with line:
            data, fds, _, _ = socket.recv_fds(line, 32, 1)
        control = socket.socket(fileno=fds[0])
        control.setblocking(False)
        puppet = Puppet(int(data), control)
        self._closers.append(puppet.close)
        return puppet

    def keep(self, sock: socket.socket) -> socket.socket:
        """Closed in the end."""
        self._closers.append(sock.close)
        return sock

    def turn_s(self) -> float:
        """When the guardian made its next turn that was not asked for yet (monotonic seconds); waits for it."""
        (now_s,) = struct.unpack("d", os.read(self._turns, 8))
        return float(now_s)

    def log(self) -> str:
        return self._log.read_text()

    def children(self) -> dict[int, str]:
        """OS pid → state (proc(5)) of all children of the guardian."""
        pids = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        states = {}
        for pid in pids:
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # reaped meanwhile
                states[int(pid)] = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        return states


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2])))
