"""The corpus of vectors, and which of them a runner can play."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.otp import otpvec
from tests.otp.core_world import Mode, World

VECTORS = Path(__file__).parent / "vectors"
CORE_KINDS = frozenset({"proc"})


def load(directory: Path) -> list[dict[str, Any]]:
    """All vectors of ``directory``, by id."""
    return sorted((json.loads(path.read_text()) for path in directory.glob("*.json")), key=lambda vector: vector["id"])


def is_playable(vector: dict[str, Any]) -> bool:
    return CORE_KINDS.issuperset(vector["kinds"])


def play(vector: dict[str, Any], mode: Mode) -> list[str]:
    """The differences from OTP, always compared strictly."""
    return otpvec.diff(vector, World(vector, mode).play(), strict=True)  # type: ignore[no-any-return,no-untyped-call]
