"""Actors that misbehave on request (RELIABILITY table G). Each verb is a method; ``argument`` is its only one."""

from __future__ import annotations

import array
import atexit
import ctypes
import faulthandler
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from actorcore import frames
from actorcore.frames import Numbered
from actorcore.gen_server import GenServer, Reply
from actorcore.mailbox import From
from actorcore.runtime.actor import process
from actorcore.signals import Booted, Born, Register
from tests.fault.actors import Witness

CONTROL_FD = 3


class Unspeakable(Exception):
    """Its texts do what the first argument says."""

    def __str__(self) -> str:
        how = self.args[0]
        if how == "raises":
            raise KeyError(how)
        if how == "recurses":
            return str(self)
        if how == "exits":
            sys.exit(7)
        if how == "is no text":
            return 5  # type: ignore[return-value]
        return "x" * (256 << 20)  # "is huge"

    __repr__ = __str__

    def __reduce__(self) -> str:
        return str(self)


def strange_reason(how: str) -> object:
    """What is no exit reason."""
    cyclic: list[object] = []
    cyclic.append(cyclic)
    return {"huge": "x" * (16 << 20), "cyclic": cyclic, "an object": object(), "a number": 7, "none": None}[how]


class Rude(Witness):
    """A Witness with worse manners: ``[verb, argument]`` as a cast."""

    def handle_cast(self, request: object) -> None:  # type: ignore[override]
        verb, argument = request  # type: ignore[misc]
        getattr(self, f"on_{verb}")(argument)

    # ---- ends -------------------------------------------------------------------------------------------------------

    def on_sys_exit(self, code: object) -> None:
        sys.exit(code)  # type: ignore[arg-type]

    def on_os_exit(self, code: int) -> None:
        os._exit(code)

    def on_raise(self, how: str) -> None:
        raise Unspeakable(how)

    def on_exit_with(self, how: str) -> None:
        self.process.exit_self(strange_reason(how))  # type: ignore[arg-type]

    def on_abort(self, _: None) -> None:
        os.abort()

    def on_segfault(self, _: None) -> None:
        faulthandler._sigsegv()  # type: ignore[attr-defined]

    def on_kill_group(self, _: None) -> None:
        os.kill(0, signal.SIGKILL)

    def on_kill_everybody(self, _: None) -> None:
        os.kill(-1, signal.SIGKILL)

    def on_leave_a_thread(self, started: str) -> None:
        """End while a thread that is no daemon thread waits for ever."""
        threading.Thread(target=threading.Event().wait).start()
        sys.exit()

    def on_hang_at_exit(self, _: None) -> None:
        atexit.register(threading.Event().wait)
        sys.exit()

    def on_break_the_tools(self, _: None) -> None:
        """Nothing that ends a Python process works any more."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        signal.signal = lambda *_: None  # type: ignore[assignment]
        os._exit = lambda code: None  # type: ignore[assignment,return-value]
        sys.modules["os"] = sys.modules["signal"] = None  # type: ignore[assignment]

    def on_exec(self, argv: list[str]) -> None:
        os.execv(argv[0], argv)

    def on_hoard(self, how: list[str]) -> None:
        """Take more and more of what the first word says, until there is no more of it."""
        what, path = how
        file = os.open(path, os.O_WRONLY | os.O_CREAT)
        take: dict[str, Callable[[], object]] = {
            "memory": lambda: bytearray(1 << 20),
            "descriptors": lambda: os.open(os.devnull, os.O_RDONLY),
            "threads": lambda: threading.Thread(target=threading.Event().wait).start(),
            "disk": lambda: os.write(file, bytes(1 << 16)),
        }
        hoard = []
        while True:
            hoard.append(take[what]())

    # ---- the control socket -----------------------------------------------------------------------------------------

    def on_close_all(self, _: None) -> None:
        os.closerange(3, 10)

    def on_overlay_all(self, _: None) -> None:
        null = os.open(os.devnull, os.O_RDWR)
        for fd in range(3, 10):
            os.dup2(null, fd)
        os.close(null)

    def on_junk(self, junk: bytes) -> None:
        self._control().send(junk)

    def on_junk_with_descriptors(self, junk: bytes) -> None:
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0, 1, 2]))]
        self._control().sendmsg([junk], rights)

    def on_born_again(self, serial: int) -> None:
        """Well-formed words that are not for a running process to say, about itself and about ``serial``."""
        own = self.process.begin.serial
        words = [Born(own, os.getpid()), Born(serial, 1), Booted(own), Booted(serial)]
        self._control().send(frames.encoder.encode(words))

    def _control(self) -> socket.socket:
        return socket.socket(fileno=os.dup(CONTROL_FD))

    # ---- halves and threads -----------------------------------------------------------------------------------------

    def do_fork(self, report: str) -> Reply:
        """The pid of a half that has tried all it can, told through FIFO ``report``, and stays."""
        half = os.fork()
        if half == 0:
            tried = [_attempt(lambda: self.process.register("stolen")), _attempt(lambda: self.process.send("ada", "hello"))]
            tried += [_attempt(lambda: os.write(CONTROL_FD, b"junk")), _attempt(process.current)]
            Path(report).write_text("\n".join(tried))
            signal.pause()
        return Reply(half)

    def do_fork_below(self, _: None) -> Reply:
        """The pid of a half that Python does not know of; it has registered the name ``half`` over the shared socket."""
        half = ctypes.CDLL(None).fork()
        if half == 0:
            self._control().send(frames.encoder.encode([Numbered(1 << 20, Register("half"))]))
            while True:
                signal.pause()
        return Reply(half)

    def do_thread(self, _: None) -> Reply:
        """What a thread is told that uses the process."""
        told: list[str] = []
        attempts = [lambda: self.process.register("stolen"), lambda: self.process.send("ada", "hello"), self.process.receive]
        thread = threading.Thread(target=lambda: told.extend(map(_attempt, attempts)))
        thread.start()
        thread.join()
        return Reply(told)

    # ---- litter -----------------------------------------------------------------------------------------------------

    def do_litter(self, folder: str) -> Reply:
        """A descriptor, a file and a segment of shared memory that nobody will ever remove."""
        os.open(os.devnull, os.O_RDONLY)
        name = f"litter-{os.getpid()}"
        Path(folder, name).write_bytes(b"x")
        Path("/dev/shm", name).write_bytes(b"x")
        return Reply(name)


class Shameless(GenServer):
    """Kills everybody as soon as it is asked."""

    def handle_call(self, request: object, frm: From) -> Reply:
        os.kill(-1, signal.SIGKILL)
        return Reply(None)


def _attempt(what: object) -> str:
    try:
        return repr(what())  # type: ignore[operator]
    except Exception as error:
        return f"{type(error).__name__}: {error}"
