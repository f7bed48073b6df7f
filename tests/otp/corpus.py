"""The corpus of vectors, and which of them a runner can play."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

VECTORS = Path(__file__).parent / "vectors"
KINDS = {
    "core": frozenset({"proc", "server", "sup", "dynsup", "registry", "task_sup", "pg"}),
    "processes": frozenset({"proc", "server"}),
}
"""Of actors that are built, by mode."""


def load(directory: Path) -> list[dict[str, Any]]:
    """All vectors of ``directory``, by id."""
    return sorted((json.loads(path.read_text()) for path in directory.glob("*.json")), key=lambda vector: vector["id"])


def is_playable(vector: dict[str, Any], mode: str) -> bool:
    return KINDS[mode].issuperset(vector["kinds"])
