"""How the store is asked: it is started if it does not run, and asked again if it dies of something meanwhile."""

from __future__ import annotations

from typing import Protocol

from actorcore.errors import CallFailed
from actorcore.exit_reason import NOPROC, Reason
from supervisors.own_names import SERVICES, STORE
from supervisors.persistence.store_words import OpenSession, StoreRequest

TRIES = 3
WAIT_S = 10.0


class Caller(Protocol):
    """A lean process or a blocking client."""

    def call(self, to: str, request: object, timeout_s: float = ...) -> object: ...


def ask_store(caller: Caller, request: StoreRequest | OpenSession, timeout_s: float = WAIT_S) -> object:
    """The store's answer. Asked again, every request of its vocabulary gives the same, or says that it was done.

    :raises RequestError: its refusal, or ``start_failed``.
    :raises CallFailed, CallTimeout: there is none, or it dies of each try.
    """
    reason: Reason = NOPROC
    for _ in range(TRIES):
        try:
            return caller.call(STORE, request, timeout_s)
        except CallFailed as error:
            reason = error.reason
        caller.call(SERVICES, ["ensure", "store"], timeout_s)
    raise CallFailed(reason)
