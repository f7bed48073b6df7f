"""The log beside a database: frames of records (:func:`supervisors.persistence.proof.encode_frame`), one behind the other.

It grows by pieces of zeros and begins anew in place: a sync of a file that does not grow need not write its inode.
"""

from __future__ import annotations

import contextlib
import os

from supervisors.persistence import files

PIECE_BYTES = 32 << 10
LONG_BYTES = 1 << 20
"""One that was longer is cut when it begins anew."""


class Log:
    """The open file at ``path``, made if it is not there; raises OSError and FileTrouble as :func:`files.open_private`."""

    def __init__(self, path: str) -> None:
        self._fd = files.open_private(path, os.O_RDWR | os.O_CREAT)
        self._size_bytes = os.fstat(self._fd).st_size

    def write(self, frame: bytes, at: int) -> None:
        """Put ``frame`` at byte ``at``. After an OSError it may be there in part, which is as if it were not."""
        end = at + len(frame)
        if end > self._size_bytes:
            with contextlib.suppress(OSError):  # there is no room to spare; whether there is enough shows next
                files.write_at(self._fd, bytes(-end % PIECE_BYTES), end)
        files.write_at(self._fd, frame, at)
        if end > self._size_bytes:
            self._size_bytes = os.fstat(self._fd).st_size

    def sync(self) -> None:
        """What was written is durable; after an OSError nobody knows."""
        os.fdatasync(self._fd)

    def strike(self, at: int) -> None:
        """What is at byte ``at`` is no frame any more, if that can be done."""
        with contextlib.suppress(OSError):
            os.pwrite(self._fd, bytes(4), at)

    def begin_anew(self, used_bytes: int) -> None:
        """All of the ``used_bytes`` may be written over."""
        if used_bytes > LONG_BYTES:
            os.ftruncate(self._fd, 0)
            self._size_bytes = 0

    def close(self) -> None:
        os.close(self._fd)
