"""Processes in virtual time: the code of lean processes as it is, over the kernel, without sockets and without waiting.

Each process is a thread, but only one thread runs at any moment: a process that waits hands over to the scheduler, which
goes on with the next one that is ready, and when nobody is, moves the clock to the next deadline.
"""

from __future__ import annotations

import heapq
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

from actorcore import frames
from actorcore.effects import Connect, Deliver, Effect, Fork, Kill, Report
from actorcore.exit_reason import Reason
from actorcore.frames import Info, Message, Reply
from actorcore.kernel import Kernel, Machines
from actorcore.mailbox import Dead, ExitMessage, Raw, Refusal
from actorcore.pids import Pid
from actorcore.runtime import sockets
from actorcore.runtime.actor import intake, lean
from actorcore.runtime.actor.intake import ExitSelf
from actorcore.runtime.actor.process import Process
from actorcore.runtime.status_page import PAGE_BYTES, StatusPage
from actorcore.signals import (
    Answer,
    Asked,
    Begin,
    Booted,
    Born,
    Channel,
    ClientAttached,
    Delivery,
    Down,
    Event,
    Exit,
    Exited,
    Introduce,
    PeerDown,
    ProcessSpec,
    Received,
    Refill,
    Refused,
    Request,
    Sent,
    TemplateTold,
    Ticked,
    Undelivered,
    Writable,
)  # fmt: skip

INSTANCE = 7
CLD_EXITED, CLD_KILLED, SIGKILL = 1, 2, 9


class Gone(ExitSelf):
    """Unwinds the thread of a process that was killed; whatever it still does on its way has no effect."""

    def __init__(self) -> None:
        super().__init__("killed")


class VirtualControl:
    """What lean code says on its control socket."""

    def __init__(self, world: World) -> None:
        self._world = world

    def say(self, said: Booted | Refused) -> None:
        self._world.check_alive()
        self._world.event(said)
        self._world.check_alive()

    def is_flushed(self) -> bool:
        return True


class NoAdoption:
    """A virtual process has no descendants."""

    def look(self, now_s: float, begins: bool, deadline_s: float | None) -> float | None:
        return deadline_s


class VirtualPeers:
    """Messages go straight into the mailbox of their receiver, once the kernel has introduced the two."""

    is_restricted = False

    def __init__(self, process: VirtualProcess) -> None:
        self._process = process
        self.known: set[int] = set()
        self.waiting: dict[int, list[Message]] = {}

    def post(self, peer: int, message: Message) -> None:
        if peer in self.known:
            self._process.world.post(self._process.serial, peer, message)
            return
        first = peer not in self.waiting
        self.waiting.setdefault(peer, []).append(message)
        if first:
            self._process.introduce(peer)

    def connected(self, peer: int) -> None:
        self.known.add(peer)
        for message in self.waiting.pop(peer, []):
            self._process.world.post(self._process.serial, peer, message)

    def on_refused(self, peer: int, outcome: Dead | Refusal) -> None:
        self.waiting.pop(peer, None)
        self._process.mailbox.fail_peer(peer, outcome)

    def frame_of(self, peer: int) -> int:
        return 0

    def find(self, peer: int) -> None:
        return None

    def mark(self, peer: int, number: int) -> None:
        pass

    def read_only(self, peer: int | frozenset[int] | None) -> None:
        pass

    def read_soon(self, peer: int) -> None:
        pass

    def flush_all(self) -> None:
        pass

    def is_flushed(self) -> bool:
        return not self.waiting


class VirtualProcess(Process):
    """A Process whose node is a Kernel, whose peers are others of this kind, and whose clock is the world's."""

    def __init__(self, world: World, serial: int, begin: Begin) -> None:
        ours, unused = sockets.pair()
        super().__init__(ours, begin, StatusPage(memoryview(bytearray(PAGE_BYTES))))
        super().close()
        unused.close()
        self.world, self.serial = world, serial
        self._number = 0
        self._adoption = NoAdoption()  # type: ignore[assignment]
        self._control = VirtualControl(world)  # type: ignore[assignment]
        self._peers = VirtualPeers(self)  # type: ignore[assignment]

    def introduce(self, peer: int) -> None:
        self._introductions[self._say(Introduce(peer))] = peer

    def _say(self, body: Request) -> int:
        self._number += 1
        self.world.check_alive()
        self.world.event(Asked(self.serial, self._number, body))
        self.world.check_alive()
        return self._number

    def _post_away(self, peer: int, message: Message) -> None:
        self._post_now(peer, message)
        while peer in self._peers.waiting:  # type: ignore[attr-defined]
            self.pump(None)

    def _post_now(self, peer: int, message: Message) -> None:
        self.world.check_alive()
        (plain,) = frames.decode_channel(frames.encoder.encode([message]))  # type: ignore[misc]
        self._peers.post(peer, plain)  # type: ignore[attr-defined]
        self.world.check_alive()

    def pump(self, deadline_s: float | None, awaited: int | None = None, now_s: float | None = None) -> bool:
        return self.world.wait(self.serial, deadline_s)

    def take(self, body: Delivery) -> None:
        match body:
            case Answer():
                self._on_answer(body)
            case Exit(frm, reason):
                self.mailbox.push(ExitMessage(Pid(INSTANCE, frm), reason))
            case Down(refs, pid, reason):
                self.mailbox.fail_peer(pid, Dead(reason))
                self.mailbox.push_downs(refs, Pid(INSTANCE, pid), reason)
            case PeerDown(peer, reason):
                self._peers.known.discard(peer)  # type: ignore[attr-defined]
                self.mailbox.fail_peer(peer, Dead(reason))
            case Sent(frm, raw):
                self.mailbox.push(Raw(frm, Info(raw)))
            case _:
                raise AssertionError(f"not for a process: {body}")


class Fiber:
    """One process: its thread, what has arrived for it, and whether it is dead."""

    def __init__(self, world: World, serial: int, main: Callable[[Fiber], None]) -> None:
        self.serial = serial
        self.arrivals: deque[Delivery | tuple[int, Message]] = deque()
        self.process: VirtualProcess | None = None
        self.seq = 0
        self.jammed: set[int] = set()
        self.is_dead = False
        self.is_over = False
        self.is_queued = False
        self.deadline = 0
        self.go = threading.Semaphore(0)
        self._world, self._main = world, main
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        self.go.acquire()
        try:
            if not self.is_dead:
                self._main(self)
        except Gone:
            pass
        except BaseException as error:
            self._world.trouble = error
        finally:
            self.is_over = True
            self._world.back.release()

    def join(self) -> None:
        self._thread.join()


class World:
    """The scheduler, the kernel and the operating system. ``on_death`` hears of each death before anybody else does."""

    def __init__(
        self, machines: Machines, on_death: Callable[[int, Reason], None],
        load: Callable[[str], Any], external_kill: bool = False, warm: bool = False, twin: bool = False, jam: bool = False,
    ) -> None:  # fmt: skip
        self.now_s = 0.0
        self.kernel = self._watched(Kernel(INSTANCE, {}, machines))
        self._machines, self._on_death, self._load = machines, on_death, load
        self._twin, self._jam = twin, jam
        self.external_kill = external_kill
        self.fibers: dict[int, Fiber] = {}
        self.back = threading.Semaphore(0)
        self.running: Fiber | None = None
        self.trouble: BaseException | None = None
        self._all: list[Fiber] = []
        self._facts: deque[Event] = deque()
        self._ready: deque[Fiber] = deque()
        self._timers: list[tuple[float, int, Fiber, int]] = []
        self._timer_count = 0
        self.event(TemplateTold("lean", ""))
        if warm:
            self.event(Refill("lean", 3))

    def _watched(self, kernel: Kernel) -> Kernel:
        """Deaths are heard of in the order in which the table decides them."""
        sort = kernel._sorted

        def watch(effects: list[Effect]) -> list[Effect]:
            for effect in effects:
                if isinstance(effect, Report) and effect.kind in ("process_exited", "resident_exited"):
                    self._on_death(effect.serial, effect.detail)  # type: ignore[arg-type]
            return sort(effects)

        kernel._sorted = watch  # type: ignore[method-assign]
        return kernel

    # ---- the kernel and the operating system ------------------------------------------------------------------------

    def event(self, event: Event) -> None:
        effects = self.kernel.handle(event, self.now_s)
        self.kernel.table.check_invariants()
        if self._twin:
            snapshot = self.kernel.snapshot()
            successor = self._watched(Kernel(INSTANCE, {}, self._machines))
            successor.restore(snapshot)
            assert successor.snapshot() == snapshot, event
            self.kernel = successor
        for effect in effects:
            self._perform(effect)

    def _perform(self, effect: Effect) -> None:
        match effect:
            case Fork(serial):
                self._start(serial, self._live)
                self._facts.append(Born(serial, 1000 + serial))
            case Kill(serial):
                self.kill(serial)
            case Connect(a, _, b, _):
                for one, other in ((a, b), (b, a)):
                    if (fiber := self.fibers.get(one)) is not None and fiber.process is not None:
                        fiber.process._peers.connected(other)  # type: ignore[attr-defined]
            case Deliver(to, seq, body) if to in self.fibers:
                self._deliver(self.fibers[to], seq, body)

    def _deliver(self, fiber: Fiber, seq: int, body: Delivery) -> None:
        if self._jam and fiber.process is not None and fiber.process.begin.parent and seq not in fiber.jammed:
            fiber.jammed.add(seq)
            self._facts.append(Undelivered(fiber.serial, seq, body))
            self._facts.append(Writable(fiber.serial))
            return
        assert seq > fiber.seq, f"frame {seq} of {fiber.serial} after {fiber.seq}"
        fiber.seq = seq
        if isinstance(body, Channel):
            return
        self._arrive(fiber, body)
        if fiber.process is not None and not fiber.process.begin.parent:
            self._facts.append(Received(fiber.serial, seq))

    def _arrive(self, fiber: Fiber, what: Delivery | tuple[int, Message]) -> None:
        fiber.arrivals.append(what)
        self._wake(fiber)

    def post(self, frm: int, to: int, message: Message) -> None:
        fiber = self.fibers.get(to)
        if fiber is not None:
            self._arrive(fiber, (frm, message))

    def kill(self, serial: int) -> None:
        """SIGKILL: nothing more is heard of it but its death."""
        fiber = self.fibers.pop(serial, None)
        if fiber is not None:
            fiber.is_dead = True
            self._facts.append(Exited(serial, CLD_KILLED, SIGKILL))

    # ---- processes --------------------------------------------------------------------------------------------------

    def client(self, main: Callable[[VirtualProcess], None]) -> int:
        """A client that runs ``main``; its serial."""
        self.event(ClientAttached(0, b"secret", 1))
        serial = self.kernel.table.last_client

        def run(fiber: Fiber) -> None:
            fiber.process = VirtualProcess(self, serial, Begin(serial, INSTANCE, 0, ProcessSpec("client"), 0))
            main(fiber.process)

        self._wake(self._start(serial, run))
        return serial

    def _start(self, serial: int, main: Callable[[Fiber], None]) -> Fiber:
        fiber = self.fibers[serial] = Fiber(self, serial, main)
        self._all.append(fiber)
        return fiber

    def _live(self, fiber: Fiber) -> None:
        """From Begin to the exit, as lean.run."""
        begin = fiber.arrivals.popleft()
        assert isinstance(begin, Begin)
        process = fiber.process = VirtualProcess(self, fiber.serial, begin)
        self._enter(fiber)
        try:
            reason = lean.live(process, self._load(begin.spec.start))
            process.finish()
        except Gone:
            raise
        except BaseException as error:
            reason = lean.reason_of_end(error)
        self.check_alive()
        del self.fibers[fiber.serial]
        self._facts.append(Exited(fiber.serial, CLD_EXITED, 0 if reason == "normal" else 1, reason))

    def check_alive(self) -> None:
        """Ends the running process at once when it has been killed meanwhile."""
        if self.running is not None and self.running.is_dead:
            raise Gone

    # ---- time and turns ---------------------------------------------------------------------------------------------

    def wait(self, serial: int, deadline_s: float | None) -> bool:
        """Of the running process: until something arrives or ``deadline_s``; whether something arrived."""
        self.check_alive()
        fiber = self.fibers[serial]
        if not fiber.arrivals:
            self.sleep_until(fiber, deadline_s)
        arrived = bool(fiber.arrivals)
        assert fiber.process is not None
        while fiber.arrivals:
            what = fiber.arrivals.popleft()
            if not isinstance(what, tuple):
                fiber.process.take(what)
            elif isinstance(what[1], Reply):
                fiber.process.mailbox.settle(*what)  # type: ignore[arg-type]
            else:
                fiber.process.mailbox.push(Raw(*what))  # type: ignore[arg-type]
        return arrived

    def sleep(self, serial: int, seconds: float) -> None:
        """Of the running process: it is busy, and reads nothing meanwhile."""
        self.check_alive()
        fiber, until_s = self.fibers[serial], self.now_s + seconds
        while self.now_s < until_s:
            self.sleep_until(fiber, until_s)

    def sleep_until(self, fiber: Fiber, deadline_s: float | None) -> None:
        self._timer_count += 1
        fiber.deadline = self._timer_count
        if deadline_s is not None:
            heapq.heappush(self._timers, (max(deadline_s, self.now_s), self._timer_count, fiber, fiber.deadline))
        self.back.release()
        fiber.go.acquire()
        fiber.deadline = 0
        if fiber.is_dead:
            raise Gone

    def _wake(self, fiber: Fiber) -> None:
        if not fiber.is_queued:
            fiber.is_queued = True
            self._ready.append(fiber)

    def run(self) -> None:
        """Everything that happens at this instant."""
        while self._ready or self._facts:
            while self._ready:
                fiber = self._ready.popleft()
                fiber.is_queued = False
                if not fiber.is_over and not fiber.is_dead:
                    self._resume(fiber)
            if self._facts:
                self.event(self._facts.popleft())

    def _resume(self, fiber: Fiber) -> None:
        self._enter(fiber)
        fiber.go.release()
        self.back.acquire()
        self._enter(None)
        if self.trouble is not None:
            raise self.trouble

    def _enter(self, fiber: Fiber | None) -> None:
        """This is the one that runs, and the process that its code finds itself in."""
        self.running = fiber
        intake._running[:] = [fiber.process] if fiber is not None and fiber.process is not None else []

    def next_s(self) -> float | None:
        """When something is due."""
        while self._timers and (self._timers[0][2].is_dead or self._timers[0][2].deadline != self._timers[0][3]):
            heapq.heappop(self._timers)
        times = [at for at in (self.kernel.next_deadline(), self._timers[0][0] if self._timers else None) if at is not None]
        return min(times, default=None)

    def advance(self, until_s: float) -> bool:
        """Go to what is due next, if that is not after ``until_s``; else to ``until_s``."""
        due = self.next_s()
        if due is None or due > until_s:
            self.now_s = max(self.now_s, until_s)
            return False
        self.now_s = max(self.now_s, due)
        if (ticks := self.kernel.next_deadline()) is not None and ticks <= self.now_s:
            self.event(Ticked())
        while self._timers and self._timers[0][0] <= self.now_s:
            _, _, fiber, deadline = heapq.heappop(self._timers)
            if fiber.deadline == deadline and not fiber.is_dead:
                self._wake(fiber)
        self.run()
        return True

    def close(self) -> None:
        """Unwind every thread."""
        for fiber in self._all:
            fiber.is_dead = True
            if not fiber.is_over:
                self.running = fiber
                fiber.go.release()
                self.back.acquire()
            fiber.join()
