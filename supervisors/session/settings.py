"""What the configuration says of sessions; see :mod:`supervisors.configuration`."""

from __future__ import annotations

import msgspec

FORBIDDEN_DIRECTORIES = (
    "/etc", "/root", "/boot", "/sys", "/proc", "/dev", "/var/log", "/var/run", "/run", "/sbin", "/bin", "/usr/sbin", "/usr/bin",
)  # fmt: skip


class SessionSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``max_sessions``: live ones. No session works in a directory of ``forbidden_directories``, or below one, or in ``/``.
    ``default``: the id or name of the session that is meant when none is. ``resume``: those that were alive when the daemon
    or the machine died come back with the next daemon.
    """

    max_sessions: int = 1000
    forbidden_directories: tuple[str, ...] = FORBIDDEN_DIRECTORIES
    default: str = ""
    resume: bool = True

    def is_forbidden(self, path: str) -> bool:
        """Whether no session may work in ``path``, a real path."""
        return path == "/" or any(path == one or path.startswith(f"{one}/") for one in self.forbidden_directories)


def trouble_with(settings: SessionSettings) -> tuple[str, str] | None:
    """The key that cannot be so, and why; None for settings that one can live with."""
    if settings.max_sessions < 1:
        return "max_sessions", "must be 1 or more"
    for path in settings.forbidden_directories:
        if not path.startswith("/") or path != path.rstrip("/"):
            return "forbidden_directories", "must be absolute paths without a slash at the end"
    return None
