"""What the supervisor of the sessions says, in the manager's words. Pure."""

from __future__ import annotations

from actorcore.errors import CODES
from actorcore.exit_reason import NORMAL, Reason, Term


def refusal_of(error: tuple[str, Term]) -> tuple[str, Term]:
    """An error of the supervisor: what the session itself refused with is the code."""
    code, detail = error
    if code == "start_failed" and isinstance(detail, dict) and len(detail) == 1:
        ((refused, why),) = detail.items()
        return (refused, why) if refused in CODES else (code, detail)
    if code == "start_failed" and isinstance(detail, str):
        detail = "start_timeout" if detail == "timeout" else detail
        return (detail, None) if detail in CODES else (code, detail)
    return {"already_exists": "session_exists"}.get(code, code), detail


def reason_in(detail: dict[str, Term]) -> Reason:
    """Of a death that was told."""
    reason = detail.get("reason")
    return reason if isinstance(reason, (str, dict)) else NORMAL
