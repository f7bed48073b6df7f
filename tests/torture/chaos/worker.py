"""A worker: one client with its mailbox, and what all acts ask and expect in the same way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from actorcore.errors import ActorError, CallFailed, CallTimeout, RequestError, StartFailed
from actorcore.exit_reason import Reason, Term
from actorcore.pids import Pid
from actorcore.words import ProcessSpec
from supervisors.client import Client
from supervisors.clients.messages import DownMessage, ExitMessage, InfoMessage, Mail
from tests.torture.chaos.book import GONE, Book, Broken, check, text

WAIT_S = 60.0
ECHO = "tests.torture.actors:Echo"
COUNT = "tests.torture.actors:Count"
IDLE = "tests.torture.actors:idle"
"""Nobody strikes these."""


class Recorded:
    """A client's face, each of whose methods is a step in the book."""

    def __init__(self, face: object, book: Book, who: str, directory: str) -> None:
        self._face, self._book, self._who, self._directory = face, book, who, directory

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._face, name)
        if name in ("manager", "saved"):
            return Recorded(found, self._book, self._who, self._directory)
        return self._step(name, found) if callable(found) else found

    def _step(self, name: str, method: Callable[..., object]) -> Callable[..., object]:
        def step(*arguments: object, **fields: object) -> object:
            self._book.step(self._who, f"{name} {text(arguments)} {text(fields) if fields else ''}")
            try:
                answer = method(*arguments, **fields)
            except ActorError as error:
                self._book.note(self._who, f"{name}: {error!r}")
                check(self._directory not in str(error) and "Traceback" not in str(error), "told too much", str(error))  # I9
                raise
            self._book.note(self._who, f"{name} = {text(answer)}")
            return answer

        return step


class Worker:
    """``folder`` is its own; ``c`` the client. It traps exits, as all clients do."""

    def __init__(self, directory: Path, folder: Path, name: str, book: Book) -> None:
        self.directory, self.folder, self.name, self.book = directory, folder, name, book
        self._last = 0
        self._mail: list[Mail] = []
        self._failed_links = 0
        self._spared: list[Pid] = []
        self._residents: list[Pid] = []
        folder.mkdir()
        self._connect()

    def _connect(self) -> None:
        self.raw = Client.connect(self.directory, WAIT_S)
        self.c: Any = Recorded(self.raw, self.book, self.name, str(self.directory.parent))

    @contextmanager
    def away(self) -> Iterator[None]:
        """Hang up for a while: a client that waits for nothing does not notice the death of its node, and expires."""
        self.check_mail()
        self.raw.close()
        try:
            yield
        finally:
            self._connect()

    def close(self) -> None:
        """Not before it has a node that can know of it."""
        with suppress(ActorError):
            self.raw.node("status", WAIT_S)
        self.raw.close()

    def fresh(self, kind: str) -> str:
        """A name that nobody else has; no other begins with it."""
        self._last += 1
        return f"{kind}.{self.name}.{self._last}x"

    def pid(self, serial: object) -> Pid:
        assert isinstance(serial, int)
        return Pid(self.raw.pid.instance, serial)

    # ---- processes --------------------------------------------------------------------------------------------------

    def spawn(self, start: str, *args: Term, link: bool = False, **fields: Any) -> Pid | None:
        """None: it was killed before it was ready, as the book knows."""
        return self.spawn_spec(ProcessSpec(start, list(args), init_timeout_s=WAIT_S, **fields), link)

    def start(self, start: str) -> Pid:
        """One that nobody strikes, unless he meant the blank that it was."""
        while (pid := self.spawn(start)) is None:
            pass
        self._spared.append(pid)
        return pid

    def begin_act(self) -> None:
        self._spared.clear()
        self._residents.clear()

    def is_spoiled(self) -> bool:
        """Whether one that was spared was hit all the same: then the act says nothing. What is left of it is taken away."""
        hit = self.book.blanks_of([pid.serial for pid in self._spared])
        for pid in [*self._spared, *self._residents] if hit else []:
            self.c.exit(pid, "kill")
            self.c.wait_down(self.c.monitor(pid), WAIT_S)
        if hit:
            self.c.node("status", WAIT_S)
            self._mail.clear()
            self.raw.close()
            self._connect()
        return hit

    def spawn_spec(self, spec: ProcessSpec, link: bool = False, also: list[str] | None = None) -> Pid | None:
        """``also``: starts of the children without which it cannot start."""
        try:
            pid = self.c.spawn_spec(spec, link)
        except StartFailed as error:
            self.book.check_failed_start([spec.start, *(also or [])], error.reason, "spawn", spec.start)
            if link:
                self._failed_links += 1
            return None
        assert isinstance(pid, Pid)
        return pid

    def resident(self, machine: str, *args: Term, **fields: Any) -> Pid:
        """Nothing that is struck can keep it from starting."""
        pid = self.c.spawn_spec(ProcessSpec(machine, list(args), template="resident", init_timeout_s=WAIT_S, **fields))
        assert isinstance(pid, Pid)
        self._residents.append(pid)
        return pid

    def call(self, pid: Pid, request: object) -> tuple[Term] | None:
        """The answer; None: it has ended, as the book knows."""
        try:
            return (self.c.call(pid, request, WAIT_S),)
        except CallFailed as error:
            self.book.check_end(pid.serial, error.reason, "call")
            return None

    def call_name(self, name: str, request: object) -> tuple[Term] | None:
        """As :meth:`call`, of who has ``name`` now: None only after such a one was hit."""
        try:
            return (self.c.call(name, request, WAIT_S),)
        except CallFailed as error:
            check(self.book.hits(name) != [], "call of", name, "failed:", error.reason)
            known = {GONE, "shutdown", *(str(reason) for serial in self.book.hits(name) for reason in self.book.reasons(serial))}
            check(error.reason in known, "call of", name, "failed:", error.reason)
            return None

    def kill(self, pid: Pid, name: str = "", start: str = "test", link: bool = False) -> None:
        """And wait for it."""
        self.book.hit(pid.serial, name, start)
        ref = self.c.monitor(pid)
        self.c.exit(pid, "kill")
        down = self.c.wait_down(ref, WAIT_S)
        check(down.pid == pid, "DOWN of another", down, pid)
        self.book.check_end(pid.serial, down.reason, "kill")
        if link:
            self.expect_exit(pid, down.reason)

    def settle(self, prefix: str) -> int:
        """Until everybody who was hit under such a name has ended; what the book's mark was then."""
        mark, waited = -1, 0
        while mark != (mark := self.book.mark()):
            for serial in self.book.hits(prefix, waited):
                ref = self.c.monitor(self.pid(serial))
                self.book.check_end(serial, self.c.wait_down(ref, WAIT_S).reason, "settle")
            waited = mark
        return mark

    # ---- mail -------------------------------------------------------------------------------------------------------

    def expect_exit(self, pid: Pid, reason: Reason) -> None:
        """Of a link, exactly one; ``noproc`` is what a monitor says that came too late to know."""
        while True:
            for mail in self._mail:
                if isinstance(mail, ExitMessage) and mail.frm == pid:
                    self._mail.remove(mail)
                    check(mail.reason == reason or reason == GONE, "EXIT", mail, reason)
                    self.book.check_end(pid.serial, mail.reason, "link")
                    return
            self._mail.append(self.c.receive(WAIT_S))

    def expect_info(self, frm: Pid) -> Term:
        """The next plain message of ``frm``."""
        while True:
            for mail in self._mail:
                if isinstance(mail, InfoMessage) and mail.frm == frm:
                    self._mail.remove(mail)
                    return mail.body
            self._mail.append(self.c.receive(WAIT_S))

    def check_mail(self) -> None:
        """Nothing has come that nobody expected, but one EXIT of each linked process that was killed before it was ready."""
        self.c.node("status", WAIT_S)
        try:
            while True:
                self._mail.append(self.raw.receive(0))
        except CallTimeout:
            pass
        left, self._mail = self._mail, []
        exits = [mail for mail in left if isinstance(mail, ExitMessage) and mail.reason == "killed"]
        check(exits == left and len(exits) <= self._failed_links, "mail", left)
        check(len({exit.frm for exit in exits}) == len(exits), "an EXIT came twice", exits)
        self._failed_links = 0

    def down_of(self, ref: Any, pid: Pid) -> Reason:
        """The reason in the DOWN of ``ref``, which is in the book."""
        down = self.c.wait_down(ref, WAIT_S)
        check(isinstance(down, DownMessage) and (down.ref, down.pid) == (ref, pid), "DOWN", down, ref, pid)
        self.book.check_end(pid.serial, down.reason, "DOWN")
        return down.reason  # type: ignore[no-any-return]


def refusal(work: Callable[[], object]) -> RequestError:
    """What refused ``work``; Broken when it did not."""
    try:
        answer = work()
    except RequestError as error:
        return error
    raise Broken(f"not refused: {answer!r}")
