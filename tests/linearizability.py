"""A checker of histories: does one order of the operations, each at an instant of its own interval, explain all answers?

Wing & Gong's search with Lowe's just-in-time linearization: events are read in the order of time; a configuration is a state
of the name and the set of operations under way that have taken effect in it; when an operation returns, only configurations
survive in which it has, or can take effect now, after others that are under way. Names are independent of each other, so each
has a history of its own. An operation that was never answered may take effect at any time after its call, or never.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

ANY = -1
FREE = 0
NEVER = (1 << 63) - 1
"""The time of return of what was never answered."""
MANY = 16
"""Configurations, before those that others include are thrown away."""


class Operation(NamedTuple):
    """Called and returned at these times (ns); it needed the state ``need`` (ANY: any) and left the state ``then``."""

    called: int
    returned: int
    need: int
    then: int


def read(called: int, returned: int, seen: int | None) -> Operation:
    """A look-up that has found ``seen``; likewise a refusal that has told the holder."""
    return Operation(called, returned, seen or FREE, seen or FREE)


def write(called: int, returned: int, serial: int) -> Operation:
    """The name stands for ``serial`` (FREE: nothing), whatever it stood for before."""
    return Operation(called, returned, ANY, serial)


def first_impossible(history: Iterable[Operation], state: int = FREE) -> Operation | None:
    """The operation whose answer no order explains, None for a linearizable history that began in ``state``."""
    operations = sorted(history)
    events = sorted(
        [(one.called, 0, at) for at, one in enumerate(operations)]
        + [(one.returned, 1, at) for at, one in enumerate(operations) if one.returned != NEVER]
    )  # at the same time, calls come first: that excuses more
    configurations = {(state, 0)}
    bits: dict[int, int] = {}
    free_bits = [1 << at for at in range(64)]
    reads: dict[int, int] = {}
    writes: dict[int, Operation] = {}
    unanswered = 0
    for _, is_return, at in events:
        one = operations[at]
        if not is_return:
            bit = bits[at] = free_bits.pop() if free_bits else 1 << (64 + at)
            if one.need == one.then:
                reads[one.need] = reads.get(one.need, 0) | bit
                # A read changes nothing: as soon as it can have taken effect, it has.
                configurations = {(now, done | bit if now == one.need else done) for now, done in configurations}
            else:
                writes[bit] = one
                unanswered |= bit if one.returned == NEVER else 0
            continue
        bit = bits.pop(at)
        left = {configuration for configuration in configurations if configuration[1] & bit}
        if len(left) < len(configurations):
            left |= _advanced(configurations - left, bit, reads, writes)
            if not left:
                return one
        configurations = {(now, done & ~bit) for now, done in left}
        if writes.pop(bit, None) is None:
            reads[one.need] &= ~bit
        if bit < 1 << 64:
            free_bits.append(bit)
        if len(configurations) > MANY:
            configurations = _smallest(configurations, unanswered)
    return None


def _advanced(
    configurations: set[tuple[int, int]], bit: int, reads: dict[int, int], writes: dict[int, Operation]
) -> set[tuple[int, int]]:  # fmt: skip
    """Configurations in which ``bit`` has taken effect, last of all, reached by writes that are under way."""
    reached, seen, todo = set(), set(configurations), list(configurations)
    while todo:
        now, done = todo.pop()
        for other, one in writes.items():
            if done & other or one.need not in (ANY, now):
                continue
            next_one = (one.then, done | other | reads.get(one.then, 0))
            if next_one[1] & bit:
                reached.add(next_one)
            elif next_one not in seen:
                seen.add(next_one)
                todo.append(next_one)
    return reached


def _smallest(configurations: set[tuple[int, int]], unanswered: int) -> set[tuple[int, int]]:
    """Without those in which only more of the unanswered has taken effect: the others can do all that they can."""
    kept: set[tuple[int, int]] = set()
    for now, done in sorted(configurations, key=lambda one: (one[1] & unanswered).bit_count()):
        if not any(now == state and other & ~unanswered == done & ~unanswered and other & ~done == 0 for state, other in kept):
            kept.add((now, done))
    return kept
