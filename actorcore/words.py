"""Words: what every struct of the vocabulary is made of, and the spec of a process."""

from __future__ import annotations

import msgspec

from actorcore.exit_reason import Term


class Word(msgspec.Struct, frozen=True, array_like=True, tag_field="t", gc=False, forbid_unknown_fields=True):
    """Base of the vocabulary: a msgpack array whose first item is the type's name."""


class ProcessSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to run: ``start`` is ``module:name`` (a function or an actor class), ``args`` its arguments.

    ``path`` is a folder to import from first; ``env`` is added to the allow-listed environment; ``limits`` maps an RLIMIT
    name (``"NOFILE"``) to its soft and hard value; ``init_timeout_s``
    bounds ``init``. ``busy_timeout_s`` is to bound one message; it is carried and not enforced yet. The only ``template``
    that is served is ``lean``.
    """

    start: str
    args: list[Term] = []
    template: str = "lean"
    trap_exit: bool = False
    name: str | None = None
    path: str = ""
    env: dict[str, str] = {}
    limits: dict[str, int] = {}
    init_timeout_s: float = 10.0
    busy_timeout_s: float | None = None
    may_spawn: bool = True
