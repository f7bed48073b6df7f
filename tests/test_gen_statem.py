"""gen_statem in real processes, ``def`` and ``async def``. Its rules have tests of their own: test_statem_rules.py."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from actorcore.frames import Call, Info, Message, Reply, System
from actorcore.gen_statem import Event, GenStatem
from actorcore.signals import Booted, Exit, Refused
from actorcore.system_words import GetState, Resume, Suspend
from tests import statem_actors, statem_async_actors
from tests.lean_world import World, say
from tests.test_process import raw, terms

PARENT = 98


@pytest.fixture(params=["tests.statem_actors", "tests.statem_async_actors"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    world = World(request.param)
    yield world
    world.close()


class Told:
    """A lock, what it answers by number, and what it tells."""

    def __init__(self, world: World, *args: object) -> None:
        self.world = world
        self.child = world.start("actors:Lock", *args, parent=PARENT)  # type: ignore[arg-type]
        self.channel = world.peer(self.child)
        self.said: list[object] = []
        self.answers: dict[int, object] = {}

    def until(self, said: int = 0, answers: int = 0) -> None:
        while len(self.said) < said or len(self.answers) < answers:
            for message in self.world.read(self.channel):
                if isinstance(message, Reply):
                    self.answers[message.number] = terms([message])[0]
                else:
                    self.said += terms([message])

    def call(self, number: int, *bodies: object) -> None:
        calls: list[Message] = [Call(number + at, raw(body)) for at, body in enumerate(bodies)]
        say(self.channel, *calls)


def test_a_code_lock_opens_closes_by_its_state_timeout_and_keeps_what_was_asked_meanwhile(world: World) -> None:
    lock = Told(world)
    lock.call(1, "wrong code", "code", "asked while it is open", "code")
    lock.until(6, 4)
    assert lock.answers == {1: "wrong", 2: "opens", 3: "wrong", 4: "opens"}
    assert lock.said == [["locks", 0], ["count", 1], ["opens"], ["locks", 1], ["count", 2], ["opens"]]
    lock.until(7)
    assert lock.said[6:] == [["locks", 2]]


def test_messages_and_exits_of_others_are_info_events_and_the_parents_exit_ends_it(world: World) -> None:
    lock = Told(world)
    say(lock.channel, Info(raw("hello")))
    lock.until(2)
    world.deliver(lock.child, Exit(PARENT, {"shutdown": "parent"}))
    lock.until(3)
    assert lock.said == [["locks", 0], ["info", "hello"], ["terminate", {"shutdown": "parent"}, "locked"]]
    assert world.wait_death(lock.child) == {"shutdown": "parent"}


@pytest.mark.parametrize(("request_", "answer", "reason"), [
    ("stop", {1: "bye"}, "shutdown"), ("crash", {}, {"error": {"type": "KeyError", "text": "'lock'"}}),
    ("no result", {}, {"bad_return_value": 42}),
])  # fmt: skip
def test_it_ends_through_terminate(world: World, request_: str, answer: object, reason: object) -> None:
    lock = Told(world)
    lock.call(1, request_)
    lock.until(2)
    assert (lock.said, lock.answers) == ([["locks", 0], ["terminate", reason, "locked"]], answer)
    assert world.wait_death(lock.child) == reason


@pytest.mark.parametrize(("how", "refused"), [("ignore", None), ("stop", {"shutdown": "no key"})])
def test_an_init_that_refuses_never_boots(world: World, how: str, refused: object) -> None:
    child = world.start("actors:Lock", how, gate=True)
    assert world.wait(child, Refused).reason == refused
    assert world.wait_death(child) == (refused or "normal")
    assert not [said for said in child.said if isinstance(said, Booted)]


def test_with_handle_event_the_state_is_any_value(world: World) -> None:
    channel = world.peer(world.start("actors:Counter"))
    for number in range(1, 4):
        say(channel, Call(number, raw(None)))
        assert world.read(channel) == [Reply(number, raw(number - 1))]


def test_sys_sees_state_and_data_and_suspends_its_timeouts_with_it(world: World) -> None:
    lock = Told(world, "ok", 0.02)
    lock.call(1, "code")
    say(lock.channel, System(2, raw(Suspend())), Call(9, raw("code")), System(3, raw(GetState())))
    lock.until(2, 3)
    assert lock.answers[2] is True
    state = lock.answers[3]
    assert isinstance(state, list)
    assert (state[0], state[1]["open_s"], state[1]["wrong"]) == ("open", 0.02, 0)
    assert (9 in lock.answers, lock.said) == (False, [["locks", 0], ["opens"]])
    say(lock.channel, System(4, raw(Resume())))
    lock.until(4, 5)
    assert (lock.answers[9], lock.said[2:4]) == ("opens", [["locks", 0], ["opens"]])


def test_one_async_callback_makes_it_run_in_a_loop() -> None:
    found = [kind.is_async() for kind in (
        statem_actors.Lock, statem_actors.Counter, statem_async_actors.Lock, statem_async_actors.Counter, OwnMethod,
    )]  # fmt: skip
    assert found == [False, False, True, True, False]


class OwnMethod(GenStatem):
    """With handle_event other methods are its own affair."""

    async def somewhere_else(self, event: Event) -> None:
        pass
