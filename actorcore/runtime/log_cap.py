"""The cap of the daemon's log: above 8 MiB only its newest 2 MiB stay, behind a record that tells how much was cut.

The guardian looks once a second. A log that somebody has moved away, and whatever else the daemon was given as stderr (a
terminal, the pipe or file of a service manager), is not ours to cut. All of the daemon has the file open, so it is copied
and emptied where it is: what a node writes in that very moment may go with what is cut.
"""

from __future__ import annotations

import contextlib
import os

from actorcore.runtime import log

LOG_BYTES = 8 << 20
KEPT_BYTES = 2 << 20
LOOK_PERIOD_S = 1.0


class LogCap:
    """``path`` is where the daemon's log is, if it is a file of ours."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._due_s = 0.0

    def look(self, now_s: float) -> None:
        """Cut the log if it is too large; at most once in LOOK_PERIOD_S."""
        if now_s < self._due_s:
            return
        self._due_s = now_s + LOOK_PERIOD_S
        with contextlib.suppress(OSError):  # closed, unreadable, gone, ENOSPC: the next look may do better
            status = os.fstat(log.STDERR)
            if status.st_size > LOG_BYTES and os.path.samestat(status, os.stat(self._path)):
                with open(self._path, "rb") as file:
                    file.seek(-KEPT_BYTES, os.SEEK_END)
                    file.readline()
                    tail = file.read(KEPT_BYTES)
                os.ftruncate(log.STDERR, 0)
                log.report("log_cut", 0, {"bytes": status.st_size - len(tail)})
                os.write(log.STDERR, tail)
