"""``limiter``: the one owner of all rate limits, a resident. Who guards an operation asks it before each attempt: resumes are
guarded by the manager.

Its state outlives the node, so no death grants a fresh budget (acceptance 152). What the daemon's own refuses is an event
(``rate_limited``). Requests are arrays:
``["attempt", operation, key]``, ``["reset", operation, key]``, ``["statistics"]``, ``["stop", reason]``.
"""

from __future__ import annotations

from typing import TypeAlias, Union

import msgspec

from actorcore.exit_reason import Reason, Term
from actorcore.frames import DECODE_ERRORS, decode_ext, encoder
from actorcore.residents import AnswerTo, Leave, Order, Ready, Refuse
from actorcore.signals import NOBODY, Asking, Begin, Delivery, Exit, Reborn
from actorcore.words import Word
from supervisors.services.rate_limit import MAX_KEYS, RATES, RateLimit, Rates, Snapshot, trouble_with
from supervisors.services.told import tell_manager, tell_reborn

MAX_OPERATION_BYTES = 64
MAX_KEY_BYTES = 256


class Attempt(Word, frozen=True, tag="attempt"):
    """Count one attempt; answer: True. Errors: rate_limit_exceeded with the seconds to wait, invalid_key."""

    operation: str
    key: str


class Reset(Word, frozen=True, tag="reset"):
    """The attempts of this key count no more; answer: True, also when there were none."""

    operation: str
    key: str


class GetStatistics(Word, frozen=True, tag="statistics"):
    """Answer: ``{"keys", "max_keys", "passed", "refused"}``; the last two since the beginning."""


class Stop(Word, frozen=True, tag="stop"):
    """The limiter ends with ``reason``, and all counts with it; the daemon's own does not."""

    reason: Reason = "normal"


LimiterRequest: TypeAlias = Union[Attempt, Reset, GetStatistics, Stop]
_request_decoder = msgspec.msgpack.Decoder(LimiterRequest, ext_hook=decode_ext)


class Memory(msgspec.Struct):
    """The whole state. ``parent`` 0: it is the daemon's own."""

    rates: Rates
    windows: Snapshot
    parent: int = NOBODY
    passed: int = 0
    refused: int = 0


_memory_decoder = msgspec.msgpack.Decoder(Memory)


class Limiter:
    """The machine."""

    def __init__(self, rates: Rates | None = None) -> None:
        self._windows = RateLimit(rates or RATES)
        self._parent = NOBODY
        self._passed = self._refused = 0

    def handle(self, body: Delivery, now: float) -> list[Order]:
        """React to one delivery."""
        match body:
            case Begin(parent=parent):
                self._parent = parent
                trouble = trouble_with(self._windows.rates)
                return [Ready() if trouble is None else Refuse({"invalid_spec": trouble})]
            case Exit(frm, reason) if frm in (self._parent, NOBODY):
                return [Leave(reason)]
            case Reborn(before):
                return [tell_reborn("limiter", before)]
            case Asking(frm, number, raw):
                return self._ask(frm, number, raw, now)
            case _:
                return []  # of no concern to a limiter

    def snapshot(self) -> bytes:
        """The whole state."""
        windows = self._windows
        return encoder.encode(Memory(windows.rates, windows.snapshot(), self._parent, self._passed, self._refused))

    def restore(self, state: bytes) -> None:
        """Become what :meth:`snapshot` described."""
        memory = _memory_decoder.decode(state)
        self._windows = RateLimit(memory.rates)
        self._windows.restore(memory.windows)
        self._parent, self._passed, self._refused = memory.parent, memory.passed, memory.refused

    def _ask(self, frm: int, number: int, raw: msgspec.Raw, now: float) -> list[Order]:
        try:
            request: LimiterRequest = _request_decoder.decode(raw)
        except DECODE_ERRORS as error:
            return [AnswerTo(frm, number, error=("invalid_message", str(error)[:200]))]
        match request:
            case Stop(reason) if self._parent != NOBODY:
                return [AnswerTo(frm, number, True), Leave(reason)]
            case Stop():
                return [AnswerTo(frm, number, error=("not_permitted", "the daemon's own ends with it"))]
            case Attempt(operation, key):
                if (trouble := _trouble_with(operation, key)) is not None:
                    return [AnswerTo(frm, number, error=trouble)]
                return self._attempt(operation, key, (frm, number), now)
            case Reset(operation, key):
                self._windows.reset(operation, key)
                return [AnswerTo(frm, number, True)]
            case GetStatistics():
                counts = {"keys": self._windows.keys(), "max_keys": MAX_KEYS, "passed": self._passed, "refused": self._refused}
                return [AnswerTo(frm, number, counts)]  # type: ignore[arg-type]

    def _attempt(self, operation: str, key: str, asker: tuple[int, int], now: float) -> list[Order]:
        wait_s = self._windows.attempt(operation, key, now)
        if wait_s is None:
            self._passed += 1
            return [AnswerTo(*asker, True)]
        self._refused += 1
        refusal = AnswerTo(*asker, error=("rate_limit_exceeded", wait_s))
        if self._parent != NOBODY:
            return [refusal]
        return [refusal, tell_manager("rate_limited", operation=operation, key=key, retry_after=wait_s)]


def _trouble_with(operation: str, key: str) -> tuple[str, Term] | None:
    for word, most in ((operation, MAX_OPERATION_BYTES), (key, MAX_KEY_BYTES)):
        if not 0 < len(word.encode()) <= most:
            return ("invalid_key", f"1 to {most} bytes")
    return None
