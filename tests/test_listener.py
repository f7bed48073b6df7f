"""The listener alone, with a reception that the test plays: deadlines in virtual time, debts, refusals."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from actorcore.errors import ProtocolError
from actorcore.frames import PROTOCOL_VERSION, Downlink, Farewell, Hello, Numbered, Uplink, Welcome, encoder
from actorcore.runtime import clock
from actorcore.runtime.node import listener as listener_module
from actorcore.runtime.node.listener import FRAME_S, HANDSHAKE_S, Listener
from actorcore.runtime.node.reception import Reception
from actorcore.runtime.node.sources import Sources
from actorcore.signals import Answer, Whereis
from supervisors import paths

SERIAL = 7
HELLO = encoder.encode(Hello(PROTOCOL_VERSION))
WHEREIS = encoder.encode([Numbered(1, Whereis("ada"))])


def framed(body: bytes) -> bytes:
    return len(body).to_bytes(4, "big") + body


class Played(Reception):
    """Admits whoever says hello as SERIAL, and remembers what is heard and missed."""

    def __init__(self) -> None:
        self.heard: list[Uplink] = []
        self.missed: list[tuple[int, bool]] = []

    def greet(self, hello: Hello, os_pid: int, admit: Callable[[Welcome], None]) -> Farewell | None:
        admit(Welcome(PROTOCOL_VERSION, 1, SERIAL, b""))
        return None

    def hear(self, serial: int, message: Uplink) -> None:
        self.heard.append(message)

    def forget(self, serial: int) -> None:
        """Nobody is waited for."""

    def miss(self, serial: int, is_over: bool) -> None:
        self.missed.append((serial, is_over))


def connect(client: socket.socket, directory: Path) -> None:
    with paths.socket_address(directory) as address:
        client.connect(address)


class World:
    """A listener on a real socket, and one client of it."""

    def __init__(self, directory: Path) -> None:
        self.reception = Played()
        self.sources = Sources()
        listening = socket.socket(socket.AF_UNIX)
        with paths.socket_address(directory) as address:
            listening.bind(address)
        listening.listen()
        listening.setblocking(False)
        self.begun_s = clock.monotonic_s()
        self.listener = Listener(listening, self.sources, self.reception, registry_fd=-1)
        self.client = socket.socket(socket.AF_UNIX)
        connect(self.client, directory)
        self.client.setblocking(False)
        self.listener.accept()

    def say(self, data: bytes) -> None:
        self.client.sendall(data)
        self.turn()

    def turn(self) -> None:
        self.sources.dispatch(0.0)
        self.listener.flush()

    def read(self) -> bytes:
        data = b""
        try:
            while some := self.client.recv(1 << 20):
                data += some
        except BlockingIOError:
            pass
        return data

    def is_open(self) -> bool:
        return bool(self.listener.by_fd)

    def close(self) -> None:
        for connection in list(self.listener.by_fd.values()):
            self.listener._forget(connection)
        os.close(self.listener._reserve)
        self.listener.sock.close()
        self.sources._epoll.close()
        self.client.close()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.close()


def test_C23_a_hello_must_come_whole_within_its_deadline_however_often_a_byte_comes(world: World) -> None:
    for at in range(len(HELLO)):
        world.say(framed(HELLO)[at : at + 1])
    world.listener.expire(world.begun_s + HANDSHAKE_S - 0.1)
    assert world.is_open()
    world.listener.expire(clock.monotonic_s() + HANDSHAKE_S)
    assert not world.is_open()
    assert msgspec.msgpack.decode(world.read()[4:], type=Farewell) == Farewell("timeout", "no hello")
    assert world.reception.missed == []


def test_E3_half_a_frame_must_become_a_whole_one_in_time_and_its_client_may_return(world: World) -> None:
    world.say(framed(HELLO))
    assert world.listener.next_deadline() is None
    half = clock.monotonic_s()
    world.say(framed(WHEREIS)[:9])
    world.say(framed(WHEREIS)[9:12])
    assert half + FRAME_S <= world.listener.next_deadline() < clock.monotonic_s() + FRAME_S  # type: ignore[operator]
    world.listener.expire(half + FRAME_S - 0.1)
    assert (world.is_open(), world.reception.heard) == (True, [])
    world.listener.expire(clock.monotonic_s() + FRAME_S)
    assert (world.is_open(), world.reception.missed, world.reception.heard) == (False, [(SERIAL, False)], [])


def test_E3_a_frame_that_comes_in_two_halves_is_one_and_owes_nothing_more(world: World) -> None:
    world.say(framed(HELLO))
    world.say(framed(WHEREIS)[:9])
    world.say(framed(WHEREIS)[9:])
    assert (world.reception.heard, world.listener.next_deadline()) == ([Numbered(1, Whereis("ada"))], None)


def test_what_came_while_the_node_stood_still_is_in_time(world: World) -> None:
    """Be it the hello or the rest of a frame: what waits in the socket is read before its sender is told that it is late."""
    world.client.sendall(framed(HELLO))
    world.listener.expire(clock.monotonic_s() + HANDSHAKE_S)
    world.say(framed(WHEREIS)[:9])
    assert (world.is_open(), world.reception.heard) == (True, [])
    world.client.sendall(framed(WHEREIS)[9:] + framed(WHEREIS)[:9])
    world.listener.expire(clock.monotonic_s() + FRAME_S)
    assert (world.is_open(), world.reception.heard) == (True, [Numbered(1, Whereis("ada"))])
    assert msgspec.msgpack.decode(world.read()[4:], type=Welcome).serial == SERIAL


def test_a_next_half_has_a_deadline_of_its_own(world: World) -> None:
    world.say(framed(HELLO))
    world.say(framed(WHEREIS)[:9])
    first = world.listener.next_deadline()
    world.say(framed(WHEREIS)[9:] + framed(WHEREIS)[:9])
    assert world.listener.next_deadline() > first  # type: ignore[operator]


def test_a_farewell_follows_what_was_to_be_said_and_its_client_may_not_return(world: World) -> None:
    world.say(framed(HELLO))
    world.read()
    world.listener.deliver(SERIAL, Downlink(1, Answer(1, True)))
    world.say(framed(b"\xc1"))
    answer, farewell = framed(encoder.encode([Downlink(1, Answer(1, True))])), world.read()
    assert farewell.startswith(answer)
    assert msgspec.msgpack.decode(farewell[len(answer) + 4 :], type=Farewell).code == "protocol_error"
    assert world.reception.missed == [(SERIAL, True)]


def test_the_connection_of_a_client_that_has_ended_ends_and_nobody_is_missed(world: World) -> None:
    world.say(framed(HELLO))
    world.read()
    world.listener.end(SERIAL)
    assert msgspec.msgpack.decode(world.read()[4:], type=Farewell) == Farewell("expired", "this client has ended")
    assert (world.is_open(), world.reception.missed) == (False, [])


def test_the_last_words_of_a_client_that_has_hung_up_are_heard_though_it_takes_no_answer(world: World) -> None:
    world.say(framed(HELLO))
    world.read()
    world.client.sendall(framed(WHEREIS))
    world.sources.dispatch(0.0)
    world.client.sendall(framed(encoder.encode([Numbered(2, Whereis("eve"))])))
    world.client.close()
    world.listener.deliver(SERIAL, Downlink(1, Answer(1, None)))
    world.listener.flush()
    reader, writer = os.pipe()
    assert not world.listener.deliver(SERIAL, Downlink(2, Answer(2, None)), writer)
    assert os.read(reader, 1) == b""
    os.close(reader)
    assert world.reception.missed == []
    world.turn()
    assert world.reception.heard == [Numbered(1, Whereis("ada")), Numbered(2, Whereis("eve"))]
    world.turn()
    assert world.reception.missed == [(SERIAL, False)]


def test_a_client_that_takes_no_answer_any_more_is_heard_until_then_and_cut_off(world: World) -> None:
    world.say(framed(HELLO))
    world.client.shutdown(socket.SHUT_RD)
    world.client.sendall(framed(WHEREIS))
    world.listener.deliver(SERIAL, Downlink(1, Answer(1, None)))
    world.listener.flush()
    world.turn()
    world.turn()
    assert (world.reception.heard, world.reception.missed) == ([Numbered(1, Whereis("ada"))], [(SERIAL, False)])
    assert not world.is_open()


def test_a_client_that_the_machine_cannot_write_to_is_cut_off_at_once_and_may_return(world: World) -> None:
    world.say(framed(HELLO))
    (connection,) = world.listener.by_fd.values()
    connection.sock = Jammed(fileno=connection.sock.detach())
    world.listener.deliver(SERIAL, Downlink(1, Answer(1, None)))
    world.listener.flush()
    assert (world.is_open(), world.reception.missed) == (False, [(SERIAL, False)])


class Jammed(socket.socket):
    """The machine has no memory for what it is to send."""

    def send(self, *_: object) -> int:
        raise OSError(errno.ENOBUFS, os.strerror(errno.ENOBUFS))


def test_S18_connections_beyond_the_cap_are_refused_with_a_word(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener_module, "MAX_CONNECTIONS", 1)
    with socket.socket(socket.AF_UNIX) as another:
        connect(another, tmp_path)
        world.listener.accept()
        said = another.recv(1000)
    assert msgspec.msgpack.decode(said[4:], type=Farewell) == Farewell("resource_exhausted", "too many connections")


@pytest.mark.parametrize("length", [0, listener_module.MAX_REQUEST_BYTES + 1, 2**31, 2**32 - 1])
def test_E1_E2_a_length_that_cannot_be_is_refused_before_anything_is_kept(length: int) -> None:
    with pytest.raises(ProtocolError, match=f"frame of {length} bytes"):
        listener_module._frames(bytearray(length.to_bytes(4, "big")))


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ECONNABORTED])
def test_C8_C9_an_accept_that_fails_harms_nobody_and_the_next_turn_tries_again(
    world: World, tmp_path: Path, number: int, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one failure that no limit of ours brings about here is ENFILE: the whole machine's table is full."""
    now_s = clock.monotonic_s()
    monkeypatch.setattr(clock, "monotonic_s", lambda: now_s)
    world.say(framed(HELLO))
    real, world.listener.sock = world.listener.sock, FailingAccept(world.listener.sock, number)  # type: ignore[assignment]
    with socket.socket(socket.AF_UNIX) as another:
        connect(another, tmp_path)
        for _ in range(100):
            world.listener.accept()
        assert capfd.readouterr().err.count("\n") <= 1
        world.say(framed(WHEREIS))
        assert world.reception.heard == [Numbered(1, Whereis("ada"))]
        world.listener.sock = real
        world.listener.accept()
        assert len(world.listener.by_fd) == 2


class FailingAccept:
    """A listening socket of which every accept fails."""

    def __init__(self, sock: socket.socket, number: int) -> None:
        self.sock = sock
        self.number = number

    def accept(self) -> tuple[socket.socket, object]:
        raise OSError(self.number, os.strerror(self.number))
