"""The registry of keys: what the vectors do not reach."""

from __future__ import annotations

import operator
import random

import msgspec
import pytest

from actorcore.exit_reason import Term
from actorcore.frames import term_decoder
from actorcore.pids import Pid
from actorcore.residents import AnswerTo, Do, Leave, Order, Ready, Send, Show
from actorcore.signals import Answer, Asking, Begin, Exit, IsAlive, Link, ProcessSpec, Unlink
from supervisors.registry.criteria import MAX_CRITERIA, read_criteria
from supervisors.registry.registry import MAX_BYTES, MAX_KEY_BYTES, Registry
from supervisors.registry.words import RegistrySpec, decode_request

PARENT, A, B, C = 1, 11, 12, 13


class World:
    def __init__(self, keys: str = "unique", listeners: tuple[str, ...] = ()) -> None:
        self.registry = Registry(RegistrySpec(keys, [*listeners]))  # type: ignore[arg-type]
        assert self.registry.handle(Begin(2, 7, 0, ProcessSpec("registry", name="keys"), PARENT), 0.0) == [Show(""), Ready()]
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


def sent(orders: list[Order]) -> list[tuple[int | str, Term]]:
    return [(order.to, term_decoder.decode(order.body)) for order in orders if isinstance(order, Send)]


def test_listeners_hear_who_takes_and_who_gives_back_a_key_and_of_no_death() -> None:
    world = World("duplicate", ("ears", "eyes"))
    a = Pid(7, A)
    assert sent(world.ask(A, "register", "k", 1)) == [(to, ["register", "keys", "k", a, 1]) for to in ("ears", "eyes")]
    assert sent(world.ask(A, "register", "k", 2)) == [(to, ["register", "keys", "k", a, 2]) for to in ("ears", "eyes")]
    assert sent(world.ask(B, "unregister", "k")) == []
    assert sent(world.ask(A, "unregister", "k")) == [(to, ["unregister", "keys", "k", a]) for to in ("ears", "eyes")]
    world.ask(A, "register", "k", 3)
    assert sent(world.registry.handle(Exit(A, "killed"), 0.0)) == []


def test_listeners_hear_of_unregister_match_when_nothing_of_the_key_is_left() -> None:
    world = World("duplicate", ("ears",))
    world.ask(A, "register", "k", 1)
    world.ask(A, "register", "k", 2)
    assert sent(world.ask(A, "unregister_match", "k", 1)) == []
    assert sent(world.ask(A, "unregister_match", "k", 2)) == [("ears", ["unregister", "keys", "k", Pid(7, A)])]


def test_listeners_hear_of_a_key_that_was_free_after_all() -> None:
    world = World(listeners=("ears",))
    world.ask(A, "register", "k")
    assert sent(world.ask(B, "register", "k", "mine")) == []
    assert sent(world.registry.handle(Answer(2, False), 0.0)) == [("ears", ["register", "keys", "k", Pid(7, B), "mine"])]


def test_acceptance_35_a_message_reaches_each_holder_and_a_name_of_nobody_is_an_error() -> None:
    topic, name = World("duplicate"), World("unique")
    for who in (A, B, A):
        topic.ask(who, "register", "news")
    told = topic.ask(C, "dispatch", "news", {"n": 1})
    assert (sent(told), told[-1]) == ([(A, {"n": 1}), (B, {"n": 1}), (A, {"n": 1})], AnswerTo(C, 4, 3))
    assert topic.value(C, "dispatch", "silence", 1) == 0
    name.ask(A, "register", "db")
    assert (name.value(C, "dispatch", "db", 1), name.error(C, "dispatch", "nobody", 1)) == (1, "not_found")


VALUES: list[Term] = [
    {"capability": "gpu", "health": {"score": 0.9}, "node": "a"},
    {"capability": "gpu", "health": {"score": 0.2}, "node": "b"},
    {"capability": "cpu", "health": {"score": "good"}, "node": "c"},
    "no attributes",
    None,
]


@pytest.mark.parametrize(("criteria", "places"), [
    ([], [0, 1, 2, 3, 4]),
    ([["capability", "==", "gpu"]], [0, 1]),
    ([["capability", "!=", "gpu"]], [2]),
    ([["capability", "==", "gpu"], ["health.score", ">", 0.5]], [0]),
    ([["health.score", "<=", 0.2]], [1]),
    ([["health.score", "<", "h"]], [2]),
    ([["health.score", ">=", 0.9]], [0]),
    ([["node", "in", ["b", "c", 5]]], [1, 2]),
    ([["health", "==", {"score": 0.9}]], [0]),
    ([["health.score.digits", "==", 1]], []),
])  # fmt: skip
def test_acceptance_39_entries_are_found_by_what_their_values_say(criteria: list[Term], places: list[int]) -> None:
    world = World("duplicate")
    for place, value in enumerate(VALUES):
        world.ask(A, "register", f"k{place}", value)
    assert world.value(C, "select", criteria) == [[f"k{place}", A, VALUES[place]] for place in places]


@pytest.mark.parametrize(("criteria", "why"), [
    ("gpu", "a list of at most 64"),
    ([["a", "==", 1]] * 65, "a list of at most 64"),
    ([["a", "==", 1], ["a", "=", 1]], "criteria[1]: '=' is not one of == != < <= > >= in"),
    ([["a", "in", "abc"]], "criteria[0]: in wants a list"),
    ([["a..b", "==", 1]], "criteria[0]: 'a..b' is no path"),
    ([["", "==", 1]], "criteria[0]: '' is no path"),
    ([["a", "=="]], "criteria[0]: not [path, comparison, operand]"),
    ([7], "criteria[0]: not [path, comparison, operand]"),
])  # fmt: skip
def test_acceptance_39_criteria_that_are_none_are_refused_with_the_reason(criteria: Term, why: str) -> None:
    (*_, answer) = World().ask(A, "select", criteria)
    assert answer == AnswerTo(A, 1, error=("invalid_criteria", why))


@pytest.mark.parametrize("keys", ["unique", "duplicate"])
def test_entries_have_room_together_and_what_goes_makes_some(keys: str) -> None:
    world, big = World(keys), "v" * (MAX_BYTES // 2 - 100)
    world.ask(A, "register", "a", big)
    world.ask(A, "register", "b", big)
    assert (world.error(A, "register", "c", big), world.error(A, "update_value", "a", big + "v" * 300)) == ("registry_full",) * 2
    assert world.value(A, "update_value", "a", "small") == ["small", big]
    assert (world.value(A, "register", "c", big), world.error(A, "register", "d", big)) == (True, "registry_full")
    world.ask(A, "unregister", "b")
    assert world.value(A, "register", "d", big) is True


def test_a_value_that_is_put_again_and_again_takes_the_room_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("supervisors.registry.registry.MAX_BYTES", 2000)
    registry = World().registry
    told = []
    for number, size in enumerate((900, 100, 900, 100, 900), 1):
        words = ["register" if number == 1 else "update_value", "k", "x" * size]
        (*_, answer) = registry.handle(Asking(A, number, msgspec.Raw(msgspec.msgpack.encode(words))), 0.0)
        assert isinstance(answer, AnswerTo)
        told.append(answer.error)
    assert told == [None] * 5


def test_what_is_no_request_of_a_registry_is_told_in_words() -> None:
    assert decode_request(msgspec.Raw(msgspec.msgpack.encode(["shout"]))) == "Invalid value 'shout' - at `$[0]`"


def test_there_are_so_many_criteria_and_no_more() -> None:
    one: list[Term] = ["a.b", "==", 1]
    found = read_criteria([one] * MAX_CRITERIA)
    assert (found, read_criteria([one] * (MAX_CRITERIA + 1))) == (
        [(["a", "b"], operator.eq, 1)] * MAX_CRITERIA, f"a list of at most {MAX_CRITERIA}")  # fmt: skip


def test_a_stop_ends_it_with_its_reason_and_is_answered() -> None:
    assert World().ask(A, "stop", {"shutdown": "enough"}) == [AnswerTo(A, 1, True), Leave({"shutdown": "enough"})]


def test_who_gives_back_its_last_key_is_linked_no_more() -> None:
    world = World()
    world.ask(A, "register", "j")
    world.ask(A, "register", "k")
    assert world.ask(A, "unregister", "j") == [show("j"), AnswerTo(A, 3, True)]
    assert world.ask(A, "unregister", "k") == [show("k"), Do(2, Unlink(A)), AnswerTo(A, 4, True)]


def test_the_bounds_may_be_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    one = len(b"a") + len(msgspec.msgpack.encode("v"))
    monkeypatch.setattr("supervisors.registry.registry.MAX_BYTES", 2 * one + 1)
    world = World()
    assert (world.value(A, "register", "a", "v"), world.value(A, "register", "b", "vv")) == (True, True)
    assert world.error(A, "update_value", "a", "vv") == "registry_full"
    assert world.value(A, "update_value", "b", "ww") == ["ww", "vv"]
    monkeypatch.setattr("supervisors.registry.registry.MAX_BYTES", MAX_BYTES)
    monkeypatch.setattr("supervisors.registry.registry.MAX_ENTRIES", 3)
    assert (world.value(A, "register", "c"), world.error(A, "register", "d")) == (True, "registry_full")


@pytest.mark.parametrize("seed", range(5))
def test_what_is_counted_on_the_way_is_what_is_there(seed: int) -> None:
    """Beside the snapshot nothing is remembered that does not follow from it."""
    chance, registry = random.Random(seed), Registry(RegistrySpec("duplicate"))
    registry.handle(Begin(2, 7, 0, ProcessSpec("registry"), PARENT), 0.0)
    for number in range(1, 100):
        verb = chance.choice(["register", "register", "unregister", "unregister_match", "update_value", "die"])
        who, words = chance.choice((A, B, C)), [verb, chance.choice("jk"), chance.choice(["", "long value"])]
        ask = Asking(who, number, msgspec.Raw(msgspec.msgpack.encode(words[: 2 if verb == "unregister" else 3])))
        registry.handle(Exit(who, "killed") if verb == "die" else ask, 0.0)
        again = Registry()
        again.restore(registry.snapshot())
        assert (registry._count, registry._bytes) == (again._count, again._bytes), seed
        assert (set(registry._by_key), set(registry._by_serial)) == (set(again._by_key), set(again._by_serial)), seed
