"""Handlers of events in one's own program: each is called for the types that it wants, and one that raises is detached.

>>> telemetry = Telemetry()
>>> telemetry.attach("log", print, ["session_crashed"])
>>> for event in client.manager.subscribe():                              # doctest: +SKIP
...     telemetry.dispatch(event)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from typing import TypeAlias

import msgspec

from actorcore.errors import RequestError
from actorcore.exit_reason import Reason, reason_of_exception
from supervisors.clients.manager_steps import SessionEvent

Handler: TypeAlias = Callable[[SessionEvent], object]


class Detached(msgspec.Struct, frozen=True):
    """A handler that has raised ``reason`` and is not called any more."""

    name: str
    reason: Reason


class Telemetry:
    """Handlers by name. ``counters``: how often an event of each type was dispatched since :meth:`reset`."""

    def __init__(self) -> None:
        self._handlers: dict[str, tuple[Handler, frozenset[str]]] = {}
        self._counters: Counter[str] = Counter()

    def attach(self, name: str, handler: Handler, types: Collection[str] = ()) -> None:
        """From now on ``handler`` is called for events of these types (none: of all).

        :raises RequestError: ``already_exists``, there is a handler of that name.
        """
        if name in self._handlers:
            raise RequestError("already_exists", name)
        self._handlers[name] = handler, frozenset(types)

    def detach(self, name: str) -> bool:
        """Whether there was a handler of that name."""
        return self._handlers.pop(name, None) is not None

    def attached(self) -> list[str]:
        """The names of all handlers, in the order in which they are called."""
        return list(self._handlers)

    def dispatch(self, event: SessionEvent) -> list[Detached]:
        """Call who wants it. Nothing that a handler raises comes out of here: it is told, and the others are called."""
        self._counters[event.type] += 1
        detached: list[Detached] = []
        for name, (handler, types) in list(self._handlers.items()):
            if types and event.type not in types:
                continue
            try:
                handler(event)
            except Exception as error:
                self._handlers.pop(name, None)
                detached.append(Detached(name, reason_of_exception(error)))
        return detached

    @property
    def counters(self) -> Mapping[str, int]:
        """A copy."""
        return dict(self._counters)

    def reset(self) -> None:
        """Count from 0 from now on."""
        self._counters.clear()
