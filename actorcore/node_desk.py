"""The node's own resident, ``system:node``: status, reload and down, for whoever may ask."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from actorcore.exit_reason import Term
from actorcore.residents import AnswerTo, Order, Tell
from actorcore.signals import NOBODY, Asking, Delivery, TookOver


class Wish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of an Ask: ``verb`` is ``status``, ``reload`` or ``down``."""

    verb: str


_decoder = msgspec.msgpack.Decoder(Wish)


class NodeDesk:
    """A resident whose only state is who the node is."""

    def __init__(self, statistics: Callable[[], msgspec.Struct]) -> None:
        self.statistics = statistics
        self._node = TookOver(0, 0)

    def took_over(self, event: TookOver) -> None:
        """A new node serves."""
        self._node = event

    def handle(self, body: Delivery, now: float) -> list[Order]:
        """Answer an Asking; everything else is none of its business."""
        if not isinstance(body, Asking):
            return []
        try:
            verb = _decoder.decode(body.body).verb
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
            return [AnswerTo(body.frm, body.number, error=("invalid_message", "expected a map with a verb"))]
        if verb == "status":
            return [AnswerTo(body.frm, body.number, self._status())]
        if verb in ("reload", "down"):
            return [AnswerTo(body.frm, body.number, True), Tell(verb, NOBODY)]
        return [AnswerTo(body.frm, body.number, error=("unknown_request", "status, reload or down"))]

    def _status(self) -> Term:
        facts: dict[str, Term] = msgspec.to_builtins(self.statistics())
        return {**facts, "node_os_pid": self._node.os_pid, "generation": self._node.generation}

    def snapshot(self) -> bytes:
        """See Resident."""
        return msgspec.msgpack.encode(self._node)

    def restore(self, state: bytes) -> None:
        """See Resident."""
        self._node = msgspec.msgpack.decode(state, type=TookOver)
