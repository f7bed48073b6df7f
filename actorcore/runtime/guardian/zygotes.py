"""The guardian's zygotes: one per template, replaced when it dies, unless its own list of modules keeps it from serving."""

from __future__ import annotations

import errno
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator, Sequence

from actorcore import faults
from actorcore.guardian_words import (
    EXIT_PRELOAD,
    EXIT_PYTHON,
    EXIT_THREADS,
    MANY,
    ONE,
    PYTHON,
    Offer,
    Template,
    ToNode,
    Unheld,
    Zygote,
)  # fmt: skip
from actorcore.runtime import children, clock, descriptors, sockets
from actorcore.runtime.children import Death
from actorcore.runtime.evidence import errno_name
from actorcore.runtime.guardian.keep import Mappings, say
from actorcore.words import ASYNCIO, LEAN

PAUSE_S = 0.2
"""A zygote that died younger than this is replaced only after it."""
YOUNG_S = 2.0
"""A zygote that is asked to be replaced has had so long for its first child, at least: as long as a node waits for any child."""
SHORTAGE_PAUSE_S = 1.0
"""Before the next try, when the machine had nothing to start it with."""
PRELOAD_S = 60.0
"""So long a zygote may import before it counts as stuck."""
MAX_STRIKES = 5
"""Young deaths in a row, not by SIGKILL, after which its list of modules is to blame."""
TROUBLES = {
    EXIT_PRELOAD: "a module of its preload list cannot be imported; the daemon's log says why",
    EXIT_THREADS: "a module of its preload list starts threads",
    EXIT_PYTHON: f"Python is not {PYTHON} any more, as everything that runs is: take the daemon down and start it again",
}


BUILT_IN = (Template(LEAN, pool=8), Template(ASYNCIO))


class Zygotes:
    """``announce`` is told, with descriptors, what a node has to know; ``logs`` is the directory of the processes' logs."""

    def __init__(
        self, mappings: Mappings, templates: Sequence[Template], logs: str, announce: Callable[[ToNode, Sequence[int]], None]
    ) -> None:
        self._mappings = mappings
        self._templates = {template.name: template for template in templates}
        self.logs = logs
        self._announce = announce
        self._alive: dict[str, tuple[int, socket.socket]] = {}
        self._alone: dict[int, int] = {}
        """Serial by OS pid: zygotes that fork one process and end."""
        self._started_s: dict[str, float] = {}
        self._due_s: dict[str, float] = {}
        self._strikes: dict[str, int] = {}
        self._stuck: set[str] = set()
        self._importing: set[str] = set()
        """Those that did not serve yet when their replacement was asked for."""
        self._troubles: dict[str, str] = {}

    def start_all(self) -> None:
        """Start all but the lazy ones, those in trouble again."""
        for blame in (self._troubles, self._strikes, self._stuck):
            blame.clear()
        for template in self._templates.values():
            self._announce(self._offer(template), ())
            if template.name not in self._alive and not template.is_lazy():
                self._start(template.name)

    def learn(self, templates: Sequence[Template]) -> None:
        """Also have these, which the code of a new node needs; one of a known name stays as it was configured."""
        self._templates = {template.name: template for template in templates} | self._templates

    def words(self) -> Iterator[tuple[ToNode, list[int]]]:
        """What a new node is told."""
        for template in self._templates.values():
            yield self._offer(template), []
        for name, (_, sock) in self._alive.items():
            yield Zygote(name), [sock.fileno()]

    def _offer(self, template: Template) -> Offer:
        return Offer(template.name, template.pool, self._troubles.get(template.name, ""), bool(template.preload))

    def _start(self, name: str) -> None:
        self._due_s.pop(name, None)
        self._importing.discard(name)
        self._started_s[name] = clock.monotonic_s()
        try:
            os_pid, ours = self._spawn(name)
        except OSError as error:  # no process, memory or descriptors: those who can end will have to
            say(f"zygote {name} cannot be started: {error.strerror}")
            self._due_s[name] = self._started_s[name] + SHORTAGE_PAUSE_S
            return
        self._alive[name] = (os_pid, ours)
        self._announce(Zygote(name), [ours.fileno()])

    def _spawn(self, name: str) -> tuple[int, socket.socket]:
        ours, theirs = sockets.pair()
        try:
            return self._exec(name, theirs.fileno(), MANY), ours
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()

    def _exec(self, name: str, control: int, forks: str) -> int:
        command = [sys.executable, "-P", "-m", "actorcore.runtime.zygote.zygote"]
        arguments = [PYTHON, name, str(os.getpid()), self.logs, faults.plan, forks]
        fds = [control, self._mappings.status_fd, self._mappings.registry_fd]
        os_pid = children.spawn_program([*command, *arguments, *self._templates[name].preload], fds, children.OWN_IMAGE)
        descriptors.restore_limit(os_pid)
        return os_pid

    def fork_alone(self, name: str, serial: int, fds: list[int]) -> None:
        """Start one for process ``serial`` alone, whose order waits in the socket ``fds``; the node is told if that cannot be."""
        try:
            if not fds:
                raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
            self._alone[self._exec(name, fds[0], ONE)] = serial
        except OSError as error:
            self._announce(Unheld(serial, errno_name(error.errno or 0)), ())
        finally:
            sockets.close_all(fds)

    def give_up(self, serial: int) -> None:
        """Nobody wants process ``serial`` any more."""
        for os_pid in [os_pid for os_pid, alone in self._alone.items() if alone == serial]:
            children.kill(os_pid)

    def start_due(self, now_s: float) -> None:
        """Start those whose pause is over."""
        for name in [name for name, at in self._due_s.items() if now_s >= at]:
            self._start(name)

    def deadlines(self) -> list[float]:
        """When :meth:`start_due` is due (monotonic seconds)."""
        return list(self._due_s.values())

    def os_pids(self) -> set[int]:
        return {*self._alone, *(os_pid for os_pid, _ in self._alive.values())}

    def replace(self, name: str) -> None:
        """End a stuck one, whose successor gets the orders that wait, or start the first; one that still imports may.

        So may one that has served since the request before only: else each that begins to serve late would be ended, on a
        machine on which that and a birth take their time, and nobody be born.
        """
        if name not in self._alive:
            if name in self._templates and name not in self._due_s and name not in self._troubles:
                self._start(name)
            return
        os_pid, _ = self._alive[name]
        if children.comm(os_pid) != children.NEWBORN_COMM:  # it bears this name as soon as it serves
            self._importing.add(name)
            if self._age_s(name) > PRELOAD_S:
                self._stuck.add(name)
                children.kill(os_pid)
        elif name in self._importing or self._age_s(name) < YOUNG_S:
            self._importing.discard(name)
        else:
            children.kill(os_pid)

    def on_death(self, death: Death) -> bool:
        """Replace the one that had this OS pid; whether there was one.

        Of one that forks one process alone the node is told if it could not: by its exit status, an errno. Else its order
        was obeyed, or is lost with it, which shows at the process's control socket.
        """
        serial = self._alone.pop(death.os_pid, None)
        if serial is not None:
            if death.code == os.CLD_EXITED and death.status:
                self._announce(Unheld(serial, TROUBLES.get(death.status) or errno_name(death.status)), ())
            return True
        for name, (os_pid, sock) in list(self._alive.items()):
            if os_pid == death.os_pid:
                sock.close()
                del self._alive[name]
                self._mourn(name, death)
                return True
        return False

    def _mourn(self, name: str, death: Death) -> None:
        trouble = self._trouble(name, death)
        if trouble:
            say(f"template {name} is not served: {trouble}")
            self._troubles[name] = trouble
            self._announce(self._offer(self._templates[name]), ())
            return
        say(f"zygote {name} died (code {death.code}, status {death.status}); replaced")
        if self._age_s(name) > PAUSE_S:
            self._start(name)
        else:
            self._due_s[name] = clock.monotonic_s() + PAUSE_S

    def _trouble(self, name: str, death: Death) -> str:
        """Why ``name`` is not started again; nothing, mostly."""
        if death.code == os.CLD_EXITED and death.status in TROUBLES:
            return TROUBLES[death.status]
        if not self._templates[name].preload:
            return ""
        if name in self._stuck:
            return f"its preload list takes longer than {PRELOAD_S:g} s"
        if self._age_s(name) > PRELOAD_S:
            self._strikes[name] = 0
        elif death.status != signal.SIGKILL:
            self._strikes[name] = self._strikes.get(name, 0) + 1
        return "its preload list makes it crash" if self._strikes.get(name, 0) >= MAX_STRIKES else ""

    def _age_s(self, name: str) -> float:
        return clock.monotonic_s() - self._started_s[name]
