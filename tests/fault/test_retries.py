"""RELIABILITY B5 and B7 on the wire: half a request does nothing; a request said again under its number is done once."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

from actorcore.frames import PROTOCOL_VERSION, Farewell, Hello, Numbered, Welcome, decode_down, encoder
from actorcore.signals import Answer, ProcessSpec, Spawn
from tests.daemon_fixture import Desk
from tests.fault.wire import ANSWERS, dialled, frame_of, framed, send

IDLE = "tests.fault.actors:idle"


def spawn(number: int) -> bytes:
    return framed(encoder.encode([Numbered(number, Spawn(ProcessSpec(IDLE)))]))


@contextmanager
def welcomed(desk: Desk, hello: Hello) -> Iterator[tuple[socket.socket, Welcome]]:
    """A connection and what it was welcomed with; another one, when we stood still before the hello had left."""
    late = Farewell("timeout", "no hello")
    while True:
        with dialled(desk) as sock:
            send(sock, framed(encoder.encode(hello)))
            answer = ANSWERS.decode(frame_of(sock))
            if answer == late:
                continue
            assert isinstance(answer, Welcome)
            yield sock, answer
            return


def answer(sock, number: int) -> Answer:
    """The answer to request ``number``."""
    while True:
        for link in decode_down(frame_of(sock)):
            if isinstance(link.body, Answer) and link.body.number == number:
                return link.body


def idlers(desk: Desk) -> list[object]:
    return [row["serial"] for row in desk.client.processes() if row["start"] == IDLE]


def test_B5_a_client_that_dies_within_a_frame_has_asked_for_nothing(desk: Desk) -> None:
    whole = spawn(1)
    for cut in range(1, len(whole)):
        with welcomed(desk, Hello(PROTOCOL_VERSION)) as (sock, _):
            sock.sendall(whole[:cut])
    desk.client.node("status")
    assert idlers(desk) == []


def test_B7_a_request_said_again_by_a_client_that_came_back_has_the_same_answer_and_is_done_once(desk: Desk) -> None:
    with welcomed(desk, Hello(PROTOCOL_VERSION)) as (sock, welcome):
        sock.sendall(spawn(1))
        first = answer(sock, 1)
    with welcomed(desk, Hello(PROTOCOL_VERSION, welcome.serial, welcome.secret)) as (sock, _):
        sock.sendall(spawn(1) + spawn(2))
        again, second = answer(sock, 1), answer(sock, 2)
    assert (again, first.error, second.error) == (first, None, None)
    assert set(idlers(desk)) == {first.value, second.value}  # a warm blank is taken before an older one on its way
    for serial in idlers(desk):
        assert isinstance(serial, int)
        desk.client.exit(type(desk.client.pid)(desk.client.pid.instance, serial), "kill")
