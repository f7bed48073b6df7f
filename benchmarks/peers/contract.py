"""What every peer offers, and how it is timed: the same code for all of them.

A peer says how it starts an actor, talks to it, hears of its death and gets another in its place; what it does not offer
it names in ``lacks``, with the reason. Only the standard library is imported here: a peer may live in another
environment than ours. Where a peer runs in its own world (a loop, another VM) it overrides what it must, and says so.
"""

from __future__ import annotations

import os
import platform
import select
import shutil
import signal
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

from benchmarks.peers.process_tree import tree_pss_mb

BODY = b"x" * 64
PAUSE_S = 0.02
"""Before a spawn, and before a kill: for everybody to be at rest."""
REST_S = 0.5
"""Between two looks at memory: for what is started, or ends, beside the actors."""
Actor = TypeVar("Actor")


class Missing(Exception):
    """What a peer needs is not installed; the text says what, and where it is to be had."""


class Peer(ABC, Generic[Actor]):
    """One way of having actors, opened once and then asked for single measurements."""

    lacks: Mapping[str, str] = {}
    """Figure → why there is none."""
    remarks: Mapping[str, str] = {}
    """Figure → what its reader must know: what tells of the death, who replaces, what differs."""
    settle_s = PAUSE_S
    """How long an actor lives before it is killed; longer where a death soon after the start is punished."""
    calls_each, casts_each = 200, 2_000
    """Messages in one measurement."""
    idle_actors, storm_actors = 8, 16
    _companion: Actor | None = None

    # ---- what a peer says --------------------------------------------------------------------------------------------

    @abstractmethod
    def version(self) -> str:
        """As its authors write it."""

    @abstractmethod
    def open(self) -> None:
        """Start what there must be before the first actor.

        :raises Missing: it is not installed.
        """

    @abstractmethod
    def close(self) -> None:
        """End it in the way that it documents."""

    @abstractmethod
    def spawn(self) -> Actor:
        """A new actor that has answered once."""

    @abstractmethod
    def end(self, actor: Actor) -> None:
        """End it in the way that it documents, and have it gone."""

    def calls(self, actor: Actor, count: int) -> None:
        """So many calls with BODY, one after the other, each answered with BODY."""
        raise NotImplementedError

    def casts(self, actor: Actor, count: int) -> None:
        """So many messages BODY that nobody answers, until the last one has been handled."""
        raise NotImplementedError

    def os_pid(self, actor: Actor) -> int:
        """The process that it is."""
        raise NotImplementedError

    def spawn_watched(self) -> Actor:
        """As :meth:`spawn`, by somebody who is told of its death."""
        return self.spawn()

    def watch(self, actor: Actor) -> Callable[[], object]:
        """Do what must be done before the death; what is returned waits until this program knows of it."""
        raise NotImplementedError

    def supervise(self) -> Actor:
        """As :meth:`spawn`, and it will be replaced when it dies."""
        return self.spawn()

    def spawn_many(self, count: int) -> list[Actor]:
        """Faster than one after the other where that matters; nobody times it."""
        return [self.spawn() for _ in range(count)]

    def supervise_many(self, count: int) -> list[Actor]:
        """As :meth:`spawn_many`."""
        return [self.supervise() for _ in range(count)]

    def await_replacement(self, actor: Actor) -> None:
        """It has been killed: wait until another in its place answers; from now on ``actor`` means that one."""
        raise NotImplementedError

    def await_replacements(self, actors: list[Actor]) -> None:
        """As :meth:`await_replacement`, of many; overridden where they would be started one after the other."""
        for actor in actors:
            self.await_replacement(actor)

    def run(self, measure: Callable[[], None]) -> None:
        """Open, measure, close."""
        self.open()
        try:
            measure()
        finally:
            self.close()

    # ---- the figures -------------------------------------------------------------------------------------------------

    def spawn_us(self) -> float:
        pause(PAUSE_S)
        started = time.perf_counter_ns()
        actor = self.spawn()
        spent = (time.perf_counter_ns() - started) / 1e3
        self.end(actor)
        return spent

    def call_us(self) -> float:
        actor = self.companion()
        started = time.perf_counter_ns()
        self.calls(actor, self.calls_each)
        return (time.perf_counter_ns() - started) / 1e3 / self.calls_each

    def casts_per_s(self) -> float:
        actor = self.companion()
        started = time.perf_counter_ns()
        self.casts(actor, self.casts_each)
        return self.casts_each / (time.perf_counter_ns() - started) * 1e9

    def told_us(self) -> float:
        actor = self.spawn_watched()
        os_pid = self.os_pid(actor)
        await_told = self.watch(actor)
        pause(self.settle_s)
        started = kill(os_pid)
        await_told()
        return (time.perf_counter_ns() - started) / 1e3

    def replaced_us(self) -> float:
        actor = self.supervise()
        os_pid = self.os_pid(actor)
        pause(self.settle_s)
        started = kill(os_pid)
        self.await_replacement(actor)
        spent = (time.perf_counter_ns() - started) / 1e3
        self.end(actor)
        return spent

    def storm_ms(self) -> float:
        """Until the last of ``storm_actors``, killed one after the other without a pause, has been replaced."""
        actors = self.supervise_many(self.storm_actors)
        os_pids = [self.os_pid(actor) for actor in actors]
        pause(self.settle_s)
        started = time.perf_counter_ns()
        for os_pid in os_pids:
            kill(os_pid)
        self.await_replacements(actors)
        spent = (time.perf_counter_ns() - started) / 1e6
        for actor in actors:
            self.end(actor)
        return spent

    def idle_mb(self) -> float:
        """The proportional set size of this program and all of its descendants, as it grows with each idle actor."""
        before = resting_pss_mb()
        actors = self.spawn_many(self.idle_actors)
        grown = resting_pss_mb() - before
        for actor in actors:
            self.end(actor)
        return grown / self.idle_actors

    # ---- for them ----------------------------------------------------------------------------------------------------

    def companion(self) -> Actor:
        """The actor that is talked to: one for all measurements."""
        if self._companion is None:
            self._companion = self.spawn()
        return self._companion


def kill(os_pid: int) -> int:
    """SIGKILL it; when that was, ns."""
    now = time.perf_counter_ns()
    os.kill(os_pid, signal.SIGKILL)
    return now


FIGURES: Mapping[str, str] = {
    "memory": "idle_mb", "spawn": "spawn_us", "call": "call_us", "casts": "casts_per_s", "told": "told_us",
    "replaced": "replaced_us", "storm": "storm_ms",
}  # fmt: skip
"""Figure → the method that takes one measurement of it."""


def resting_pss_mb() -> float:
    """The memory of this program and all below it, when it does not change any more: within one per cent in REST_S."""
    before, now = 0.0, tree_pss_mb()
    while abs(now - before) > now / 100:
        pause(REST_S)
        before, now = now, tree_pss_mb()
    return now


def pause(seconds: float) -> None:
    """Let others finish what nobody can be told about: what a supervisor writes down, or starts beside an actor."""
    select.select([], [], [], seconds)


class OfPython(Peer[Actor]):
    """What the standard library offers: nothing is opened, and in the end there is nothing but the companion to end."""

    def version(self) -> str:
        return f"CPython {platform.python_version()}"

    def open(self) -> None:
        pass

    def close(self) -> None:
        self.end(self.companion())


def program(name: str, package: str) -> str:
    """The path of a program.

    :raises Missing: none of that name is on the path.
    """
    found = shutil.which(name)
    if found is None:
        raise Missing(f"no {name}: it is in the package {package}")
    return found
