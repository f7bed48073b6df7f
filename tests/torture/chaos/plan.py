"""A plan: what each client does, and what is struck when. A pure function of its seed.

Time is counted in *steps*, requests of all clients together: real processes are never as fast twice, but the same strike comes
about when the same things are under way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random

STEPS_PER_ACT = 12
"""About so many requests are an act; the strikes are spread over as many steps as there will be."""
MAX_HOLD_S = 0.3


@dataclass(frozen=True)
class Act:
    """``kind``: a name in the table of acts; whatever is left to chance in it comes of ``seed``."""

    kind: str
    seed: int


@dataclass(frozen=True)
class Strike:
    """At step ``at`` somebody of ``kind`` is struck, the ``pick``-th part of those that there are; a stop lasts ``hold_s``."""

    at: int
    kind: str
    pick: float
    hold_s: float


@dataclass(frozen=True)
class Plan:
    """``acts``: of each client, one after the other."""

    seed: int
    acts: list[list[Act]]
    strikes: list[Strike]


def plan_of(
    seed: int, acts: Sequence[str], strikes: Mapping[str, int], clients: int, acts_each: int, strikes_in_all: int
) -> Plan:  # fmt: skip
    """``acts`` have the same chance each, ``strikes`` such weights."""
    chance = Random(seed)
    work = [[Act(chance.choice(acts), chance.getrandbits(32)) for _ in range(acts_each)] for _ in range(clients)]
    last = clients * acts_each * STEPS_PER_ACT
    kinds = chance.choices(list(strikes), list(strikes.values()), k=strikes_in_all)
    hits = [Strike(chance.randrange(last), kind, chance.random(), chance.random() * MAX_HOLD_S) for kind in kinds]
    return Plan(seed, work, sorted(hits, key=lambda strike: strike.at))
