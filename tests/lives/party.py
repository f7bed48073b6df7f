"""Party: one process, client or resident as the book knows it, with all that it is still due."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from actorcore.signals import Exit
from actorcore.words import ProcessSpec


class Some:
    """Equal to any of its values: where the book cannot know which."""

    def __init__(self, *values: object) -> None:
        self.values = values

    def __eq__(self, other: object) -> bool:
        return not self.values or other in self.values

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"one of {self.values}"


class Blocked(Some):
    """Any answer to an introduction; it may be missing while ``to`` cannot be spoken to."""

    def __init__(self, to: int) -> None:
        super().__init__()
        self.to = to


ANY: Any = Some()
NOT_YET: Any = object()
"""The answer to a start, until the book knows how the start has ended."""
BY_SUPERVISOR: Any = Some("shutdown", "killed")


@dataclass
class Held:
    """A name: who has it (0: nobody yet), who gave it, and who keeps it for a next child (0: nobody)."""

    holder: int
    registrar: int
    owner: int = 0
    value: bytes = b""


class Party:
    """One process, client or resident. ``alive``: signals reach it. ``downs``, ``exits``, ``peer_downs``, ``waits`` are due.

    ``full``: its socket takes nothing; ``jammed``: the node knows. ``deaf``: its connection is dead, and the node does not
    know. ``gaps``: frames that need not come, channels to those who died meanwhile.
    """

    __slots__ = (
        "alive",
        "attached",
        "deadline",
        "deaf",
        "downs",
        "exits",
        "full",
        "gaps",
        "hangs_at",
        "is_hung",
        "is_session",
        "is_stopped",
        "jammed",
        "kind",
        "last_number",
        "links",
        "lost",
        "may_spawn",
        "name",
        "number",
        "ordered",
        "os_pid",
        "parent",
        "peer_downs",
        "peers",
        "phase",
        "seen",
        "serial",
        "spec",
        "starter",
        "traps",
        "waits",
        "watchers",
        "watching",
    )  # fmt: skip

    def __init__(self, serial: int, kind: str, phase: str) -> None:
        self.serial, self.kind, self.phase = serial, kind, phase
        self.alive = self.may_spawn = True
        self.is_stopped = self.is_hung = False
        self.hangs_at: float | None = None
        self.traps = self.is_session = self.full = self.jammed = self.deaf = self.attached = self.lost = False
        self.name: str | None = None
        self.spec: ProcessSpec | None = None
        self.ordered: Any = None
        self.starter: tuple[Party, int] | None = None
        self.deadline: float | None = None
        self.parent = self.number = self.last_number = self.seen = self.os_pid = 0
        self.links: dict[int, None] = {}
        self.watchers: dict[tuple[int, int], bool] = {}
        self.watching: dict[int, int] = {}
        self.peers: dict[int, None] = {}
        self.waits: dict[int, Any] = {}
        self.downs: dict[int, tuple[int, Any]] = {}
        self.exits: list[Exit] = []
        self.peer_downs: dict[int, list[Any]] = {}
        self.gaps: set[int] = set()

    def is_reachable(self) -> bool:
        """Whether all that is due to it must have come."""
        if self.kind == "client":
            return self.attached and not (self.full or self.jammed or self.deaf)
        return self.phase in ("booting", "running", "refused") and not (self.full or self.jammed)
