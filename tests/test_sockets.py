"""SEQPACKET helpers: nothing that was sent is lost, nothing that was received leaks."""

from __future__ import annotations

import errno
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from actorcore.errors import ProtocolError
from actorcore.frames import MAX_DATAGRAM_BYTES
from actorcore.runtime import sockets
from actorcore.runtime.sockets import Datagram, PeerGone

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def ends() -> Iterator[Pair]:
    a, b = sockets.pair()
    yield a, b
    a.close()
    b.close()


@contextmanager
def killed_after_sending(datagrams: list[bytes]) -> Iterator[socket.socket]:
    """The end of a pair whose other end belonged to a process that has sent these and was killed with ours unread."""
    a, b = sockets.pair()
    ready, done = os.pipe()
    sockets.send(a, b"never read")
    child = os.fork()
    if child == 0:
        try:
            a.close()
            for datagram in datagrams:
                sockets.send(b, datagram)
            os.write(done, b"!")
            signal.pause()
        finally:
            os._exit(1)
    b.close()
    os.close(done)
    os.read(ready, 1)
    os.close(ready)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    yield a
    a.close()


def open_fds() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


def test_a_datagram_arrives_whole_and_alone(ends: Pair) -> None:
    a, b = ends
    assert sockets.send(a, b"one")
    assert sockets.send(a, b"two")
    assert sockets.receive(b) == Datagram(b"one")
    assert sockets.receive(b) == Datagram(b"two")
    assert sockets.receive(b) is None


def test_a_pair_holds_thousands_of_small_unread_messages(ends: Pair) -> None:
    a, _ = ends
    count = 0
    while sockets.send(a, b"x" * 64):
        count += 1
    assert count > 1000


def test_a_full_socket_says_false_and_goes_on_when_read(ends: Pair) -> None:
    a, b = ends
    while sockets.send(a, b"x" * 60000):
        pass
    while sockets.receive(b) is not None:
        pass
    assert sockets.send(a, b"again")


def test_descriptors_travel_close_on_exec(ends: Pair) -> None:
    a, b = ends
    reader, writer = os.pipe()
    assert sockets.send(a, b"take", [writer])
    os.close(writer)
    datagram = sockets.receive(b)
    assert datagram is not None
    assert datagram.data == b"take"
    (fd,) = datagram.fds
    assert not os.get_inheritable(fd)
    os.write(fd, b"hello")
    assert os.read(reader, 10) == b"hello"
    os.close(fd)
    os.close(reader)


def test_a_peek_leaves_the_datagram_and_copies_its_descriptors(ends: Pair) -> None:
    a, b = ends
    assert sockets.send(a, b"look", [0])
    before = open_fds()
    first, second = sockets.receive(b, peek=True), sockets.receive(b)
    assert first is not None
    assert second is not None
    assert first.data == second.data == b"look"
    assert len(first.fds) == len(second.fds) == 1
    assert first.fds != second.fds
    sockets.close_all(first.fds + second.fds)
    assert open_fds() == before
    assert sockets.receive(b) is None


def test_more_descriptors_than_allowed_are_refused_and_none_leaks(ends: Pair) -> None:
    a, b = ends
    before = open_fds()
    assert sockets.send(a, b"many", [0] * (sockets.MAX_FDS + 3))
    with pytest.raises(ProtocolError):
        sockets.receive(b)
    assert open_fds() == before


def test_an_oversized_datagram_is_refused(ends: Pair) -> None:
    a, b = ends
    assert sockets.send(a, b"x" * (MAX_DATAGRAM_BYTES + 1))
    with pytest.raises(ProtocolError):
        sockets.receive(b)
    assert sockets.send(a, b"x" * MAX_DATAGRAM_BYTES)
    assert sockets.receive(b)


def test_the_end_comes_after_the_data(ends: Pair) -> None:
    a, b = ends
    sockets.send(a, b"last words")
    a.close()
    assert sockets.receive(b) == Datagram(b"last words")
    with pytest.raises(PeerGone):
        sockets.receive(b)
    with pytest.raises(PeerGone):
        sockets.send(b, b"anyone?")


def test_data_of_a_killed_peer_that_left_ours_unread_is_not_lost() -> None:
    with killed_after_sending([b"0", b"1", b"2"]) as a:
        assert [sockets.receive(a) for _ in range(3)] == [Datagram(b"0"), Datagram(b"1"), Datagram(b"2")]
        with pytest.raises(PeerGone):
            sockets.receive(a)


def test_a_peer_that_dies_between_a_look_at_its_datagram_and_the_taking_of_it_loses_nothing(ends: Pair) -> None:
    """A node that is told so would die of it, and its successor hear the datagram again."""
    a, b = ends
    sockets.send(a, b"never read")
    for said in (b"one", b"two"):
        sockets.send(b, said)
    assert sockets.peek_data(a) == b"one"
    b.close()
    sockets.consume(a)
    assert sockets.peek_data(a) == b"two"
    sockets.consume(a)
    with pytest.raises(PeerGone):
        sockets.peek_data(a)


class Lacking(socket.socket):
    """One for which the machine has nothing left."""

    number = 0

    def send(self, *_: object) -> int:
        raise OSError(self.number, os.strerror(self.number))

    sendmsg = send


@pytest.mark.parametrize("fds", [(), (0,)])
def test_what_the_machine_has_nothing_left_for_is_sent_later_and_ends_nobody(fds: tuple[int, ...]) -> None:
    """The guardian ended of it, and everything with it."""
    with Lacking(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
        for sock.number in (errno.ENOBUFS, errno.ENOMEM, errno.ETOOMANYREFS):
            assert sockets.send(sock, bytes(sockets.SMALL_BYTES), fds) is False
            with pytest.raises(OSError, match=os.strerror(sock.number)):
                sockets.send(sock, bytes(sockets.SMALL_BYTES + 1), fds)
        sock.number = errno.EMSGSIZE
        with pytest.raises(OSError, match="long"):
            sockets.send(sock, b"", fds)
