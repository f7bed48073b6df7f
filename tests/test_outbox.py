"""What waits for a socket keeps its descriptors, whatever becomes of those that it was given."""

from __future__ import annotations

import os
import resource
import socket
from collections.abc import Iterator

import pytest

from actorcore.runtime import sockets
from actorcore.runtime.outbox import Outbox


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.fixture
def ends() -> Iterator[tuple[Outbox, socket.socket]]:
    """An outbox in which one datagram waits, and the other end of its socket, which is full."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK)
    outbox = Outbox(ours)
    while outbox.is_empty():
        assert outbox.put(b"before")
    before = descriptors()
    with ours, theirs:
        yield outbox, theirs
        outbox.drop()
    assert descriptors() == before - 2  # these two


def test_a_datagram_that_waits_has_a_descriptor_of_its_own(ends: tuple[Outbox, socket.socket]) -> None:
    """A zygote that died before a busy node had heard of it took its socket along: the guardian ended of EBADF."""
    outbox, theirs = ends
    reader, writer = os.pipe()
    assert outbox.put(b"with a pipe", [reader])
    os.close(reader)
    heard: list[sockets.Datagram] = []
    while not outbox.is_empty():
        heard += iter(lambda: sockets.receive(theirs), None)
        outbox.flush()
    *_, last = heard + list(iter(lambda: sockets.receive(theirs), None))
    os.write(writer, b"it is this one")
    assert (last.data, [os.read(fd, 100) for fd in last.fds]) == (b"with a pipe", [b"it is this one"])
    sockets.close_all([writer, *last.fds])


def test_without_a_descriptor_to_wait_with_a_datagram_is_refused_whole(ends: tuple[Outbox, socket.socket]) -> None:
    outbox, _ = ends
    reader, writer = os.pipe()
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken = [os.dup(reader)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (taken[0] + 2, before[1]))  # one more
    try:
        assert not outbox.put(b"with two", [reader, writer])
        assert outbox.put(b"with one", [reader])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    sockets.close_all([reader, writer, *taken])


def test_what_waits_for_nobody_vanishes(ends: tuple[Outbox, socket.socket]) -> None:
    outbox, theirs = ends
    reader, writer = os.pipe()
    assert outbox.put(b"with a pipe", [reader])
    theirs.close()
    outbox.flush()
    assert outbox.is_empty()
    assert outbox.put(b"late", [reader])
    assert outbox.is_empty()
    sockets.close_all([reader, writer])
