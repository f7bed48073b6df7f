"""Project files: reading and writing inside one folder, which no path can lead out of.

The kernel resolves every path below a descriptor of the folder (openat2(2), RESOLVE_BENEATH and RESOLVE_NO_MAGICLINKS), in the
one step that opens it: neither ``..`` nor an absolute path nor a symbolic link leaves it, also not one that is put there
while we look. The folder is the one that was opened, whatever is done to its name later.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import msgspec

from actorcore.errors import RequestError
from actorcore.exit_reason import Term
from actorcore.faults import point
from actorcore.runtime.syscalls import RESOLVE_BENEATH, RESOLVE_NO_MAGICLINKS, openat2
from supervisors.session.checks import path_of

MAX_FILE_BYTES = 10 << 20
MAX_LINES = 2000
MAX_LINE_CHARACTERS = 2000
MAX_ENTRIES = 10_000
_TRIES = 16
"""openat2(2) says EAGAIN when something was renamed while it looked."""
_CODES = {
    errno.EXDEV: "path_escapes_boundary", errno.ELOOP: "path_escapes_boundary", errno.ENOENT: "path_not_found",
    errno.ENOTDIR: "path_not_directory", errno.EISDIR: "path_not_file", errno.ENXIO: "path_not_file",
    errno.EACCES: "path_permission_denied", errno.EPERM: "path_permission_denied", errno.EROFS: "path_permission_denied",
    errno.ENOSPC: "path_no_space", errno.EDQUOT: "path_no_space", errno.EFBIG: "file_too_large",
    errno.ENAMETOOLONG: "path_too_long", errno.ENOSYS: "unsupported", errno.EMFILE: "resource_exhausted",
    errno.ENFILE: "resource_exhausted", errno.ENOMEM: "resource_exhausted",
}  # fmt: skip
_PROJECT_CODES = ("project_path_not_found", "project_path_not_directory")
_FOLDER = os.O_PATH | os.O_DIRECTORY


class Folder(msgspec.Struct, frozen=True):
    """What fstat(2) says about a folder; two that are equal are the same and treat everybody alike."""

    dev: int
    inode: int
    uid: int
    gid: int
    mode: int


class ProjectFiles:
    """The folder at ``path``, a real absolute path; the owner calls ``close``. ``id`` is the session's, one process of which
    writes there: what was not a project's file yet when it was killed is called ``.<id>.tmp``, and :meth:`sweep` removes it.

    Methods raise RequestError: path_escapes_boundary, path_not_found, path_not_file, path_not_directory, path_too_long,
    path_permission_denied, path_no_space, file_too_large, invalid_field, resource_exhausted, unsupported, write_failed.
    """

    def __init__(self, path: str, id: str) -> None:
        self._path = path.rstrip("/")
        self._temporary = f".{id}.tmp"
        with _told():
            self._root = os.open(path or "/", _FOLDER | os.O_CLOEXEC)

    def close(self) -> None:
        os.close(self._root)

    def sweep(self) -> None:
        """Remove what was left by a process that was killed while it wrote."""
        with _told():
            _remove(self._root, self._temporary)

    def folder(self) -> Folder:
        """What the folder is now."""
        found = os.fstat(self._root)
        return Folder(found.st_dev, found.st_ino, found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode))

    def read(self, path: str, offset: int = 0, limit: int = MAX_LINES) -> dict[str, Term]:
        """``{"lines", "total", "offset", "has_more"}``: at most MAX_LINES lines, each cut to MAX_LINE_CHARACTERS."""
        if offset < 0 or not 0 <= limit <= MAX_LINES:
            raise RequestError("invalid_field", f"offset: 0 or more, limit: 0 to {MAX_LINES}")
        lines = self.read_bytes(path).decode("utf-8", "replace").split("\n")
        if lines[-1] == "":
            lines.pop()
        chosen: list[Term] = [line[:MAX_LINE_CHARACTERS] for line in lines[offset : offset + limit]]
        return {"lines": chosen, "total": len(lines), "offset": offset, "has_more": offset + len(chosen) < len(lines)}

    def read_bytes(self, path: str) -> bytes:
        """The whole file."""
        with _told(), self._opened(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY) as fd:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise RequestError("path_not_file")
            parts, size_bytes = [], 0
            while part := os.read(fd, 1 << 20):
                parts.append(part)
                size_bytes += len(part)
                if size_bytes > MAX_FILE_BYTES:
                    raise RequestError("file_too_large", f"at most {MAX_FILE_BYTES} bytes")
            return b"".join(parts)

    def write(self, path: str, content: bytes) -> None:
        """Make or replace the file in one step, and the folders above it if need be.

        A link of that name is replaced, not followed; an existing file's mode is kept.
        """
        if len(content) > MAX_FILE_BYTES:
            raise RequestError("file_too_large", f"at most {MAX_FILE_BYTES} bytes")
        above, _, name = self._beneath(path).rpartition("/")
        if name in ("", ".", ".."):
            raise RequestError("path_not_file")
        with _told(), self._folder_for(above or ".") as folder:
            try:
                _replace(folder, name, self._root, self._temporary, content)
            except OSError as error:
                if error.errno != errno.EXDEV:
                    raise
                _replace(folder, name, folder, self._temporary, content)  # another file system, mounted in the project

    def entries(self, path: str = ".") -> list[Term]:
        """``[[name, kind], …]`` by name; ``kind``: ``file``, ``folder``, ``link``, ``other``."""
        with _told(), self._opened(path, os.O_RDONLY | os.O_DIRECTORY) as fd, os.scandir(fd) as entries:
            found: list[tuple[str, str]] = []
            for entry in entries:
                if len(found) == MAX_ENTRIES:
                    raise RequestError("file_too_large", f"more than {MAX_ENTRIES} entries")
                found.append((os.fsencode(entry.name).decode("utf-8", "replace"), _kind(entry)))
        return [[name, kind] for name, kind in sorted(found)]

    def _beneath(self, path: str) -> str:
        """``path`` as seen from the folder; one that begins with the folder's own path means what is in it."""
        inside = path_of(path)
        if self._path and f"{inside}/".startswith(f"{self._path}/"):
            return inside[len(self._path) :].lstrip("/") or "."
        return inside

    @contextmanager
    def _opened(self, path: str, flags: int) -> Iterator[int]:
        fd = self._open(self._beneath(path), flags)
        try:
            yield fd
        finally:
            os.close(fd)

    def _open(self, path: str, flags: int) -> int:
        for _ in range(_TRIES - 1):
            try:
                return openat2(self._root, path, flags, resolve=RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS)
            except BlockingIOError:
                continue
        return openat2(self._root, path, flags, resolve=RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS)

    @contextmanager
    def _folder_for(self, path: str) -> Iterator[int]:
        """The folder at ``path``, made with those above it if there is none."""
        try:
            fd = self._open(path, _FOLDER)
        except FileNotFoundError:
            self._make(path.split("/"))
            fd = self._open(path, _FOLDER)
        try:
            yield fd
        finally:
            os.close(fd)

    def _make(self, parts: list[str]) -> None:
        if ".." in parts:
            raise RequestError("path_not_found")
        for depth, name in enumerate(parts):
            fd = self._open("/".join(parts[:depth]) or ".", _FOLDER)
            try:
                os.mkdir(name or ".", dir_fd=fd)
            except FileExistsError:
                pass
            finally:
                os.close(fd)


def _replace(folder: int, name: str, place: int, temporary: str, content: bytes) -> None:
    """Write a file without a name, and give it this one: whoever reads finds the old content or the new one.

    linkat(2) replaces nothing, so between two calls it is ``temporary`` in ``place``; as long as it is written where the file
    system knows no files without a name (open(2), O_TMPFILE).
    """
    _remove(place, temporary)
    fd = _open_unnamed(folder)
    is_named = fd < 0
    if is_named:
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666, dir_fd=place)
    try:
        try:
            old = os.stat(name, dir_fd=folder, follow_symlinks=False)
        except FileNotFoundError:
            pass
        else:
            if stat.S_ISREG(old.st_mode):
                os.fchmod(fd, stat.S_IMODE(old.st_mode))
        view = memoryview(content)
        while view:
            view = view[os.write(fd, view) :]
        point("file.written")
        if not is_named:
            os.link(f"/proc/self/fd/{fd}", temporary, dst_dir_fd=place, follow_symlinks=True)
            is_named = True
        point("file.named")
        os.rename(temporary, name, src_dir_fd=place, dst_dir_fd=folder)
    except BaseException:
        if is_named:
            _remove(place, temporary)
        raise
    finally:
        os.close(fd)


def files_of(project: dict[str, Any], id: str) -> ProjectFiles:
    """The files of the ``project`` that the record of session ``id`` names: its folder is still the one that was checked.

    :raises RequestError: it is not there (``project_path_not_found``, …), or not what it was (``project_path_changed``).
    """
    try:
        files = ProjectFiles(project["path"], id)
    except RequestError as error:
        raise RequestError(f"project_{error.code}" if f"project_{error.code}" in _PROJECT_CODES else error.code) from None
    then = Folder(project["dev"], project["inode"], project["uid"], project["gid"], project["mode"] & 0o7777)
    if files.folder() != then:
        files.close()
        raise RequestError("project_path_changed")
    with suppress(RequestError):  # a folder that cannot be written to keeps it, and the session reads there
        files.sweep()
    return files


def _open_unnamed(folder: int) -> int:
    """A file that goes with its descriptor; -1: the file system has none."""
    try:
        return os.open(".", os.O_TMPFILE | os.O_WRONLY | os.O_CLOEXEC, 0o666, dir_fd=folder)
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EISDIR):
            raise
        return -1


def _remove(folder: int, name: str) -> None:
    with suppress(FileNotFoundError):
        os.unlink(name, dir_fd=folder)


def _kind(entry: os.DirEntry[str]) -> str:
    if entry.is_symlink():
        return "link"
    if entry.is_dir(follow_symlinks=False):
        return "folder"
    return "file" if entry.is_file(follow_symlinks=False) else "other"


@contextmanager
def _told() -> Iterator[None]:
    """Errors of the system leave as RequestError, without the path."""
    try:
        yield
    except OSError as error:
        raise RequestError(_CODES.get(error.errno or 0, "write_failed")) from None
