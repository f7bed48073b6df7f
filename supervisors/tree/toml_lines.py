"""Where in a TOML text something is said, for whoever has to tell a person what is wrong there.

tomllib tells positions for bad syntax alone. The text up to a line is TOML itself exactly where a statement ends, so the
statement that says something is the one with which it is there for the first time.
"""

from __future__ import annotations

import re
import tomllib
from typing import TypeAlias

Path: TypeAlias = tuple[str | int, ...]


def line_of(text: str, path: Path) -> int:
    """The first line of the statement that says ``path`` (keys, and places in arrays); the last line when none does."""
    lines = text.splitlines()
    begins = 1
    for end in range(1, len(lines) + 1):
        try:
            tables = tomllib.loads("\n".join(lines[:end]))
        except tomllib.TOMLDecodeError:  # in the middle of a statement
            continue
        if _has(tables, path):
            return begins
        begins = end + 1
    return last_line(text)


def line_of_error(text: str, error: tomllib.TOMLDecodeError) -> int:
    """The line at which ``text`` is no TOML."""
    line = re.search(r"at line (\d+)", str(error))
    return int(line[1]) if line else last_line(text)


def last_line(text: str) -> int:
    return max(1, len(text.splitlines()))


def spelled(path: Path) -> str:
    """``path`` as a person writes it: ``children[1].start``."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).removeprefix(".")


def _has(value: object, path: Path) -> bool:
    if not path:
        return True
    step, *rest = path
    if isinstance(value, dict):
        return step in value and _has(value[step], tuple(rest))
    return isinstance(value, list) and isinstance(step, int) and step < len(value) and _has(value[step], tuple(rest))
