"""What a person means by a target: a place in the list, an id, a name, or the beginning of one of them.

Tried in this order: the place 1 to n in the list, oldest first (0 is the tenth); the id; the name, ignoring case, the oldest
of several; a prefix of exactly one id or name.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

TENTH = 10
MAX_CANDIDATES = 10


class Named(msgspec.Struct, frozen=True):
    """One that can be meant."""

    id: str
    name: str


class Ambiguous(msgspec.Struct, frozen=True):
    """The prefix of several: their names, in the order of the list, at most MAX_CANDIDATES."""

    names: list[str]


def resolve(target: str, listed: Sequence[Named]) -> str | Ambiguous | None:
    """The id of who is meant; None: nobody."""
    word = target.strip()
    if not word:
        return None
    if word.isascii() and word.isdigit() and len(word) <= 4 and (place := int(word) or TENTH) <= len(listed):
        return listed[place - 1].id
    folded = word.casefold()
    for one in listed:
        if one.id == folded:
            return one.id
    for one in listed:
        if one.name.casefold() == folded:
            return one.id
    found = [one for one in listed if one.id.startswith(folded) or one.name.casefold().startswith(folded)]
    if len(found) > 1:
        return Ambiguous([one.name for one in found[:MAX_CANDIDATES]])
    return found[0].id if found else None
