"""The state directory: whose it is, and which sessions have a folder there. One process has it alone, as long as it lives."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil

from supervisors.paths import SESSIONS_NAME
from supervisors.persistence import files
from supervisors.persistence.database_files import Locked, told
from supervisors.persistence.snapshot import SESSION_ID

LOCK_NAME = "store.lock"
DELETED = ".deleted"
"""Ends the name of a folder that is being removed: it is no session any more."""


class StateDirectory:
    """``path``: with ``sessions``, one folder per session, below it."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.sessions = f"{path}/{SESSIONS_NAME}"
        self._lock_fd = -1

    def take(self) -> None:
        """Have it for this process alone.

        :raises RequestError: ``running``, the store of another daemon has it; or it cannot be had.
        """
        if self._lock_fd < 0:
            with told():
                files.make_parents(self.path)
        files.private_directory(self.path, "the state directory: ")
        if self._lock_fd >= 0:
            return
        with told():
            handle = files.open_private(f"{self.path}/{LOCK_NAME}", os.O_RDWR | os.O_CREAT)
            try:
                fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                os.close(handle)
                if error.errno in (errno.EAGAIN, errno.EACCES):
                    raise Locked("running", "another daemon keeps its sessions in this state directory") from None
                raise
        self._lock_fd = handle

    def close(self) -> None:
        """Let another one have it."""
        if self._lock_fd >= 0:
            os.close(self._lock_fd)
            self._lock_fd = -1

    def prepare(self) -> None:
        """Take it, make what is missing and remove what those before have left half done."""
        self.take()
        with told():
            files.private_directory(self.sessions)
            files.sync_directory(self.path)  # who made it may have died before he did that
            files.sweep(self.path)
            for entry in list(os.scandir(self.sessions)):
                if entry.name.endswith(DELETED):
                    shutil.rmtree(entry.path)

    def ids(self) -> list[str]:
        """Whoever has a folder.

        :raises FileTrouble: the directory cannot be read.
        """
        with told():
            try:
                return sorted(name for name in os.listdir(self.sessions) if SESSION_ID.fullmatch(name))
            except FileNotFoundError:
                return []

    def folder(self, id: str) -> str:
        """Of session ``id``, whether it is there or not."""
        return f"{self.sessions}/{id}"
