"""Untold: what has happened in a session and its watchers have not heard yet. Pure.

A record is kept first and told afterwards, and its process may be killed between. So what is told of a record goes out with the
number that the record has in the journal; the manager remembers the last one, and says it to the process that comes next, which
tells what follows. A snapshot is made when nothing is untold, for it takes the records out of the journal. So each is told once.
"""

from __future__ import annotations

from actorcore.frames import encoder
from supervisors.session.journal import Kept
from supervisors.session.memory import State
from supervisors.session.news import News, news_of

NEWS_BYTES = 24 << 10
"""Of events that are told at once."""


class Untold:
    """``number``: of the last record that was kept. ``before``: those that the process before has kept since the last snapshot;
    whether they were told only the manager knows, see :meth:`recall`.
    """

    def __init__(self, kept: Kept | None = None) -> None:
        self.number = 0 if kept is None else kept.number
        self.before = [] if kept is None else kept.records
        self._news: list[tuple[int, News]] = []

    def __len__(self) -> int:
        return len(self.before) + len(self._news)

    def add(self, news: News) -> None:
        """It happened with, or after, the record ``number``."""
        self._news.append((self.number, news))

    def recall(self, told: int | None, state: State) -> None:
        """``told`` is the number of the last record that was told; None: nobody knows, and who has missed something asks for it.

        ``state`` remembers all of ``before``. What came of those that were not told comes before all else.
        """
        records, self.before = self.before, []
        if told is not None:
            first = self.number - len(records) + 1
            missed = [(at, news_of(record, state)) for at, record in enumerate(records, first) if at > told]
            self._news = [*((at, news) for at, news in missed if news is not None), *self._news]

    def take(self) -> tuple[list[News], int]:
        """The oldest, as many as are told at once, and the number of the last record that is told with them."""
        batch, size_bytes = 0, 0
        while batch < len(self._news) and size_bytes < NEWS_BYTES:
            size_bytes += len(encoder.encode(self._news[batch][1]))
            batch += 1
        taken, self._news = self._news[:batch], self._news[batch:]
        return [news for _, news in taken], taken[-1][0]
