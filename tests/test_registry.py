"""The registry of keys: what the vectors do not reach."""

from __future__ import annotations

import msgspec
import pytest

from actorcore.exit_reason import Term
from actorcore.residents import AnswerTo, Do, Leave, Order, Ready, Show
from actorcore.signals import Answer, Asking, Begin, Exit, IsAlive, Link, ProcessSpec
from supervisors.registry import MAX_KEY_BYTES, Registry, RegistrySpec

PARENT, A, B, C = 1, 11, 12, 13


class World:
    def __init__(self, keys: str = "unique") -> None:
        self.registry = Registry(RegistrySpec(keys))  # type: ignore[arg-type]
        assert self.registry.handle(Begin(2, 7, 0, ProcessSpec("registry"), PARENT), 0.0) == [Show(""), Ready()]
        self.number = 0

    def ask(self, frm: int, *words: Term) -> list[Order]:
        self.number += 1
        again = Registry()
        again.restore(self.registry.snapshot())
        assert again.snapshot() == self.registry.snapshot()
        self.registry = again
        return self.registry.handle(Asking(frm, self.number, msgspec.Raw(msgspec.msgpack.encode(list(words)))), 0.0)

    def value(self, frm: int, *words: Term) -> Term:
        (*_, answer) = self.ask(frm, *words)
        assert isinstance(answer, AnswerTo) and answer.error is None, answer
        return answer.value

    def error(self, frm: int, *words: Term) -> str:
        (*_, answer) = self.ask(frm, *words)
        assert isinstance(answer, AnswerTo) and answer.error is not None, answer
        return answer.error[0]


def show(key: str, *rows: list[Term]) -> Show:
    """What readers find from now on."""
    return Show(key, msgspec.msgpack.encode(rows) if rows else b"")


def test_a_holder_is_linked_once() -> None:
    world = World()
    assert world.ask(A, "register", "k", 1) == [show("k", [A, 1]), Do(1, Link(A)), AnswerTo(A, 1, True)]
    assert world.ask(A, "register", "j", 1) == [show("j", [A, 1]), AnswerTo(A, 2, True)]


def test_acceptance_31_a_taken_key_tells_its_holder_if_that_lives() -> None:
    world = World()
    world.ask(A, "register", "k")
    assert world.ask(B, "register", "k") == [Do(2, IsAlive(A))]
    assert world.registry.handle(Answer(2, True), 0.0) == [AnswerTo(B, 2, error=("already_registered", A))]


def test_two_who_doubt_one_dead_holder_do_not_both_get_its_key() -> None:
    world = World()
    world.ask(A, "register", "k")
    world.ask(B, "register", "k")
    world.ask(C, "register", "k")
    assert world.registry.handle(Answer(2, False), 0.0) == [show("k", [B, None]), Do(4, Link(B)), AnswerTo(B, 2, True)]
    assert world.registry.handle(Answer(3, False), 0.0) == [AnswerTo(C, 3, error=("already_registered", B))]
    assert world.value(C, "lookup", "k") == [[B, None]]


def test_entries_go_with_their_holder() -> None:
    world = World("duplicate")
    for key in ("k", "k", "j"):
        world.ask(A, "register", key, 1)
    world.ask(B, "register", "k", 2)
    assert world.registry.handle(Exit(A, "killed"), 0.0) == [show("k", [B, 2]), show("j")]
    assert (world.value(C, "lookup", "k"), world.value(C, "lookup", "j"), world.value(C, "count")) == ([[B, 2]], [], 1)


@pytest.mark.parametrize("key", ["", "x" * (MAX_KEY_BYTES + 1), "é" * MAX_KEY_BYTES])
def test_a_key_has_bounds(key: str) -> None:
    assert World().error(A, "register", key) == "invalid_key"


@pytest.mark.parametrize("words", [("register",), ("register", 5), ("nothing",), (), ("lookup", "k", "more")])
def test_junk_is_refused(words: tuple[Term, ...]) -> None:
    assert World().error(A, *words) == "invalid_message"


@pytest.mark.parametrize(("frm", "orders"), [(PARENT, [Leave("shutdown")]), (C, [])])
def test_only_the_parents_exit_ends_it(frm: int, orders: list[Order]) -> None:
    assert World().registry.handle(Exit(frm, "shutdown"), 0.0) == orders
