"""The folder of a session: what it is, and whether one can work there. Nothing is written to find that out (acceptance 7).

The client looks before it asks for a session, and sends what it saw. The session's own process looks again before it is
ready, so what happens to the folder in between is seen, and then the session does not start (acceptance 121).
"""

from __future__ import annotations

import errno
import os
import stat
from typing import cast

import msgspec

from actorcore.errors import RequestError
from actorcore.exit_reason import Term
from supervisors.session.record import MAX_PATH_BYTES, Project

_NOT_FOUND = {errno.ENOENT, errno.ELOOP}
_OF_SAVED = {"path_not_found": "project_path_not_found", "path_not_directory": "project_path_not_directory"}


def examine(path: object) -> Project:
    """The folder that ``path`` leads to, by its real path.

    :raises RequestError: missing_project_path, invalid_project_path (no text, a NUL, or not UTF-8), path_too_long,
        path_not_absolute, path_traversal_detected (a component ``..``), path_not_found, path_not_directory,
        path_permission_denied (it cannot be reached, read, written or entered).
    """
    text = _checked_text(path)
    try:
        real = os.path.realpath(text, strict=True)
        found = os.stat(real, follow_symlinks=False)
    except OSError as error:
        raise RequestError(_code_of(error)) from None
    if not stat.S_ISDIR(found.st_mode):
        raise RequestError("path_not_directory")
    if not os.access(real, os.R_OK | os.W_OK | os.X_OK, effective_ids=True):
        raise RequestError("path_permission_denied")
    return Project(_checked_text(real), found.st_dev, found.st_ino, found.st_uid, found.st_gid, found.st_mode)


def draft_of(saved: Term) -> dict[str, Term]:
    """The record to create a session with that is ``saved`` (the store's answer to GetSaved); its project is looked at now.

    :raises RequestError: project_path_not_found, project_path_not_directory, and as :func:`examine`.
    """
    session = cast(dict[str, dict[str, Term]], saved)["session"]
    project = session.get("project")
    try:
        found = examine(project.get("path") if isinstance(project, dict) else None)
    except RequestError as error:
        raise RequestError(_OF_SAVED.get(error.code, error.code), error.detail) from None
    return {**session, "project": msgspec.to_builtins(found)}


def _checked_text(path: object) -> str:
    if path is None or path == "":
        raise RequestError("missing_project_path")
    if isinstance(path, os.PathLike):
        path = os.fspath(path)
    if not isinstance(path, str) or "\0" in path:
        raise RequestError("invalid_project_path")
    try:
        size_bytes = len(path.encode())
    except UnicodeEncodeError:
        raise RequestError("invalid_project_path") from None
    if size_bytes > MAX_PATH_BYTES:
        raise RequestError("path_too_long", f"at most {MAX_PATH_BYTES} bytes")
    if not path.startswith("/"):
        raise RequestError("path_not_absolute")
    if ".." in path.split("/"):
        raise RequestError("path_traversal_detected")
    return path


def _code_of(error: OSError) -> str:
    if error.errno in _NOT_FOUND:
        return "path_not_found"
    if error.errno == errno.ENOTDIR:
        return "path_not_directory"
    return "path_too_long" if error.errno == errno.ENAMETOOLONG else "path_permission_denied"
