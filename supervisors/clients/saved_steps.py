"""What a client asks of the store, written once for the sync and the async client; see ``steps``."""

from __future__ import annotations

import msgspec

from actorcore.errors import CallFailed
from actorcore.exit_reason import NOPROC, Reason, Term
from supervisors.clients.core import ClientCore
from supervisors.clients.steps import Steps, ask, call
from supervisors.own_names import SERVICES, STORE
from supervisors.persistence import store_words as words
from supervisors.persistence.asking import TRIES
from supervisors.persistence.saved import SavedSession

Row = dict[str, Term]


class SavedPage(msgspec.Struct, frozen=True):
    """Some saved sessions; ``bad``: how many there are that cannot be read or believed; ``next``: of the next page."""

    sessions: list[SavedSession]
    bad: int
    next: int | None


def store(core: ClientCore, request: words.StoreRequest) -> Steps[Term]:
    """Ask the store, which is started for it if it does not run."""
    reason: Reason = NOPROC
    for _ in range(TRIES):
        yield from ask(core, SERVICES, ["ensure", "store"])
        try:
            return (yield from call(core, STORE, request))
        except CallFailed as error:  # it died of something: its successor says the same
            reason = error.reason
    raise CallFailed(reason)


def page(core: ClientCore, request: words.ListSaved | words.ListResumable) -> Steps[SavedPage]:
    answer = yield from store(core, request)
    return msgspec.convert(answer, SavedPage)


def find(core: ClientCore, path: str) -> Steps[SavedSession | None]:
    """The newest of the project at ``path``."""
    answer = yield from store(core, words.FindByProject(path))
    return None if answer is None else msgspec.convert(answer, SavedSession)


def of_row(core: ClientCore, request: words.StoreRequest) -> Steps[Row]:
    """A request whose answer is a map."""
    answer = yield from store(core, request)
    return answer if isinstance(answer, dict) else {}
