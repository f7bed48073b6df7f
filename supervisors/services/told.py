"""What the daemon's services tell the manager, which tells whoever subscribes to events.

A service is what the daemon or its users run for many sessions: the store, the residents of the node, caches, limiters and
task pools that were started as sessions.
"""

from __future__ import annotations

import msgspec

from actorcore.exit_reason import KILLED, Term
from actorcore.frames import encoder
from actorcore.residents import Send
from actorcore.words import Word
from supervisors.own_names import MANAGER

STARTS = frozenset({"task_pool", "limiter", "supervisors.services.cache_server:CacheServer"})
"""The ``start`` of those that users run."""
_NAMES = {"restarts": "restart_count", "old": "old_pid", "new": "new_pid"}
_LEFT_OUT = {"id", "count"}


class ServiceTold(Word, frozen=True, tag="service_told"):
    """An event of a service; types and fields are those of :mod:`supervisors.session.events`."""

    type: str
    data: dict[str, Term]


class ServiceReborn(Word, frozen=True, tag="service_reborn"):
    """The sender is the resident of this name, which was killed as ``before`` and goes on from its state."""

    name: str
    before: int

    def events(self, after: int, restart_count: int) -> list[ServiceTold]:
        """What is told of it; ``after``: its serial now."""
        about: dict[str, Term] = {"name": self.name, "restart_count": restart_count, "duration_s": 0.0}
        return [
            ServiceTold("service_crashed", {**about, "reason": KILLED, "pid": self.before, "restart_count": restart_count - 1}),
            ServiceTold("service_restarted", {**about, "old_pid": self.before, "new_pid": after}),
        ]


def tell_manager(type_: str, **data: Term) -> Send:
    """The order to publish this event."""
    return _send(ServiceTold(type_, data))


def tell_reborn(name: str, before: int) -> Send:
    """The order to tell that the resident of this name was killed as ``before``."""
    return _send(ServiceReborn(name, before))


def tell_life(kind: str, name: str, serial: int, detail: dict[str, Term]) -> Send:
    """The order to publish what became of a service that is supervised as sessions are; ``kind`` as of their telemetry."""
    data: dict[str, Term] = {"name": name, **{_NAMES.get(key, key): detail[key] for key in detail if key not in _LEFT_OUT}}
    if kind in ("session_started", "session_crashed"):
        data["pid"] = serial or None
    return tell_manager(f"service_{kind.removeprefix('session_')}", **data)


def _send(word: Word) -> Send:
    return Send(MANAGER, msgspec.Raw(encoder.encode(word)))
