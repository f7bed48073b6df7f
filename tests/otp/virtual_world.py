"""Core mode: a vector in virtual time, over the kernel, by the code of lean processes and the machines of supervisors."""

from __future__ import annotations

import itertools
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from actorcore.errors import CallFailed
from actorcore.exit_reason import Reason
from actorcore.residents import Order
from actorcore.runtime.actor import intake, lean, messaging, node_requests, process, tasks
from actorcore.signals import Asked, SendExit
from actorcore.words import AUTO
from tests.otp import actors, otpvec
from tests.otp.actors import SCENES, Operations
from tests.otp.announced import ANNOUNCED
from tests.otp.scene import DRIVER, labelled, told
from tests.otp.virtual import VirtualProcess, World

TICK_S = 0.025
"""As the recorder of the vectors (FORMAT.md §5)."""
SETTLE = 3
_tokens = itertools.count(1)


@dataclass(frozen=True)
class Mode:
    """``external_kill``: kill is a SIGKILL behind the kernel's back. ``warm``: processes come from a pool. ``twin``: after
    every event a new kernel continues from a snapshot. ``jam``: every process refuses each frame once.
    """

    external_kill: bool = False
    warm: bool = False
    twin: bool = False
    jam: bool = False


CLOCKED = (actors, intake, lean, messaging, node_requests, process, tasks)
"""The modules that look at the clock in a virtual process."""


@contextmanager
def clock_of(world: World) -> Iterator[None]:
    """Until the end of the block the clock is the world's, and what a dying process complains of is not printed."""
    before = [(module, name, getattr(module, name)) for module in CLOCKED for name in CLOCKS if hasattr(module, name)]
    for module, name, _ in before:
        setattr(module, name, CLOCKS[name](world))
    try:
        yield
    finally:
        for module, name, function in before:
            setattr(module, name, function)


CLOCKS: dict[str, Callable[[World], Callable[..., float | None]]] = {
    "monotonic_s": lambda world: lambda: world.now_s,
    "monotonic_ns": lambda world: lambda: int(world.now_s * 1e9),
    "complain": lambda world: lambda text: None,
}


class Driver(Operations):
    """The driver: the operations of an actor, without a life of its own."""

    def __init__(self, process: VirtualProcess, its: VirtualScene) -> None:
        self.process = process
        self.scene = its
        self.serial, self.label, self.refs, self.groups = process.serial, DRIVER, {}, {}


class VirtualScene:
    """The scenario's memory; see Scene."""

    def __init__(self, vector: dict[str, Any], mode: Mode) -> None:
        self.definitions: dict[str, Any] = vector["defs"]
        self.tick_s = TICK_S
        self.token = f"virtual:{next(_tokens)}"
        self.instances: dict[str, str] = {}
        self.events: list[list[Any]] = []
        self.last_line_s = 0.0
        self.labels: dict[int, str] = {}
        self.serials: dict[str, int] = {}
        self._starts: Counter[str] = Counter()
        self._inits: Counter[str] = Counter()
        self.mode = mode
        self.placement, self.template = "resident", AUTO
        self.world = World(ANNOUNCED, self._on_death, lean.load, mode.external_kill, mode.warm, mode.twin, mode.jam)

    def _on_death(self, serial: int, reason: Reason) -> None:
        if serial in self.labels:
            self.write(self.labels[serial], "down", labelled(self, told(reason)))

    def write(self, label: str, *event: object) -> None:
        if event[0] != "down":
            self.world.check_alive()
        self.last_line_s = self.world.now_s
        self.events.append([label, *event])
        if event[0] == "init":
            self._inits[label.split("#")[0]] += 1

    def announce(self, serial: int, label: str) -> list[Order]:
        self.write(label, "init")
        return []

    def close(self) -> None:
        """Its world is closed by who made it."""

    def introduce(self, serial: int, name: str, os_pid: int = 0, definition: str = "") -> str:
        if definition:
            self.instances[name] = definition
        if serial not in self.labels:
            self._starts[name] += 1
            self.labels[serial] = name if name == DRIVER else f"{name}#{self._starts[name]}"
            self.serials[self.labels[serial]] = self.serials[name] = serial
        return self.labels[serial]

    def label(self, serial: int) -> str:
        return self.labels.get(serial, "*")

    def find(self, target: str) -> int | None:
        return self.serials.get(target)

    def inits(self, name: str) -> int:
        return self._inits[name]

    def definition_of(self, name: str) -> str:
        return self.instances[name]

    def kill(self, serial: int) -> bool:
        world = self.world
        if serial in world.fibers and self.mode.external_kill:
            world.kill(serial)
        else:
            driver = world.fibers[self.serials[DRIVER]].process
            assert driver is not None
            driver._number += 1
            world.event(Asked(driver.serial, driver._number, SendExit(serial, "kill")))
        return True

    def sleep(self, serial: int, ticks: float) -> None:
        self.world.sleep(serial, ticks * TICK_S)


class Play:
    """One vector."""

    def __init__(self, vector: dict[str, Any], mode: Mode) -> None:
        self.vector = vector
        self.scene = VirtualScene(vector, mode)
        self.world = self.scene.world
        self.results: list[Any] = []
        self._firsts: list[int] = []
        self._steps: deque[dict[str, Any]] = deque()

    def run(self) -> dict[str, Any]:
        """All steps; the raw trace of FORMAT.md §6."""
        world, waiting = self.world, deque(self.vector["steps"])
        serial = world.client(self._drive)
        self.scene.introduce(serial, DRIVER)
        world.run()
        while waiting:
            # Steps without settling follow at once: nobody else runs between them unless they wait.
            self._steps.append(step := waiting.popleft())
            while waiting and step.get("settle", SETTLE) == 0:
                self._steps.append(step := waiting.popleft())
            count = len(self.results) + len(self._steps)
            world._wake(world.fibers[serial])
            world.run()
            while len(self.results) < count:
                if not world.advance(world.now_s + 3600):
                    raise AssertionError(f"step {count} never ends: {step}")
            self.settle(step.get("settle", SETTLE))
        ends = [*self._firsts[1:], len(self.scene.events)]
        table = world.kernel.table
        alive = [
            label for one, label in self.scene.labels.items()
            if label != DRIVER and table.row(one) is not None and table.row(one).phase != "dying"  # type: ignore[union-attr]
        ]  # fmt: skip
        return {
            "steps": [
                {"result": result, "events": self.scene.events[first:end]}
                for result, first, end in zip(self.results, self._firsts, ends, strict=True)
            ],
            "final": {"alive": alive},
        }

    def settle(self, ticks: int) -> None:
        """FORMAT.md §5: until no line has appeared for ``ticks``."""
        world = self.world
        self.scene.last_line_s = world.now_s
        while world.advance(self.scene.last_line_s + ticks * TICK_S):
            pass

    def _drive(self, process: VirtualProcess) -> None:
        driver = Driver(process, self.scene)
        process.trap_exit(True)
        while True:
            while not self._steps:
                self._read(driver)
                self.world.sleep_until(self.world.fibers[process.serial], None)
                process.pump(0.0)
            step = self._steps.popleft()
            self._firsts.append(len(self.scene.events))
            self.results.append(self._do(driver, step) if step["op"] == "do" else driver.execute(step))

    def _read(self, driver: Driver) -> None:
        """Log what has come."""
        while driver.process.mailbox.items:
            event = driver.process.receive(0.0)
            if event is not None:
                self.scene.write(DRIVER, *driver.event(event))

    def _do(self, driver: Driver, step: dict[str, Any]) -> Any:
        to = driver.resolve(step["who"])
        if to is None:
            return {"error": "no_such_actor"}
        if not step.get("wait", True):
            driver.process.send(to, {"ops": step["ops"]})
            return "started"
        try:
            return driver.process.call(to, {"ops": step["ops"]}, None)
        except CallFailed as failure:
            return {"down": told(failure.reason)}


def play(vector: dict[str, Any], mode: Mode) -> list[str]:
    """The differences from OTP, always compared strictly."""
    playing = Play(vector, mode)
    SCENES.append(lambda token: playing.scene)
    try:
        with clock_of(playing.world):
            try:
                trace = playing.run()
            finally:
                playing.world.close()
    finally:
        SCENES.pop()
    return otpvec.diff(vector, trace, strict=True)  # type: ignore[no-any-return,no-untyped-call]
