"""Channels: batches, parts, bounds and counters."""

from __future__ import annotations

import errno
import socket
import tracemalloc
from collections.abc import Iterator

import msgspec
import pytest

from actorcore import frames
from actorcore.errors import ProtocolError, RequestError
from actorcore.frames import MAX_DATAGRAM_BYTES, Call, Cast, Info, Message, Reply
from actorcore.runtime import sockets
from actorcore.runtime.actor import channel as channel_module
from actorcore.runtime.actor.buffers import Buffers
from actorcore.runtime.actor.channel import LEAST_PART_BYTES, MAX_QUEUE_MESSAGES, PART_BYTES, WHOLE_BYTES, Channel
from tests.test_sockets import killed_after_sending, open_fds

Pair = tuple[Channel, Channel]
PART = sockets.ANY_DATAGRAM_BYTES


@pytest.fixture
def ends() -> Iterator[Pair]:
    a, b = sockets.pair()
    channels = Channel(2, Buffers(), a), Channel(1, Buffers(), b)
    yield channels
    for end in channels:
        end.close()


def info(value: object) -> Info:
    return Info(msgspec.Raw(frames.encoder.encode(value)))


def read_all(end: Channel) -> list[list[Message]]:
    found = []
    while (messages := end.read()) is not None:
        found.append(messages)
    return found


def test_a_batch_has_the_bytes_of_the_encoded_list(ends: Pair) -> None:
    a, b = ends
    messages: list[Message] = [Call(1, msgspec.Raw(b"\x01")), Cast(msgspec.Raw(b"\x02")), Reply(3, error=("busy", None))] * 6
    for message in messages:
        a.post(message)
    a.flush()
    assert b.sock is not None
    assert sockets.receive(b.sock) == sockets.Datagram(frames.encoder.encode(messages))


def test_messages_leave_64_to_a_datagram_and_in_order(ends: Pair) -> None:
    a, b = ends
    for number in range(130):
        a.post(info(number))
    assert a.flush()
    found = read_all(b)
    assert [len(batch) for batch in found] == [64, 64, 2]
    assert [message for batch in found for message in batch] == [info(number) for number in range(130)]
    assert (a.sent, b.received) == (130, 130)


def test_a_datagram_holds_at_most_32_kib_of_small_messages(ends: Pair) -> None:
    a, b = ends
    for _ in range(10):
        a.post(info(b"x" * 10_000))
    a.flush()
    assert [len(batch) for batch in read_all(b)] == [3, 3, 3, 1]


def read_all_until_the_end(end: Channel) -> list[list[Message]]:
    found = []
    with pytest.raises(sockets.PeerGone):
        while (messages := end.read()) is not None:
            found.append(messages)
    return found


@pytest.mark.parametrize("size", [40_000, 49_100, 49_152, 49_200, 100_000, PART_BYTES - 8, PART_BYTES, 1 << 20, 8 << 20])
def test_a_large_message_counts_once_and_keeps_its_place(ends: Pair, size: int) -> None:
    a, b = ends
    big = info(b"b" * size)
    for message in (info(1), big, info(2)):
        a.post(message)
    found: list[Message] = []
    while not a.is_flushed() or len(found) < 3:
        a.flush()
        found.extend(message for batch in read_all(b) for message in batch)
    assert found == [info(1), big, info(2)]
    assert (a.sent, b.received) == (3, 3)


def test_too_large_a_message_is_refused_by_its_sender(ends: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel_module, "MAX_MESSAGE_BYTES", 1 << 20)
    a, _ = ends
    with pytest.raises(RequestError) as refusal:
        a.post(info(b"x" * (1 << 20)))
    assert refusal.value.code == "value_too_long"
    assert (a.sent, a.is_flushed()) == (0, True)


@pytest.mark.parametrize("size", [0, WHOLE_BYTES, channel_module.MAX_MESSAGE_BYTES + 1, 1 << 63])
def test_a_size_that_no_large_message_has_is_a_breach_of_protocol(ends: Pair, size: int) -> None:
    a, b = ends
    assert a.sock is not None
    sockets.send(a.sock, frames.encoder.encode(size))
    with pytest.raises(ProtocolError):
        read_all(b)


@pytest.mark.parametrize(("size", "parts"), [
    (PART + 100, [LEAST_PART_BYTES - 1]),
    (PART_BYTES + 100, [PART, PART, LEAST_PART_BYTES - 1]),
    (PART + 100, [PART, 99]),
    (PART + 100, [PART, 101]),
    (PART - 100, [PART]),
    (PART + 100, [PART, 100]),  # of the right sizes, but no message
])  # fmt: skip
def test_wrong_parts_are_a_breach_of_protocol(ends: Pair, size: int, parts: list[int]) -> None:
    a, b = ends
    assert a.sock is not None
    sockets.send(a.sock, frames.encoder.encode(size))
    for part in parts:
        sockets.send(a.sock, b"x" * part)
    with pytest.raises(ProtocolError):
        read_all(b)


def test_too_long_a_part_is_a_breach_of_protocol(ends: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel_module, "PART_BYTES", 100_000)
    a, b = ends
    assert a.sock is not None
    sockets.send(a.sock, frames.encoder.encode(300_000))
    sockets.send(a.sock, bytes(100_000))
    assert read_all(b) == []
    sockets.send(a.sock, bytes(100_001))
    with pytest.raises(ProtocolError):
        read_all(b)


def parts_of(end: Channel, message: Message, other: Channel) -> list[int]:
    """The lengths of the datagrams in which ``message`` leaves, but for the first one, which announces it."""
    assert other.sock is not None
    sizes: list[int] = []
    while not end.is_flushed():
        end.flush()
        while sockets.has_bytes(other.sock):
            sizes.append(len(other.sock.recv(PART_BYTES + 1)))
    assert sum(sizes[1:]) == len(frames.encoder.encode(message))
    return sizes[1:]


def test_parts_are_as_long_as_the_socket_allows_and_shorter_before_there_is_one(ends: Pair) -> None:
    a, b = ends
    assert a.sock is not None
    big = info(b"b" * (4 << 20))
    a.post(big)
    longest = sockets.max_datagram_bytes(a.sock)
    assert set(parts_of(a, big, b)[:-1]) == {min(PART_BYTES, longest)}
    with pytest.raises(OSError, match="Message too long"):
        sockets.send(a.sock, bytes(longest + 1))
    waiting = Channel(2, Buffers())
    waiting.post(big)
    waiting.sock = a.sock
    assert set(parts_of(waiting, big, b)[:-1]) == {PART}


def test_where_the_kernel_has_no_memory_for_a_part_shorter_ones_go(ends: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = ends
    real, limit = sockets.send, 60_000

    def send(sock: socket.socket, data: bytes | bytearray | memoryview) -> bool:
        if len(data) > limit:
            raise OSError(errno.ENOBUFS, "No buffer space available")
        return real(sock, data)

    monkeypatch.setattr(sockets, "send", send)
    big = info(bytes(range(256)) * 4000)
    a.post(info(1))
    a.post(big)
    a.post(info(2))
    assert a.flush()
    assert [message for batch in read_all(b) for message in batch] == [info(1), big, info(2)]
    assert (a.sent, b.received) == (3, 3)
    limit = 10_000
    a.post(big)
    with pytest.raises(OSError, match="No buffer space"):
        a.flush()


def test_an_announcement_takes_little_memory_and_parts_no_more_than_twice_theirs(ends: Pair) -> None:
    a, b = ends
    assert a.sock is not None
    tracemalloc.start()
    try:
        sockets.send(a.sock, frames.encoder.encode(64 << 20))
        assert read_all(b) == []
        assert tracemalloc.get_traced_memory()[0] < (2 << 20) + 100_000
        for _ in range(20):
            sockets.send(a.sock, bytes(PART))
            assert read_all(b) == []
        assert tracemalloc.get_traced_memory()[0] < 2 * 20 * PART + 100_000
    finally:
        tracemalloc.stop()


def test_half_a_message_is_dropped_with_its_dead_sender(ends: Pair) -> None:
    a, b = ends
    assert a.sock is not None
    sockets.send(a.sock, frames.encoder.encode([info(1)]))
    sockets.send(a.sock, frames.encoder.encode(PART + 100))
    sockets.send(a.sock, bytes(PART))
    a.close()
    assert b.read() == [info(1)]
    with pytest.raises(sockets.PeerGone):
        b.read()
    assert b.received == 1


def test_a_channel_in_introduction_queues_up_to_its_bound() -> None:
    waiting = Channel(5, Buffers())
    while not waiting.is_full:
        waiting.post(info(1))
    assert waiting.sent == MAX_QUEUE_MESSAGES
    assert not waiting.flush()
    assert waiting.read() is None


def test_what_a_dead_peer_will_not_read_vanishes(ends: Pair) -> None:
    a, b = ends
    a.post(info(1))
    b.close()
    assert a.flush()
    with pytest.raises(sockets.PeerGone):
        a.read()


def test_messages_of_a_killed_peer_that_left_ours_unread_are_not_lost() -> None:
    with killed_after_sending([frames.encoder.encode([info(number)]) for number in range(3)]) as sock:
        end = Channel(2, Buffers(), sock)
        assert read_all_until_the_end(end) == [[info(0)], [info(1)], [info(2)]]


def test_descriptors_that_come_with_a_message_do_not_leak(ends: Pair) -> None:
    a, b = ends
    assert a.sock is not None
    before = open_fds()
    assert sockets.send(a.sock, frames.encoder.encode([info(1)]), [0])
    assert b.read() == [info(1)]
    assert open_fds() == before


def test_an_oversized_datagram_is_a_breach_of_protocol(ends: Pair) -> None:
    a, b = ends
    assert a.sock is not None
    assert sockets.send(a.sock, frames.encoder.encode([info(b"x" * MAX_DATAGRAM_BYTES)]))
    with pytest.raises(ProtocolError):
        b.read()
