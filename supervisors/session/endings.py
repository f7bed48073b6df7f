"""Endings: sessions that are no more, remembered until the store has noted it. Pure.

The process of a session may have had no time to say that it ended, and the store may be down just then: who was stopped does
not come back with the next daemon all the same.
"""

from __future__ import annotations

from itertools import islice
from typing import Literal, TypeAlias

import msgspec

from actorcore.frames import encoder
from actorcore.residents import Send
from supervisors.own_names import STORE

BELL: dict[str, None] = {"ended": None}
"""To the store: there is something for it to take. Who else says so does no harm."""
ENDED_AT_ONCE = 100
MAX_ENDED = 4096
"""So many, 150 bytes each, wait for a store that does not come or that nobody has needed yet; then the oldest is forgotten."""
NOTED_S = 2.0
"""So long the end of the daemon waits for the store when all sessions are gone."""
Farewell: TypeAlias = Literal["none", "said", "over"]


class Endings(msgspec.Struct):
    """``ids``: oldest first; of one whose start was refused, with the ``created_at`` of its record: of that nothing stays.
    ``farewell``: whether the store was asked for a last time, and whether that is over."""

    ids: dict[str, float | None] = {}
    farewell: Farewell = "none"

    def add(self, id: str, refused_at: float | None = None) -> Send:
        """Session ``id`` is no more; the store is told that there is something."""
        self.ids.pop(id, None)
        self.ids[id] = refused_at
        if len(self.ids) > MAX_ENDED:
            del self.ids[next(iter(self.ids))]
        return ring()

    def begin(self, id: str) -> None:
        """Session ``id`` is to be there again; what a refused start of it has left goes all the same."""
        if self.ids.get(id) is None:
            self.ids.pop(id, None)

    def take(self, done: list[str]) -> dict[str, float | None]:
        """The oldest that the store does not know yet; ``done``: these it has noted."""
        for id in done:
            self.ids.pop(id, None)
        return dict(islice(self.ids.items(), ENDED_AT_ONCE))


def ring() -> Send:
    """Wake the store, if there is one; one that begins comes by itself."""
    return Send(STORE, msgspec.Raw(encoder.encode(BELL)))
