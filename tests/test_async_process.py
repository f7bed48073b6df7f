"""What only a process in a loop can do; all else it must do as the lean one does: test_process.py, test_gen_server.py."""

from __future__ import annotations

import inspect
import socket
from collections.abc import Callable, Iterator

import pytest

from actorcore.frames import Call, Cast, Info, Reply
from actorcore.gen_server import AsyncGenServer, GenServer, is_async
from actorcore.mailbox import MAX_WAITING
from actorcore.process_face import AsyncProcessFace, ProcessFace
from actorcore.runtime.actor.async_process import AsyncProcess
from actorcore.runtime.actor.process import Process
from actorcore.signals import Exit
from tests import async_actors, lean_actors
from tests.lean_world import TESTER, World, say
from tests.test_gen_server import PARENT, answers, read
from tests.test_process import raw, terms

ACTORS = "tests.async_actors:"


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    yield world
    world.close()


def worker(world: World) -> socket.socket:
    return world.peer(world.start(ACTORS + "Worker", parent=PARENT))


class Wrapped(GenServer):
    """A callback behind a decorator that functools.wraps."""

    def handle_cast(self, request: object) -> None: ...

    handle_cast.__wrapped__ = async_actors.Worker.handle_call  # type: ignore[attr-defined]


class Declared(AsyncGenServer):
    """No callback of its own is ``async def``."""


@pytest.mark.parametrize(("start", "in_a_loop"), [
    (async_actors.Counter, True), (async_actors.echo, True), (async_actors.Worker, True), (Wrapped, True), (Declared, True),
    (lean_actors.Counter, False), (lean_actors.echo, False), (GenServer, False), (dict, False), (print, False), ("gone", False),
])  # fmt: skip
def test_one_async_callback_is_what_makes_a_process_run_in_a_loop(start: object, in_a_loop: bool) -> None:
    assert is_async(start) is in_a_loop


def test_the_loop_goes_on_while_a_callback_waits(world: World) -> None:
    channel = worker(world)
    say(channel, Call(1, raw("wait for the gate")))
    (question,) = world.read(channel)
    assert isinstance(question, Call)
    say(channel, Cast(raw("during")), Reply(question.number, raw("yes")))
    assert terms(world.read(channel)) == [["opened", "yes"]]  # the cast waits its turn: one callback at a time


def test_a_task_may_answer_a_call(world: World) -> None:
    assert answers(world, worker(world), "answer from a task", "then") == ["from a task", "then"]


def test_a_hundred_tasks_may_call_at_once_and_each_gets_its_own_answer(world: World) -> None:
    server = world.start(ACTORS + "echo")
    client = world.start(ACTORS + "many_callers", server.serial, TESTER, 100)
    assert terms(world.read(world.peer(client))) == [list(range(100))]


def test_the_users_tasks_end_with_the_process_after_terminate(world: World) -> None:
    channel = worker(world)
    say(channel, Cast(raw("background")))
    assert answers(world, channel, "alive") == ["alive"]
    world.deliver(world.children[1], Exit(PARENT, "shutdown"))
    assert terms(read(world, channel, 2)) == [["terminate", "shutdown"], ["cancelled"]]
    assert world.wait_death(world.children[1]) == "shutdown"


@pytest.mark.parametrize(("request_", "reason"), [
    ("exit from a task", {"shutdown": "task"}), ("sys.exit from a task", {"exit": 3}),
])  # fmt: skip
def test_a_task_may_end_the_process_while_a_callback_waits_for_ever(world: World, request_: str, reason: object) -> None:
    channel = worker(world)
    say(channel, Cast(raw(request_)), Call(1, raw("for ever")))
    assert terms(read(world, channel, 1)) == [["terminate", reason]]
    assert world.wait_death(world.children[1]) == reason


@pytest.mark.parametrize(("how", "reason"), [("exit_self", {"shutdown": "enough"}), ("sys.exit(3)", {"exit": 3})])
def test_a_task_may_end_a_plain_function_process(world: World, how: str, reason: object) -> None:
    assert world.wait_death(world.start(ACTORS + "background_leaver", how)) == reason


def test_a_full_mailbox_leaves_the_awaited_peer_readable_and_then_everybody(world: World) -> None:
    """Above the bound only the callee is read, or its answer could not come; below it all are read again."""
    count = MAX_WAITING + 2000
    client = world.start(ACTORS + "flooded_caller", TESTER, 97, count)
    reports, channel, flood = world.peer(client, 97), world.peer(client), world.peer(client, 96)
    (call,) = world.read(channel)
    assert isinstance(call, Call)
    for _ in range(count // 50):
        say(flood, *[Info(raw(0))] * 50)
    assert terms(world.read(reports)) == ["full"]
    say(channel, Reply(call.number, raw("ok")))
    assert terms(read(world, reports, 2)) == ["ok", count]


def test_in_a_loop_a_process_can_do_what_it_can_without_one() -> None:
    ways = [{name for name in dir(kind) if not name.startswith("_")} for kind in (Process, AsyncProcess)]
    assert ways[0] - ways[1] == {"pump", "demonitor_only"}  # the loop does the one; the other is half of demonitor
    faces = [{name for name in vars(face) if not name.startswith("_")} for face in (ProcessFace, AsyncProcessFace)]
    assert (faces[0] ^ faces[1], faces[0] - ways[0] - {"self_pid"}) == (set(), set())
    for name in faces[0] - {"self_pid", "sys"}:
        shapes = [parameters(getattr(kind, name)) for kind in (Process, AsyncProcess, ProcessFace, AsyncProcessFace)]
        assert shapes == shapes[:1] * 4, name


def parameters(function: Callable[..., object]) -> list[tuple[str, object, object]]:
    """Names, kinds and defaults."""
    return [(one.name, one.kind, one.default) for one in inspect.signature(function).parameters.values()]
