"""The guardian: process 1 of the daemon, true parent and only reaper of everything below it.

It owns what must outlive the node: the listening socket, the memfds, and the processes (:mod:`.processes`). Here are the nodes:
who serves, who is next, who comes with other code. It is blocking, single-threaded, runs no user code and parses no client byte.
"""

from __future__ import annotations

import itertools
import select
import signal
import socket
from collections.abc import Callable, Sequence

from actorcore import guardian_words as words
from actorcore.ending import Ending
from actorcore.renewal import READY_S, Renewal
from actorcore.runtime import children, clock, log, oom, sockets, syscalls
from actorcore.runtime.children import Death
from actorcore.runtime.guardian.keep import Link, Mappings, dismiss, say
from actorcore.runtime.guardian.node_birth import NO_PROCESS, fork_node
from actorcore.runtime.guardian.processes import Processes
from actorcore.runtime.guardian.zygotes import BUILT_IN, Zygotes
from actorcore.signals import ReloadEnded
from actorcore.succession import Succession

WATCH_PERIOD_S = 1.0
CHANGES_PER_TURN = 1000
"""Deaths, stops and continues taken in one turn: whoever causes them without end holds up nothing else."""

_TOLD = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT}


class Guardian:
    """``entry`` is the node's ``module:function``; it is imported in forked children only."""

    def __init__(
        self, entry: str, listener: socket.socket, mappings: Mappings, instance: int, on_serving: Callable[[], None],
        templates: Sequence[words.Template] = BUILT_IN, logs: str = "", on_watch: Callable[[float], None] = lambda now_s: None,
    ) -> None:  # fmt: skip
        self._entry = entry
        self._listener = listener
        self._mappings = mappings
        self._instance = instance
        self._on_serving, self._on_watch = on_serving, on_watch
        self._processes = Processes(self._tell, self._listen_to_node, self._others)
        self._zygotes = Zygotes(mappings, templates, logs, self._tell)
        self._node: Link | None = None
        self._spare: Link | None = None
        self._generation = 0
        self._succession = Succession()
        self._ending = Ending()
        self._victims = oom.Victims()
        self._is_behind = False
        self._halted = False
        self._from_disk = False
        self._schema = 0
        self._reloads = 0
        self._renewal: Renewal | None = None
        self._renewed: Link | None = None
        self._ended: ReloadEnded | None = None

    def run(self) -> int:
        """Serve until the daemon is told to end; the exit status of the daemon."""
        signals = {signal.SIGCHLD, *_TOLD}
        children.ignore_all_but(signals)
        signal.pthread_sigmask(signal.SIG_BLOCK, signals)
        syscalls.prctl(syscalls.PR_SET_CHILD_SUBREAPER, 1)
        syscalls.prctl(syscalls.PR_SET_DUMPABLE, 0)
        syscalls.set_process_name("actor-guardian")
        log.open_stderr()
        self._signals = syscalls.signal_descriptor({int(s) for s in signals})
        self._zygotes.start_all()
        self._start_spare()
        while not self._halted:
            self._turn()
        self._end_everything()
        return 0

    # ---- one turn -------------------------------------------------------------------------------------------------

    def _turn(self) -> None:
        wanted = {self._signals: select.POLLIN}
        for link in (link for link in self._links() if not link.is_gone):  # which is readable all the time until it is reaped
            wanted[link.sock.fileno()] = select.POLLIN | (0 if link.outbox.is_empty() else select.POLLOUT)
        ready = sockets.await_any(wanted, self._patience_s())
        if self._signals in ready or self._is_behind:
            for number in syscalls.read_signals(self._signals):
                self._on_told(number)
            self._reap()
        for link in self._links():
            if link.sock.fileno() in ready:
                link.outbox.flush()
                self._listen_to(link)
        if self._node is not None and self._node.outbox.is_empty():  # as fast as it listens
            self._processes.tell_halted()
        self._watch()

    def _links(self) -> list[Link]:
        return [link for link in (self._node, self._spare, self._renewed) if link is not None]

    def _patience_s(self) -> float:
        if self._is_behind:
            return 0.0
        now = clock.monotonic_s()
        due = [*self._zygotes.deadlines(), *([self._succession.next_start_s] if self._spare is None else [])]
        return max(0.0, min([WATCH_PERIOD_S, *(at - now for at in due)]))

    def _on_told(self, number: int) -> None:
        match self._ending.on_signal(number, clock.monotonic_s()):
            case "reload":
                self._reload(self._reloads)
            case "force":
                self._halted = True
            case "end":
                self._tell(words.Signalled(number))

    def _watch(self) -> None:
        now = clock.monotonic_s()
        self._on_watch(now)
        self._victims.look(now)
        self._halted |= self._ending.is_over(now)
        if self._spare is None:
            if now >= self._succession.next_start_s:
                self._start_spare()
        elif not self._spare.ready and self._succession.is_spare_late(now):
            children.kill(self._spare.os_pid)
        if self._renewal is not None and (refusal := self._renewal.on_time(now)):
            self._end_reload(refusal)
        self._zygotes.start_due(now)
        silent_s = self._succession.silent_s(self._mappings.stamp_ns() / 1e9, now)
        if self._node is not None and silent_s is not None:
            say(f"node {self._node.os_pid} hangs: no turn for {silent_s:.1f} s; killed")
            children.kill(self._node.os_pid)

    # ---- deaths ---------------------------------------------------------------------------------------------------

    def _reap(self) -> None:
        changes = list(itertools.islice(children.changes(self._processes.knows, self._victims.claim), CHANGES_PER_TURN))
        for change in changes:
            if isinstance(change, Death):
                self._on_death(change)
            elif not self._processes.on_halted(change.os_pid, change.stopped) and change.stopped:
                self._on_helper_stopped(change.os_pid)
        is_mourning = self._processes.mourn(any(isinstance(change, Death) for change in changes))
        self._is_behind = is_mourning or len(changes) == CHANGES_PER_TURN

    def _on_death(self, death: Death) -> None:
        if self._processes.on_death(death):
            return
        if self._node is not None and death.os_pid == self._node.os_pid:
            self._on_node_death(death)
        elif self._spare is not None and death.os_pid == self._spare.os_pid:
            self._on_spare_death()
        elif self._renewed is not None and death.os_pid == self._renewed.os_pid:
            self._on_renewed_death()
        elif not self._zygotes.on_death(death):
            self._processes.on_strange_death(death)

    def _on_helper_stopped(self, os_pid: int) -> None:
        """Zygote, spare, newborn: who waits for it gets another one."""
        if self._node is None or os_pid != self._node.os_pid:
            children.kill(os_pid)

    def _others(self) -> set[int]:
        return {*self._zygotes.os_pids(), *(link.os_pid for link in self._links())}

    # ---- node and spare -------------------------------------------------------------------------------------------

    def _start_spare(self) -> None:
        self._spare, now = fork_node(self._entry, self._mappings, self._from_disk), clock.monotonic_s()
        if self._spare is None:
            self._succession.on_spare_dead(False, now)
        else:
            self._succession.on_spare_started(now)

    def _on_spare_death(self) -> None:
        assert self._spare is not None
        self._succession.on_spare_dead(self._spare.ready, clock.monotonic_s())
        if not self._spare.ready:
            say(f"a spare node died before it was ready ({self._succession.strikes})")
        self._spare.close()
        self._spare = None

    def _on_node_death(self, death: Death) -> None:
        assert self._node is not None
        self._listen_to(self._node)  # what it said before its end comes first
        self._succession.on_node_dead(death.was_killed, clock.monotonic_s())
        pause_s = self._succession.pause_s()
        say(f"node {self._node.os_pid} died (code {death.code}, status {death.status}); the next spare waits {pause_s:g} s")
        self._node.close()
        self._node = None
        if self._renewal is not None and self._renewed is None:
            self._end_reload(self._renewal.on_death(is_node=True))
        self._promote_whoever_is_ready()

    def _promote_whoever_is_ready(self) -> None:
        if self._renewed is not None and self._renewed.ready:
            link, self._renewed = self._renewed, None
            self._promote(link)
        elif self._spare is not None and self._spare.ready:
            link, self._spare = self._spare, None
            self._promote(link)

    def _promote(self, link: Link) -> None:
        """It becomes the node: everything is handed over in order, Take last."""
        assert self._node is None
        self._node, self._schema = link, link.schema
        self._generation += 1
        self._succession.on_took_over(clock.monotonic_s())
        self._zygotes.learn(link.templates)
        for word, fds in self._zygotes.words():
            link.say(word, fds)
        for word, fds in self._processes.hand_over():
            link.say(word, fds)
        link.say(
            words.Take(self._instance, self._generation, self._zygotes.logs),
            [self._listener.fileno(), self._mappings.status_fd, self._mappings.registry_fd],
        )
        for died in self._processes.deaths():
            link.say(died)
        if self._ended is not None:
            link.say(self._ended)
        if self._ending.due_s is not None:
            link.say(words.Signalled(signal.SIGTERM))

    # ---- reload: a node with the code of today is made ready beside the spare, which stays until the new one serves ----

    def _reload(self, number: int) -> None:
        dismiss(self._renewed)
        self._reloads, self._ended, self._renewal = number, None, Renewal(number, clock.monotonic_s() + READY_S)
        self._renewed = fork_node(self._entry, self._mappings, from_disk=True)
        self._end_reload(None if self._renewed else NO_PROCESS)

    def _on_renewed_death(self) -> None:
        assert self._renewal is not None and self._renewed is not None
        refusal = self._renewal.on_death(is_node=False)
        self._renewed.close()
        self._renewed = None if refusal else fork_node(self._entry, self._mappings, from_disk=True)
        self._end_reload(refusal or (None if self._renewed else NO_PROCESS))

    def _end_reload(self, refusal: str | None) -> None:
        """Refused: what was made ready goes, and nothing has changed."""
        if self._renewal is None or refusal is None:
            return
        say(f"reload refused: {refusal}")
        dismiss(self._renewed)
        self._renewed = None
        self._tell_end(refusal)

    def _on_renewed(self) -> None:
        """The new code serves: the spare gives way to one of it."""
        dismiss(self._spare)
        self._spare, self._succession.next_start_s, self._from_disk = None, 0.0, True
        self._zygotes.start_all()  # those in trouble get another chance with it
        self._tell_end("")

    def _tell_end(self, error: str) -> None:
        assert self._renewal is not None
        self._ended, self._renewal = ReloadEnded(self._renewal.number, error), None
        self._tell(self._ended)

    # ---- what node and spare say ----------------------------------------------------------------------------------

    def _listen_to(self, link: Link) -> None:
        while link in self._links() and (heard := link.hear()) is not None:
            self._on_word(link, *heard)

    def _listen_to_node(self) -> None:
        if self._node is not None:
            self._listen_to(self._node)

    def _on_word(self, link: Link, word: words.ToGuardian, fds: list[int]) -> None:
        match word:
            case words.Ready() as ready:
                self._on_ready(link, ready)
            case words.Serving():
                self._succession.on_serving(clock.monotonic_s())
                self._on_serving()
                if self._renewal is not None and self._renewed is None:
                    self._on_renewed()
            case words.Hold(serial):
                self._processes.hold(serial, fds)
            case words.Adopt(serial, os_pid):
                self._processes.adopt(serial, os_pid)
            case words.Drop(serial):
                self._zygotes.give_up(serial)
                self._processes.drop(serial)
            case words.ReplaceZygote(template):
                self._zygotes.replace(template)
            case words.ForkAlone(template, serial):
                self._zygotes.fork_alone(template, serial, fds)
            case words.Reload(number):
                self._reload(number)
            case words.Stay(why):
                self._end_reload(why)
            case words.Halt():
                self._halted = True

    def _on_ready(self, link: Link, said: words.Ready) -> None:
        link.ready, link.schema, link.templates = True, said.schema, said.templates
        if link is self._spare:
            self._succession.on_spare_ready()
        elif self._renewal is not None:
            self._end_reload(self._renewal.on_ready(said, self._schema))
        if self._node is None:
            self._promote_whoever_is_ready()
        elif link is self._renewed:
            self._node.say(words.Yield(said.machines))

    def _tell(self, word: words.ToNode, fds: Sequence[int] = ()) -> None:
        if self._node is not None:
            self._node.say(word, fds)

    def _end_everything(self) -> None:
        """Kill and reap until nothing is left below; then the guardian itself may go."""
        self._processes.close()
        children.end_all()
