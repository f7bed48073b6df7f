"""TaskPool: a Task.Supervisor that makes tasks wait for their turn instead of refusing them.

Whoever starts a task gets the answer when it has its place, so a pool bounds the tasks of all its callers together.
"""

from __future__ import annotations

from collections import deque

import msgspec

from actorcore.exit_reason import KILL, Reason
from actorcore.frames import decode_ext, encoder
from actorcore.residents import AnswerTo, CancelAlarm, SetAlarm
from actorcore.signals import Alarm, Begin, Delivery, SendExit, Started
from supervisors.services.told import tell_manager
from supervisors.tree.base import Refusal
from supervisors.tree.dynamic_supervisor import DynamicSupervisor
from supervisors.tree.spec import Child, DynamicSpec, PoolSpec, trouble_with_child, trouble_with_pool
from supervisors.tree.words import Asker, Configure, Life, StartChild, StartStep, Step, SupervisorRequest

TIMEOUT: Reason = "timeout"
LATE, DEADLY = "late ", "deadly "
"""Alarms: before the key of the task that is to be told, or killed."""
MAX_WAITING_BYTES = 4 << 20
"""Of the specs that wait: they are part of each snapshot of the node."""
KILL_AFTER_S = 1.0
"""A task that traps the exit signal has so long."""


class Memory(msgspec.Struct):
    """The whole state: ``base`` is that of a DynamicSupervisor; ``waiting``: who wants what, the oldest first; ``name``: its
    own; ``is_refusing``: nothing was taken since the last refusal, which was told."""

    base: bytes
    spec: PoolSpec
    waiting: list[tuple[Asker, Child]] = []
    name: str = ""
    is_refusing: bool = False


_decoder = msgspec.msgpack.Decoder(Memory, ext_hook=decode_ext)


class TaskPool(DynamicSupervisor):
    """The machine."""

    def __init__(self, spec: PoolSpec | None = None) -> None:
        self.pool = spec or PoolSpec()
        super().__init__(DynamicSpec(self.pool.intensity, self.pool.period_s))
        self._waiting: deque[tuple[Asker, Child]] = deque()
        self._waiting_bytes = 0
        self._name, self._is_refusing = "", False

    def snapshot(self) -> bytes:
        """The whole state."""
        return encoder.encode(Memory(super().snapshot(), self.pool, list(self._waiting), self._name, self._is_refusing))

    def restore(self, state: bytes) -> None:
        """Become what :meth:`snapshot` described."""
        memory = _decoder.decode(state)
        super().restore(memory.base)
        self.pool, self._waiting = memory.spec, deque(memory.waiting)
        self._name, self._is_refusing = memory.name, memory.is_refusing
        self._waiting_bytes = sum(_size_bytes(child) for _, child in self._waiting)

    def _first_steps(self) -> list[Step] | str:
        return trouble_with_pool(self.pool) or super()._first_steps()

    def _serve(self, asker: Asker, request: SupervisorRequest) -> Refusal | None:
        match request:
            case StartChild(child):
                if (trouble := trouble_with_child(child, "never")) is not None:
                    return ("invalid_spec", trouble)
                return self._put_off(asker, child)
            case Configure(spec):
                if (trouble := trouble_with_pool(spec)) is not None:
                    return ("invalid_spec", trouble)
                self.pool = spec
                self._set_spec(DynamicSpec(spec.intensity, spec.period_s))
                self.orders.append(AnswerTo(*asker, True))
                return None
        return super()._serve(asker, request)

    def _put_off(self, asker: Asker, child: Child) -> Refusal | None:
        """Into the queue; one that has its place at once waits there for nothing."""
        places = max(0, self.pool.size - len(self.children))
        if len(self._waiting) >= self.pool.max_waiting + places or self._waiting_bytes > MAX_WAITING_BYTES:
            if not self._is_refusing:
                self._is_refusing = True
                self.orders.append(tell_manager("service_refused", name=self._name, code="busy"))
            return ("busy", len(self._waiting))
        self._is_refusing = False
        self._waiting.append((asker, child))
        self._waiting_bytes += _size_bytes(child)
        return None

    def _resume(self) -> bool:
        if not self._waiting or len(self.children) >= self.pool.size:
            return False
        asker, child = self._waiting.popleft()
        self._waiting_bytes -= _size_bytes(child)
        self._agenda.append(StartStep(self._add(child).key, "request", asker))
        return True

    def _leave(self, reason: Reason, asker: Asker | None = None) -> None:
        self._waiting.clear()  # their requests fail with the pool
        self._waiting_bytes = 0
        super()._leave(reason, asker)

    # ---- tasks that take too long -----------------------------------------------------------------------------------

    def _on_started(self, fact: Started) -> None:
        key = 0 if self._start is None else self._start.key
        super()._on_started(fact)
        if key in self.children and self.children[key].serial and self.pool.timeout_s is not None:
            self.orders.append(SetAlarm(f"{LATE}{key}", self.now + self.pool.timeout_s))

    def _receive(self, body: Delivery) -> None:
        if isinstance(body, Begin):
            self._name = body.spec.name or ""
        if isinstance(body, Alarm) and body.key.startswith((LATE, DEADLY)):
            self._end_late(body.key)
        else:
            super()._receive(body)

    def _end_late(self, alarm: str) -> None:
        word, _, key = alarm.rpartition(" ")
        life = self.children.get(int(key))
        if life is None or not life.serial:
            return
        is_first = f"{word} " == LATE
        self._do(SendExit(life.serial, TIMEOUT if is_first else KILL))
        if is_first:
            self.orders.append(SetAlarm(f"{DEADLY}{key}", self.now + KILL_AFTER_S))

    def _on_death(self, life: Life, reason: Reason) -> None:
        """Restarted, it has its whole time again: what was to kill the task before is not meant for it."""
        self.orders += [CancelAlarm(f"{LATE}{life.key}"), CancelAlarm(f"{DEADLY}{life.key}")]
        super()._on_death(life, reason)


def _size_bytes(child: Child) -> int:
    return len(encoder.encode(child))
