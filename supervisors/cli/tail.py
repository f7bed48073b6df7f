"""The lines of a file that grows, as ``tail -f`` tells them: inotify(7) says when to read on, a pidfd when to stop."""

from __future__ import annotations

import io
import os
import select
from collections.abc import Iterator
from pathlib import Path

from actorcore.runtime import syscalls

_EVENT_BYTES = 4096


class Tail:
    """An open file and what of it has been read; a line that is not whole yet waits for its end."""

    def __init__(self, file: io.FileIO) -> None:
        """The caller closes ``file``."""
        self._file = file
        self._rest = b""

    def lines(self, is_last: bool = False) -> list[str]:
        """The lines that have come since the call before; with ``is_last`` also one without its end."""
        if os.fstat(self._file.fileno()).st_size < self._file.tell():  # it was cut: what is left begins with a line that says so
            self._file.seek(0)
            self._rest = b""
        *whole, self._rest = (self._rest + self._file.readall()).split(b"\n")
        if is_last and self._rest:
            whole.append(self._rest)
            self._rest = b""
        return [line.decode(errors="backslashreplace") for line in whole]


def follow(path: Path, writer: int | None) -> Iterator[list[str]]:
    """What is in the file, then what comes, until the process of the pidfd ``writer`` is dead; None: for ever.

    :raises OSError: the file cannot be read or watched.
    """
    watch = syscalls.watch_writes(path)
    try:
        waits = select.poll()
        for fd in (watch, writer):
            if fd is not None:
                waits.register(fd, select.POLLIN)
        with io.FileIO(path) as file:
            tail = Tail(file)
            yield tail.lines()
            while True:
                ready = dict(waits.poll())
                if watch in ready:
                    os.read(watch, _EVENT_BYTES)
                is_last = writer in ready
                yield tail.lines(is_last)
                if is_last:
                    return
    finally:
        os.close(watch)
