"""The client's connection: deliveries once and in order, requests answered once, whatever happens to the node."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator

import msgspec
import pytest

from actorcore import frames
from actorcore.errors import RequestError
from actorcore.frames import (
    MAX_FRAME_BYTES,
    MAX_REQUEST_BYTES,
    PROTOCOL_VERSION,
    Downlink,
    Farewell,
    Got,
    Hello,
    Numbered,
    Welcome,
)
from actorcore.runtime import sockets
from actorcore.runtime.client_connection import MAX_DIALS, RETURN_WITHIN_S, Arrival, ClientConnection
from actorcore.signals import Answer, Ask, Channel, Down, Whereis
from tests.fake_node import INSTANCE, SECRET, SERIAL, WELCOME, Line


class World:
    """A connection and the node's ends of all its sockets; time stands still unless told."""

    def __init__(self) -> None:
        self.connection = ClientConnection(now=0.0)
        self.lines: list[Line] = []

    def dial(self) -> Line:
        """A new socket between the connection and a node."""
        mine, theirs = socket.socketpair()
        mine.setblocking(False)
        self.connection.attach(mine)
        line = Line(theirs)
        self.lines.append(line)
        return line

    def open(self) -> Line:
        """Hello and welcome."""
        line = self.dial()
        line.read_hello()
        line.write_frame(WELCOME)
        assert self.read() == []
        return line

    def read(self, now: float = 0.0) -> list[Arrival]:
        return self.connection.read(now)

    def close(self) -> None:
        self.connection.close()
        for line in self.lines:
            line.sock.close()


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    made.close()


def down(seq: int) -> Downlink:
    return Downlink(seq, Down([seq], 7, "normal"))


def arrived(*seqs: int) -> list[Arrival]:
    return [Arrival(seq, down(seq).body) for seq in seqs]


# ---- hello ----------------------------------------------------------------------------------------------------------


def test_a_new_client_says_so_and_is_who_the_node_says(world: World) -> None:
    line = world.dial()
    assert line.read_hello() == Hello(PROTOCOL_VERSION)
    line.write_frame(WELCOME)
    world.read()
    connection = world.connection
    assert (connection.state, connection.instance, connection.serial) == ("open", INSTANCE, SERIAL)


def test_requests_made_before_the_welcome_follow_it_in_order(world: World) -> None:
    line = world.dial()
    world.connection.submit(Whereis("a"))
    world.connection.submit(Whereis("b"))
    line.read_hello()
    line.write_frame(WELCOME)
    world.read()
    assert [line.read(), line.read()] == [[Numbered(1, Whereis("a"))], [Numbered(2, Whereis("b"))]]


def test_a_farewell_is_told_as_a_refusal(world: World) -> None:
    world.dial().write_frame(Farewell("unsupported_version", "speak 2"))
    world.read()
    assert world.connection.state == "closed"
    assert str(world.connection.farewell) == "unsupported_version: speak 2"


def test_a_client_that_stood_still_before_its_hello_dials_again(world: World) -> None:
    line = world.open()
    line.sock.close()
    world.read()
    world.dial().write_frame(Farewell("timeout", "no hello"))
    assert (world.read(), world.connection.state) == ([], "lost")
    world.open()
    assert (world.connection.state, world.connection.farewell) == ("open", None)


def test_a_farewell_after_the_welcome_too(world: World) -> None:
    world.open().write_frame(Farewell("shutting_down"))
    world.read()
    assert (world.connection.state, str(world.connection.farewell)) == ("closed", "shutting_down")


# ---- deliveries -----------------------------------------------------------------------------------------------------


def test_deliveries_arrive_in_order_and_a_repeated_one_is_dropped(world: World) -> None:
    line = world.open()
    line.write(down(1), down(2))
    line.write(down(2))
    line.write(down(3))
    assert world.read() == arrived(1, 2, 3)


def test_a_stream_cut_at_every_byte_gives_the_same_deliveries(world: World) -> None:
    line = world.open()
    data = b"".join(len(body).to_bytes(4, "big") + body for body in (frames.encoder.encode([down(seq)]) for seq in (1, 2, 3)))
    got: list[Arrival] = []
    for byte in data:
        line.write_bytes(bytes([byte]))
        got += world.read()
    assert got == arrived(1, 2, 3)


def test_descriptors_match_their_channels_when_several_are_read_at_once(world: World) -> None:
    line = world.open()
    pairs = [sockets.pair(), sockets.pair()]
    line.write(down(1))
    line.write(Downlink(2, Channel(8, True)), fd=pairs[0][0].fileno())
    line.write(down(3))
    line.write(Downlink(4, Channel(9, True)), fd=pairs[1][0].fileno())
    found = {}
    for arrival in world.read():
        if isinstance(arrival.body, Channel) and arrival.sock is not None:
            found[arrival.body.peer] = os.fstat(arrival.sock.fileno()).st_ino
            assert arrival.sock.get_inheritable() is False
            arrival.sock.close()
    assert found == {8: os.fstat(pairs[0][0].fileno()).st_ino, 9: os.fstat(pairs[1][0].fileno()).st_ino}
    for sock in (*pairs[0], *pairs[1]):
        sock.close()


def test_a_repeated_channel_arrives_again_because_its_end_may_be_of_another_pair(world: World) -> None:
    line = world.open()
    ours, theirs = sockets.pair()
    line.write(Downlink(1, Channel(8, True)), fd=theirs.fileno())
    line.write(down(2))
    line.write(Downlink(1, Channel(8, True)), fd=theirs.fileno())
    theirs.close()
    ours.close()
    arrivals = world.read()
    assert [arrival.seq for arrival in arrivals] == [1, 2, 1]
    for arrival in arrivals:
        if arrival.sock is not None:
            arrival.sock.close()


def test_the_descriptor_of_a_frame_that_never_came_whole_is_closed(world: World) -> None:
    line = world.open()
    fd = os.open(os.devnull, os.O_RDONLY)
    line.write_bytes(b"\x00\x00\x00\x40half", fd=fd)
    os.close(fd)
    line.sock.close()
    assert world.read() == []
    assert world.connection.state == "lost"


def test_sixty_four_deliveries_are_acknowledged_without_a_request(world: World) -> None:
    line = world.open()
    line.write(*(down(seq) for seq in range(1, 65)))
    world.read()
    assert line.read() == [Got(64)]


def test_fewer_are_acknowledged_when_the_client_goes_idle_and_once_only(world: World) -> None:
    line = world.open()
    line.write(down(1), down(2))
    world.read()
    world.connection.acknowledge()
    world.connection.acknowledge()
    world.connection.submit(Whereis("a"))
    assert [line.read(), line.read()] == [[Got(2)], [Numbered(1, Whereis("a"))]]


def test_a_request_takes_the_acknowledgement_of_sixteen_deliveries_with_it(world: World) -> None:
    line = world.open()
    line.write(*(down(seq) for seq in range(1, 16)))
    world.read()
    world.connection.submit(Whereis("a"))
    line.write(down(16))
    world.read()
    world.connection.submit(Whereis("b"))
    assert [line.read() for _ in range(3)] == [[Numbered(1, Whereis("a"))], [Got(16)], [Numbered(2, Whereis("b"))]]


def test_large_deliveries_are_acknowledged_sooner(world: World) -> None:
    line = world.open()
    for seq in range(1, 5):  # the node keeps no more than 32 KiB for who waits for nothing
        line.write(Downlink(seq, Answer(1, "x" * (10 << 10))))
        world.read()
    assert line.read() == [Got(4)]
    line.write(Downlink(5, Answer(1, "x" * (100 << 10))))
    world.read()
    assert line.read() == [Got(5)]


# ---- the death of the node ------------------------------------------------------------------------------------------


def test_after_a_node_kill_it_returns_as_the_same_client_and_repeats_what_is_unanswered(world: World) -> None:
    line = world.open()
    world.connection.submit(Whereis("answered"))
    world.connection.submit(Whereis("lost"))
    line.write(Downlink(1, Answer(1, 5)))
    line.sock.close()
    assert world.read(now=10.0) == [Arrival(1, Answer(1, 5))]
    assert (world.connection.state, world.connection.lost_at) == ("lost", 10.0)
    world.connection.submit(Whereis("meanwhile"))

    successor = world.dial()
    assert successor.read_hello() == Hello(PROTOCOL_VERSION, SERIAL, SECRET, acknowledged=1)
    successor.write_frame(WELCOME)
    world.read()
    assert [successor.read(), successor.read()] == [[Numbered(2, Whereis("lost"))], [Numbered(3, Whereis("meanwhile"))]]


def test_the_successor_repeats_deliveries_and_the_client_takes_each_once(world: World) -> None:
    line = world.open()
    line.write(down(1), down(2))
    line.sock.close()
    first = world.read()
    successor = world.open()
    successor.write(down(2), down(3))
    assert first + world.read() == arrived(1, 2, 3)


def test_a_second_kill_before_the_welcome_is_survived_too(world: World) -> None:
    world.open().sock.close()
    world.read(now=1.0)
    world.dial().sock.close()
    world.read(now=2.0)
    assert (world.connection.state, world.connection.lost_at) == ("lost", 1.0)
    world.open()
    assert world.connection.state == "open"


def test_a_node_that_does_not_know_the_client_ends_it(world: World) -> None:
    world.open().sock.close()
    world.read()
    line = world.dial()
    line.write_frame(Welcome(PROTOCOL_VERSION, INSTANCE, SERIAL + 1, SECRET))
    world.read()
    assert world.connection.state == "closed"
    assert isinstance(world.connection.farewell, RequestError)
    assert world.connection.farewell.code == "expired"


def test_it_is_hopeless_when_the_time_to_return_is_over_and_not_before(world: World) -> None:
    world.open().sock.close()
    world.read(now=1.0)
    assert world.connection.is_hopeless(1.0 + RETURN_WITHIN_S - 0.001) is False
    assert world.connection.is_hopeless(1.0 + RETURN_WITHIN_S) is True


def test_it_is_hopeless_when_every_hello_is_hung_up_on(world: World) -> None:
    for _ in range(MAX_DIALS):
        world.dial().sock.close()
        world.read()
    assert world.connection.is_hopeless(0.0) is False
    world.dial().sock.close()
    world.read()
    assert world.connection.is_hopeless(0.0) is True


# ---- bounds and junk ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, MAX_FRAME_BYTES + 1, 2**31, 2**32 - 1])
def test_a_length_outside_the_bounds_ends_the_connection(world: World, size: int) -> None:
    world.open().write_bytes(struct.pack(">I", size))
    world.read()
    assert str(world.connection.farewell) == f"protocol_error: a frame of {size} bytes"


@pytest.mark.parametrize("data", [b"\xc1", b"\x93\x01\x02", b"\x91\x92\x01\x91\xa4nope", b"\x91" * 2000, b"HTTP/1.1 200"])
def test_junk_ends_the_connection(world: World, data: bytes) -> None:
    world.open().write_bytes(struct.pack(">I", len(data)) + data)
    world.read()
    assert world.connection.state == "closed"
    assert world.connection.farewell is not None
    assert world.connection.farewell.code == "protocol_error"


def test_a_channel_without_a_descriptor_is_junk(world: World) -> None:
    world.open().write(Downlink(1, Channel(8, True)))
    world.read()
    assert str(world.connection.farewell) == "protocol_error: a channel without its descriptor"


def test_a_request_beyond_a_frame_is_refused_and_leaves_no_trace(world: World) -> None:
    line = world.open()
    with pytest.raises(RequestError) as caught:
        world.connection.submit(Ask(1, msgspec.Raw(frames.encoder.encode(b"x" * MAX_REQUEST_BYTES))))
    assert caught.value.code == "value_too_long"
    world.connection.submit(Whereis("a"))
    assert line.read() == [Numbered(2, Whereis("a"))]


def test_what_the_socket_does_not_take_waits_and_is_sent_later(world: World) -> None:
    line = world.open()
    body = msgspec.Raw(frames.encoder.encode(b"x" * (MAX_REQUEST_BYTES // 2)))
    numbers = [world.connection.submit(Ask(1, body)) for _ in range(64)]
    assert world.connection.wants_write() is True
    data = b""
    while world.connection.wants_write():
        data += line.sock.recv(1 << 20)
        world.connection.flush()
    world.connection.close()
    data += b"".join(iter(lambda: line.sock.recv(1 << 20), b""))
    frame_bytes = len(data) // len(numbers)
    whole = [data[at + 4 : at + frame_bytes] for at in range(0, len(data), frame_bytes)]
    assert [frames.decode_up(frame) for frame in whole] == [[Numbered(number, Ask(1, body))] for number in numbers]
