"""Private files: ours, 0600, in directories 0700, whatever the umask; replaced as a whole; each failure a stable code.

Nothing that another user could have put there is followed, read or written (RELIABILITY F6').
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat

from actorcore.errors import RequestError
from actorcore.faults import point

MODE = 0o600
DIRECTORY_MODE = 0o700
TEMPORARY = ".tmp"
"""Ends the name of a file that is being written and has no reader yet."""
_SAFELY = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC

_CODES = {
    errno.ENOSPC: "path_no_space", errno.EDQUOT: "path_no_space",
    errno.EACCES: "path_permission_denied", errno.EPERM: "path_permission_denied", errno.EROFS: "path_permission_denied",
    errno.ELOOP: "path_permission_denied", errno.ENXIO: "path_permission_denied", errno.EISDIR: "path_permission_denied",
    errno.ENOENT: "path_not_found", errno.ENOTDIR: "path_not_directory", errno.ENAMETOOLONG: "path_too_long",
    errno.EMFILE: "resource_exhausted", errno.ENFILE: "resource_exhausted", errno.ENOMEM: "resource_exhausted",
    errno.EFBIG: "file_too_large",
}  # fmt: skip


class FileTrouble(RequestError):
    """A file cannot be had or written; the detail is the name of the errno or what is wrong with the file, never a path."""

    @classmethod
    def of(cls, error: OSError) -> FileTrouble:
        """What ``error`` means; ``write_failed`` is any failure of the disk."""
        number = error.errno or errno.EIO
        return cls(_CODES.get(number, "write_failed"), errno.errorcode.get(number, "eio").lower())


def make_parents(path: str) -> None:
    """Make the directories above ``path`` that are missing, for us alone, as the XDG base directory specification has it.

    :raises OSError: one cannot be made.
    """
    parent = os.path.dirname(path)
    if os.path.isdir(parent):
        return
    make_parents(parent)
    with contextlib.suppress(FileExistsError):
        os.mkdir(parent, DIRECTORY_MODE)
        sync_directory(os.path.dirname(parent))


def private_directory(path: str, what: str = "") -> None:
    """Make sure that ``path`` is a directory of ours with mode 0700; a new one is durable when this returns.

    :raises FileTrouble: it is something else and stays so; the detail begins with ``what``.
    """
    try:
        try:
            os.mkdir(path, DIRECTORY_MODE)
        except FileExistsError:
            pass
        else:
            os.chmod(path, DIRECTORY_MODE)  # a umask may have taken more away
            sync_directory(os.path.dirname(path))
        found = os.lstat(path)
    except OSError as error:
        trouble = FileTrouble.of(error)
        raise FileTrouble(trouble.code, f"{what}{trouble.detail}") from None
    if not stat.S_ISDIR(found.st_mode):
        raise FileTrouble("path_not_directory", f"{what}not a directory")
    if found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) != DIRECTORY_MODE:
        raise FileTrouble("path_permission_denied", f"{what}not ours alone")


def open_private(path: str, flags: int, links: int = 1) -> int:
    """A descriptor of a regular file of ours that has ``links`` names and mode 0600; O_CREAT makes it so.

    :raises OSError: it cannot be opened.
    :raises FileTrouble: it is something else.
    """
    try:
        fd = os.open(path, flags | _SAFELY | (os.O_EXCL if flags & os.O_CREAT else 0), MODE)
        is_new = bool(flags & os.O_CREAT)
    except FileExistsError:
        if flags & os.O_EXCL:
            raise
        fd, is_new = os.open(path, flags & ~os.O_CREAT | _SAFELY), False
    try:
        if is_new:
            os.fchmod(fd, MODE)  # a umask may have taken more away
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode) or found.st_nlink != links:
            raise FileTrouble("path_permission_denied", "not a plain file")
        if found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) != MODE:
            raise FileTrouble("path_permission_denied", "not ours alone")
    except BaseException:
        os.close(fd)
        raise
    return fd


def read_private(path: str, most_bytes: int) -> bytes:
    """All of a private file of at most ``most_bytes``.

    :raises OSError, FileTrouble: as :func:`open_private`; ``file_too_large``.
    """
    fd = open_private(path, os.O_RDONLY)
    try:
        return read_all(fd, most_bytes)
    finally:
        os.close(fd)


def read_all(fd: int, most_bytes: int) -> bytes:
    """The content of an open file.

    :raises FileTrouble: ``file_too_large``, found before it is read.
    """
    size = os.fstat(fd).st_size
    if size > most_bytes:
        raise FileTrouble("file_too_large", f"{size} bytes, at most {most_bytes}")
    data = b""
    while part := os.pread(fd, most_bytes + 1 - len(data), len(data)):
        data += part
    return data


def replace_private(path: str, data: bytes, name: str) -> None:
    """Make ``data`` the whole content of ``path``, durably; a reader finds the old content or the new one at any moment.

    ``name`` is that of its fault points.

    :raises OSError: what was there is still there, and nothing else.
    """
    temporary = f"{path}.{os.getpid()}{TEMPORARY}"
    discard(temporary)  # of one who had this number before us
    fd = open_private(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    try:
        try:
            point(f"{name}.opened")
            write_all(fd, data)
            point(f"{name}.written")
            os.fsync(fd)
        finally:
            os.close(fd)
        point(f"{name}.synced")
        os.replace(temporary, path)
    except BaseException:
        discard(temporary)
        raise
    point(f"{name}.renamed")
    sync_directory(os.path.dirname(path))
    point(f"{name}.durable")


def write_all(fd: int, data: bytes) -> None:
    """All of ``data``, however little write(2) takes at a time; raises OSError."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def write_at(fd: int, data: bytes, at: int) -> None:
    """As :func:`write_all`, from byte ``at`` on."""
    written = os.pwrite(fd, data, at)
    while written < len(data):
        written += os.pwrite(fd, data[written:], at + written)


def discard(path: str) -> None:
    """Remove a file that may not be there; raises OSError."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass


def sync_directory(path: str) -> None:
    """Make the names in a directory durable; raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def sweep(directory: str) -> int:
    """Remove what writers that died have left half written in ``directory``, if it is ours; how many; raises OSError."""
    swept = 0
    for entry in list(os.scandir(directory)):
        is_file = entry.name.endswith(TEMPORARY) and entry.is_file(follow_symlinks=False)
        if is_file and entry.stat(follow_symlinks=False).st_uid == os.geteuid():
            os.unlink(entry.path)
            swept += 1
    return swept
