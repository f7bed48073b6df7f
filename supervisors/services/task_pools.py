"""Pools of tasks by name: each a session whose process is a ``task_pool``, which restarts with it and ends with the daemon.

``Tasks(process, name)`` and ``client.run_task(name, …)`` start tasks in the pool of this name.
"""

from __future__ import annotations

from typing import Any

import msgspec

from actorcore.errors import CallFailed, RequestError
from actorcore.exit_reason import NOPROC, Term
from actorcore.signals import ProcessSpec
from actorcore.words import RESIDENT
from supervisors.client import Client
from supervisors.tree.child_spec import ChildSpec
from supervisors.tree.spec import PoolSpec, trouble_with_pool

_TAKEN = ("already_exists", "already_registered")


class TaskPools:
    """The pools of the daemon that ``client`` talks to. ``fields`` are those of PoolSpec.

    Errors: ``pool_exists``, ``pool_not_found``, ``invalid_spec``.
    """

    def __init__(self, client: Client) -> None:
        self._client = client

    def create(self, name: str, **fields: Any) -> None:
        """A pool under ``name``; it takes tasks when this returns."""
        pool = ProcessSpec("task_pool", [_spec(fields)], template=RESIDENT, name=name)
        try:
            self._client.start_session(ChildSpec(name, pool, restart="permanent", shutdown_s="infinity"))
        except RequestError as error:
            if error.code in _TAKEN or (error.code == "start_failed" and "already_registered" in error.detail):
                raise RequestError("pool_exists", name) from None
            raise

    def configure(self, name: str, **fields: Any) -> None:
        """What the pool is from its next task on; what is not said is the default."""
        self._ask(name, ["configure", _spec(fields)])

    def count(self, name: str) -> Term:
        """``{"specs", "active", "supervisors", "workers"}`` of the tasks that run."""
        return self._ask(name, ["count_children"])

    def shutdown(self, name: str) -> None:
        """End the pool: its tasks are dead when this returns, those that wait are refused, and so is every later one."""
        try:
            self._client.stop_session(name)
        except RequestError as error:
            raise _missing(name) if error.code == "not_found" else error from None

    def _ask(self, name: str, words: list[object]) -> Term:
        try:
            return self._client.call(name, words)
        except CallFailed as error:
            raise _missing(name) if error.reason == NOPROC else error from None


def _spec(fields: dict[str, Any]) -> Any:
    try:
        spec = msgspec.convert(fields, PoolSpec)
    except msgspec.ValidationError as error:
        raise RequestError("invalid_spec", str(error)) from None
    if (trouble := trouble_with_pool(spec)) is not None:
        raise RequestError("invalid_spec", trouble)
    return msgspec.to_builtins(spec)


def _missing(name: str) -> RequestError:
    return RequestError("pool_not_found", name)
