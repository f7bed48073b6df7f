"""The node's own resident, ``system:node``: status, reload, renew and down, for whoever may ask."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from actorcore.exit_reason import Term
from actorcore.guardian_words import PYTHON
from actorcore.residents import AnswerTo, Order, Tell
from actorcore.signals import NOBODY, Asking, Delivery, ReloadEnded, TookOver


class Wish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of an Ask: ``verb`` is ``status``, ``reload``, ``renew`` (images of new code) or ``down``."""

    verb: str


class DeskState(msgspec.Struct, array_like=True):
    """Who the node is, the number of the last reload that was asked for, and the askers that it has to answer."""

    node: TookOver = TookOver(0, 0)
    reloads: int = 0
    waiting: list[tuple[int, int]] = []


_decoder = msgspec.msgpack.Decoder(Wish)


class NodeDesk:
    """A resident that knows who the node is and who waits for the end of a reload."""

    def __init__(self, statistics: Callable[[], msgspec.Struct]) -> None:
        self.statistics = statistics
        self.log_dropped = 0
        """Lines that this node has lost from its log; forgotten with the node, so in no snapshot."""
        self._state = DeskState()

    def took_over(self, event: TookOver) -> None:
        """A new node serves."""
        self._state.node, self.log_dropped = event, 0

    def reload_ended(self, event: ReloadEnded) -> list[Order]:
        """Answer who waits, unless it was an earlier reload that ended: the guardian repeats it to every new node."""
        state = self._state
        if event.number != state.reloads:
            return []
        waiting, state.waiting = state.waiting, []
        error = ("reload_failed", event.error) if event.error else None
        return [AnswerTo(frm, number, None if error else self._status(), error) for frm, number in waiting]

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
        if verb == "reload":
            self._state.reloads += 1
            self._state.waiting.append((body.frm, body.number))
            return [Tell(verb, self._state.reloads)]
        if verb in ("down", "renew"):
            return [AnswerTo(body.frm, body.number, True), Tell(verb, NOBODY)]
        return [AnswerTo(body.frm, body.number, error=("unknown_request", "status, reload, renew or down"))]

    def _status(self) -> Term:
        facts: dict[str, Term] = msgspec.to_builtins(self.statistics()) | {"log_dropped": self.log_dropped, "python": PYTHON}
        return {**facts, "node_os_pid": self._state.node.os_pid, "generation": self._state.node.generation}

    def snapshot(self) -> bytes:
        """See Resident."""
        return msgspec.msgpack.encode(self._state)

    def restore(self, state: bytes) -> None:
        """See Resident."""
        self._state = msgspec.msgpack.decode(state, type=DeskState)
