"""What was saved of sessions, for a blocking program: ``client.saved``. See ``client.manager.resume`` to have one back."""

from __future__ import annotations

import os
from collections.abc import Iterator

from supervisors.clients import saved_steps as steps
from supervisors.clients.driver import Driver
from supervisors.clients.saved_steps import Row
from supervisors.persistence import store_words as words
from supervisors.persistence.saved import SavedSession

TIMEOUT_S = 30.0


class SavedClient:
    """Methods raise as those of Client; RequestError ``invalid_id``, ``not_found``, or what is wrong with a saved session."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._core = driver.core

    def list(self) -> Iterator[SavedSession]:
        """All that can be read and believed, newest first, page by page."""
        after: int | None = 0
        while after is not None:
            page = self._driver.run(steps.page(self._core, words.ListSaved(after)), TIMEOUT_S)
            yield from page.sessions
            after = page.next

    def bad(self) -> int:
        """How many are there that cannot be read or believed."""
        return self._driver.run(steps.page(self._core, words.ListSaved(0, 1)), TIMEOUT_S).bad

    def resumable(self) -> Iterator[SavedSession]:
        """As :meth:`list`, without those that live and those whose project another live session works in."""
        after: int | None = 0
        while after is not None:
            page = self._driver.run(steps.page(self._core, words.ListResumable(after=after)), TIMEOUT_S)
            yield from page.sessions
            after = page.next

    def find(self, path: str) -> SavedSession | None:
        """The newest of the project at ``path``."""
        return self._driver.run(steps.find(self._core, os.path.realpath(path)), TIMEOUT_S)

    def delete(self, id: str) -> bool:
        """Whether it was there; RequestError ``running``: it lives, and stays."""
        return self._driver.run(steps.store(self._core, words.DeleteSaved(id)), TIMEOUT_S) is True

    def clear(self) -> Row:
        """Delete all that do not live: ``{"deleted", "skipped", "failed", "errors"}``."""
        return self._driver.run(steps.of_row(self._core, words.ClearSaved()), TIMEOUT_S)

    def clean_up(self, days: int) -> Row:
        """Delete those saved more than ``days`` ago that do not live; as :meth:`clear`."""
        return self._driver.run(steps.of_row(self._core, words.CleanUp(days)), TIMEOUT_S)

    def locate(self, id: str) -> str:
        """The path of the folder that a session is saved in; on the machine of the daemon."""
        return str(self._driver.run(steps.store(self._core, words.Locate(id)), TIMEOUT_S))

    def export(self, id: str) -> bytes:
        """The signed text of a session that does not live."""
        answer = self._driver.run(steps.store(self._core, words.Export(id)), TIMEOUT_S)
        return answer if isinstance(answer, bytes) else b""

    def import_(self, data: bytes, unsigned: bool = False) -> str:
        """Save what ``data`` says; its id. ``unsigned``: believe it whoever signed it."""
        return str(self._driver.run(steps.store(self._core, words.Import(data, unsigned)), TIMEOUT_S))

    def rotate(self) -> Row:
        """Sign with a new secret from now on: ``{"key": its number}``."""
        return self._driver.run(steps.of_row(self._core, words.Rotate()), TIMEOUT_S)
