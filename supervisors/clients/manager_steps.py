"""What a client asks of the manager, written once for the sync and the async client; see ``steps``."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from actorcore import frames
from actorcore.errors import ActorError, RequestError
from actorcore.exit_reason import Term
from actorcore.signals import Ask
from supervisors.clients.core import ClientCore
from supervisors.clients.messages import InfoMessage, Mail
from supervisors.clients.saved_steps import store
from supervisors.clients.steps import Steps, ask, await_mail
from supervisors.own_names import MANAGER
from supervisors.persistence.store_words import GetSaved
from supervisors.session import project_path, words
from supervisors.session.project_path import draft_of
from supervisors.session.record import ID, SERVER, Policy
from supervisors.session.subscriptions import WINDOW

PAGE_ROWS = 500
TOKEN_BYTES = 16
"""Of chance: nobody guesses them."""
Row = dict[str, Term]


class SessionEvent(msgspec.Struct, frozen=True):
    """Something that was told of ``session``. ``number``: of all events of the daemon ``instance``; ``seq``: of this
    session's; ``at``: UTC, seconds since 1970. See :mod:`supervisors.session.events` for types and their data.
    """

    instance: int
    number: int
    seq: int
    session: str
    type: str
    at: float
    data: dict[str, Term]


class Subscribed(msgspec.Struct):
    """A subscription: its ``ref``, the ``number`` of the last event before it, and how many messages of it were taken.

    Each brings ``token``, by which it is the manager's: any that there has been meanwhile.
    """

    ref: int
    number: int
    token: bytes
    taken: int = 0


def create(
    core: ClientCore, path: object, name: str | None, module: str, config: Mapping[str, Term] | None,
    metadata: Mapping[str, Term] | None, limits: Mapping[str, int] | None, policy: Policy, group: Mapping[str, Term] | None,
    durability: str, id: str | None,
) -> Steps[Row]:  # fmt: skip
    """A new session in the folder ``path``."""
    project = project_path.examine(path)
    draft: Row = {
        "id": str(uuid.uuid4()) if id is None else id, "name": os.path.basename(project.path) if name is None else name,
        "project": msgspec.to_builtins(project), "module": SERVER if module == "" else module, "config": dict(config or {}),
        "metadata": dict(metadata or {}), "limits": dict(limits or {}), "policy": msgspec.to_builtins(policy),
        "group": None if group is None else dict(group), "durability": durability,
    }  # fmt: skip
    return (yield from of_row(core, words.CreateSession(draft)))


def resume(core: ClientCore, id: object) -> Steps[Row]:
    """A saved session again; every attempt counts, whatever comes of it."""
    if not isinstance(id, str) or not ID.fullmatch(id):
        raise RequestError("invalid_id")
    yield from ask(core, MANAGER, words.ResumeSession(id))
    try:
        draft = draft_of((yield from store(core, GetSaved(id))))
    except ActorError as error:
        failure = RequestError("session_exists") if isinstance(error, RequestError) and error.code == "running" else error
        code = failure.code if isinstance(failure, RequestError) else "not_running"
        with contextlib.suppress(ActorError):  # what is wrong is the failure
            yield from ask(core, MANAGER, words.FailResume(id, code))
        raise failure from None
    return (yield from of_row(core, words.CreateSession(draft, True)))


def of_row(core: ClientCore, request: words.ManagerRequest) -> Steps[Row]:
    """A request whose answer is a map."""
    answer = yield from ask(core, MANAGER, request)
    return answer if isinstance(answer, dict) else {}


def find(core: ClientCore, by: Literal["id", "path", "name"], value: str) -> Steps[Row]:
    """A path is looked up as what it leads to, if that is still there."""
    return (yield from of_row(core, words.FindSession(by, os.path.realpath(value) if by == "path" else value)))


def page(core: ClientCore, after: tuple[float, int]) -> Steps[tuple[list[Row], tuple[float, int] | None]]:
    """Some rows of the list, and where the next ones begin."""
    answer = yield from of_row(core, words.ListSessions(after, PAGE_ROWS))
    rows, following = answer.get("sessions"), answer.get("next")
    found = [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    match following:
        case [float(at), int(number)]:
            return found, (at, number)
    return found, None


def ids(core: ClientCore) -> Steps[list[str]]:
    answer = yield from ask(core, MANAGER, words.ListIds())
    return [id for id in answer if isinstance(id, str)] if isinstance(answer, list) else []


def serials(core: ClientCore) -> Steps[list[int]]:
    answer = yield from ask(core, MANAGER, words.ListPids())
    return [serial for serial in answer if isinstance(serial, int)] if isinstance(answer, list) else []


# ---- events ---------------------------------------------------------------------------------------------------------


def subscribe(core: ClientCore, session: str, types: Sequence[str], after: int | None) -> Steps[Subscribed]:
    token = os.urandom(TOKEN_BYTES)
    match (yield from ask(core, MANAGER, words.Subscribe(session, list(types), after, token))):
        case {"subscription": int(ref), "number": int(number)}:
            return Subscribed(ref, number, token)
        case other:
            raise AssertionError(f"no subscription: {other!r}")


def next_event(core: ClientCore, subscription: Subscribed) -> Steps[SessionEvent]:
    """Take its next event out of the mailbox, wherever it is in it."""
    while True:
        for mail in list(core.mailbox):
            event = _event_in(mail, subscription)
            if event is not None:
                core.mailbox.remove(mail)
                subscription.taken += 1
                if subscription.taken % (WINDOW // 2) == 0:  # nobody waits for the answer
                    raw = msgspec.Raw(frames.encode(words.Seen(subscription.ref, subscription.taken)))
                    core.submit(Ask(core.connection.resolve(MANAGER) or core.residents[MANAGER], raw))
                return msgspec.convert({**event, "instance": core.connection.instance}, SessionEvent)
        yield await_mail(core)


def unsubscribe(core: ClientCore, subscription: Subscribed) -> Steps[None]:
    """No event of it comes any more, nor is one left in the mailbox."""
    yield from ask(core, MANAGER, words.Unsubscribe(subscription.ref))
    for mail in list(core.mailbox):
        if _event_in(mail, subscription) is not None:
            core.mailbox.remove(mail)


def _event_in(mail: Mail, subscription: Subscribed) -> Row | None:
    match mail:
        case InfoMessage(_, {"subscription": subscription.ref, "token": subscription.token, "event": dict(event)}):
            return event
    return None
