"""What a process asks the node: each request waits for its one answer, however many nodes die meanwhile."""

from __future__ import annotations

import select
from collections.abc import Mapping, Sequence
from typing import Unpack

from actorcore.deadline import deadline_of
from actorcore.errors import NotAlive, RequestError, StartFailed
from actorcore.exit_reason import NOPROC, Term
from actorcore.mailbox import DownMessage
from actorcore.names import NO_VALUES
from actorcore.pids import Pid
from actorcore.process_spec import spec_of
from actorcore.runtime.actor.intake import ExitSelf, Intake
from actorcore.runtime.actor.lean_peers import READABLE, WRITABLE
from actorcore.runtime.clock import LONGEST_POLL_S, monotonic_s
from actorcore.runtime.status_page import fitting
from actorcore.signals import (
    Answer,
    Demonitor,
    IsAlive,
    Link,
    Lookup,
    Monitor,
    ProcessSpec,
    Request,
    Spawn,
    SpecFields,
    TrapExit,
    Unlink,
    Unregister,
    Whereis,
)
from actorcore.targets import checked_name, checked_pid

EPOLL_BATCH = 64
REQUEST_WAIT_S = 30.0
"""For an answer of the node; a takeover takes milliseconds."""


class NodeRequests(Intake):
    """The control half of :class:`actorcore.runtime.actor.process.Process`: ``pump`` is its one reader."""

    _asked = 0
    _answers: list[Answer]
    _poller: select.epoll

    def _new_poller(self) -> select.epoll:
        return select.epoll()

    def pump(self, deadline_s: float | None, awaited: int | None = None, now_s: float | None = None) -> bool:
        """Wait until something arrives or ``deadline_s`` (None: no bound), take it in; False when nothing came.

        ``awaited`` is the peer that is still read when the mailbox is full; ``now_s`` saves a look at the clock.
        """
        mailbox, peers = self.mailbox, self._peers
        if self._batching:
            peers.flush_all()
        if mailbox.items or mailbox.aside or peers.is_restricted:
            self.restrict(awaited)
        if deadline_s is None:
            timeout_s = -1.0
        else:
            timeout_s = deadline_s - (now_s or monotonic_s())
            if timeout_s < 0.0:
                timeout_s = 0.0
            elif timeout_s > LONGEST_POLL_S:
                timeout_s = LONGEST_POLL_S
        try:
            events = self._poller.poll(timeout_s, EPOLL_BATCH)
        except OSError:  # somebody here has closed it, or put something else in its place
            raise ExitSelf({"error": {"type": "protocol_error", "text": "control socket closed"}}) from None
        for fd, mask in events:
            peer = peers.by_fd.get(fd)
            if peer is not None and mask == select.EPOLLIN:
                peers.read(peer)
            elif fd != self._control_fd:
                peers.ready(fd, mask & READABLE, mask & WRITABLE)
            else:
                self.on_control(mask)
        return bool(events)

    def request(self, body: Request, timeout_s: float | None = REQUEST_WAIT_S) -> Term:
        """Ask the node and wait for the answer's value.

        :raises RequestError: its error, or ``timeout``.
        """
        deadline_s = deadline_of(timeout_s, monotonic_s())
        self._asked, self._answers = self._say(body), []
        while not self._answers:
            if not self.pump(deadline_s) and deadline_s is not None and monotonic_s() >= deadline_s:
                self._asked = 0
                raise RequestError("timeout", type(body).__name__)
        return value_of_answer(self._answers[0])

    def _answered(self, answer: Answer) -> None:
        if answer.number == self._asked:  # one request at a time; an answer that came too late is dropped
            self._answers.append(answer)

    def _resolve(self, to: Pid | str) -> int | None:
        if isinstance(to, Pid):
            return to.serial if to.instance == self.self_pid.instance else None
        checked_name(to)
        if self._registry is not None:
            try:
                return self._registry.lookup(to)
            except RequestError:  # busy: it changes faster than it can be read
                pass
        serial = self.request(Whereis(to))
        return serial if isinstance(serial, int) else None

    def spawn(
        self,
        start: str | ProcessSpec,
        args: Sequence[object] = (),
        link: bool = False,
        wait_init: bool = True,
        **spec: Unpack[SpecFields],
    ) -> Pid | None:
        """Start a process; ``spec`` are fields of ProcessSpec. None: its ``init`` said ignore.

        :raises StartFailed: its ``init`` refused (only with ``wait_init``).
        :raises RequestError: the node refused; ``invalid_spec``: a field is none of ProcessSpec, or of the wrong type.
        """
        return self._spawn(spec_of(start, args, spec), link, 0, wait_init)

    def spawn_link(self, start: str | ProcessSpec, args: Sequence[object] = (), **spec: Unpack[SpecFields]) -> Pid | None:
        """As :meth:`spawn` with ``link``: OTP's ``start_link``."""
        return self._spawn(spec_of(start, args, spec), True, 0, True)

    def spawn_monitor(self, start: str | ProcessSpec, args: Sequence[object] = (), **spec: Unpack[SpecFields]) -> tuple[Pid, int]:
        """Start without waiting for ``init``; the pid and the ref of a monitor set with its birth."""
        ref = self._next_ref()
        pid = self._spawn(spec_of(start, args, spec), False, ref, False)
        if pid is None:
            raise RequestError("internal_error", "a spawn without a pid")
        return pid, ref

    def _spawn(self, spec: ProcessSpec, link: bool, monitor: int, wait_init: bool) -> Pid | None:
        return self._pid(self.request(Spawn(spec, link, monitor, wait_init), spec.init_timeout_s + REQUEST_WAIT_S))

    def link(self, to: Pid) -> None:
        """Die together: symmetric, one link per pair."""
        self.request(Link(self._serial_of(to)))

    def unlink(self, to: Pid) -> None:
        self.request(Unlink(self._serial_of(to)))

    def monitor(self, to: Pid | str) -> int:
        """The ref whose one DownMessage tells the death of ``to``, at once with ``noproc`` when there is none."""
        ref = self._next_ref()
        if isinstance(to, str):
            self.request(Monitor(ref, name=to))
        elif checked_pid(to).instance == self.self_pid.instance:
            self.request(Monitor(ref, to.serial))
        else:
            self.mailbox.push(DownMessage(ref, to, NOPROC))
        return ref

    def demonitor_only(self, ref: int) -> bool:
        """End a monitor; a DOWN that has come already stays."""
        return bool(self.request(Demonitor(ref)))

    def trap_exit(self, on: bool) -> bool:
        """From the return on, exit signals are messages (or not); the previous flag."""
        return bool(self.request(TrapExit(on)))

    def register(self, name: str, who: Pid | None = None, value: Term = None) -> None:
        """Give ``who`` (None: this process) a name; look-ups get ``value`` with it, at most 2 KiB of msgpack."""
        self.request(self._registration(name, who, value))

    def register_many(self, names: Mapping[str, Pid], values: Mapping[str, Term] = NO_VALUES) -> None:
        """All of these names with their values, or none of them and an error; nobody sees some of them."""
        self.request(self._registrations(names, values))

    def unregister(self, name: str) -> None:
        self.request(Unregister(name))

    def whereis(self, name: str) -> Pid | None:
        return self._pid(self._resolve(name))

    def lookup(self, name: str) -> tuple[Pid, Term] | None:
        """Who has ``name`` now, and the value that it was registered with."""
        found = self._read_value(name)
        return self._found(self.request(Lookup(name)) if found is False else found)

    def is_alive(self, pid: Pid) -> bool:
        return checked_pid(pid).instance == self.self_pid.instance and bool(self.request(IsAlive(pid.serial)))


def value_of_answer(answer: Answer) -> Term:
    """What the node granted.

    :raises RequestError: the node refused; see :func:`refusal`.
    """
    if answer.error is None:
        return answer.value
    raise refusal(*answer.error)


def refusal(code: str, detail: Term) -> RequestError:
    """A refusal as an exception: StartFailed and NotAlive have a reason."""
    if code == "start_failed":
        return StartFailed(fitting(detail))
    if code == "process_not_alive":
        return NotAlive(fitting(detail))
    return RequestError(code, str(detail)[:200])
