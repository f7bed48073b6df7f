"""What the configuration says of sessions; see :mod:`supervisors.configuration`."""

from __future__ import annotations

import msgspec

FORBIDDEN_DIRECTORIES = (
    "/etc", "/root", "/boot", "/sys", "/proc", "/dev", "/var/log", "/var/run", "/run", "/sbin", "/bin", "/usr/sbin", "/usr/bin",
)  # fmt: skip


class SessionSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``max_sessions``: live ones. No session works in a directory of ``forbidden_directories``, below one, or above one.
    ``default``: the id or name of the session that is meant when none is. ``resume``: those that were alive when the daemon
    or the machine died come back with the next daemon.

    ``max_saved``: saved ones, with a warning from the share ``warn_saved`` of them on; with ``auto_clean`` the oldest goes for
    a new one. Those saved more than ``max_age_days`` ago go by themselves.
    """

    max_sessions: int = 1000
    forbidden_directories: tuple[str, ...] = FORBIDDEN_DIRECTORIES
    default: str = ""
    resume: bool = True
    max_saved: int = 100
    warn_saved: float = 0.8
    auto_clean: bool = False
    max_age_days: int = 30

    def is_forbidden(self, path: str) -> bool:
        """Whether no session may work in ``path``, a real path."""
        below = path.rstrip("/") + "/"
        forbidden = [f"{one}/" for one in self.forbidden_directories]
        return below == "/" or any(below.startswith(one) or one.startswith(below) for one in forbidden)


def trouble_with(settings: SessionSettings) -> tuple[str, str] | None:
    """The key that cannot be so, and why; None for settings that one can live with."""
    for name in ("max_sessions", "max_saved", "max_age_days"):
        if getattr(settings, name) < 1:
            return name, "must be 1 or more"
    if not 0 <= settings.warn_saved <= 1:
        return "warn_saved", "must be 0 to 1"
    for path in settings.forbidden_directories:
        if not path.startswith("/") or path != path.rstrip("/"):
            return "forbidden_directories", "must be absolute paths without a slash at the end"
    return None
