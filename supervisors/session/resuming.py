"""Resuming: sessions that were alive when a daemon or the machine died come back with the next daemon.

The processes here are short: :func:`main` finds the sessions whose processes did not end in order, because the daemon before
or the machine died, and :func:`resume` asks for one of them. One that cannot be had stays saved as it is.
"""

from __future__ import annotations

import os
from typing import cast

from actorcore.errors import ActorError, RequestError
from actorcore.exit_reason import Term
from actorcore.runtime.actor.process import Process
from actorcore.runtime.clock import monotonic_s
from actorcore.runtime.complain import complain
from supervisors.own_names import MANAGER
from supervisors.paths import STATE_VARIABLE
from supervisors.persistence import predecessors
from supervisors.persistence.asking import ask_store
from supervisors.persistence.database_files import HEAD_NAME
from supervisors.persistence.store_words import GetSaved, ListResumable
from supervisors.session.project_path import draft_of
from supervisors.session.record import SESSION
from supervisors.session.words import CreateSession, FailResume, ResumeSession

WAIT_S = 60.0


def main(process: Process) -> None:
    """Resume all that were alive, each by a process of its own, so that none waits for another.

    Those that still have a process of the daemon before come when that is gone.
    """
    tried: set[str] = set()
    before = predecessors.of_sessions(os.environ[STATE_VARIABLE], HEAD_NAME)
    _resume_all(process, tried)
    if before:
        deadline_s = monotonic_s() + WAIT_S
        for os_pid in before:
            predecessors.await_end(os_pid, deadline_s)
        _resume_all(process, tried)


def _resume_all(process: Process, tried: set[str]) -> None:
    """All that no process has and that were not ``tried``: from then on they are."""
    found: list[str] = []
    after: object = 0
    while isinstance(after, int):
        page = cast(dict[str, Term], ask_store(process, ListResumable(True, after), WAIT_S))
        found += [str(cast(dict[str, Term], line)["id"]) for line in cast(list[Term], page["sessions"])]
        after = page["next"]
    for id in found:
        if id not in tried:
            tried.add(id)
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
