"""The logs of processes from the node's side: empty ones go with their process, the others of the dead are bounded.

A process that writes past Python can outgrow its own measure, so the node looks at one living log a second as well.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection, Iterator

from actorcore.runtime.output import LOG_BYTES

MAX_DEAD = 100
"""Logs of dead processes that are kept: the newest."""
LOOK_PERIOD_S = 1.0


class ProcessLogs:
    """``directory`` may be empty: then there are none. What a predecessor left is found by the first look, a period after
    ``now_s``: everybody waits for a node that takes over.
    """

    def __init__(self, directory: str, now_s: float) -> None:
        self._directory = directory
        self._dead: dict[int, None] = {}
        self._is_found = False
        self._looked_s = now_s
        self._to_look: Iterator[int] = iter(())

    def ended(self, serial: int) -> None:
        """The process is dead: its log goes when nothing is in it; an older one goes when there are too many."""
        if not self._directory:
            return
        with contextlib.suppress(OSError):  # never made, or somebody else has taken it away
            if os.stat(self._path(serial)).st_size == 0:
                os.unlink(self._path(serial))
            else:
                self._dead[serial] = None
        self._bound()

    def look(self, now_s: float, living: Collection[int]) -> None:
        """Once a second: one of the logs of the ``living``, in turn; more than twice its bound is emptied."""
        if not self._directory or now_s - self._looked_s < LOOK_PERIOD_S:
            return
        self._looked_s = now_s
        if not self._is_found:
            self._dead = dict.fromkeys(sorted(_serials(self._directory) - set(living)))
            self._is_found = True
            self._bound()
        serial = next(self._to_look, 0)
        if not serial:
            self._to_look = iter(list(living))
            serial = next(self._to_look, 0)
        with contextlib.suppress(OSError):
            if serial and os.stat(self._path(serial)).st_size > 2 * LOG_BYTES:
                os.truncate(self._path(serial), 0)

    def _bound(self) -> None:
        while len(self._dead) > MAX_DEAD:
            oldest = next(iter(self._dead))
            del self._dead[oldest]
            with contextlib.suppress(OSError):
                os.unlink(self._path(oldest))

    def _path(self, serial: int) -> str:
        return f"{self._directory}/{serial}.log"


def _serials(directory: str) -> set[int]:
    """Whose logs there are."""
    try:
        names = os.listdir(directory)
    except OSError:
        return set()
    return {int(stem) for name in names if (stem := name.removesuffix(".log")).isdigit()}
