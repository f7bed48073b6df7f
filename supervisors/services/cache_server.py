"""A cache that several sessions share: one process, found by its name. It dies with what is in it, as a cache may.

``ProcessSpec("supervisors.services.cache_server:CacheServer", [{"max_entries": 1000}], name="cache")``; what one can ask is
``CacheRequest`` of :mod:`supervisors.session.requests`, the same as of a session's own cache.
"""

from __future__ import annotations

import contextlib
from typing import ClassVar

import msgspec

from actorcore.errors import RequestError
from actorcore.gen_server import GenServer, NoReply, Reply, Stop
from actorcore.mailbox import From
from actorcore.runtime import clock
from actorcore.runtime.actor.process import Process
from supervisors.session.cache import Cache
from supervisors.session.looks import look_up
from supervisors.session.requests import CacheRequest


class CacheOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Bounds; beyond them the oldest go."""

    max_entries: int = 100_000
    max_bytes: int = 256 << 20


class CacheServer(GenServer):
    """See the module."""

    calls: ClassVar[object] = CacheRequest
    process: Process

    def init(self, options: dict[str, object] | None = None) -> Stop | None:  # type: ignore[override]
        """Begin empty."""
        with contextlib.suppress(msgspec.ValidationError):
            found = msgspec.convert(options or {}, CacheOptions)
            if found.max_entries > 0 and found.max_bytes > 0:
                self._cache = Cache(found.max_entries, found.max_bytes)
                return None
        return Stop({"invalid_spec": "args: max_entries and max_bytes, 1 or more"})

    def handle_call(self, request: object, frm: From) -> Reply | NoReply:
        """Answer, or refuse with the code."""
        try:
            return Reply(look_up(self._cache, request, clock.monotonic_s()))  # type: ignore[arg-type]
        except RequestError as error:
            self.process.reply_error(frm, error.code, error.detail)
            return NoReply()
