"""Looks: what a session answers to who only asks."""

from __future__ import annotations

from typing import assert_never, cast

import msgspec

from actorcore.errors import RequestError
from actorcore.exit_reason import Term
from supervisors.session import requests
from supervisors.session.cache import Cache
from supervisors.session.caps import Caps
from supervisors.session.checks import bounds, size_bytes_of
from supervisors.session.context import Part, build
from supervisors.session.memory import State
from supervisors.session.requests import CacheRequest, Look

PARTS = ("conversation", "files", "file_index", "working_context")


def look(state: State, caps: Caps, request: Look) -> Term:
    """The answer.

    :raises RequestError: the refusals that are listed at the word.
    """
    talk, context = state.conversation, state.context
    match request:
        case requests.GetMessages(offset, limit):
            return talk.messages.page(*bounds(offset, limit))
        case requests.GetReasoning(offset, limit):
            return talk.reasoning.page(*bounds(offset, limit))
        case requests.GetToolCalls(offset, limit):
            return talk.tool_calls.page(*bounds(offset, limit))
        case requests.GetFileOperations(offset, limit):
            return talk.file_operations.page(*bounds(offset, limit))
        case requests.GetTodos():
            return [cast(Term, msgspec.to_builtins(todo)) for todo in talk.todos]
        case requests.GetPrompts():
            return list(talk.prompts)
        case requests.LastTouched(path, kind):
            done = talk.last_operation(path, kind)
            return None if done is None else done.at
        case requests.GetUsage():
            return cast(Term, msgspec.to_builtins(talk.usage))
        case requests.GetFiles():
            return list(context.files)
        case requests.GetFileIndex(path):
            return cast(Term, context.file_index.get(path, {}) if path else context.file_index)
        case requests.GetWorking(key):
            if key not in context.working:
                raise RequestError("not_found", "no such key")
            return context.working[key]
        case requests.GetWorkingKeys():
            return list(context.working)
        case requests.BuildContext():
            return _build(state, caps, request)
        case requests.GetRecord():
            return state.session
        case _:
            assert_never(request)


def _build(state: State, caps: Caps, request: requests.BuildContext) -> Term:
    if unknown := [part for part in request.parts if part not in PARTS]:
        raise RequestError("invalid_field", f"parts: {unknown[0][:40]} is none of {', '.join(PARTS)}")
    max_messages = caps.context_messages if request.max_messages is None else request.max_messages
    max_files = caps.files if request.max_files is None else request.max_files
    max_tokens = caps.context_tokens if request.max_tokens is None else request.max_tokens
    if min(max_messages, max_files, max_tokens) < 0:
        raise RequestError("invalid_field", "max_messages, max_files, max_tokens: must be 0 or more")
    return build(state.conversation, state.context, cast(list[Part], request.parts), max_messages, max_files, max_tokens)


def look_up(cache: Cache, request: CacheRequest, now: float) -> Term:
    """The answer of the cache, which may change by it.

    :raises RequestError: the refusals that are listed at the word.
    """
    match request:
        case requests.CachePut(key, value, ttl_s):
            cache.put(key, value, len(key.encode()) + size_bytes_of(value), ttl_s, now)
            return True
        case requests.CacheGet(key):
            found = cache.get(key, now)
            return [found.outcome, cast(Term, found.value)]
        case requests.CacheDelete(key):
            return cache.delete(key, now)
        case requests.CacheClear(prefix):
            return cache.delete_below(prefix, now)
        case requests.GetCacheStatistics():
            return cast(Term, msgspec.to_builtins(cache.statistics(now)))
        case _:
            assert_never(request)
