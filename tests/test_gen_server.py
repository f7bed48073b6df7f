"""GenServer in real processes, ``def`` and ``async def``: OTP's rules for starting, answering, stopping and last words."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import msgspec
import pytest

from actorcore import frames
from actorcore.frames import Call, Cast, Info, Message, Reply
from actorcore.signals import Booted, Down, Exit, Refused
from tests.lean_actors import Add, Get
from tests.lean_world import World, say
from tests.test_process import ACTORS, FLAVOURS, raw, terms

PARENT = 98
FIRST = {"error": {"type": "KeyError", "text": "'first'"}}
SECOND = {"error": {"type": "RuntimeError", "text": "second"}}


@pytest.fixture(params=FLAVOURS)
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    world = World(request.param)
    yield world
    world.close()


def obedient(world: World, how: str = "ok") -> socket.socket:
    return world.peer(world.start(ACTORS + "Obedient", how, parent=PARENT))


def answers(world: World, channel: socket.socket, *requests: object) -> list[object]:
    """Call after call; what came back."""
    got: list[object] = []
    for number, request in enumerate(requests, 1):
        say(channel, Call(number, raw(request)))
        (reply,) = world.read(channel)
        assert isinstance(reply, Reply)
        assert reply.number == number
        got.append(reply.error[0] if reply.error else terms([reply])[0])
    return got


def read(world: World, channel: socket.socket, count: int) -> list[Message]:
    got: list[Message] = []
    while len(got) < count:
        got.extend(world.read(channel))
    return got


def test_declared_messages_are_decoded_and_others_refused_without_harm(world: World) -> None:
    channel = world.peer(world.start(ACTORS + "Counter"))
    say(channel, Cast(raw(Add(2))), Cast(raw("junk")), Cast(raw(Get())))
    assert answers(world, channel, Add(3), {"type": "add", "amount": "much"}, "text", {"type": "no"}, Get()) == [
        5, "invalid_message", "invalid_message", "invalid_message", 5,
    ]  # fmt: skip


@pytest.mark.parametrize("body", [b"\xc7\x01\x05\x00", b"\xa2\xff\xfe", b"\x91" * 5000 + b"\xc0"])
def test_a_hostile_body_is_refused_and_harms_nobody(world: World, body: bytes) -> None:
    channel = obedient(world)
    say(channel, Call(1, msgspec.Raw(body)))
    world_reply = world.read(channel)[0] if body[:1] != b"\x91" else None
    if isinstance(world_reply, Reply):
        assert world_reply.error is not None
        assert world_reply.error[0] == "invalid_message"
    else:  # too deep for the envelope itself: the channel is closed, the process lives
        channel = world.peer(world.children[1], 97)
    assert answers(world, channel, "alive") == ["alive"]


def test_a_call_may_be_held_and_answered_later(world: World) -> None:
    channel = obedient(world)
    say(channel, Call(1, raw("hold")), Call(2, raw("hold")), Call(3, raw("release")))
    replies = [(reply.number, terms([reply])[0]) for reply in read(world, channel, 3) if isinstance(reply, Reply)]
    assert replies == [(1, "released"), (2, "released"), (3, "done")]


def test_continue_runs_before_the_next_message(world: World) -> None:
    channel = obedient(world)
    say(channel, Call(1, raw("continue")), Cast(raw("after")))
    assert terms(read(world, channel, 3)) == ["now", ["continue", "later"], ["cast", "after"]]


def test_continue_from_init_runs_first(world: World) -> None:
    assert terms(read(world, obedient(world, "continue"), 1)) == [["continue", "from init"]]


def test_the_inactivity_timeout_is_a_message(world: World) -> None:
    assert terms(read(world, obedient(world, "timeout"), 1)) == [["info", "Timeout", ""]]


def test_plain_messages_downs_and_exits_of_others_go_to_handle_info(world: World) -> None:
    channel = obedient(world)
    child = world.children[1]
    say(channel, Info(raw("hello")))
    assert terms(read(world, channel, 1)) == [["info", "Message", "hello"]]
    world.deliver(child, Exit(50, "gone"))
    assert terms(read(world, channel, 1)) == [["info", "ExitMessage", "gone"]]
    world.deliver(child, Down([1], 50, "lost"))
    assert terms(read(world, channel, 1)) == [["info", "DownMessage", "lost"]]


def test_the_parents_exit_ends_the_server_through_terminate(world: World) -> None:
    channel = obedient(world)
    world.deliver(world.children[1], Exit(PARENT, {"shutdown": "parent"}))
    assert terms(read(world, channel, 1)) == [["terminate", {"shutdown": "parent"}]]
    assert world.wait_death(world.children[1]) == SECOND


@pytest.mark.parametrize(("request_", "reason", "after"), [
    ("stop", "shutdown", ["bye"]),
    ("raise", FIRST, []),
    ("exit", {"shutdown": 1}, []),
    ("none", {"bad_return_value": None}, []),
])  # fmt: skip
def test_G14_what_terminate_raises_is_the_reason_as_in_OTP_and_the_first_one_is_in_the_log(
    world: World, request_: str, reason: object, after: list[object], capfd: pytest.CaptureFixture[str]
) -> None:
    channel = obedient(world)
    say(channel, Call(1, raw(request_)))
    assert terms(read(world, channel, 1 + len(after))) == [["terminate", reason], *after]
    assert world.wait_death(world.children[1]) == SECOND
    assert f"terminate fails after {reason}" in capfd.readouterr().err


def test_G14_what_the_news_of_a_death_makes_a_callback_raise_is_its_own_reason_and_terminate_hears_it(
    world: World, capfd: pytest.CaptureFixture[str]
) -> None:
    """The reason of who died first stays his, as the news said it; the first failure is in the log, the second is the end."""
    channel = obedient(world, "touchy")
    world.deliver(world.children[1], Down([1], 50, "lost"))
    assert terms(read(world, channel, 2)) == [["info", "DownMessage", "lost"], ["terminate", FIRST]]
    assert world.wait_death(world.children[1]) == SECOND
    assert f"terminate fails after {FIRST}" in capfd.readouterr().err


@pytest.mark.parametrize(("how", "refused", "reason"), [
    ("ignore", None, "normal"),
    ("stop", {"shutdown": "not today"}, {"shutdown": "not today"}),
    ("exit", "early", "early"),
    ("raise", {"error": {"type": "ValueError", "text": "init"}}, {"error": {"type": "ValueError", "text": "init"}}),
    ("bad", {"bad_return_value": 42}, {"bad_return_value": 42}),
])  # fmt: skip
def test_an_init_that_refuses_never_boots(world: World, how: str, refused: object, reason: object) -> None:
    child = world.start(ACTORS + "Obedient", how, gate=True)
    assert world.wait(child, Refused).reason == refused
    assert world.wait_death(child) == reason
    assert not [said for said in child.said if isinstance(said, Booted)]


def test_an_undecodable_cast_is_dropped(world: World) -> None:
    channel = obedient(world)
    say(channel, Cast(msgspec.Raw(b"\xc7\x01\x05\x00")), Cast(raw("next")))
    assert terms(read(world, channel, 1)) == [["cast", "next"]]


def test_the_vocabulary_of_a_server_is_plain_msgpack() -> None:
    assert frames.term_decoder.decode(frames.encoder.encode(Add(1))) == {"type": "add", "amount": 1}
