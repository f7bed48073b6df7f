"""The sessions of a daemon, for a blocking program: ``client.manager``.

>>> with Client.connect() as client:                                     # doctest: +SKIP
...     session = client.manager.create("/home/me/project")
...     with client.manager.subscribe(session["id"]) as events:
...         client.call(session["id"], {"verb": "send", "role": "user", "content": "hello"})
...         events.next().type
'conversation_added'
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Literal

from actorcore.errors import CallTimeout
from actorcore.exit_reason import Term
from actorcore.pids import Pid
from supervisors.clients import manager_steps as steps
from supervisors.clients.driver import DEFAULT_TIMEOUT_S, Driver
from supervisors.clients.manager_steps import Row, SessionEvent, Subscribed
from supervisors.session import words
from supervisors.session.record import POLICY, Policy

STOP_TIMEOUT_S = 30.0
RESUME_TIMEOUT_S = 30.0


class ManagerClient:
    """A row is what is known of a session: the fields of its record (:mod:`supervisors.session.record`), its ``status``, the
    ``serial`` of its process (0: none), ``restarts`` and the ``reason`` of the last death.

    Methods raise as those of Client; RequestError ``not_found`` where there is no session of that id.
    """

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self._core = driver.core

    def create(
        self, path: object, name: str | None = None, *, module: str = "", config: Mapping[str, Term] | None = None,
        metadata: Mapping[str, Term] | None = None, limits: Mapping[str, int] | None = None, policy: Policy = POLICY,
        group: Mapping[str, Term] | None = None, durability: Literal["message", "checkpoint", "none"] = "message",
        id: str | None = None,
    ) -> Row:  # fmt: skip
        """A new session that works in the folder ``path``; its row when it is active. Its process is registered under its id.

        ``name``: by default the folder's; ``module``: the ``module:name`` that is run with the record, by default a session
        that remembers a conversation; ``id``: a UUID of version 4, by default a new one.

        :raises RequestError: see :func:`supervisors.session.project_path.examine` for what may be wrong with the path;
            invalid_name, name_too_long, invalid_field, …; not_permitted (a system directory), session_limit_reached,
            session_exists, project_already_open, shutting_down; start_failed with the reason, start_timeout, and then
            nothing of it is left.
        """
        work = steps.create(self._core, path, name, module, config, metadata, limits, policy, group, durability, id)
        return self._driver.run(work, policy.start_timeout_s + DEFAULT_TIMEOUT_S)

    def resume(self, id: str, timeout_s: float = RESUME_TIMEOUT_S) -> Row:
        """A saved session as it was: the same id, name, record and memory; its row when it is active.

        Each attempt counts: five per session and twenty of all within a minute.

        :raises RequestError: invalid_id; rate_limit_exceeded with the seconds to wait; not_found, signature_verification_failed
            and what else is wrong with what was saved; project_path_not_found, project_path_not_directory,
            project_path_changed; project_already_open, session_exists, session_limit_reached, start_failed. What was saved is
            then as it was.
        """
        return self._driver.run(steps.resume(self._core, id), timeout_s)

    def stop(self, id: str, timeout_s: float = STOP_TIMEOUT_S) -> Row:
        """It saves itself and ends; its last row when nothing of it is left."""
        return self._ask(words.StopSession(id), timeout_s)

    def restart(self, id: str, timeout_s: float = STOP_TIMEOUT_S) -> Row:
        """Another process under the same id; the row when it is active."""
        return self._ask(words.RestartSession(id), timeout_s)

    def suspend(self, id: str, timeout_s: float = STOP_TIMEOUT_S) -> Row:
        """It saves itself and its process ends; it stays listed. RequestError ``invalid_transition`` when it has none."""
        return self._ask(words.SuspendSession(id), timeout_s)

    def wake(self, id: str, timeout_s: float = STOP_TIMEOUT_S) -> Row:
        """A process for a suspended session; the row when it is active."""
        return self._ask(words.WakeSession(id), timeout_s)

    def info(self, id: str) -> Row:
        """Its row."""
        return self._ask(words.GetSession(id))

    def find(self, by: Literal["id", "path", "name"], value: str) -> Row:
        """The row of the session of this id, project path or exact name; the oldest of several."""
        return self._driver.run(steps.find(self._core, by, value))

    def resolve(self, target: str) -> Row:
        """The row of whom a person means: 1 to n (0 is the tenth), id, name, or prefix; ``ambiguous_target`` names several."""
        return self._ask(words.ResolveTarget(target))

    def list(self) -> Iterator[Row]:
        """All rows, oldest first, page by page."""
        after: tuple[float, int] | None = (0.0, 0)
        while after is not None:
            rows, after = self._driver.run(steps.page(self._core, after))
            yield from rows

    def ids(self) -> Sequence[str]:
        """All ids, in the order of the list."""
        return self._driver.run(steps.ids(self._core))

    def pids(self) -> Sequence[Pid]:
        """The Pid of every session that has a process, in the order of the list."""
        return [self._core.pid(serial) for serial in self._driver.run(steps.serials(self._core))]

    def count(self) -> Row:
        """``{"total", "limit", "status": {status: how many}}``."""
        return self._ask(words.CountSessions())

    def rename(self, id: str, name: str) -> Row:
        """The row with the new name."""
        return self._ask(words.RenameSession(id, name))

    def update(self, id: str, config: Mapping[str, Term] | None = None, metadata: Mapping[str, Term] | None = None) -> Row:
        """The row with these keys merged in (None takes one out); ``invalid_config`` tells all that is wrong at once."""
        return self._ask(words.UpdateSession(id, dict(config or {}), dict(metadata or {})))

    def default(self) -> Row:
        """The row of the default session: the chosen one, the configured one, or the oldest. RequestError ``no_sessions``."""
        return self._ask(words.GetDefault())

    def set_default(self, id: str) -> None:
        """Choose the default session; an empty id: none is chosen."""
        self._ask(words.SetDefault(id))

    def counters(self, reset: bool = False) -> Row:
        """How many events of each type there were since the last reset."""
        return self._ask(words.GetCounters(reset))

    def subscribe(self, session: str = "", types: Sequence[str] = (), after: int | None = None) -> Subscription:
        """The events of one session, or the lifecycle of all; ``types``: of these only. ``after``: see Subscribe in
        :mod:`supervisors.session.words`."""
        return Subscription(self._driver, self._driver.run(steps.subscribe(self._core, session, types, after)))

    def _ask(self, request: words.ManagerRequest, timeout_s: float = DEFAULT_TIMEOUT_S) -> Row:
        return self._driver.run(steps.of_row(self._core, request), timeout_s)


class Subscription:
    """Events in their order. Who reads too slowly finds ``events_dropped`` among them, with how many."""

    def __init__(self, driver: Driver, subscribed: Subscribed) -> None:
        self._driver = driver
        self._subscribed = subscribed

    @property
    def number(self) -> int:
        """Of the last event before it began."""
        return self._subscribed.number

    def next(self, timeout_s: float | None = DEFAULT_TIMEOUT_S) -> SessionEvent:
        """The next event; CallTimeout when none has come (0: look only, None: wait for ever)."""
        return self._driver.run(steps.next_event(self._driver.core, self._subscribed), timeout_s)

    def __iter__(self) -> Iterator[SessionEvent]:
        """What has come so far."""
        try:
            while True:
                yield self.next(0)
        except CallTimeout:
            return

    def close(self) -> None:
        """No event of it comes any more."""
        self._driver.run(steps.unsubscribe(self._driver.core, self._subscribed))

    def __enter__(self) -> Subscription:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
