"""The status page: what a process tells about itself in 4096 shared bytes that cost a reader no word with it.

::

    word 0   bytes of the declared exit reason; not 0 = committed (one aligned store after the bytes are there)
    word 1   busy since, in ns of the monotonic clock; 0 = idle
    word 2   messages handled
    word 3   messages waiting in the mailbox
    1024…    the declared exit reason as msgpack, at most 3 KiB

Readers take it as claims: any bytes at all are read without raising.
"""

from __future__ import annotations

import msgspec

from actorcore.exit_reason import Reason, Term, bounded_text
from actorcore.frames import DECODE_ERRORS

PAGE_BYTES = 4096
REASON_OFFSET = 1024
MAX_REASON_BYTES = PAGE_BYTES - REASON_OFFSET
_LENGTH, BUSY, HANDLED, WAITING = range(4)
_MAX_DEPTH = 6
_MAX_NODES = 128
_TEXT_LIMITS = (2048, 512, 96, 16)

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Reason] = msgspec.msgpack.Decoder(Reason)


class Status(msgspec.Struct, frozen=True):
    """What the page says; ``busy_since_ns`` 0 is idle."""

    busy_since_ns: int
    handled: int
    waiting: int


class StatusPage:
    """The writing side, for the process that owns the page. ``handled``: how many messages were done.

    A loop over messages writes the ``words`` itself, as :meth:`busy` does: a call for each message is a twentieth of its cost.
    """

    def __init__(self, page: memoryview) -> None:
        self._page = page
        self.words = page[:REASON_OFFSET].cast("Q")
        self.handled = 0

    def busy(self, now_ns: int, waiting: int) -> None:
        """A message begins to be handled."""
        words = self.words
        words[BUSY] = now_ns
        words[WAITING] = waiting
        words[HANDLED] = self.handled

    def idle(self) -> None:
        """It waits for the next message."""
        self.words[HANDLED] = self.handled
        self.words[BUSY] = 0

    def declare(self, reason: object) -> Reason:
        """Commit the exit reason, cut to what fits; the first one stays. Returns what was written."""
        fit = fitting(reason)
        if self.words[_LENGTH] == 0:
            data = _encoder.encode(fit)
            self._page[REASON_OFFSET : REASON_OFFSET + len(data)] = data
            self.words[_LENGTH] = len(data)
        return fit


def declared_reason(page: memoryview) -> Reason | None:
    """The committed exit reason of a dead process, or None when there is none that can be read."""
    length = page[:8].cast("Q")[0]
    if not 0 < length <= MAX_REASON_BYTES:
        return None
    try:
        reason = _decoder.decode(bytes(page[REASON_OFFSET : REASON_OFFSET + length]))
    except DECODE_ERRORS:
        return None
    return reason


def read_status(page: memoryview) -> Status:
    """The counters, each read whole."""
    words = page[:REASON_OFFSET].cast("Q")
    return Status(words[BUSY], words[HANDLED], words[WAITING])


def fitting(reason: object) -> Reason:
    """``reason`` as an exit reason whose msgpack has at most 3 KiB, whatever it is: huge, cyclic, no plain data.

    What is neither text nor a map becomes ``{"error": it}``; the key of a map of one key is kept.
    """
    for limit in _TEXT_LIMITS:
        plain = reason if isinstance(reason, (str, dict)) else {"error": reason}
        term = _cut(plain, limit, _MAX_DEPTH, [_MAX_NODES])
        cut: Reason = term if isinstance(term, (str, dict)) else {"error": term}
        if len(_encoder.encode(cut)) <= MAX_REASON_BYTES:
            return cut
    if isinstance(cut, dict) and len(cut) == 1:
        return dict.fromkeys(cut, "truncated")
    return {"error": "truncated"}


def _cut(term: object, limit: int, depth: int, nodes: list[int]) -> Term:
    """A copy as plain data with at most ``nodes[0]`` more nodes: a cycle ends with the budget."""
    nodes[0] -= 1
    if nodes[0] < 0 or depth == 0:
        return "truncated"
    if term is None or type(term) in (bool, float):
        return term  # type: ignore[return-value]
    if isinstance(term, int):
        number = int(term)
        return number if -(2**63) <= number < 2**64 else "truncated"
    if isinstance(term, str):
        return bounded_text(str.__str__(term), limit)
    if isinstance(term, bytes):
        return bytes(term[:limit])
    if isinstance(term, (list, tuple)):
        return [_cut(item, limit, depth - 1, nodes) for item in term[: max(nodes[0], 0)]]
    if isinstance(term, dict):
        items = list(term.items())[: max(nodes[0], 0)]
        return {key_text(key, limit): _cut(value, limit, depth - 1, nodes) for key, value in items}
    return f"<{bounded_text(type(term).__name__, limit)}>"


def key_text(key: object, limit: int) -> str:
    """A map's key as text; foreign objects give their type's name, for their ``__str__`` may do anything."""
    return bounded_text(str(key) if isinstance(key, (str, int, float)) else f"<{type(key).__name__}>", limit)
