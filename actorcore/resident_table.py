"""ResidentTable: which residents there are, by serial. Those of the node's own have names, and are there from the beginning;
the others are machines that somebody has spawned.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from actorcore.names import RESERVED_PREFIX
from actorcore.residents import Machines, Resident
from actorcore.signals import Begin

DESK = "node"
"""The name of the one that answers for the node itself, and stays to the end."""


class Spawned(NamedTuple):
    """The machine, and its name."""

    kind: str
    resident: Resident


class ResidentTable:
    """``own`` are by name; ``machines`` makes those that somebody spawns; ``add`` gives a serial to a registered name."""

    def __init__(self, own: dict[str, Resident], machines: Machines, add: Callable[[str], int]) -> None:
        self.own = own
        self.machines = machines
        self.serials = {name: add(RESERVED_PREFIX + name) for name in own}
        self.spawned: dict[int, Spawned] = {}
        self.by_serial = {serial: own[name] for name, serial in self.serials.items()}

    @property
    def desk_serial(self) -> int:
        return self.serials[DESK]

    def kind_of(self, serial: int) -> str:
        """The machine that it is, or its name."""
        spawned = self.spawned.get(serial)
        return RESERVED_PREFIX + self._name_of(serial) if spawned is None else spawned.kind

    def make(self, begin: Begin) -> str | None:
        """The machine that somebody has spawned, or what is wrong with its spec."""
        machine = self.machines.get(begin.spec.start)
        if machine is None:
            return f"start: one of {', '.join(sorted(self.machines)) or 'none'}"
        try:
            resident = machine(begin.spec.args)
        except ValueError as error:
            return f"args: {error}"
        self._add(begin.serial, Spawned(begin.spec.start, resident))
        return None

    def drop(self, serial: int) -> None:
        """It was spawned, and has ended."""
        del self.spawned[serial], self.by_serial[serial]

    def leave(self, serial: int) -> None:
        """One of the node's own has ended for good; of the others nothing is forgotten yet."""
        if serial in self.by_serial and serial not in self.spawned:
            name = self._name_of(serial)
            del self.serials[name], self.own[name], self.by_serial[serial]

    def revive(self, before: int, add: Callable[[str], int]) -> tuple[str, int]:
        """One of the node's own was killed, and nothing else may bring it back: its state is data. Its name, its new serial."""
        name = self._name_of(before)
        serial = self.serials[name] = add(RESERVED_PREFIX + name)
        self.by_serial[serial] = self.by_serial.pop(before)
        return RESERVED_PREFIX + name, serial

    # ---- code and state ---------------------------------------------------------------------------------------------

    def restorable(self) -> list[str]:
        """What this code can restore: machines that may be spawned, and the node's own."""
        return sorted([*self.machines, *self._own_names()])

    def not_restored_by(self, restorable: list[str]) -> list[str]:
        """What is running and not among these."""
        return sorted({*self._own_names(), *(one.kind for one in self.spawned.values())} - set(restorable))

    def snapshot(self) -> tuple[dict[str, tuple[int, bytes]], list[tuple[int, str, bytes]]]:
        """The node's own by name, the others as serial, machine and state."""
        own = {name: (self.serials[name], resident.snapshot()) for name, resident in self.own.items()}
        return own, [(serial, kind, resident.snapshot()) for serial, (kind, resident) in self.spawned.items()]

    def restore(
        self, own: dict[str, tuple[int, bytes]], spawned: list[tuple[int, str, bytes]], add: Callable[[str], int] | None
    ) -> None:
        """Become what :meth:`snapshot` described. ``add``: for those of which the code before had none; None: none comes now."""
        later = [name for name in self.own if name not in own and add is not None]
        self.serials = {name: serial for name, (serial, _) in own.items()}
        self.serials |= {name: add(RESERVED_PREFIX + name) for name in later if add is not None}
        self.own = {name: self.own[name] for name in self.serials}
        for name, (_, state) in own.items():
            self.own[name].restore(state)
        self.by_serial = {serial: self.own[name] for name, serial in self.serials.items()}
        self.spawned = {}
        for serial, kind, state in spawned:
            resident = self.machines[kind]([])
            resident.restore(state)
            self._add(serial, Spawned(kind, resident))

    def _add(self, serial: int, spawned: Spawned) -> None:
        self.spawned[serial], self.by_serial[serial] = spawned, spawned.resident

    def _name_of(self, serial: int) -> str:
        return next(name for name, known in self.serials.items() if known == serial)

    def _own_names(self) -> list[str]:
        return [RESERVED_PREFIX + name for name in self.own]
