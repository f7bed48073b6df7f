"""Resuming: sessions that were alive when a daemon or the machine died come back with the next daemon.

The processes here are short: :func:`main` finds the sessions whose processes did not end in order, because the daemon before
or the machine died, and :func:`resume` asks for one of them. One that cannot be had stays saved as it is.
"""

from __future__ import annotations

from typing import cast

from actorcore.errors import ActorError, RequestError
from actorcore.exit_reason import Term
from actorcore.runtime.actor.process import Process
from actorcore.runtime.complain import complain
from supervisors.own_names import MANAGER
from supervisors.persistence.asking import ask_store
from supervisors.persistence.store_words import GetSaved, ListResumable
from supervisors.session.project_path import draft_of
from supervisors.session.record import SESSION
from supervisors.session.words import CreateSession, FailResume, ResumeSession

WAIT_S = 60.0


def main(process: Process) -> None:
    """Resume all that were alive, each by a process of its own, so that none waits for another."""
    found: list[str] = []
    after: object = 0
    while isinstance(after, int):
        page = cast(dict[str, Term], ask_store(process, ListResumable(True, after), WAIT_S))
        found += [str(cast(dict[str, Term], line)["id"]) for line in cast(list[Term], page["sessions"])]
        after = page["next"]
    for id in found:
        process.call(MANAGER, ResumeSession(id), WAIT_S)
        process.spawn(f"{__name__}:resume", [id], template=SESSION)


def resume(process: Process, id: str) -> None:
    """Ask for saved session ``id``."""
    try:
        draft = draft_of(cast(Term, ask_store(process, GetSaved(id), WAIT_S)))
    except ActorError as error:
        complain(f"a session is not resumed: {error}")
        process.call(MANAGER, FailResume(id, error.code if isinstance(error, RequestError) else "not_running"), WAIT_S)
        return
    try:
        process.call(MANAGER, CreateSession(draft, True), WAIT_S)
    except ActorError as error:  # who watches was told by the manager
        complain(f"a session is not resumed: {error}")
