"""A node in the test's hands: real forked lean processes, real sockets, every delivery sent by the test.

Introductions are answered by the world itself; everything else that a process says is kept in ``said`` until the test
asks for it. The test can be a peer too: ``world.peer(serial)`` gives it the other end of a channel.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import select
import signal
import socket
import sys
from typing import TypeVar

from actorcore import frames
from actorcore.exit_reason import Reason, Term, reason_of_status
from actorcore.frames import Downlink, Message, Numbered
from actorcore.runtime import sockets, status_page
from actorcore.runtime.actor import lean
from actorcore.runtime.sockets import PeerGone
from actorcore.signals import Answer, Begin, Booted, Channel, Delivery, Introduce, PeerDown, ProcessSpec
from actorcore.words import RESIDENT

INSTANCE = 7
TESTER = 99
WAIT_S = 20.0
T = TypeVar("T")


class Child:
    def __init__(self, serial: int, os_pid: int, control: socket.socket, page: mmap.mmap) -> None:
        self.serial, self.os_pid, self.control, self.page = serial, os_pid, control, page
        self.seq = 1  # Begin
        self.said: list[object] = []
        self.peers: set[int] = set()
        self.reason: Reason | None = None


class World:
    """``actors`` is the module that ``actors:name`` stands for: the same processes exist with and without a loop."""

    def __init__(self, actors: str = "tests.lean_actors") -> None:
        self.actors = actors
        self.children: dict[int, Child] = {}
        self.dead: dict[int, Reason] = {}
        self.introductions: list[Introduce] = []
        self.residents: set[int] = set()
        self._kept: list[socket.socket] = []

    def start(self, start: str, *args: Term, parent: int = 0, serial: int = 0, gate: bool = False) -> Child:
        """A process; with ``gate`` the test does not wait for Booted."""
        if start.startswith("actors:"):
            start = start.replace("actors", self.actors, 1)
        serial = serial or len(self.children) + 1
        ours, theirs = sockets.pair()
        page = mmap.mmap(-1, 4096)
        os_pid = os.fork()
        if os_pid == 0:
            try:
                sys.stdout = sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115
                keep = theirs.fileno()
                os.closerange(3, keep)
                os.closerange(keep + 1, 1024)
                begin = Begin(serial, INSTANCE, 0, ProcessSpec(start, list(args)), parent)
                lean.run(theirs, begin, memoryview(page))
            finally:
                os._exit(99)
        theirs.close()
        child = self.children[serial] = Child(serial, os_pid, ours, page)
        if not gate:
            self.wait(child, Booted)
        return child

    def deliver(self, child: Child, body: Delivery, fd: int = -1, seq: int | None = None) -> None:
        child.seq = child.seq + 1 if seq is None else seq
        sent = sockets.send(child.control, frames.encoder.encode([Downlink(child.seq, body)]), [fd] if fd >= 0 else [])
        assert sent

    def peer(self, child: Child, serial: int = TESTER) -> socket.socket:
        """Introduce the test itself, which opens the channel."""
        ours = self.announce(child, serial, opens=False)
        say(ours)
        return ours

    def announce(self, child: Child, serial: int, opens: bool, seq: int | None = None) -> socket.socket:
        """A Channel frame, and the other end; ``opens`` is whether the child has to."""
        ours, theirs = sockets.pair()
        self.deliver(child, Channel(serial, opens), theirs.fileno(), seq)
        theirs.close()
        child.peers.add(serial)
        self._kept.append(ours)
        return ours

    def step(self, also: socket.socket | None = None) -> None:
        """Take in what the processes say, until something was said or ``also`` is readable."""
        living = [child for child in self.children.values() if child.serial not in self.dead]
        ready, _, _ = select.select([child.control for child in living] + ([also] if also else []), [], [], WAIT_S)
        assert ready, f"nothing said within {WAIT_S} s: {[(c.serial, c.said) for c in living]}"
        for child in living:
            if child.control in ready:
                self._read(child)

    def _read(self, child: Child) -> None:
        try:
            datagram = sockets.receive(child.control)
        except PeerGone:
            self._reap(child)
            return
        assert datagram is not None
        for said in frames.decode_up(datagram.data):
            if isinstance(said, Numbered) and isinstance(said.body, Introduce):
                with contextlib.suppress(PeerGone):  # it did not wait for the answer: its end is read in a later step
                    self._introduce(child, said.number, said.body)
            else:
                child.said.append(said)

    def _introduce(self, child: Child, number: int, introduce: Introduce) -> None:
        to = introduce.to
        other = self.children.get(to)
        self.introductions.append(introduce)
        if to in self.residents:
            self.deliver(child, Answer(number, RESIDENT))
            return
        if to in self.dead or (other is None and to not in child.peers):
            self.deliver(child, Answer(number, error=frames.failure("noproc")))
            return
        if other is not None and to not in child.peers:
            a, b = sockets.pair()
            self.deliver(other, Channel(child.serial, False), b.fileno())
            self.deliver(child, Channel(to, True), a.fileno())
            a.close()
            b.close()
            child.peers.add(to)
            other.peers.add(child.serial)
        self.deliver(child, Answer(number, True))

    def _reap(self, child: Child) -> None:
        info = os.waitid(os.P_PID, child.os_pid, os.WEXITED)
        assert info is not None
        declared = status_page.declared_reason(memoryview(child.page))
        reason = self.dead[child.serial] = reason_of_status(info.si_code, info.si_status, declared, None)
        child.control.close()
        for other in self.children.values():
            if other.serial not in self.dead and child.serial in other.peers:
                try:
                    self.deliver(other, PeerDown(child.serial, reason))
                except PeerGone:
                    continue  # its own end is read in a later step

    def wait(self, child: Child, kind: type[T]) -> T:
        """The next thing of that type that ``child`` says: an Uplink, or the body of a request."""
        while True:
            for said in child.said:
                if isinstance(said, kind) or (isinstance(said, Numbered) and isinstance(said.body, kind)):
                    child.said.remove(said)
                    return said.body if isinstance(said, Numbered) and not isinstance(said, kind) else said  # type: ignore
            assert child.serial not in self.dead, self.dead[child.serial]
            self.step()

    def wait_request(self, child: Child) -> Numbered:
        """The next request; the test answers it."""
        return self.wait(child, Numbered)

    def wait_death(self, child: Child) -> Reason:
        while child.serial not in self.dead:
            self.step()
        return self.dead[child.serial]

    def kill(self, child: Child) -> Reason:
        os.kill(child.os_pid, signal.SIGKILL)
        return self.wait_death(child)

    def read(self, sock: socket.socket) -> list[Message]:
        """The next datagram on one of the test's channels."""
        while (datagram := sockets.receive(sock)) is None:
            self.step(also=sock)
        messages = frames.decode_channel(datagram.data)
        assert isinstance(messages, list), "a mark or a large message"
        return messages

    def read_mark(self, sock: socket.socket) -> int:
        """As :meth:`read`, where a mark is next; its number."""
        while (datagram := sockets.receive(sock)) is None:
            self.step(also=sock)
        number = frames.decode_channel(datagram.data)
        assert isinstance(number, int)
        return -number

    def close(self) -> None:
        for child in self.children.values():
            if child.serial not in self.dead:
                os.kill(child.os_pid, signal.SIGKILL)
                os.waitpid(child.os_pid, 0)
                child.control.close()
            child.page.close()
        for sock in self._kept:
            sock.close()


def say(sock: socket.socket, *messages: Message) -> None:
    """Send as a peer, as soon as the socket takes it; nothing opens the channel."""
    while not sockets.send(sock, frames.encoder.encode(list(messages))):
        assert select.select([], [sock], [], WAIT_S)[1], f"not read within {WAIT_S} s"


def say_mark(sock: socket.socket, number: int) -> None:
    """As a peer that has sent exit signal ``number``."""
    assert sockets.send(sock, frames.encoder.encode(-number))
