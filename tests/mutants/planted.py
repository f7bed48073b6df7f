"""The wrong rules of planted.txt, each a change of a place or two in the source."""

from __future__ import annotations

from pathlib import Path

from tests.mutants.judge import Wrong
from tests.mutants.patching import path_of, replaced

RULES = Path(__file__).with_name("planted.txt")
NOTICED_BY = Path(__file__).with_name("noticed_by.txt")


def planted() -> list[Wrong]:
    """All of them. Raises ValueError for those whose place in the source is gone: find where the rule is now."""
    blocks = [block for block in RULES.read_text().split("\n\n") if block.startswith("= ")]
    found: list[Wrong] = []
    gone: list[str] = []
    for block in blocks:
        name, *changes = block.removeprefix("= ").split("\n@ ")
        try:
            found.append(_wrong(name, changes))
        except ValueError as error:
            gone.append(f"{name}: {error}")
    if gone:
        raise ValueError("\n".join(gone))
    return found


def noticed_by() -> dict[str, str]:
    """The test that noticed each rule when all of them were last judged by ``--verbose``: it is asked first."""
    return dict(line.rsplit(", by ", 1) for line in NOTICED_BY.read_text().splitlines())


def _wrong(name: str, changes: list[str]) -> Wrong:
    module = changes[0].splitlines()[0]
    text = path_of(module).read_text()
    for change in changes:
        lines = change.splitlines()[1:]
        before, after = ("\n".join(line[2:] for line in lines if line[0] == sign) for sign in "-+")
        text = replaced(text, before, after)
    return Wrong(name, module, lambda: text)
