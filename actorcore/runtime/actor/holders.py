"""Who holds a key of a registry, who is in a group: read in shared memory, asked only where it does not stand there.

A read waits for no process: registry, groups and node may be stopped or dead meanwhile.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from actorcore.pids import Pid
from actorcore.runtime.actor.intake import Intake
from actorcore.runtime.actor.process import Process

if TYPE_CHECKING:  # it would bring asyncio to every fork
    from actorcore.runtime.actor.async_process import AsyncProcess


class Holders:
    """What a lean process finds. Errors are those of its ``call``."""

    def __init__(self, process: Process) -> None:
        self._process = process

    def of(self, registry: str, key: str) -> list[tuple[Pid, object]]:
        """Each holder of ``key`` in the registry of this name, with its value; the oldest first."""
        rows = self._process.read_shown(registry, key)
        return _holders(self._process, self._process.call(registry, ["lookup", key]) if rows is False else rows)

    def members(self, groups: str, group: str) -> list[Pid]:
        """The members of ``group`` in the groups of this name, each as often as it has joined."""
        rows = self._process.read_shown(groups, group)
        return _members(self._process, self._process.call(groups, ["members", group]) if rows is False else rows)


class AsyncHolders:
    """The same in a loop."""

    def __init__(self, process: AsyncProcess) -> None:
        self._process = process

    async def of(self, registry: str, key: str) -> list[tuple[Pid, object]]:
        rows = self._process.read_shown(registry, key)
        return _holders(self._process, await self._process.call(registry, ["lookup", key]) if rows is False else rows)

    async def members(self, groups: str, group: str) -> list[Pid]:
        rows = self._process.read_shown(groups, group)
        return _members(self._process, await self._process.call(groups, ["members", group]) if rows is False else rows)


def _holders(process: Intake, rows: Any) -> list[tuple[Pid, object]]:
    return [(Pid(process.self_pid.instance, serial), value) for serial, value in rows or ()]


def _members(process: Intake, rows: Any) -> list[Pid]:
    return [Pid(process.self_pid.instance, serial) for serial in rows or ()]
