"""Errors: one tree; ``code`` is stable, ``detail`` is short text for a person and carries no path or traceback.

ActorError
├── RequestError     the other side refused (``code`` says why); nothing was changed
├── CallFailed       the callee died or does not exist (``reason``)
├── CallTimeout      no answer in time; a late one is dropped
└── ProtocolError    bytes that are not this protocol; the connection is closed
"""

from __future__ import annotations

from actorcore.exit_reason import Reason

CODES = frozenset({
    "not_found", "already_registered", "invalid_key", "reserved_key", "registry_full", "value_too_long", "timeout",
    "process_not_alive", "invalid_spec", "invalid_message", "start_failed", "start_timeout", "shutting_down", "busy",
    "expired", "mailbox_full", "protocol_error", "unsupported_version", "internal_error", "unsupported",
    "resource_exhausted", "not_permitted", "calling_self", "already_exists", "restarting", "running",
    "not_running", "unknown_request", "session_gave_up", "too_many_requests", "reload_failed",
})  # fmt: skip
"""Every code that leaves this package."""


class ActorError(Exception):
    """Root of all errors that a caller of this library may handle."""


class RequestError(ActorError):
    """A refusal: ``code`` is one of :data:`CODES`."""

    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(f"{code}: {detail}" if detail else code)
        self.code = code
        self.detail = detail


class CallFailed(ActorError):
    """The callee is dead: ``reason`` is what a monitor would be told."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(f"callee is dead: {reason}")
        self.reason = reason


class CallTimeout(ActorError):
    """The deadline of a call passed; ``code`` is ``timeout``."""

    code = "timeout"


class ProtocolError(ActorError):
    """The peer does not speak this protocol; ``code`` is ``protocol_error``."""

    code = "protocol_error"
