"""A memory cgroup of our own, of version 1 or 2: real want of memory, for who is in it alone. It takes root, mostly."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

REFUSED = {errno.EACCES, errno.EPERM, errno.EROFS}
LACKING = "no memory cgroup in which another can be made"


def _own() -> tuple[Path, str]:
    """The folder of the cgroup that we are in, and the name of the file that limits one."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "memory":
            return Path(f"/sys/fs/cgroup/memory{path}"), "memory.limit_in_bytes"
        if controllers == "" and "memory" in _read(Path(f"/sys/fs/cgroup{path}/cgroup.subtree_control")).split():
            return Path(f"/sys/fs/cgroup{path}"), "memory.max"
    pytest.skip(LACKING)


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


@contextmanager
def memory_cgroup(limit_bytes: int) -> Iterator[Path]:
    """Its folder; whoever was in it is dead in the end. Skips the test where there can be none."""
    parent, limit = _own()
    folder = parent / f"actorcore-{os.getpid()}"
    try:
        folder.mkdir()
    except OSError as error:
        if error.errno in REFUSED:
            pytest.skip(LACKING)
        raise
    try:
        (folder / limit).write_text(str(limit_bytes))
        yield folder
    finally:
        folder.rmdir()


def within(cgroup: Path, command: Sequence[str]) -> list[str]:
    """``command`` as a process that is in ``cgroup`` from its beginning, under the pid that is started."""
    return ["/bin/sh", "-c", f'echo $$ >{cgroup}/cgroup.procs && exec "$@"', "sh", *command]
