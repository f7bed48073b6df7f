"""R5: a million simulated process lives, in which no DOWN is lost or doubled.

Every effect of every event is compared with what :mod:`tests.lives.book` expects, and each 250th event the whole table is.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from typing import ClassVar

import pytest

from actorcore.effects import Effect, Report
from actorcore.kernel import Kernel
from actorcore.signals import Event
from supervisors.tree.sessions import Sessions
from tests.conftest import Tell
from tests.lives.world import INSTANCE, MAX_SESSIONS, World, run


@pytest.fixture(autouse=True)
def no_collection() -> Iterator[None]:
    """As in the node, which runs without: there is nothing to collect."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()
    assert gc.collect() < 1000, "the kernel makes cycles"


LIVES = int(os.environ.get("LIVES", "100000"))
"""``make test`` asks for a million."""
SEEDS = 8


@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(SEEDS))
def test_R5_simulated_lives_lose_and_double_nothing(seed: int, tell: Tell) -> None:
    world = run(seed, LIVES // SEEDS)
    assert world.book.lives >= LIVES // SEEDS
    tell(f"R5: {world.book.lives:,} simulated lives, {world.events:,} events, {world.generation - 1:,} deaths of the node: "
         f"0 DOWN lost or doubled (seed {seed})")  # fmt: skip


def test_the_same_seed_lives_the_same_lives() -> None:
    first, second = (run(99, 500) for _ in range(2))
    assert (first.events, first.now, first.kernel.snapshot()) == (second.events, second.now, second.kernel.snapshot())


class Noted(Kernel):
    """Remembers of which kinds events, requests, effects, deliveries and refusals were."""

    seen: ClassVar[set[str]] = set()

    def handle(self, event: Event, now: float) -> list[Effect]:
        effects = super().handle(event, now)
        for thing in (event, *effects):
            body = getattr(thing, "body", None)
            error = getattr(body, "error", None)
            self.seen.update({type(thing).__name__, type(body).__name__})
            self.seen.update({error[0]} if isinstance(error, tuple) else ())
            self.seen.update({thing.kind} if isinstance(thing, Report) else ())
        return effects


class Listening(World):
    @staticmethod
    def new_kernel() -> Kernel:
        return Noted(INSTANCE, {"sessions": Sessions(MAX_SESSIONS)})


REACHED = """
Asked Born Booted Refused ForkFailed Exited Stopped Continued Looked ClientAttached ClientDetached Received Undelivered Writable
Refill Violated NotConnected TookOver Ticked
Spawn SendExit Link Unlink Monitor Demonitor TrapExit Register RegisterMany Release Unregister Whereis Lookup IsAlive Introduce
Ask Deliver Fork Kill Connect Publish PublishMany Retract Forget Look Report Answer Down Exit PeerDown Begin
not_permitted already_exists start_failed start_timeout process_not_alive already_registered not_found calling_self
resource_exhausted unsupported
stale unknown_sender unknown_client fork_failed process_hung process_recovered session_restarted session_gave_up
"""


def test_the_lives_reach_every_rule() -> None:
    Listening(5).live(10_000)
    assert set(REACHED.split()) - Noted.seen == set()
