"""The order of signals over both planes, and channels whose ends were announced twice or lost (runtime/actor/peers.py)."""

from __future__ import annotations

import pytest

from actorcore.frames import Call, Info
from actorcore.runtime import sockets
from actorcore.signals import EVERYTHING, Answer, Exit, Introduce, PeerDown
from tests.lean_world import TESTER, Child, World, say, say_mark
from tests.test_process import ACTORS, raw, terms, world

__all__ = ["world"]
OTHER = 98


def seen(world: World, channel: object, count: int) -> list[object]:
    """What a recorder reports: kind and last field of so many events."""
    found: list[object] = []
    while len(found) < count:
        found += [[term[0], term[2]] for term in terms(world.read(channel))]  # type: ignore[arg-type, index]
    return found


@pytest.fixture
def watcher(world: World) -> Child:
    return world.start(ACTORS + "recorder", TESTER)


# ---- exit signals and messages --------------------------------------------------------------------------------------


def test_an_exit_signal_waits_for_the_messages_sent_before_it(world: World, watcher: Child) -> None:
    channel, other = world.peer(watcher), world.peer(watcher, OTHER)
    world.deliver(watcher, Exit(OTHER, "because", after=2, number=5))
    say(channel, Info(raw("unrelated")))
    assert seen(world, channel, 1) == [["Message", "unrelated"]]
    say(other, Info(raw("one")), Info(raw("two")), Info(raw("three")))
    assert seen(world, channel, 4) == [
        ["Message", "one"], ["Message", "two"], ["ExitMessage", "because"], ["Message", "three"],
    ]  # fmt: skip


def test_an_exit_signal_is_let_go_when_its_sender_dies_first(world: World, watcher: Child) -> None:
    channel, other = world.peer(watcher), world.peer(watcher, OTHER)
    world.deliver(watcher, Exit(OTHER, "because", after=2))
    say(other, Info(raw("one")))
    other.close()
    world.deliver(watcher, PeerDown(OTHER, "killed"))
    assert seen(world, channel, 2) == [["Message", "one"], ["ExitMessage", "because"]]


def test_an_exit_signal_without_messages_before_it_waits_for_none(world: World, watcher: Child) -> None:
    channel, other = world.peer(watcher), world.peer(watcher, OTHER)
    world.deliver(watcher, Exit(OTHER, "at once", number=5))
    assert seen(world, channel, 1) == [["ExitMessage", "at once"]]
    say_mark(other, 5)
    say(other, Info(raw("later")))
    assert seen(world, channel, 1) == [["Message", "later"]]


def test_messages_behind_a_mark_wait_for_the_exit_signal(world: World, watcher: Child) -> None:
    channel, other = world.peer(watcher), world.peer(watcher, OTHER)
    say(other, Info(raw("before")))
    say_mark(other, 5)
    say(other, Info(raw("behind")))
    assert seen(world, channel, 1) == [["Message", "before"]]
    say(channel, Info(raw("unrelated")))
    assert seen(world, channel, 1) == [["Message", "unrelated"]]
    world.deliver(watcher, Exit(OTHER, "between", after=1, number=5))
    assert seen(world, channel, 2) == [["ExitMessage", "between"], ["Message", "behind"]]


def test_an_exit_signal_by_a_link_comes_after_all_that_the_dead_had_sent(world: World, watcher: Child) -> None:
    channel, other = world.peer(watcher), world.peer(watcher, OTHER)
    for number in range(100):
        say(other, Info(raw(number)))
    other.close()
    world.deliver(watcher, Exit(OTHER, "killed", EVERYTHING))
    assert seen(world, channel, 101) == [["Message", str(n)] for n in range(100)] + [["ExitMessage", "killed"]]


@pytest.mark.parametrize("is_message", [True, False])
def test_who_sends_an_exit_signal_marks_its_place_if_it_is_a_message(world: World, is_message: bool) -> None:
    asker = world.start(ACTORS + "asker", TESTER)
    channel = world.peer(asker)
    say(channel, Call(1, raw(["exit", {"pid": TESTER}, "because"])))
    number = world.wait_request(asker).number
    world.deliver(asker, Answer(number, is_message))
    if is_message:
        assert world.read_mark(channel) == number
    assert terms(world.read(channel)) == ["None"]


# ---- ends that are announced twice ----------------------------------------------------------------------------------


@pytest.mark.parametrize("opened", [0, 1])
def test_of_two_pairs_the_one_that_the_peer_opens_is_the_channel(world: World, watcher: Child, opened: int) -> None:
    channel = world.peer(watcher)
    pairs = [world.announce(watcher, OTHER, opens=False)]
    pairs.append(world.announce(watcher, OTHER, opens=False, seq=watcher.seq))
    say(pairs[opened], Info(raw("this one")))
    assert seen(world, channel, 1) == [["Message", "this one"]]
    with pytest.raises(sockets.PeerGone):
        world.read(pairs[1 - opened])


def test_a_pair_that_died_with_its_node_is_not_waited_for(world: World, watcher: Child) -> None:
    channel = world.peer(watcher)
    world.announce(watcher, OTHER, opens=False).close()
    second = world.announce(watcher, OTHER, opens=False, seq=watcher.seq)
    say(second, Info(raw("second")))
    assert seen(world, channel, 1) == [["Message", "second"]]


def test_nothing_is_sent_before_the_peer_has_opened_the_channel(world: World) -> None:
    sender = world.start(ACTORS + "sender", OTHER, 3)
    first = world.announce(sender, OTHER, opens=False)
    second = world.announce(sender, OTHER, opens=False, seq=sender.seq)
    say(second)
    assert terms(world.read(second)) == [0, 1, 2]
    with pytest.raises(sockets.PeerGone):
        world.read(first)


def test_who_opens_keeps_what_it_has(world: World, watcher: Child) -> None:
    channel = world.peer(watcher)
    first = world.announce(watcher, OTHER, opens=True)
    assert world.read(first) == []
    second = world.announce(watcher, OTHER, opens=True, seq=watcher.seq)
    with pytest.raises(sockets.PeerGone):
        world.read(second)
    say(first, Info(raw("first")))
    assert seen(world, channel, 1) == [["Message", "first"]]


# ---- ends that were lost --------------------------------------------------------------------------------------------


def test_a_channel_that_was_closed_is_asked_for_with_its_frame(world: World) -> None:
    asker = world.start(ACTORS + "asker", TESTER)
    channel, bad = world.peer(asker), world.peer(asker, OTHER)
    frame = asker.seq
    assert sockets.send(bad, b"\xc1")
    with pytest.raises(sockets.PeerGone):
        world.read(bad)
    say(channel, Call(1, raw(["send", {"pid": OTHER}, "again"])))
    assert terms(world.read(channel)) == ["None"]
    assert terms(world.read(world.peer(asker, OTHER))) == ["again"]
    assert [asked for asked in world.introductions if asked.to == OTHER] == [Introduce(OTHER, lost=frame)]


def test_a_peer_that_lost_its_end_fails_the_calls_that_went_into_it(world: World) -> None:
    caller = world.start(ACTORS + "caller", OTHER, TESTER, "lost", 5.0)
    channel, callee = world.peer(caller), world.peer(caller, OTHER)
    assert [type(message) for message in world.read(callee)] == [Call]
    again = world.peer(caller, OTHER)
    assert terms(world.read(channel)) == [{"failed": "noconnection"}]
    assert world.read(again) == []  # it lives


def test_a_call_goes_on_when_the_peer_that_lost_its_end_is_dying(world: World) -> None:
    caller = world.start(ACTORS + "caller", OTHER, TESTER, "lost", 5.0)
    channel, callee = world.peer(caller), world.peer(caller, OTHER)
    assert [type(message) for message in world.read(callee)] == [Call]
    world.announce(caller, OTHER, opens=False).close()
    world.deliver(caller, PeerDown(OTHER, {"signal": "SIGSEGV"}))
    assert terms(world.read(channel)) == [{"failed": {"signal": "SIGSEGV"}}]
