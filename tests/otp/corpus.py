"""The corpus of vectors, and which of them a runner can play."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

VECTORS = Path(__file__).parent / "vectors"
KINDS = {mode: frozenset({"proc", "server", "sup", "dynsup", "registry", "task_sup", "pg"}) for mode in ("core", "processes")}
"""Of actors that are built, by mode."""
MACHINES = frozenset({"sup", "dynsup", "registry", "task_sup", "pg"})
"""Kinds that run as residents of the node or in processes of their own."""


def load(directory: Path) -> list[dict[str, Any]]:
    """All vectors of ``directory``, by id."""
    return sorted((json.loads(path.read_text()) for path in directory.glob("*.json")), key=lambda vector: vector["id"])


def placements_of(vector: dict[str, Any], wanted: tuple[str, ...]) -> tuple[str, ...]:
    """In which of the ``wanted`` placements ``vector`` differs: one that has nothing to place is played once."""
    return wanted if MACHINES.intersection(vector["kinds"]) else wanted[:1]


def is_playable(vector: dict[str, Any], mode: str) -> bool:
    return KINDS[mode].issuperset(vector["kinds"])
