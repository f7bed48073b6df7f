"""Retention: how many sessions may be saved and for how long; who goes when there is no room."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import msgspec

from actorcore.errors import RequestError
from supervisors.persistence.saved import SavedSession, newest_first

DAY_S = 86_400.0


class Limits(msgspec.Struct, frozen=True):
    """``max_saved`` sessions, a warning from the share ``warn_saved`` of them on; ``max_age_days``: older ones go by themselves.

    ``auto_clean``: for a new one above the limit the oldest goes that does not run.
    """

    max_saved: int = 100
    warn_saved: float = 0.8
    auto_clean: bool = False
    max_age_days: int = 30


class Admission(msgspec.Struct, frozen=True):
    """A new session may be saved once ``evicted`` is deleted (empty: nobody); ``is_warning``: there is little room left."""

    evicted: str = ""
    is_warning: bool = False


class Cleanup(msgspec.Struct, frozen=True):
    """What a clean-up did: ``skipped`` are young or live; ``errors`` says of each that ``failed`` why, as id → code."""

    deleted: int = 0
    skipped: int = 0
    failed: int = 0
    errors: dict[str, str] = {}


def admit(saved: Sequence[SavedSession], count: int, live: Collection[str], limits: Limits) -> Admission:
    """Whether a new session may be saved, where ``count`` are there already, the unreadable ones included.

    :raises RequestError: ``session_limit_reached``.
    """
    if count < limits.max_saved:
        return Admission(is_warning=_is_near(count + 1, limits))
    idle = [other for other in saved if other.id not in live]
    if not limits.auto_clean or not idle:
        raise RequestError("session_limit_reached", f"{count}/{limits.max_saved} saved sessions")
    return Admission(newest_first(idle)[-1].id, True)


def _is_near(count: int, limits: Limits) -> bool:
    return count >= limits.max_saved * limits.warn_saved


def outdated(saved: Iterable[SavedSession], days: object, live: Collection[str], now: float) -> list[str]:
    """The ids of those saved more than ``days`` before ``now`` that are not live, oldest first.

    :raises RequestError: ``invalid_field``, ``days`` is no number of days from 1.
    """
    if type(days) is not int or days < 1:
        raise RequestError("invalid_field", "days: a whole number from 1")
    before = now - days * DAY_S
    return [other.id for other in reversed(newest_first(saved)) if other.saved_at < before and other.id not in live]
