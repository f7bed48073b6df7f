"""``services``: what the daemon itself needs in a process of its own, started when it is first wanted and never given up.

The supervisor is the one of the sessions; only the specs are the daemon's own, and so are the names, which begin with
``system:``. Whoever needs a service asks ``["ensure", name]`` first: the answer, its row, comes when it is ready, the error
``start_failed`` says why it cannot be had.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from actorcore.frames import DECODE_ERRORS
from actorcore.residents import AnswerTo
from actorcore.signals import Asking, ProcessSpec
from actorcore.words import Word
from supervisors.own_names import STORE
from supervisors.persistence.retention import Limits
from supervisors.tree.child_spec import ChildSpec
from supervisors.tree.session_words import Asker
from supervisors.tree.sessions import Sessions


class Ensure(Word, frozen=True, tag="ensure"):
    """Answer: the row of service ``name``, which runs. Errors: not_found, start_failed."""

    name: str


def services_with(limits: Limits) -> Mapping[str, ChildSpec]:
    """Those that there are; ``limits`` are the store's. It traps exits: what it was told before, it does before it ends."""
    store = ProcessSpec("supervisors.persistence.store:Store", [msgspec.to_builtins(limits)], trap_exit=True, name=STORE)
    return {"store": ChildSpec("store", store, restart="permanent", give_up="never")}


SERVICES = services_with(Limits())

_decoder = msgspec.msgpack.Decoder(Ensure)


class Services(Sessions):
    """The resident. ``services`` are those that there are."""

    name = "services"

    def __init__(self, services: Mapping[str, ChildSpec] = SERVICES) -> None:
        super().__init__(len(services))
        self._services = services

    def _on_asking(self, asking: Asking) -> None:
        try:
            wanted = _decoder.decode(asking.body)
        except DECODE_ERRORS:
            super()._on_asking(asking)
            return
        self._ensure((asking.frm, asking.number), wanted.name)

    def _is_service(self, spec: ChildSpec) -> bool:
        return True

    def _ensure(self, asker: Asker, name: str) -> None:
        spec, found = self._services.get(name), self._lives.sessions.get(name)
        if spec is None:
            self._lives.orders.append(AnswerTo(*asker, error=("not_found", name[:64])))
        elif found is None:
            if (refusal := self._start(asker, spec)) is not None:
                self._lives.orders.append(AnswerTo(*asker, error=refusal))
        elif found.state in ("active", "unresponsive"):
            self._answer(asker, found.row(self._lives.now))
        else:  # the first to come, or the next one after a death
            found.starters.append(asker)
