"""Named fault points: moments at which a test of ours may hurt the process that passes them.

``point("birth.born")`` is one comparison with None as long as nothing is armed. Nobody can arm it from outside: the daemon
does so itself when it was started with ``--faults`` (actorcore.runtime.fault_injection), and its forks inherit it.
"""

from __future__ import annotations

from collections.abc import Callable

ACTIONS = ("kill", "exit", "stop", "eio", "enospc")
POINTS = {
    "node.fork": "a fork is decided, nobody has been told",
    "node.held": "the guardian keeps the control socket, the zygote knows nothing",
    "node.ordered": "the zygote has the order",
    "node.born": "the child has announced itself, the guardian does not know",
    "node.adopted": "the guardian was told, the ledger does not know",
    "node.booted": "init has run, the ledger does not know",
    "node.publish": "the name is about to be found",
    "node.published": "the name is found, the answer has not left",
    "node.flushed": "what was to be said has left, the ledger does not know",
    "zygote.ordered": "an order was read, nothing was forked",
    "zygote.forked": "the child runs",
    "birth.forked": "the child runs and has the zygote's descriptors",
    "birth.detached": "the child has its own descriptors",
    "birth.born": "the child has announced itself",
    "birth.begun": "the child knows what to become",
    "birth.booted": "init has run and was told",
    "reload.yielded": "the serving node has left its snapshot to other code",
    "guardian.hold": "the guardian is about to keep a control socket",
    "guardian.adopt": "the guardian is about to open a pidfd",
    "guardian.adopted": "the guardian has the pidfd, the node has not",
}
"""Every point of the daemon and what is so at it."""
FILE_POINTS = {
    "file.written": "a project's file is written, and has no name that counts",
    "file.named": "it has one that does not count",
    "database.opened": "a session has its database for itself",
    "database.append": "records are about to be written",
    "database.inserted": "they are signed, and in no file",
    "database.written": "they are in the log, not synced",
    "database.appended": "they are durable, the head does not say so",
    "database.noted": "the head says so, nobody was told",
    "database.checkpoint": "a snapshot is about to be written",
    "database.replaced": "it is in SQLite's cache, in the place of all before",
    "database.checkpointed": "it is durable, the head does not say so",
    "database.folded": "SQLite's log has been folded into the database",
    "database.created": "the file of a new epoch is there, and empty",
    "database.filled": "everything is in it, and the old one still counts",
    "database.head": "the head is written, not synced",
    "database.closing": "all is said, the session still counts as running",
    "database.closed": "it does not any more",
    "secret.opened": "a key ring is about to be written to a file without a name that counts",
    "secret.written": "it is written, not synced",
    "secret.synced": "it is synced, and does not count yet",
    "secret.renamed": "it counts, until the power fails",
    "secret.durable": "it counts",
    "index.opened": "the list of saves is about to be written to a file without a name that counts",
    "index.written": "it is written, not synced",
    "index.synced": "it is synced, and does not count yet",
    "index.renamed": "it counts, until the power fails",
    "index.durable": "it counts",
}
"""The same where files are written: by sessions, and by who keeps them (supervisors.persistence)."""
SUPERVISOR_POINTS = {
    "supervisor.orders": "a supervisor in a process of its own has decided a request and not made it",
    "supervisor.done": "the request was answered, its supervisor does not know",
}
"""The same in supervisors that run as processes."""

hook: Callable[[str], None] | None = None
plan = ""
"""The path of the plan that is armed."""


def point(name: str) -> None:
    """Pass a point."""
    if hook is not None:
        hook(name)


def unarmed(action: Callable[[], None]) -> None:
    """Do ``action``, in which nobody passes a point: a life that is only played is none."""
    global hook
    armed, hook = hook, None
    try:
        action()
    finally:
        hook = armed


def parse(text: str) -> list[tuple[str, int, str]]:
    """The lines ``point:nth:action`` of a plan.

    :raises ValueError: a line names no point or action of ours.
    """
    found: list[tuple[str, int, str]] = []
    for line in text.split():
        name, _, rest = line.partition(":")
        nth, _, action = rest.partition(":")
        is_known = any(name in points for points in (POINTS, FILE_POINTS, SUPERVISOR_POINTS))
        if not is_known or not nth.isdecimal() or action not in ACTIONS:
            raise ValueError(f"not point:nth:action: {line[:80]!r}")
        found.append((name, int(nth), action))
    return found
