"""Errors: one tree; ``code`` is stable, ``detail`` is short text for a person and carries no path or traceback.

ActorError
├── RequestError     the other side refused (``code`` says why); nothing was changed
│   ├── StartFailed  ``init`` of a process that was to be started refused or died (``reason``)
│   └── NotAlive     who was asked is dead or died before it answered (``reason``)
├── CallFailed       the callee died or does not exist (``reason``)
├── CallTimeout      no answer in time; a late one is dropped
└── ProtocolError    bytes that are not this protocol; the connection is closed
"""

from __future__ import annotations

from actorcore.exit_reason import NOCONNECTION, Reason

MEANINGS = {
    "already_exists": "the id, the ref or the daemon is there already",
    "already_present": "there is a child of that id, which does not run now",
    "already_registered": "another process has this name, or this process has another; the detail is which",
    "already_started": "a child of that id runs; the detail is its serial",
    "ambiguous_target": "it is the beginning of several; the detail names them",
    "busy": "too much waits already; try again",
    "callback_failed": "the function or hook that was to make the new state raised; code and state are as before",
    "calling_self": "a process cannot call itself",
    "empty_field": "this field must not be empty",
    "empty_message": "there is no text in it",
    "expired": "the daemon does not know this client any more: connect again",
    "file_too_large": "more than is read or written at once",
    "internal_error": "a bug of the daemon, which has survived it; its log tells more",
    "invalid_config": "a configuration says what cannot be; the detail says what or where",
    "invalid_field": "a field cannot be so; the detail says which and why",
    "invalid_id": "no id of a session: a UUID of version 4",
    "invalid_json": "the file is no JSON",
    "invalid_criteria": "not [[path, comparison, operand], ...]; the detail says which and why",
    "invalid_key": "no name: [a-z0-9][a-z0-9._-]{0,63}",
    "invalid_max_tokens": "must be a whole number above 0",
    "invalid_message": "not what the receiver understands, or no plain data",
    "invalid_model": "must be a text",
    "invalid_name": "no name: 1 to 50 printable characters",
    "invalid_project_path": "no path, or one that cannot be written as UTF-8",
    "invalid_provider": "must be a text",
    "invalid_spec": "a field of the spec cannot be so; the detail says which and why",
    "invalid_temperature": "must be a number from 0 to 2",
    "invalid_timestamp": "must be seconds since 1970, and no update before the creation",
    "invalid_todo": "no todo; the detail says why",
    "invalid_transition": "that cannot happen in the state that it is in, which is the detail",
    "invalid_ttl": "a time to live is more than 0",
    "invalid_types": "fields of an event that are of another type; the detail names them",
    "invalid_version": "the file says no version that there can be",
    "json_encode_error": "it cannot be told in JSON",
    "mailbox_full": "the receiver does not read",
    "max_children": "the supervisor has as many children as it may have; the detail says how many",
    "message_too_long": "more text than a message may have",
    "missing_field": "this field must be there",
    "missing_fields": "fields are missing; the detail names them",
    "missing_project_path": "a session needs a folder to work in",
    "missing_required_fields": "fields that an event of this type must have",
    "name_too_long": "a name has at most 50 characters",
    "no_sessions": "there is no session",
    "not_a_map": "a map is needed here",
    "not_found": "there is nothing of that name or id",
    "not_joined": "none of these processes is in the group",
    "not_permitted": "this may not be done, by this process or in this directory",
    "not_running": "it does not run, or is being stopped",
    "not_streaming": "no message is being streamed",
    "path_escapes_boundary": "the path leads out of the project",
    "path_no_space": "no room is left on that device",
    "path_not_absolute": "a path must be absolute",
    "path_not_directory": "something else is there than a folder",
    "path_not_file": "something else is there than a file",
    "path_not_found": "there is nothing at that path",
    "path_permission_denied": "the file system does not allow that",
    "path_too_long": "no path is longer than 4096 bytes",
    "path_traversal_detected": "a path with .. in it",
    "pool_exists": "there is a pool of this name",
    "pool_not_found": "there is no pool of this name",
    "process_not_alive": "the process is dead or never lived",
    "project_already_open": "another session works in this folder",
    "project_path_changed": "the project's folder is not what it was",
    "project_path_not_directory": "the project's folder is something else now",
    "project_path_not_found": "the project's folder is gone",
    "protocol_error": "the peer does not speak this protocol; the connection is closed",
    "rate_limit_exceeded": "too many attempts; the detail is how many seconds to wait",
    "registry_full": "no name is left",
    "reload_failed": "the new code did not become ready; the old one goes on",
    "reserved_key": "names that begin with system: are the daemon's",
    "resource_exhausted": "the machine or a limit leaves nothing for this: descriptors, processes, memory, sessions",
    "restarting": "it is being restarted",
    "running": "it runs",
    "secret_unusable": "the machine's secret is missing or damaged: nothing is saved or read with another",
    "session_exists": "there is a session of that id",
    "session_gave_up": "it was restarted too often",
    "session_limit_reached": "there are as many sessions as there may be; the detail says how many",
    "shutting_down": "the daemon ends; nothing is started any more",
    "signature_verification_failed": "not signed here for this session, or changed since; nothing of it is believed",
    "simple_one_for_one": "the children of this supervisor have no ids",
    "start_failed": "init raised, refused or died; the detail is its reason",
    "start_timeout": "init took longer than init_timeout_s",
    "timeout": "no answer in time; a late one is dropped",
    "too_many_requests": "more than may be asked at once",
    "unknown_event_type": "there are no events of that type",
    "unknown_request": "the receiver has no such request",
    "unknown_role": "a message is of user, assistant, system or tool",
    "unknown_status": "there is no such status",
    "unsupported": "this cannot be asked of that kind of process",
    "unsupported_version": "client and daemon are of different versions",
    "value_too_long": "larger than may be sent or kept",
    "write_failed": "it could not be written; the log has the reason",
}
"""What each code means, for a person."""
CODES = frozenset(MEANINGS)
"""Every code that leaves this package; a code that is there stays what it is."""


class ActorError(Exception):
    """Root of all errors that a caller of this library may handle."""


class RequestError(ActorError):
    """A refusal: ``code`` is one of :data:`CODES`."""

    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(f"{code}: {detail}" if detail else code)
        self.code = code
        self.detail = detail


class StartFailed(RequestError):
    """``init`` of the spawned process refused or died: ``reason`` is why."""

    def __init__(self, reason: Reason, detail: str | None = None) -> None:
        super().__init__("start_failed", str(reason)[:200] if detail is None else detail)
        self.reason = reason


class NotAlive(RequestError):
    """The process is dead or never lived: ``reason`` is what a monitor would be told."""

    def __init__(self, reason: Reason, detail: str | None = None) -> None:
        super().__init__("process_not_alive", str(reason)[:200] if detail is None else detail)
        self.reason = reason


class CallFailed(ActorError):
    """The callee is dead: ``reason`` is what a monitor would be told; ``noconnection``: the daemon itself is not there."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(f"{'no daemon answers' if reason == NOCONNECTION else 'callee is dead'}: {reason}")
        self.reason = reason


class CallTimeout(ActorError):
    """The deadline of a call passed; ``code`` is ``timeout``."""

    code = "timeout"


class ProtocolError(ActorError):
    """The peer does not speak this protocol; ``code`` is ``protocol_error``."""

    code = "protocol_error"
