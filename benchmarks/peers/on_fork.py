"""The floor: ``os.fork`` of a small Python, pipes and pidfds, nothing between them and the kernel."""

from __future__ import annotations

import os
import select
import signal
import socket
from collections.abc import Callable

from benchmarks.peers.contract import BODY, OfPython


class Child:
    """A forked process and our end of its socket."""

    def __init__(self) -> None:
        self.fork()
        self.await_answer()

    def fork(self) -> None:
        self.sock, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.os_pid = os.fork()
        if self.os_pid == 0:
            serve(theirs)
        theirs.close()
        self.pidfd = os.pidfd_open(self.os_pid)
        self.sock.send(b"?")

    def await_answer(self) -> None:
        self.sock.recv(64)

    def await_end(self) -> None:
        poll = select.poll()
        poll.register(self.pidfd, select.POLLIN)
        poll.poll()

    def reap(self) -> None:
        os.waitpid(self.os_pid, 0)
        os.close(self.pidfd)
        self.sock.close()


def serve(sock: socket.socket) -> None:
    """Answers what has BODY's length or is a question; counts silently what is shorter."""
    fd = sock.fileno()
    while body := os.read(fd, 65536):
        if body != CAST:
            os.write(fd, body)
    os._exit(0)


CAST = BODY[:-1] + b"!"


class Fork(OfPython[Child]):
    remarks = {"replaced": "by hand: pidfd readable, then fork"}

    def spawn(self) -> Child:
        return Child()

    def end(self, actor: Child) -> None:
        os.kill(actor.os_pid, signal.SIGKILL)
        actor.reap()

    def calls(self, actor: Child, count: int) -> None:
        fd = actor.sock.fileno()
        for _ in range(count):
            os.write(fd, BODY)
            os.read(fd, 65536)

    def casts(self, actor: Child, count: int) -> None:
        fd = actor.sock.fileno()
        for _ in range(count):
            os.write(fd, CAST)
        self.calls(actor, 1)

    def os_pid(self, actor: Child) -> int:
        return actor.os_pid

    def watch(self, actor: Child) -> Callable[[], object]:
        return actor.await_end

    def await_replacement(self, actor: Child) -> None:
        self.await_replacements([actor])

    def await_replacements(self, actors: list[Child]) -> None:
        for actor in actors:
            actor.await_end()
            actor.reap()
            actor.fork()
        for actor in actors:
            actor.await_answer()


PEERS = {"": Fork}
