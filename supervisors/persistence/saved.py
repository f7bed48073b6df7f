"""Saved sessions as a list: what is shown of each, in which order, and which of them can be resumed."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import msgspec

from actorcore.exit_reason import Term


class SavedSession(msgspec.Struct, frozen=True):
    """One line of the list. ``is_running``: its process had not ended in order when the daemon did, so it is resumed by
    itself; times are seconds since 1970 UTC; ``size_bytes`` is that of all its files."""

    id: str
    name: str
    project_path: str
    generation: int
    saved_at: float
    created_at: float
    is_running: bool = False
    size_bytes: int = 0


class Saved(msgspec.Struct, frozen=True):
    """``sessions`` newest first; ``bad``: those that cannot be read or believed, each with the code that says why."""

    sessions: list[SavedSession]
    bad: dict[str, str] = {}


def line_of(
    id: str, session: dict[str, Term], generation: int, saved_at: float, is_running: bool, size_bytes: int = 0
) -> SavedSession:
    """The line of session ``id``, whose own record is ``session``; a field that is not as it should be is empty."""
    project, created_at = session.get("project"), session.get("created_at")
    return SavedSession(
        id, str(session.get("name", "")), str(project.get("path", "")) if isinstance(project, dict) else "", generation, saved_at,
        float(created_at) if isinstance(created_at, int | float) else saved_at, is_running, size_bytes,
    )  # fmt: skip


def newest_first(sessions: Iterable[SavedSession]) -> list[SavedSession]:
    """By the time of the save; the same time in the order of the ids."""
    return sorted(sessions, key=lambda saved: (-saved.saved_at, saved.id))


def resumable(sessions: Iterable[SavedSession], live_ids: Collection[str], live_paths: Collection[str]) -> list[SavedSession]:
    """Those whose id and project are not in use, in the order given."""
    return [saved for saved in sessions if saved.id not in live_ids and saved.project_path not in live_paths]


def by_project_path(sessions: Iterable[SavedSession], path: str) -> SavedSession | None:
    """The newest of this project."""
    return next((saved for saved in newest_first(sessions) if saved.project_path == path), None)
