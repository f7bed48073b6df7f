"""The wrong rules of planted.txt, each a change of one place in the source."""

from __future__ import annotations

from pathlib import Path

from tests.mutants.judge import Wrong
from tests.mutants.patching import replaced

RULES = Path(__file__).with_name("planted.txt")


def planted() -> list[Wrong]:
    """All of them. Raises ValueError for one whose place in the source is gone: find where the rule is now."""
    blocks = [block.splitlines() for block in RULES.read_text().split("\n\n") if block.startswith("= ")]
    return [_wrong(block) for block in blocks]


def _wrong(block: list[str]) -> Wrong:
    lines: dict[str, list[str]] = {sign: [line[2:] for line in block if line[0] == sign] for sign in "=@-+"}
    (name,), (module,) = lines["="], lines["@"]
    try:
        return Wrong(name, module, replaced(module, "\n".join(lines["-"]), "\n".join(lines["+"])))
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
