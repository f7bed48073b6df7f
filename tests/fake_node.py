"""A node at the wire boundary: a real listening socket, a thread that accepts, and a script that answers."""

from __future__ import annotations

import array
import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from actorcore import frames
from actorcore.frames import PROTOCOL_VERSION, Downlink, Farewell, Got, Hello, Numbered, Uplink, Welcome
from actorcore.signals import Answer, Delivery, SendExit, TrapExit
from supervisors import paths

INSTANCE = 0x7F3A
SERIAL = 42
SECRET = b"s" * 32
WELCOME = Welcome(PROTOCOL_VERSION, INSTANCE, SERIAL, SECRET)
hello_decoder = msgspec.msgpack.Decoder(Hello)


class Line:
    """The node's end of one client connection, blocking."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        sock.settimeout(20)

    def _read_frame(self) -> bytes:
        size = int.from_bytes(self._read(4), "big")
        return self._read(size)

    def _read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            piece = self.sock.recv(size - len(data))
            if not piece:
                raise EOFError
            data += piece
        return data

    def read_hello(self) -> Hello:
        return hello_decoder.decode(self._read_frame())

    def read(self) -> list[Uplink]:
        """The next frame."""
        return frames.decode_up(self._read_frame())

    def write(self, *links: Downlink, fd: int | None = None) -> None:
        self.write_frame(list(links), fd)

    def write_frame(self, value: object, fd: int | None = None) -> None:
        data = frames.encoder.encode(value)
        self.write_bytes(len(data).to_bytes(4, "big") + data, fd)

    def write_bytes(self, data: bytes, fd: int | None = None) -> None:
        rights = [] if fd is None else [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))]
        sent = self.sock.sendmsg([data], rights)
        if sent < len(data):  # an empty send too is EPIPE when the client has read it all and gone
            self.sock.sendall(data[sent:])


class Session:
    """What a script sees of one client: it answers, it delivers, it can die."""

    def __init__(self, node: FakeNode, line: Line) -> None:
        self.node = node
        self.line = line

    def deliver(self, body: Delivery, fd: int | None = None) -> None:
        self.node.seq += 1
        try:
            self.line.write(Downlink(self.node.seq, body), fd=fd)
        except (BrokenPipeError, ConnectionResetError):  # gone; what it said last is still to be read
            pass

    def answer(self, request: Numbered, value: object = True, error: tuple[str, object] | None = None) -> None:
        self.deliver(Answer(request.number, value, error))  # type: ignore[arg-type]

    def die(self) -> None:
        """As a SIGKILL of the node: the connection ends, the listening socket stays."""
        raise ConnectionAbortedError


Script = Callable[[Session, Numbered], None]


class FakeNode:
    """Accepts one client at a time and gives each of its requests to ``script``; TrapExit is answered here."""

    def __init__(self, directory: Path, script: Script) -> None:
        self.directory = paths.prepare_directory(directory)
        self.script = script
        self.seq = 0
        self.hellos: list[Hello] = []
        self.requests: list[Numbered] = []
        self.got: list[int] = []
        self.goodbyes = 0
        self.refusal: Farewell | None = None
        self.error: BaseException | None = None
        self.listener = socket.socket(socket.AF_UNIX)
        with paths.socket_address(self.directory) as address:
            self.listener.bind(address)
        self.listener.listen(16)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End as a killed guardian does: nobody listens any more."""
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(20)
        self.listener.close()
        if self.error is not None:
            raise self.error

    def _run(self) -> None:
        try:
            while True:
                try:
                    sock, _ = self.listener.accept()
                except OSError:  # closed
                    return
                with sock:
                    self._serve(Line(sock))
        except BaseException as error:  # told by close(), in the thread of the test
            self.error = error

    def _serve(self, line: Line) -> None:
        try:
            self.hellos.append(line.read_hello())
            if self.refusal is not None:
                line.write_frame(self.refusal)
                return
            line.write_frame(WELCOME)
            session = Session(self, line)
            while True:
                for said in line.read():
                    self._said(session, said)
        except (EOFError, ConnectionResetError, BrokenPipeError, ConnectionAbortedError):
            return

    def _said(self, session: Session, said: Uplink) -> None:
        match said:
            case Got(seq):
                self.got.append(seq)
            case Numbered(_, TrapExit(on)):
                session.answer(said, not on)
            case Numbered(_, SendExit(to)) if to == SERIAL:
                self.goodbyes += 1
            case Numbered():
                self.requests.append(said)
                self.script(session, said)
            case _:
                raise AssertionError(f"not for clients: {said}")


@contextlib.contextmanager
def running(directory: Path, script: Script) -> Iterator[FakeNode]:
    """A fake node until the end of the block; it reports the errors of its thread."""
    node = FakeNode(directory, script)
    try:
        yield node
    finally:
        node.close()
