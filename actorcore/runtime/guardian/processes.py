"""The processes in the guardian's keeping: of each its control socket, pidfd and, until the node has acted on it, its death."""

from __future__ import annotations

import os
import signal
import socket
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from actorcore.faults import point
from actorcore.guardian_words import HELD_PER_DATAGRAM, Adopted, Died, Halted, Held, HeldProcess, ToNode, Unheld
from actorcore.runtime import children, clock, descriptors, sockets
from actorcore.runtime.children import Death

UNCLAIMED_MAX = 4096
MOURNING_S = 5.0
"""A death is told when no descendant is left, or after this time if that cannot be had."""


@dataclass
class Kept:
    """One process of the table, as the guardian keeps it."""

    control: socket.socket
    os_pid: int = 0
    pidfd: int = -1
    stopped: bool = False
    died: Died | None = None

    @property
    def known_pid(self) -> int:
        """Its OS pid if there is a pidfd to go with it, else 0."""
        return self.os_pid if self.pidfd >= 0 else 0

    def close(self) -> None:
        self.control.close()
        if self.pidfd >= 0:
            os.close(self.pidfd)


class Processes:
    """By serial. ``tell`` is for the node; ``hear`` has it say whom it has ordered and adopts; ``others`` are the OS pids of all
    children of the guardian that are no processes of the table."""

    def __init__(
        self, tell: Callable[[ToNode, Sequence[int]], None], hear: Callable[[], None], others: Callable[[], set[int]]
    ) -> None:
        self._tell = tell
        self._hear = hear
        self._others = others
        self._kept: dict[int, Kept] = {}
        self._serial_of: dict[int, int] = {}
        self._unclaimed: dict[int, Died] = {}
        self._untold: set[int] = set()
        self._orphans = children.Orphans(self._strangers, self._is_one_unborn)
        self._mourned: deque[Died] = deque()
        self._mourned_until_s = 0.0

    def knows(self, os_pid: int) -> bool:
        """Whether it is one that was adopted."""
        return os_pid in self._serial_of

    # ---- what the node says -----------------------------------------------------------------------------------------

    def hold(self, serial: int, fds: list[int]) -> None:
        point("guardian.hold")
        if not fds or descriptors.is_last(fds[0], len(self._kept) - len(self._serial_of)):
            sockets.close_all(fds)
            self._tell(Unheld(serial, "emfile"), ())
            return
        previous = self._kept.get(serial)
        if previous is not None:  # forked again: its first order had been lost with a zygote
            previous.close()
        self._kept[serial] = Kept(socket.socket(fileno=fds[0]))

    def adopt(self, serial: int, os_pid: int) -> None:
        kept = self._kept.get(serial)
        if kept is None:
            return
        if kept.os_pid == 0 and kept.died is None:
            gone = self._unclaimed.pop(os_pid, Died(0, os.CLD_KILLED, signal.SIGKILL))
            if children.is_child(os_pid):  # then who died unclaimed had the same number before it
                point("guardian.adopt")
                kept.os_pid, kept.pidfd = os_pid, children.open_or_kill(os_pid)
                self._serial_of[os_pid] = serial
                point("guardian.adopted")
            else:
                kept.died = Died(serial, gone.code, gone.status, gone.is_oom)
        if kept.pidfd >= 0:
            self._tell(Adopted(serial), [kept.pidfd])
        elif kept.died is not None:
            self._tell(kept.died, ())

    def drop(self, serial: int) -> None:
        kept = self._kept.pop(serial, None)
        if kept is None:
            return
        if kept.died is None and kept.os_pid:
            self._serial_of.pop(kept.os_pid, None)
            children.kill(kept.os_pid)
        kept.close()

    def hand_over(self) -> Iterator[tuple[ToNode, list[int]]]:
        """What a new node is told of all of them before its turn begins; their deaths come after it."""
        self._untold.clear()
        everybody = list(self._kept.items())
        for at in range(0, len(everybody), HELD_PER_DATAGRAM):
            some = everybody[at : at + HELD_PER_DATAGRAM]
            fds = [fd for _, kept in some for fd in (kept.control.fileno(), kept.pidfd) if fd >= 0]
            yield Held([HeldProcess(serial, kept.known_pid, kept.stopped) for serial, kept in some]), fds

    def deaths(self) -> Iterator[Died]:
        """Those that have been told and are still to be acted on."""
        return (kept.died for kept in self._kept.values() if kept.died is not None and kept.died not in self._mourned)

    def close(self) -> None:
        for kept in self._kept.values():
            kept.control.close()

    # ---- stops and deaths -------------------------------------------------------------------------------------------

    def on_halted(self, os_pid: int, stopped: bool) -> bool:
        """Whether it was one of them that stopped or goes on."""
        if os_pid not in self._serial_of:
            self._hear()
        serial = self._serial_of.get(os_pid)
        if serial is None:
            return False
        self._kept[serial].stopped = stopped
        self._untold.add(serial)
        return True

    def tell_halted(self) -> None:
        """Of each the last change: whoever sends STOP and CONT may be faster than the node."""
        for serial in self._untold & self._kept.keys():
            self._tell(Halted(serial, self._kept[serial].stopped), ())
        self._untold.clear()

    def on_death(self, death: Death) -> bool:
        """Whether it was one of them; :meth:`mourn` tells it."""
        serial = self._serial_of.pop(death.os_pid, None)
        if serial is None:
            return False
        self._untold.discard(serial)
        self._kept[serial].died = died = Died(serial, death.code, death.status, death.is_oom)
        if not self._mourned:
            self._mourned_until_s = clock.monotonic_s() + MOURNING_S
        self._mourned.append(died)
        return True

    def on_strange_death(self, death: Death) -> None:
        """Nobody knows it: it may be adopted yet."""
        self._unclaimed[death.os_pid] = Died(0, death.code, death.status, death.is_oom)
        while len(self._unclaimed) > UNCLAIMED_MAX:
            self._unclaimed.pop(next(iter(self._unclaimed)))

    def mourn(self, has_died: bool) -> bool:
        """Tell the deaths whose descendants are gone; whether some are still to be told. ``has_died``: somebody, just now."""
        may_be_his = has_died and bool(self._orphans.undying)
        if (self._mourned or may_be_his) and (self._orphans.sweep() or clock.monotonic_s() >= self._mourned_until_s):
            self._orphans.give_up()
            while self._mourned:
                self._tell(self._mourned.popleft(), ())
        return bool(self._mourned)

    def _is_one_unborn(self) -> bool:
        """Whether somebody may be there who was ordered and is not adopted."""
        self._hear()
        return any(not (kept.os_pid or kept.died) for kept in self._kept.values())

    def _strangers(self, some: set[int]) -> set[int]:
        return some.difference(self._serial_of, self._others())
