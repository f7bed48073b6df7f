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
"""Every point and what is so at it."""

hook: Callable[[str], None] | None = None
plan = ""
"""The path of the plan that is armed."""


def point(name: str) -> None:
    """Pass a point."""
    if hook is not None:
        hook(name)


def parse(text: str) -> list[tuple[str, int, str]]:
    """The lines ``point:nth:action`` of a plan.

    :raises ValueError: a line names no point or action of ours.
    """
    found: list[tuple[str, int, str]] = []
    for line in text.split():
        name, _, rest = line.partition(":")
        nth, _, action = rest.partition(":")
        if name not in POINTS or not nth.isdecimal() or action not in ACTIONS:
            raise ValueError(f"not point:nth:action: {line[:80]!r}")
        found.append((name, int(nth), action))
    return found
