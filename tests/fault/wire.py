"""A raw connection to the daemon: bytes out, frames in, every wait with a deadline."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from actorcore.frames import PROTOCOL_VERSION, Farewell, Hello, Numbered, Welcome, encoder
from actorcore.signals import Request, Whereis
from supervisors import paths
from tests.daemon_fixture import WAIT_S, Desk

ANSWERS = msgspec.msgpack.Decoder(Welcome | Farewell)
REFUSED = Farewell("protocol_error", "not a frame of this protocol")


def framed(body: bytes) -> bytes:
    return len(body).to_bytes(4, "big") + body


def hello(version: int = PROTOCOL_VERSION, **fields: object) -> bytes:
    return framed(encoder.encode(Hello(version, **fields)))  # type: ignore[arg-type]


def request(number: int, body: Request) -> bytes:
    return framed(encoder.encode([Numbered(number, body)]))


def whereis(number: int, name: str) -> bytes:
    return request(number, Whereis(name))


@contextmanager
def dialled(desk: Desk) -> Iterator[socket.socket]:
    """A connection that has said nothing yet."""
    with dial(desk) as sock:
        yield sock


def dial(desk: Desk) -> socket.socket:
    """As :func:`dialled`; the caller closes it."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.settimeout(WAIT_S)
    with paths.socket_address(desk.daemon.directory) as address:
        sock.connect(address)
    return sock


def send(sock: socket.socket, data: bytes) -> None:
    """As much as the daemon takes before it hangs up."""
    try:
        sock.sendall(data)
    except (BrokenPipeError, ConnectionResetError):
        pass


def until_eof(sock: socket.socket) -> bytes:
    data = b""
    try:
        while some := sock.recv(1 << 16):
            data += some
    except ConnectionResetError:  # it closed with bytes of ours unread
        pass
    return data


def exact(sock: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        data += (some := sock.recv(count - len(data)))
        assert some, "hung up"
    return data


def frame_of(sock: socket.socket) -> bytes:
    return exact(sock, int.from_bytes(exact(sock, 4), "big"))


def farewell_of(sock: socket.socket) -> object:
    """The only frame until the end of the stream."""
    data = until_eof(sock)
    assert int.from_bytes(data[:4], "big") == len(data) - 4
    return ANSWERS.decode(data[4:])


def greeted(sock: socket.socket) -> Welcome:
    sock.sendall(hello())
    answer = ANSWERS.decode(frame_of(sock))
    assert isinstance(answer, Welcome)
    return answer
