"""Words: what every struct of the vocabulary is made of, and the spec of a process."""

from __future__ import annotations

from typing import Literal, TypedDict

import msgspec

from actorcore.exit_reason import Term


class Word(msgspec.Struct, frozen=True, array_like=True, tag_field="t", gc=False, forbid_unknown_fields=True):
    """Base of the vocabulary: a msgpack array whose first item is the type's name."""


LEAN, ASYNCIO = "lean", "asyncio"
"""The templates that every daemon has."""
AUTO = "auto"
RESIDENT = "resident"
"""The template of what runs inside the node: ``start`` is the name of a machine that the node knows."""


class TaskSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A process that computes one value: ``start`` is called with its arguments alone. ``callers`` are serials: who wants
    the value, then whose task that is, and so on. Who ``is_awaited`` begins when the first of them says so, and tells it.
    """

    callers: list[int] = []
    is_awaited: bool = False


class ProcessSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What to run: ``start`` is ``module:name`` (a function or an actor class), ``args`` its arguments.

    ``path`` is a folder to import from first; ``env`` is added to the allow-listed environment; ``limits``: see
    :mod:`actorcore.process_spec`; ``init_timeout_s`` bounds ``init``. ``via`` is the name of a registry, a key and maybe a
    value: the process takes the key before its ``init``, and its start is refused with ``already_registered`` if it cannot.

    ``template`` says which modules are there already when the process begins: ``lean`` has none of note, ``asyncio`` has
    a warmed asyncio, others are configured. It changes how soon a process is ready and never what it does: ``async def``
    callbacks run in a loop on any template. ``auto`` is lean, until a start has shown that it wants asyncio.

    A process *hangs* when it has been stopped (SIGSTOP) for 1.5 s, or busy with one message for ``busy_timeout_s`` (None:
    no bound; of a plain function: with what lies between two receives). ``when_hung`` is ``report``: it is listed as
    ``unresponsive`` until it goes on; or ``kill``: it also dies of ``{"killed": "unresponsive"}``. ``task`` makes it a
    task (:mod:`actorcore.task`).

    All processes of a template are forks of one program, so they share the seed of ``hash()`` and where things lie in
    memory. With ``isolation`` ``exec`` the process has a program started for it alone, which takes as long as that does.
    """

    start: str
    args: list[Term] = []
    template: str = AUTO
    trap_exit: bool = False
    name: str | None = None
    via: list[Term] = []
    path: str = ""
    env: dict[str, str] = {}
    limits: dict[str, int] = {}
    init_timeout_s: float = 10.0
    busy_timeout_s: float | None = None
    when_hung: Literal["report", "kill"] = "report"
    may_spawn: bool = True
    isolation: Literal["fork", "exec"] = "fork"
    task: TaskSpec | None = None


class SpecFields(TypedDict, total=False):
    """The fields of a ProcessSpec that a ``spawn`` takes by their names."""

    template: str
    trap_exit: bool
    name: str | None
    via: list[Term]
    path: str
    env: dict[str, str]
    limits: dict[str, int]
    init_timeout_s: float
    busy_timeout_s: float | None
    when_hung: Literal["report", "kill"]
    may_spawn: bool
    isolation: Literal["fork", "exec"]
    task: TaskSpec | None
