"""Plain data that the node itself holds: arguments and exit reasons. What processes tell each other it never looks into."""

from __future__ import annotations

from actorcore.pids import Pid

MAX_DEPTH = 32
"""Encoding what is nested too deeply raises, in a ledger record as in a log line."""
MAX_ITEMS = 8192
"""Of all lists and maps of one term together: small things in large numbers are what costs the node time."""


def trouble_with(term: object) -> str | None:
    """None for a Term (a Pid may be in it) within these limits, else what is wrong with it.

    Looks at no more than MAX_ITEMS things, so it is fast for whatever comes.
    """
    level: list[object] = [term]
    seen = 0
    for _ in range(MAX_DEPTH + 1):
        deeper: list[object] = []
        for item in level:
            if item is None or isinstance(item, (str, int, float, bytes, Pid)):
                continue
            if isinstance(item, list):
                values = item
            elif isinstance(item, dict):
                if not all(isinstance(key, str) for key in item):
                    return "a key that is no text"
                values = list(item.values())
            else:
                return f"no plain data: {type(item).__name__}"
            seen += len(values)
            if seen > MAX_ITEMS:
                return f"more than {MAX_ITEMS} items"
            deeper += values
        if not deeper:
            return None
        level = deeper
    return f"nested deeper than {MAX_DEPTH}"
