"""Hot replacement of a module's code in all processes that run it, as OTP's release_handler does it (appup(4)).

All are suspended, then each loads the module anew and hands its state to ``code_change``, then all go on. Who does not
answer in time or cannot change keeps its old code and goes on as well. New processes begin with the new code.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TypeAlias

import msgspec

from actorcore import frames
from actorcore.errors import ActorError, CallFailed, CallTimeout, RequestError
from actorcore.exit_reason import Term
from actorcore.frames import System
from actorcore.pids import Pid
from actorcore.system_words import ChangeCode, Resume, Suspend, SystemRequest
from supervisors.clients import steps
from supervisors.clients.core import ClientCore
from supervisors.clients.steps import Steps
from supervisors.own_names import NODE

PAGE_ROWS = 500


class CodeChanged(msgspec.Struct, frozen=True):
    """Who has the new code, and why others have not: codes of :mod:`actorcore.errors`, ``timeout``, or a dead one's reason."""

    changed: list[Pid]
    failed: dict[Pid, tuple[str, Term]]


Outcomes: TypeAlias = dict[Pid, Term | ActorError]
Phases: TypeAlias = Generator[Steps[Outcomes], Outcomes, CodeChanged]


def change_code(core: ClientCore, module: str, old_version: object, extra: object) -> Phases:
    """Steps, each with a time of its own."""
    pids = list((yield _processes_of(core, module)))
    ready: list[Pid] = []
    try:
        suspended = yield _ask_all(core, pids, Suspend())
        ready += [pid for pid, outcome in suspended.items() if outcome is True]
        outcomes = {**suspended, **(yield _ask_all(core, ready, ChangeCode(module, old_version, extra)))}
    finally:
        yield _ask_all(core, ready, Resume())
        yield _tell_all(core, [pid for pid in pids if pid not in ready], Resume())
    yield _renew(core)
    changed = [pid for pid in pids if outcomes[pid] is True]
    return CodeChanged(changed, {pid: _trouble(outcomes[pid]) for pid in pids if outcomes[pid] is not True})


def _processes_of(core: ClientCore, module: str) -> Steps[Outcomes]:
    """The processes whose class or function is of ``module``."""
    found: Outcomes = {}
    after = 0
    while rows := (yield from steps.processes(core, after, PAGE_ROWS)):
        for row in rows:
            serial = row["serial"]
            assert isinstance(serial, int)
            after = max(after, serial)
            if str(row.get("start") or "").partition(":")[0] == module and row.get("phase") == "running":
                found[core.pid(serial)] = None
    return found


def _ask_all(core: ClientCore, pids: list[Pid], request: SystemRequest) -> Steps[Outcomes]:
    """The answer of each, all asked before any is awaited."""
    outcomes: Outcomes = {}
    asked: dict[Pid, int] = {}
    body = msgspec.Raw(frames.encode(request))
    for pid in pids:
        try:
            channel = yield from steps.channel_to(core, pid)
        except ActorError as error:
            outcomes[pid] = error
            continue
        asked[pid] = core.await_next(channel.peer)
        channel.post(System(asked[pid], body))
        core.flush(channel)
    for pid, number in asked.items():
        try:
            outcomes[pid] = yield number
        except ActorError as error:
            outcomes[pid] = error
    return outcomes


def _tell_all(core: ClientCore, pids: list[Pid], request: SystemRequest) -> Steps[Outcomes]:
    """To those who did not answer in time: what they were asked first comes before it."""
    for pid in pids:
        if (channel := core.find(pid.serial)) is not None:
            channel.post(System(0, msgspec.Raw(frames.encode(request))))
            core.flush(channel)
    yield from ()
    return {}


def _renew(core: ClientCore) -> Steps[Outcomes]:
    """Images that have the module imported already are made anew."""
    yield from steps.ask(core, NODE, {"verb": "renew"})
    return {}


def _trouble(outcome: Term | ActorError) -> tuple[str, Term]:
    match outcome:
        case RequestError(code=code, detail=detail):
            return (code, detail)
        case CallFailed(reason=reason):
            return ("process_not_alive", reason)
        case CallTimeout():
            return ("timeout", None)
    raise AssertionError(f"no outcome of a code change: {outcome!r}")
