"""Recovery: from the ledger that a predecessor left to a kernel in the same state, and the effects it did not finish."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import msgspec

from actorcore.effects import Effect, Publish, PublishMany, Retract
from actorcore.frames import DECODE_ERRORS, decode_ext
from actorcore.kernel import Kernel
from actorcore.ledger import Ledger, LedgerInvalid
from actorcore.runtime import log
from actorcore.signals import NOBODY, Event

_decoder = msgspec.msgpack.Decoder(tuple[float, Event], ext_hook=decode_ext)


REHEARSALS = 3


class Recovery(NamedTuple):
    """``unfinished``: the effects of events that were committed and not marked as performed.

    Without those on the shared registry: repeated one by one, they would show names of the dead once more. The successor
    compares it with the kernel's table instead, before it performs anything.
    """

    ledger: Ledger
    kernel: Kernel
    unfinished: list[Effect]


def recover(memory: memoryview, fresh: Callable[[], Kernel]) -> Recovery:
    """Open the ledger in ``memory`` and bring a ``fresh`` kernel to its state. Poison events are skipped and reported.

    :raises LedgerInvalid: its words, its snapshot or one of its records are nobody's.
    """
    ledger = Ledger.open(memory)
    suspect = ledger.strike()
    if suspect is not None:
        log.report("node_died_in_event", NOBODY, suspect)
    poison = ledger.poisoned()
    if poison is not None:
        ledger.skip(poison)
        log.report("event_skipped", NOBODY, poison)
    kernel = fresh()
    left = ledger.load()
    if left.state is not None:
        restore(kernel, left.state)
    unfinished: list[Effect] = []
    for record in left.records:
        now, event = decode_record(record.data)
        if record.number > left.performed:
            ledger.begin(record.number)
        effects = kernel.skip(event, now) if record.skipped else kernel.handle(event, now)
        if record.number > left.performed:
            unfinished += [effect for effect in effects if not isinstance(effect, (Publish, PublishMany, Retract))]
    return Recovery(ledger, kernel, unfinished)


def rehearse(memory: memoryview, fresh: Callable[[], Kernel]) -> None:
    """Restore the snapshot that is there now, for nothing: the code is fast and the memory there when the turn comes.

    The node writes on meanwhile. What it overwrote while it was copied is thrown away; events are not handled, for one of
    them may be poison.
    """
    for _ in range(REHEARSALS):
        try:
            ledger = Ledger.open(memory)
            state = ledger.load().state
            if state is not None and ledger.is_current():
                restore(fresh(), state)
        except LedgerInvalid:  # overwritten, or of a schema that this code will not be given
            pass


def decode_record(data: bytes) -> tuple[float, Event]:
    """When something happened, and what; raises LedgerInvalid."""
    try:
        return _decoder.decode(data)
    except DECODE_ERRORS as error:
        raise LedgerInvalid(f"a record: {str(error)[:200]}") from None


def restore(kernel: Kernel, snapshot: bytes) -> None:
    """Bring ``kernel`` to the state in ``snapshot``; raises LedgerInvalid, and then the kernel is of no use."""
    try:
        kernel.restore(snapshot)
    except (*DECODE_ERRORS, LookupError, TypeError, AssertionError) as error:
        raise LedgerInvalid(f"the snapshot: {str(error)[:200]}") from None
