"""An actor that tries what it may not, and tells what came of it."""

from __future__ import annotations

import os
import socket
import sys
from typing import Any

import msgspec

from actorcore.errors import RequestError
from actorcore.frames import PROTOCOL_VERSION, Farewell, Hello, Welcome, encoder
from actorcore.gen_server import GenServer, Reply
from actorcore.mailbox import From
from actorcore.words import Word
from supervisors.session.requests import SessionRequest
from supervisors.session.server import SessionServer

_answers = msgspec.msgpack.Decoder(Welcome | Farewell)


class Confined(GenServer):
    """A refusal is told as its code and detail."""

    def handle_call(self, request: object, frm: From) -> Reply:
        verb, argument = request  # type: ignore[misc]
        try:
            return Reply(getattr(self, f"do_{verb}")(argument))
        except RequestError as error:
            return Reply([error.code, error.detail])

    def do_ask(self, asked: list[Any]) -> object:
        return self.process.call(asked[0], asked[1])

    def do_spawn(self, fields: dict[str, Any]) -> bool:
        return self.process.spawn(**fields) is not None

    def do_path(self, _: None) -> list[str]:
        return sys.path

    def do_connect(self, socket_path: str) -> list[str]:
        """As a client: what is said to itself, to its child, and to one that has a session of its own and no parent."""
        return [said_at(socket_path), said_to_a_child(socket_path, False), said_to_a_child(socket_path, True)]


class Try(Word, frozen=True, tag="try"):
    """Try ``verb`` of a Confined with ``argument``."""

    verb: str
    argument: Any


class ConfinedSession(SessionServer):
    """A session that tries the same."""

    calls = SessionRequest | Try

    def handle_own(self, request: object, frm: From) -> Reply:
        assert isinstance(request, Try)
        confined = Confined()
        confined.process = self.process
        return confined.handle_call([request.verb, request.argument], frm)


def said_at(socket_path: str) -> str:
    """The code of the farewell, or ``welcome``."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(socket_path)
        body = encoder.encode(Hello(PROTOCOL_VERSION))
        sock.sendall(len(body).to_bytes(4, "big") + body)
        said = _answers.decode(sock.recv(1 << 16)[4:])
    return "welcome" if isinstance(said, Welcome) else said.code


def said_to_a_child(socket_path: str, is_orphan: bool) -> str:
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            if is_orphan:
                os.setsid()
                middle = os.getpid()
                if os.fork():
                    os._exit(0)
                while os.getppid() == middle:
                    os.sched_yield()
            os.write(writer, said_at(socket_path).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as told:
        said = told.read()
    os.waitpid(child, 0)
    return said
