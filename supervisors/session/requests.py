"""What one can ask a session: calls and casts of :class:`supervisors.session.server.SessionServer`, as msgpack arrays.

In Python they are these structs, ``client.call(session, SendMessage("user", "hello"))``; from elsewhere arrays of the name and
the fields in order, ``["send_message", "user", "hello"]``. What changes the session is kept before it is answered.

Lists come in pages: ``{"items", "total", "offset", "returned", "has_more"}``, oldest first, of ``limit`` items (None: all) or as
many as fit into 1 MiB. Every word may be refused with ``invalid_message``, one that changes something also with the code of a
journal that cannot be written (``path_no_space``, ``write_failed``, …): nothing has changed then.
"""

from __future__ import annotations

from typing import TypeAlias, Union

from actorcore.words import Word

# ---- conversation ---------------------------------------------------------------------------------------------------


class SendMessage(Word, frozen=True, tag="send_message"):
    """Answer: ``{"seq", "id", "at"}``. With an ``id`` of one's own it may be sent again: it is there once, the answer the same.

    Errors: unknown_role, empty_message, message_too_long.
    """

    role: str
    content: str
    id: str = ""
    usage: dict[str, object] = {}


class GetMessages(Word, frozen=True, tag="get_messages"):
    """Answer: a page."""

    offset: int = 0
    limit: int | None = None


class ClearMessages(Word, frozen=True, tag="clear_messages"):
    """Answer: True."""


class StartStreaming(Word, frozen=True, tag="start_streaming"):
    """What was streamed and not ended is dropped. Answer: the id of the message to be. Error: unknown_role."""

    role: str = "assistant"
    id: str = ""


class StreamChunk(Word, frozen=True, tag="stream_chunk"):
    """A cast: ``text`` is appended to what is streamed; ignored when nothing is."""

    text: str


class EndStreaming(Word, frozen=True, tag="end_streaming"):
    """The chunks are one message now. Answer: as SendMessage. Errors: not_streaming, empty_message, message_too_long."""

    usage: dict[str, object] = {}


class SetTodos(Word, frozen=True, tag="set_todos"):
    """Maps of ``content``, ``status`` and ``active_form`` replace the former ones. Answer: True.

    Errors: invalid_todo, unknown_status.
    """

    todos: list[object]


class GetTodos(Word, frozen=True, tag="get_todos"):
    """Answer: the list."""


class AddReasoning(Word, frozen=True, tag="add_reasoning"):
    """Answer: True. Errors: empty_message, message_too_long."""

    text: str


class GetReasoning(Word, frozen=True, tag="get_reasoning"):
    """Answer: a page."""

    offset: int = 0
    limit: int | None = None


class ClearReasoning(Word, frozen=True, tag="clear_reasoning"):
    """Answer: True."""


class BeginTool(Word, frozen=True, tag="begin_tool"):
    """A tool is called. Answer: its id. Errors: value_too_long, already_exists (the id)."""

    name: str
    parameters: dict[str, object] = {}
    id: str = ""


class EndTool(Word, frozen=True, tag="end_tool"):
    """It is done; ``status``: ``ok`` or ``error``. Answer: True. Errors: not_found, unknown_status, value_too_long."""

    id: str
    status: str = "ok"
    result: object = None


class GetToolCalls(Word, frozen=True, tag="get_tool_calls"):
    """Answer: a page."""

    offset: int = 0
    limit: int | None = None


class AddPrompt(Word, frozen=True, tag="add_prompt"):
    """To the prompt history; one that is blank, or the newest already, is ignored. Answer: True. Error: message_too_long."""

    text: str


class SetPrompts(Word, frozen=True, tag="set_prompts"):
    """The prompt history, newest first. Answer: True. Error: message_too_long."""

    texts: list[str]


class GetPrompts(Word, frozen=True, tag="get_prompts"):
    """Answer: the list, newest first."""


class TouchFile(Word, frozen=True, tag="touch_file"):
    """A file was read or written, ``kind``: ``read`` or ``write``. Answer: True. Errors: invalid_field, path_too_long."""

    path: str
    kind: str


class GetFileOperations(Word, frozen=True, tag="get_file_operations"):
    """Answer: a page."""

    offset: int = 0
    limit: int | None = None


class LastTouched(Word, frozen=True, tag="last_touched"):
    """When the file was last read or written, in seconds since 1970; None: never, as far as is remembered."""

    path: str
    kind: str = "read"


class AddUsage(Word, frozen=True, tag="add_usage"):
    """So much more was used. Answer: True. Error: invalid_field."""

    input_tokens: int = 0
    output_tokens: int = 0
    cost: float = 0.0


class GetUsage(Word, frozen=True, tag="get_usage"):
    """Answer: ``{"input_tokens", "output_tokens", "cost"}`` of the whole session."""


# ---- context --------------------------------------------------------------------------------------------------------


class AddFile(Word, frozen=True, tag="add_file"):
    """``path`` is an active file; one that is already changes nothing. Answer: True. Errors: invalid_field, path_too_long."""

    path: str


class RemoveFile(Word, frozen=True, tag="remove_file"):
    """It is neither active nor in the index. Answer: whether it was."""

    path: str


class GetFiles(Word, frozen=True, tag="get_files"):
    """Answer: the active files, oldest first."""


class IndexFile(Word, frozen=True, tag="index_file"):
    """``facts`` are merged into what is known of ``path``. Answer: True. Errors: invalid_field, path_too_long, value_too_long."""

    path: str
    facts: dict[str, object]


class GetFileIndex(Word, frozen=True, tag="get_file_index"):
    """Answer: facts by path; of ``path`` alone when it is given."""

    path: str = ""


class PutWorking(Word, frozen=True, tag="put_working"):
    """Answer: True. Errors: invalid_key, value_too_long."""

    key: str
    value: object


class GetWorking(Word, frozen=True, tag="get_working"):
    """Answer: the value. Error: not_found."""

    key: str


class DeleteWorking(Word, frozen=True, tag="delete_working"):
    """Answer: whether there was one."""

    key: str


class GetWorkingKeys(Word, frozen=True, tag="get_working_keys"):
    """Answer: the keys, oldest first."""


class BuildContext(Word, frozen=True, tag="build_context"):
    """See :func:`supervisors.session.context.build`; None: the session's caps. Error: invalid_field (an unknown part)."""

    parts: list[str]
    max_messages: int | None = None
    max_files: int | None = None
    max_tokens: int | None = None


# ---- cache: it dies with the process, and is no part of what is saved -----------------------------------------------


class CachePut(Word, frozen=True, tag="cache_put"):
    """Answer: True. Errors: invalid_key, invalid_ttl, value_too_long."""

    key: str
    value: object
    ttl_s: float | None = None


class CacheGet(Word, frozen=True, tag="cache_get"):
    """Answer: ``["hit", value]``, ``["not_found", None]`` or ``["expired", None]``."""

    key: str


class CacheDelete(Word, frozen=True, tag="cache_delete"):
    """Answer: whether there was a value."""

    key: str


class CacheClear(Word, frozen=True, tag="cache_clear"):
    """Every key that begins with ``prefix`` goes. Answer: how many had a value."""

    prefix: str = ""


class GetCacheStatistics(Word, frozen=True, tag="cache_statistics"):
    """Answer: see :class:`supervisors.session.cache.CacheStatistics`."""


# ---- files of the project -------------------------------------------------------------------------------------------


class ReadFile(Word, frozen=True, tag="read_file"):
    """Answer: ``{"lines", "total", "offset", "has_more"}``: ``limit`` lines from the ``offset``-th on.

    Errors: path_escapes_boundary, path_not_found, path_permission_denied, path_not_file, file_too_large, invalid_field.
    """

    path: str
    offset: int = 0
    limit: int = 2000


class WriteFile(Word, frozen=True, tag="write_file"):
    """Replace or make the file, and the folders above it. Answer: True. Errors: as ReadFile, path_no_space."""

    path: str
    content: str


class ListFolder(Word, frozen=True, tag="list_folder"):
    """Answer: ``[[name, kind], …]`` by name; ``kind`` is ``file``, ``folder``, ``link`` or ``other``. Errors: as ReadFile."""

    path: str = "."


# ---- the session itself ---------------------------------------------------------------------------------------------


class ChangeSession(Word, frozen=True, tag="change_session"):
    """The session's record has changed: it is kept with what the session remembers. Only the manager tells that, by a message of
    its own; ask it to rename or update. Answer: True. Error: value_too_long.
    """

    session: dict[str, object]


class GetRecord(Word, frozen=True, tag="get_record"):
    """Answer: the session's record, as it was last told."""


class Save(Word, frozen=True, tag="save"):
    """Make a checkpoint now. Answer: True; every change that was accepted before is in it."""


AskedChange: TypeAlias = Union[
    SendMessage, ClearMessages, StartStreaming, EndStreaming, SetTodos, AddReasoning, ClearReasoning, BeginTool, EndTool,
    AddPrompt, SetPrompts, TouchFile, AddUsage, AddFile, RemoveFile, IndexFile, PutWorking, DeleteWorking,
]  # fmt: skip
Change: TypeAlias = Union[AskedChange, ChangeSession]
Look: TypeAlias = Union[
    GetMessages, GetTodos, GetReasoning, GetToolCalls, GetPrompts, GetFileOperations, LastTouched, GetUsage, GetFiles,
    GetFileIndex, GetWorking, GetWorkingKeys, BuildContext, GetRecord,
]  # fmt: skip
CacheRequest: TypeAlias = Union[CachePut, CacheGet, CacheDelete, CacheClear, GetCacheStatistics]
FileRequest: TypeAlias = Union[ReadFile, WriteFile, ListFolder]
SessionRequest: TypeAlias = Union[AskedChange, Look, CacheRequest, FileRequest, Save]
"""All calls; a module of one's own may add its own: ``calls = SessionRequest | MyRequest``."""
