"""Whom the node's pump calls, and whom no more."""

from __future__ import annotations

import select
import socket
from collections.abc import Iterator

import pytest

from actorcore.runtime import sockets
from actorcore.runtime.node.sources import Sources


@pytest.fixture
def sources() -> Iterator[Sources]:
    made = Sources()
    yield made
    made._epoll.close()


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ends = sockets.pair()
    with ends[0], ends[1]:
        yield ends


def test_who_was_removed_in_this_very_turn_is_not_called(sources: Sources, pair: tuple[socket.socket, socket.socket]) -> None:
    fds, called = [end.fileno() for end in pair], list[int]()

    def handle(fd: int) -> None:
        called.append(fd)
        for other in fds:
            sources.remove(other)

    for fd, end in zip(fds, pair, strict=True):
        sources.add(fd, lambda _, fd=fd: handle(fd))  # type: ignore[misc]
        assert sockets.send(end, b"x")
    assert sources.dispatch(0.0)
    assert (len(called), [sources.knows(fd) for fd in fds], sources.dispatch(0.0)) == (1, [False, False], False)


def test_who_wants_to_write_is_called_until_it_does_not_and_who_is_not_there_may_want_anything(
    sources: Sources, pair: tuple[socket.socket, socket.socket]
) -> None:  # fmt: skip
    ours, masks = pair[0].fileno(), list[int]()
    sources.add(ours, masks.append)
    assert not sources.dispatch(0.0)
    sources.want_writable(ours)
    assert [sources.dispatch(0.0), sources.dispatch(0.0)] == [True, True]
    sources.want_writable(ours, False)
    assert not sources.dispatch(0.0)
    sources.remove(ours)
    sources.remove(ours)
    sources.want_writable(ours)
    assert masks == [select.EPOLLOUT] * 2
