"""Process groups: what the vectors do not reach."""

from __future__ import annotations

import random
from collections import Counter

import msgspec
import pytest

from actorcore.exit_reason import Term
from actorcore.frames import term_decoder
from actorcore.pids import Pid
from actorcore.residents import AnswerTo, Do, Leave, Order, Ready, Send, Show
from actorcore.signals import Asking, Begin, Demonitor, Down, Exit, Monitor, ProcessSpec
from supervisors.registry.groups import MAX_BYTES, MAX_GROUP_BYTES, MAX_MEMBERSHIPS, Groups

INSTANCE, PARENT, A, B, C = 7, 1, 11, 12, 13


class World:
    """Groups that are restored from their snapshot before each request."""

    def __init__(self) -> None:
        self.groups = Groups()
        assert self.groups.handle(Begin(2, INSTANCE, 0, ProcessSpec("groups"), PARENT), 0.0) == [Show(""), Ready()]
        self.number = 0

    def handle(self, body: Asking | Down) -> list[Order]:
        again = Groups()
        again.restore(self.groups.snapshot())
        assert again.snapshot() == self.groups.snapshot()
        self.groups = again
        return again.handle(body, 0.0)

    def ask(self, frm: int, *words: Term) -> list[Order]:
        self.number += 1
        return self.handle(Asking(frm, self.number, msgspec.Raw(msgspec.msgpack.encode(list(words)))))

    def answer(self, frm: int, *words: Term) -> AnswerTo:
        (answer,) = [order for order in self.ask(frm, *words) if isinstance(order, AnswerTo)]
        return answer

    def value(self, *words: Term) -> Term:
        answer = self.answer(C, *words)
        assert answer.error is None, answer
        return answer.value


def told(orders: list[Order]) -> list[tuple[int, Term]]:
    return [(order.to, term_decoder.decode(order.body)) for order in orders if isinstance(order, Send)]


def show(group: str, *members: int) -> Show:
    """What readers find from now on."""
    return Show(group, msgspec.msgpack.encode(members) if members else b"")


def test_members_and_watchers_are_monitored_once_and_no_longer_than_they_are_either() -> None:
    world = World()
    assert world.ask(A, "join", "g", [B]) == [show("g", B), Do(1, Monitor(1, B)), AnswerTo(A, 1, True)]
    assert world.ask(A, "join", "h", [B]) == [show("h", B), AnswerTo(A, 2, True)]
    assert world.ask(B, "monitor", "g") == [AnswerTo(B, 3, [2, [B]])]
    assert told(world.ask(A, "leave", "g", [B])) == [(B, [2, "leave", "g", [Pid(INSTANCE, B)]])]
    assert world.ask(A, "leave", "h", [B]) == [show("h"), AnswerTo(A, 5, True)]
    assert world.ask(B, "demonitor", 2) == [Do(3, Demonitor(1)), AnswerTo(B, 6, True)]


def test_a_watcher_of_all_groups_hears_of_each_and_once_of_what_joined_together() -> None:
    world = World()
    world.ask(A, "join", "g", [A])
    assert world.value("monitor_scope") == [2, {"g": [A]}]
    assert told(world.ask(A, "join", "h", [A, B])) == [(C, [2, "join", "h", [Pid(INSTANCE, A), Pid(INSTANCE, B)]])]


def test_who_is_dead_leaves_as_often_as_it_had_joined_and_watches_no_more() -> None:
    world = World()
    world.ask(A, "join", "g", [A, A, B])
    world.ask(A, "monitor", "g")
    ref, _ = world.value("monitor", "g")  # type: ignore[misc]
    assert told(world.handle(Down([1], A, "killed"))) == [(C, [ref, "leave", "g", [Pid(INSTANCE, A)]])] * 2
    assert world.value("members", "g") == [B]


def test_who_has_left_a_group_does_not_leave_it_once_more_when_it_dies() -> None:
    groups = Groups()
    asked = [["join", "g", [B]], ["join", "h", [B]], ["monitor_scope"], ["leave", "g", [B]]]
    bodies: list[Asking | Begin | Down] = [Begin(2, INSTANCE, 0, ProcessSpec("groups"), PARENT)]
    bodies += [Asking(C, number, msgspec.Raw(msgspec.msgpack.encode(words))) for number, words in enumerate(asked, 1)]
    orders = [groups.handle(body, 0.0) for body in [*bodies, Down([1], B, "killed")]]
    left = [[(C, [2, "leave", group, [Pid(INSTANCE, B)]])] for group in "gh"]
    assert [told(some) for some in orders] == [[], [], [], [], *left]


def test_there_are_so_many_memberships_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("supervisors.registry.groups.MAX_MEMBERSHIPS", 3)
    world = World()
    joins: list[tuple[Term, Term]] = [("g", [A, A]), ("h", [A]), ("h", [B])]
    assert [world.answer(A, "join", *words).error is None for words in joins] == [True, True, False]


def test_a_ref_is_its_watchers_own() -> None:
    world = World()
    ref, _ = world.value("monitor", "g")  # type: ignore[misc]
    assert world.answer(A, "demonitor", ref) == AnswerTo(A, 2, False)
    assert told(world.ask(A, "join", "g", [A])) == [(C, [ref, "join", "g", [Pid(INSTANCE, A)]])]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["leave", "g", [B]], "not_joined"),
        (["leave", "nobody's", [A]], "not_joined"),
        (["join", "", [A]], "invalid_key"),
        (["join", "x" * (MAX_GROUP_BYTES + 1), [A]], "invalid_key"),
        (["join", "g", [A] * MAX_MEMBERSHIPS], "registry_full"),
        (["join", "g", A], "invalid_message"),
        (["shout"], "invalid_message"),
    ],
)
def test_a_refusal_changes_nothing(words: list[Term], code: str) -> None:
    world = World()
    world.ask(A, "join", "g", [A])
    before = world.groups.snapshot()
    answer = world.answer(A, *words)
    assert answer.error is not None and answer.error[0] == code
    assert world.groups.snapshot() == before


def test_its_parents_end_and_a_stop_end_it_and_nobody_elses_does() -> None:
    world = World()
    assert world.groups.handle(Exit(A, "boom"), 0.0) == []
    assert world.groups.handle(Exit(PARENT, "shutdown"), 0.0) == [Leave("shutdown")]
    assert world.ask(A, "stop", "enough") == [AnswerTo(A, 1, True), Leave("enough")]


@pytest.mark.parametrize("seed", range(20))
def test_members_are_who_joined_and_has_not_left_or_died(seed: int) -> None:
    chance, world = random.Random(seed), World()
    book: dict[str, Counter[int]] = {name: Counter() for name in "gh"}
    for _ in range(200):
        group, who = chance.choice("gh"), chance.choice((A, B, C))
        match chance.choice(("join", "join", "leave", "die")):
            case "join":
                world.ask(A, "join", group, [who])
                book[group][who] += 1
            case "leave":
                answer = world.answer(A, "leave", group, [who])
                assert (answer.error is None) == (book[group][who] > 0), seed
                book[group][who] = max(0, book[group][who] - 1)
            case "die":
                world.handle(Down([0], who, "killed"))
                for members in book.values():
                    del members[who]
        for name, members in book.items():
            assert Counter(world.value("members", name)) == +members, seed  # type: ignore[arg-type]
        assert set(world.value("which_groups")) == {name for name, members in book.items() if +members}, seed  # type: ignore[arg-type]


def test_names_of_groups_have_room_together_and_a_group_that_ends_makes_some() -> None:
    world = World()
    names = [f"{at:0{MAX_GROUP_BYTES}}" for at in range(MAX_BYTES // MAX_GROUP_BYTES)]
    for name in names:
        world.groups.handle(Asking(A, 1, msgspec.Raw(msgspec.msgpack.encode(["join", name, [A]]))), 0.0)
    assert world.answer(A, "join", "one more", [A]).error is not None
    assert world.value("join", names[0], [B]) is True
    world.handle(Down([1], A, "killed"))
    assert world.value("join", "one more", [B]) is True
    assert world.value("which_groups") == [names[0], "one more"]


def test_where_nobody_joins_nobody_is_told() -> None:
    world = World()
    world.value("monitor_scope")
    assert told(world.ask(A, "join", "g", [])) == []


def test_who_has_left_and_watches_nobody_is_monitored_no_more_and_who_comes_again_is() -> None:
    world = World()
    world.ask(A, "join", "g", [B])
    assert world.ask(A, "leave", "g", [B]) == [show("g"), Do(2, Demonitor(1)), AnswerTo(A, 2, True)]
    assert world.ask(A, "join", "g", [B]) == [show("g", B), Do(3, Monitor(3, B)), AnswerTo(A, 3, True)]
    world.handle(Down([3], B, "killed"))
    assert world.ask(A, "join", "g", [B]) == [show("g", B), Do(4, Monitor(4, B)), AnswerTo(A, 4, True)]
    assert world.ask(C, "monitor", "g") == [Do(6, Monitor(6, C)), AnswerTo(C, 5, [5, [B]])]


@pytest.mark.parametrize("seed", range(5))
def test_what_is_counted_on_the_way_is_what_is_there(seed: int) -> None:
    """Beside the snapshot nothing is remembered that does not follow from it."""
    chance, groups = random.Random(seed), Groups()
    groups.handle(Begin(2, INSTANCE, 0, ProcessSpec("groups"), PARENT), 0.0)
    for number in range(1, 100):
        verb, group, who = chance.choice(["join", "leave", "die"]), chance.choice(["g", "long"]), chance.choice((A, B, C))
        ask = Asking(A, number, msgspec.Raw(msgspec.msgpack.encode([verb, group, [who]])))
        groups.handle(Down([0], who, "killed") if verb == "die" else ask, 0.0)
        again = Groups()
        again.restore(groups.snapshot())
        assert (groups._count, groups._bytes) == (again._count, again._bytes), seed
        assert {who: sorted(of) for who, of in groups._groups_of.items()} == {
            who: sorted(of) for who, of in again._groups_of.items()}, seed  # fmt: skip
