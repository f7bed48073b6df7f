"""Actors of the fault tests."""

from __future__ import annotations

import fcntl
import os
import resource
import signal
from _thread import allocate_lock
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from actorcore.errors import CallFailed, CallTimeout, RequestError
from actorcore.gen_server import Continue, GenServer, Ok, Reply, Stop
from actorcore.mailbox import ExitMessage, From
from actorcore.runtime import syscalls
from actorcore.runtime.actor.process import Process
from actorcore.runtime.clock import monotonic_ns
from actorcore.signals import Processes


class Witness(GenServer):
    """Counts; tells the process named ``watcher`` whenever it is ready; does on request what harms it.

    While the file ``flaw`` exists its init crashes. Requests are ``[verb, argument]``.
    """

    def init(self, watcher: str | None = None, flaw: str | None = None) -> Ok:  # type: ignore[override]
        self.began_ns = monotonic_ns()
        self.count = 0
        self.hangs = False
        self.exits: list[object] = []
        self.watcher = watcher
        if flaw is not None and os.path.exists(flaw):
            raise ValueError("flawed")
        return Ok(then=Continue())

    def handle_continue(self, term: object) -> None:
        if self.watcher is not None:
            with suppress(CallFailed):  # it may not have come yet, or have left
                self.process.send(self.watcher, {"up": self.process.begin.spec.name, "os_pid": os.getpid()})

    def handle_call(self, request: object, frm: From) -> Reply | Stop:
        verb, argument = request  # type: ignore[misc]
        return getattr(self, f"do_{verb}")(argument)

    def handle_cast(self, request: object) -> Stop | None:
        verb, argument = request  # type: ignore[misc]
        if verb == "exit":
            os._exit(argument)
        if verb == "stop":
            return Stop(argument)
        if verb == "raise":
            raise RuntimeError(argument)
        if verb in STANDSTILLS:  # after telling so through a FIFO
            Path(argument).write_bytes(b"1")
            stand_still(verb)
        if verb == "bomb":
            path, number = argument
            explode(os.open(path, os.O_WRONLY), number)
        if verb == "hang_in_terminate":
            self.hangs = True
            return Stop()
        return None

    def terminate(self, reason: object) -> None:
        if self.hangs:
            stand_still("sleep")

    def handle_info(self, info: object) -> None:
        if isinstance(info, ExitMessage):
            self.exits.append([info.frm.serial, info.reason])

    def do_add(self, number: int) -> Reply:
        self.count += number
        return Reply(self.count)

    def do_began(self, _: None) -> Reply:
        """When its init began, by the clock that all have."""
        return Reply(self.began_ns)

    def do_state(self, _: None) -> Reply:
        return Reply([os.getpid(), self.count])

    def do_read(self, fifo: str) -> Reply:
        """Once somebody writes and closes it."""
        return Reply(Path(fifo).read_text())

    def do_exits(self, _: None) -> Reply:
        return Reply(self.exits)

    def do_link(self, name: str) -> Reply:
        self.process.link(self.process.whereis(name))
        return Reply(True)

    def do_lookup(self, name: str) -> Reply:
        """Through the shared registry, without the node."""
        found = self.process.whereis(name)
        return Reply(None if found is None else found.serial)

    def do_lookup_value(self, name: str) -> Reply:
        found = self.process.lookup(name)
        return Reply(None if found is None else [found[0].serial, found[1]])

    def do_register(self, arguments: list[object]) -> Reply:
        """``[name, value]``; the code of the refusal, if any."""
        name, value = arguments
        try:
            self.process.register(str(name), value=value)  # type: ignore[arg-type]
        except RequestError as error:
            return Reply(error.code)
        return Reply(True)

    def do_ignore_term(self, _: None) -> Reply:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        return Reply(True)

    def do_offspring(self, number: int) -> Reply:
        return Reply([daemonised() for _ in range(number)])

    def do_disguised(self, name: str) -> Reply:
        """The pid of a process as of :func:`daemonised` that calls itself ``name``."""
        return Reply(daemonised(name))

    def do_start_program(self, _: None) -> Reply:
        """A child of our own, for which our own code waits."""
        self.program = os.posix_spawn("/bin/sleep", ["sleep", "1000"], {})
        return Reply(self.program)

    def do_start_negligent(self, _: None) -> Reply:
        """A child of our own that never waits for one of its own, which is dead at once."""
        script = "true & exec sleep 1000"
        return Reply(os.posix_spawn("/bin/sh", ["sh", "-c", script], {"PATH": os.defpath}))

    def do_wait_for_program(self, _: None) -> Reply:
        return Reply(os.waitstatus_to_exitcode(os.waitpid(self.program, 0)[1]))

    def do_core_limit(self, _: None) -> Reply:
        return Reply(list(resource.getrlimit(resource.RLIMIT_CORE)))

    def do_broken_pipe(self, _: None) -> Reply:
        reader, writer = os.pipe()
        os.close(reader)
        os.write(writer, b"x")
        return Reply(True)

    def do_meet(self, others: list[str]) -> Reply:
        """Call the first of ``others``, which calls the next, …; ``late`` when there is no answer in LATE_S."""
        first, *rest = others
        try:
            return Reply(self.process.call(first, ["meet", rest] if rest else ["state", None], LATE_S * len(others)))
        except CallTimeout:
            return Reply("late")

    def do_wait(self, path: str) -> Reply:
        """Busy until somebody opens the FIFO and closes it."""
        Path(path).read_bytes()
        self.count += 1
        return Reply(self.count)


LATE_S = 0.1
STANDSTILLS = ("loop", "gil", "sleep", "deadlock")


def stand_still(how: str) -> NoReturn:
    """For ever: in Python, in C without letting go of the GIL, asleep, or before a lock that is one's own."""
    if how == "gil":
        sum(range(10**13))
    if how == "deadlock":
        lock = allocate_lock()
        while True:
            lock.acquire()
    while how == "sleep":
        signal.pause()
    while True:
        pass


def explode(told: int, number: int) -> None:
    """Become ``number`` processes, of which each forks as long as there is a token, ignores TERM, and writes a byte."""
    tokens, fuel = os.pipe()
    os.set_blocking(tokens, False)
    os.write(fuel, bytes(number))
    while True:
        try:
            os.read(tokens, 1)
        except BlockingIOError:
            signal.pause()
            continue
        if os.fork() == 0:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            if os.getpid() % 2:
                os.setsid()
            os.write(told, b"1")


class HangsInInit(GenServer):
    def init(self, how: str) -> None:  # type: ignore[override]
        stand_still(how)


def stuck(process: Process) -> None:
    """Takes no message, ever."""
    stand_still("loop")


class LastWords(GenServer):
    """Traps exits; on its end opens FIFO ``told`` and closes it, waits for FIFO ``release``, then writes ``words``."""

    def init(self, told: str, release: str, words: str) -> None:  # type: ignore[override]
        self.told, self.release, self.words = told, release, words

    def terminate(self, reason: object) -> None:
        Path(self.told).write_bytes(b"1")
        Path(self.release).read_bytes()
        Path(self.words).write_text(str(reason))


def idle(process: Process, *ballast: object) -> None:
    """Live until killed, whatever it was given."""
    while True:
        process.receive()


def ends_at_the_gate(process: Process, gate: str) -> None:
    """Be told by whom to be heard, wait until nobody has the file ``gate`` for itself, say three words, and end."""
    message = process.receive()
    with open(gate) as file:
        fcntl.flock(file, fcntl.LOCK_SH)
    for word in range(3):
        process.send(message.body, word)  # type: ignore[arg-type, union-attr]


def daemonised(name: str = "offspring") -> int:
    """The pid of a process with a session of its own, that ignores TERM, and whose parent is gone; its name (prctl(2))."""
    reader, writer = os.pipe()
    middle = os.fork()
    if middle == 0:
        os.setsid()
        if os.fork():
            os._exit(0)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        syscalls.set_process_name(name)
        os.write(writer, str(os.getpid()).encode())
        os.close(writer)
        while True:
            signal.pause()
    os.close(writer)
    os.waitpid(middle, 0)
    os_pid = int(os.read(reader, 32))
    os.close(reader)
    return os_pid


class KillsItsStarter(GenServer):
    """Its init tells so through a FIFO, which it holds, kills who has started it, and never ends."""

    def init(self, fifo: str) -> None:  # type: ignore[override]
        held = os.open(fifo, os.O_WRONLY)
        os.write(held, b"1")
        (row,) = self.process.request(Processes(self.process.begin.parent - 1, 1))  # type: ignore[misc]
        os.kill(row["os_pid"], signal.SIGKILL)
        stand_still("sleep")
