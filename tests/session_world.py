"""Sessions without a manager: a record for a project folder, and a server of it in a daemon."""

from __future__ import annotations

import stat
import uuid
from pathlib import Path
from typing import Any

SERVER = "supervisors.session.server:SessionServer"


def record_of(project: Path, **fields: Any) -> dict[str, Any]:
    """The record of a new session that works in ``project``."""
    found = project.stat()
    folder = {
        "path": str(project.resolve()), "dev": found.st_dev, "inode": found.st_ino, "uid": found.st_uid, "gid": found.st_gid,
        "mode": stat.S_IMODE(found.st_mode),
    }  # fmt: skip
    return {"id": str(uuid.uuid4()), "name": project.name, "project": folder, "created_at": 1.0, "updated_at": 1.0, **fields}


def project_in(folder: Path, name: str = "project") -> Path:
    """A new folder of that name, 0755 whatever the umask."""
    path = folder / name
    path.mkdir()
    path.chmod(0o755)
    return path
