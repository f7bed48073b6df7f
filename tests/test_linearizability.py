"""R10: what the shared registry and the node answer about names is linearizable, and the checker would see it if not."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence

import pytest
from hypothesis import given, settings, strategies as st

from actorcore.registry_reader import RegistryReader
from tests.linearizability import ANY, FREE, NEVER, Operation, first_impossible, read, write
from tests.registry_history import NAMES, check, one_history

OPERATIONS = 200_000


# ---- the checker ----


def explained(history: Sequence[Operation], state: int = FREE) -> bool:
    """By trying every order."""
    answered = [one for one in history if one.returned != NEVER]
    others = [one for one in history if one.returned == NEVER]
    for count in range(len(others) + 1):
        for some in itertools.combinations(others, count):
            for order in itertools.permutations([*answered, *some]):
                now, earliest = state, 0
                for one in order:
                    earliest = max(earliest, one.called)
                    if earliest > one.returned or one.need not in (ANY, now):
                        break
                    now = one.then
                else:
                    return True
    return False


@st.composite
def histories(draw: st.DrawFn) -> list[Operation]:
    """Of up to six operations, some of them never answered; times are few, so that much happens at once."""
    found = []
    for _ in range(draw(st.integers(1, 6))):
        called = draw(st.integers(0, 8))
        returned = draw(st.one_of(st.integers(called, 10), st.just(NEVER)))
        kind, value = draw(st.sampled_from("rwcf")), draw(st.integers(0, 2))
        found.append({
            "r": read(called, returned if returned != NEVER else called, value),
            "w": write(called, returned, value),
            "c": Operation(called, returned, FREE, value or 3),
            "f": Operation(called, returned, value or 3, FREE),
        }[kind])  # fmt: skip
    return found


@settings(max_examples=600)
@given(history=histories())
def test_the_checker_agrees_with_trying_every_order(history: list[Operation]) -> None:
    assert (first_impossible(history) is None) == explained(history)


@pytest.mark.parametrize(
    ("history", "is_possible"),
    [
        ([write(0, 1, 5), read(2, 3, 5)], True),
        ([write(0, 1, 5), read(2, 3, None)], False),
        ([write(0, 9, 5), read(1, 2, None), read(3, 4, 5)], True),
        ([write(0, 9, 5), read(1, 2, 5), read(3, 4, None)], False),
        ([write(0, NEVER, 5), read(7, 8, None), read(900, 901, 5)], True),
        ([write(0, NEVER, 5), read(7, 8, 5), read(9, 10, None)], False),
        ([write(0, 1, 5), write(2, 9, 6), write(3, 9, 7), read(4, 5, 6), read(6, 7, 7)], True),
        ([write(0, 1, 5), write(2, 3, 6), write(4, 9, 7), read(5, 6, 7), read(7, 8, 6)], False),
    ],
)
def test_the_checker_on_histories_of_the_textbook(history: list[Operation], is_possible: bool) -> None:
    assert (first_impossible(history) is None) is is_possible


def test_a_read_of_a_value_that_was_replaced_before_it_is_always_found() -> None:
    chance, planted = random.Random(3), 0
    for history in one_history(3):
        assert len(history) >= 5000
        writes = sorted(one for one in history if one.need == ANY and one.returned != NEVER)
        reads = [at for at, one in enumerate(history) if one.need == one.then]
        for at in chance.sample(reads, 20):
            before = [one for one in writes if one.returned < history[at].called]
            old = [one.then for one in before[:-1] if one.then not in (FREE, before[-1].then)]
            if old:
                stale = read(history[at].called, history[at].returned, old[-1])
                assert first_impossible([*history[:at], stale, *history[at + 1 :]]) is not None
                planted += 1
    assert planted > 40


class Stale(RegistryReader):
    """In one of fifty looks, tells what it saw the time before."""

    def __init__(self, memory: memoryview) -> None:
        super().__init__(memory)
        self.chance, self.past = random.Random(9), dict[str, int | None]()

    def lookup(self, name: str) -> int | None:
        now = super().lookup(name)
        past, self.past[name] = self.past.get(name, now), now
        return past if self.chance.random() < 0.02 else now


class Believing(RegistryReader):
    """Believes its cache for some looks, whatever has happened to the slot."""

    def lookup(self, name: str) -> int | None:
        if name in self._cache and hash(self._cache[name]) % 8 == 0:
            return self._cache[name][2]
        return super().lookup(name)


@pytest.mark.parametrize("planted", [Stale, Believing])
def test_a_reader_that_tells_the_past_is_found(planted: type[RegistryReader]) -> None:
    assert check(OPERATIONS, seed=2, reader_type=planted).impossible


# ---- the registry ----


def test_R10_200_000_operations_of_writers_that_are_killed_and_of_readers_are_linearizable() -> None:
    report = check(OPERATIONS)
    assert report.impossible == []
    assert report.operations >= OPERATIONS
    assert report.shortest >= 5000
    assert report.histories % len(NAMES) == 0


@pytest.mark.torture
def test_R10_10_million_operations_are_linearizable() -> None:
    report = check(10_000_000, seed=random.randrange(1 << 30))
    assert report.impossible == []
    assert report.operations >= 10_000_000
