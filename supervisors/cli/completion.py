"""TARGETs that the shell completes: names and ids from the daemon that runs. It starts none, and what fails completes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

if TYPE_CHECKING:
    from pathlib import Path

    from supervisors.client import Client


class Target(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.4 only
    """A text; completed with what ``candidates`` finds."""

    name = "target"

    def shell_complete(self, context: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        from actorcore.errors import ActorError
        from supervisors import paths
        from supervisors.client import Client

        given: Path | None = context.find_root().params.get("directory")
        try:
            with Client.connect(paths.default_directory() if given is None else given.absolute()) as client:
                found = self.candidates(client)
        except (ActorError, OSError):  # it must not be printed into a half-typed line
            return []
        return [CompletionItem(text, help=help) for text, help in sorted(found.items()) if text.startswith(incomplete)]

    def candidates(self, client: Client) -> dict[str, str]:
        """Text → what is said beside it."""
        found = {str(row["name"]): str(row["start"]) for row in client.processes() if row["name"] and row["kind"] != "client"}
        return {name: start for name, start in found.items() if not name.startswith("system:")} | {
            str(row["id"]): f"session, {row['state']!s}" for row in client.sessions()
        }


class FolderSession(Target):
    """A session that works in a folder, by its name."""

    def candidates(self, client: Client) -> dict[str, str]:
        return {str(row["name"]): f"{row['status']!s} {row['id']!s}" for row in client.manager.list()}


class Saved(Target):
    """A saved session, by its name."""

    def candidates(self, client: Client) -> dict[str, str]:
        return {saved.name: saved.id for saved in client.saved.list()}


TARGET, FOLDER_SESSION, SAVED = Target(), FolderSession(), Saved()
