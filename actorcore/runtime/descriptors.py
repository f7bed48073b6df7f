"""Descriptors: what the limit of this process leaves, known without counting, for the kernel gives the lowest free number."""

from __future__ import annotations

import contextlib
import resource

RESERVED = 32
"""Not given to what strangers can ask for: left for channels, /proc and whatever keeps those alive who are here."""


def is_last(fd: int, wanted: int = 0) -> bool:
    """Whether the number of ``fd``, just opened, shows that fewer than RESERVED and ``wanted`` more are left."""
    return fd + RESERVED + wanted >= resource.getrlimit(resource.RLIMIT_NOFILE)[0]


STARTED_WITH = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
"""The soft limit that this program was given: it is there for programs that use select(2)."""


def raise_limit() -> None:
    """As many descriptors as we may have (getrlimit(2))."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def restore_limit(os_pid: int) -> None:
    """Give a child, and so its children, what this program was given."""
    with contextlib.suppress(ProcessLookupError):  # it is dead, and not reaped
        _, hard = resource.prlimit(os_pid, resource.RLIMIT_NOFILE)
        resource.prlimit(os_pid, resource.RLIMIT_NOFILE, (min(STARTED_WITH, hard), hard))
