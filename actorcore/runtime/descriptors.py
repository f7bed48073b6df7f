"""Descriptors: what the limit of this process leaves, known without counting, for the kernel gives the lowest free number."""

from __future__ import annotations

import resource

RESERVED = 32
"""Not given to what strangers can ask for: left for channels, /proc and whatever keeps those alive who are here."""


def is_last(fd: int, wanted: int = 0) -> bool:
    """Whether the number of ``fd``, just opened, shows that fewer than RESERVED and ``wanted`` more are left."""
    return fd + RESERVED + wanted >= resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def raise_limit() -> None:
    """As many descriptors as we may have (getrlimit(2)): the soft limit is there for programs that use select."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
