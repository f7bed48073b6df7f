"""``client.saved`` of an asyncio program; see :mod:`supervisors.clients.saved`, which documents the methods."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator

from supervisors.clients import saved_steps as steps
from supervisors.clients.async_driver import AsyncDriver
from supervisors.clients.saved import TIMEOUT_S
from supervisors.clients.saved_steps import Row
from supervisors.persistence import store_words as words
from supervisors.persistence.saved import SavedSession


class AsyncSavedClient:
    """As :class:`supervisors.clients.saved.SavedClient`."""

    def __init__(self, driver: AsyncDriver) -> None:
        self._driver = driver
        self._core = driver.core

    async def list(self) -> AsyncIterator[SavedSession]:
        after: int | None = 0
        while after is not None:
            page = await self._driver.run(steps.page(self._core, words.ListSaved(after)), TIMEOUT_S)
            for saved in page.sessions:
                yield saved
            after = page.next

    async def bad(self) -> int:
        return (await self._driver.run(steps.page(self._core, words.ListSaved(0, 1)), TIMEOUT_S)).bad

    async def resumable(self) -> AsyncIterator[SavedSession]:
        after: int | None = 0
        while after is not None:
            page = await self._driver.run(steps.page(self._core, words.ListResumable(after=after)), TIMEOUT_S)
            for saved in page.sessions:
                yield saved
            after = page.next

    async def find(self, path: str) -> SavedSession | None:
        return await self._driver.run(steps.find(self._core, os.path.realpath(path)), TIMEOUT_S)

    async def delete(self, id: str) -> bool:
        return await self._driver.run(steps.store(self._core, words.DeleteSaved(id)), TIMEOUT_S) is True

    async def clear(self) -> Row:
        return await self._driver.run(steps.of_row(self._core, words.ClearSaved()), TIMEOUT_S)

    async def clean_up(self, days: int) -> Row:
        return await self._driver.run(steps.of_row(self._core, words.CleanUp(days)), TIMEOUT_S)

    async def locate(self, id: str) -> str:
        return str(await self._driver.run(steps.store(self._core, words.Locate(id)), TIMEOUT_S))

    async def export(self, id: str) -> bytes:
        answer = await self._driver.run(steps.store(self._core, words.Export(id)), TIMEOUT_S)
        return answer if isinstance(answer, bytes) else b""

    async def import_(self, data: bytes, unsigned: bool = False) -> str:
        return str(await self._driver.run(steps.store(self._core, words.Import(data, unsigned)), TIMEOUT_S))

    async def rotate(self) -> Row:
        return await self._driver.run(steps.of_row(self._core, words.Rotate()), TIMEOUT_S)
