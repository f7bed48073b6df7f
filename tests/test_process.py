"""A process, lean and in a loop, against a node in the test's hands: calls, order over both planes, deaths, junk."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import msgspec
import pytest

from actorcore import frames
from actorcore.frames import Call, Info, Reply
from actorcore.runtime import sockets
from actorcore.signals import (
    Answer,
    Ask,
    Begin,
    Demonitor,
    Down,
    Introduce,
    Monitor,
    PeerDown,
    ProcessSpec,
    SendExit,
    Spawn,
    TrapExit,
    Whereis,
)
from tests.lean_world import INSTANCE, TESTER, World, say

ACTORS = "actors:"
FLAVOURS = ("tests.lean_actors", "tests.async_actors")


@pytest.fixture(params=FLAVOURS)
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    world = World(request.param)
    yield world
    world.close()


def raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(frames.encoder.encode(value))


def terms(messages: list[frames.Message]) -> list[object]:
    return [frames.term_decoder.decode(message.body) for message in messages]


def test_a_call_returns_the_reply(world: World) -> None:
    server = world.start(ACTORS + "echo")
    client = world.start(ACTORS + "caller", server.serial, TESTER, {"a": [1, None]}, 5.0)
    assert terms(world.read(world.peer(client))) == [{"a": [1, None]}]


def test_a_call_to_nobody_is_noproc(world: World) -> None:
    client = world.start(ACTORS + "caller", 55, TESTER, 1, 5.0)
    assert terms(world.read(world.peer(client))) == [{"failed": "noproc"}]


def test_a_call_to_oneself_fails(world: World) -> None:
    client = world.start(ACTORS + "caller", 1, TESTER, 1, 5.0)
    assert terms(world.read(world.peer(client))) == [{"failed": "calling_self"}]


def test_a_call_to_a_killed_peer_fails_with_its_reason(world: World) -> None:
    silent = world.start(ACTORS + "recorder", TESTER)
    told = world.peer(silent)
    client = world.start(ACTORS + "caller", silent.serial, TESTER, "hello", 60.0)
    channel = world.peer(client)
    assert terms(world.read(told))[0][0] == "CallMessage"  # type: ignore[index]
    assert world.kill(silent) == "killed"
    assert terms(world.read(channel)) == [{"failed": "killed"}]


def test_who_calls_a_resident_is_introduced_once_and_asks_the_node_from_then_on(world: World) -> None:
    world.residents = {50}
    client = world.start(ACTORS + "regular", 50, 3)
    for number in range(3):
        asked = world.wait_request(client)
        assert asked.body == Ask(50, raw(number))
        world.deliver(client, Answer(asked.number, "yes"))
    assert (world.wait_death(client), world.introductions) == ("normal", [Introduce(50)])


def test_a_late_reply_is_dropped_by_its_number(world: World) -> None:
    client = world.start(ACTORS + "caller", TESTER, TESTER, "slow", 0.01)
    channel = world.peer(client)
    said = world.read(channel)
    while len(said) < 2:  # in one datagram when the introduction took longer than the deadline
        said += world.read(channel)
    call, told = said
    assert isinstance(call, Call)
    assert terms([told]) == [{"error": "CallTimeout"}]
    say(channel, Reply(call.number, raw("late")), Info(raw("next")))
    assert terms(world.read(channel)) == [["Message", f"{INSTANCE}.{TESTER}", "next"]]


def test_a_reply_from_another_peer_is_not_taken(world: World) -> None:
    client = world.start(ACTORS + "caller", TESTER, TESTER, "who", 5.0)
    channel, stranger = world.peer(client), world.peer(client, 98)
    (call,) = world.read(channel)
    assert isinstance(call, Call)
    say(stranger, Reply(call.number, raw("forged")))
    world.deliver(client, PeerDown(98, "normal"))  # drains the stranger's channel
    say(channel, Reply(call.number, raw("true")))
    assert terms(world.read(channel)) == ["true"]


def test_messages_during_a_call_wait_in_order(world: World) -> None:
    client = world.start(ACTORS + "caller", TESTER, TESTER, "wait", 5.0)
    channel = world.peer(client)
    (call,) = world.read(channel)
    assert isinstance(call, Call)
    say(channel, Info(raw(1)), Info(raw(2)))
    say(channel, Reply(call.number, raw("ok")), Info(raw(3)))
    assert terms(world.read(channel)) == ["ok"]
    assert [terms(world.read(channel))[0][2] for _ in range(3)] == ["1", "2", "3"]  # type: ignore[index]


def test_each_message_names_its_sender(world: World) -> None:
    recorder = world.start(ACTORS + "recorder", TESTER)
    ours, other = world.peer(recorder), world.peer(recorder, TESTER + 1)
    heard = []
    for channel in (ours, other, other, ours, other):
        say(channel, Info(raw("hello")))
        heard += terms(world.read(ours))
    senders = [TESTER, TESTER + 1, TESTER + 1, TESTER, TESTER + 1]
    assert heard == [["Message", f"{INSTANCE:x}.{sender}", "hello"] for sender in senders]


def test_what_waited_for_an_introduction_leaves_64_to_a_datagram(world: World) -> None:
    client = world.start(ACTORS + "sender", TESTER, 150)
    channel = world.peer(client)
    batches: list[list[object]] = []
    while sum(map(len, batches)) < 150:
        batches.append(terms(world.read(channel)))
    assert [number for batch in batches for number in batch] == list(range(150))
    assert max(map(len, batches)) <= 64
    assert world.wait_death(client) == "normal"


def test_a_mebibyte_goes_and_comes_back_in_parts(world: World) -> None:
    server = world.start(ACTORS + "echo")
    client = world.start(ACTORS + "big_caller", server.serial, 1 << 20)
    assert world.wait_death(client) == "same"


def test_two_processes_that_fill_each_others_queues_do_not_deadlock(world: World) -> None:
    count = 20_000
    a = world.start(ACTORS + "flooder", 2, count, gate=True)
    b = world.start(ACTORS + "flooder", 1, count, gate=True)
    assert world.wait_death(a) == "normal"
    assert world.wait_death(b) == "normal"


@pytest.mark.parametrize("junk", [b"\xc1", b"\x91\x92\xa3foo\x01", b"\x91" * 3000, b"\x00", b"\xce\xff\xff\xff\xff", b"\xc0"])
def test_junk_closes_its_channel_and_the_process_lives(world: World, junk: bytes) -> None:
    server = world.start(ACTORS + "echo")
    bad, good = world.peer(server, 98), world.peer(server)
    assert sockets.send(bad, junk)
    with pytest.raises(sockets.PeerGone):
        world.read(bad)
    say(good, Call(1, raw("still here")))
    assert terms(world.read(good)) == ["still here"]


def test_a_delivery_that_is_none_ends_the_process_for_the_next_would_not_be_the_next(world: World) -> None:
    """In a loop it was a line in the log, and the process went on without what it had been told."""
    server = world.start(ACTORS + "echo")
    assert sockets.send(server.control, b"\x91\x92\x02\x92\xa3foo\x01")
    match world.wait_death(server):
        case {"error": {"type": kind}}:
            assert kind == "ProtocolError"
        case reason:
            pytest.fail(f"ended with {reason}")


def test_a_down_comes_after_all_that_the_dead_had_sent(world: World) -> None:
    watcher = world.start(ACTORS + "recorder", TESTER)
    channel, dying = world.peer(watcher), world.peer(watcher, 98)
    for number in range(100):
        say(dying, Info(raw(number)))
    dying.close()
    world.deliver(watcher, Down([5, 6], 98, "killed"))
    seen: list[object] = []
    while len(seen) < 102:
        seen.extend(terms(world.read(channel)))
    dead = f"{INSTANCE}.98"
    assert seen == [["Message", dead, str(n)] for n in range(100)] + [["DownMessage", ref, dead, "killed"] for ref in "56"]


def test_a_delivery_that_a_new_node_repeats_is_dropped(world: World) -> None:
    watcher = world.start(ACTORS + "recorder", TESTER)
    channel = world.peer(watcher)
    world.deliver(watcher, Down([1], 98, "killed"))
    world.deliver(watcher, Down([1], 98, "killed"), seq=watcher.seq)
    world.deliver(watcher, Begin(watcher.serial, 1, 0, ProcessSpec(ACTORS + "recorder"), 0), seq=1)
    world.deliver(watcher, Down([2], 98, "killed"), seq=4)
    assert [terms(world.read(channel))[0][1] for _ in range(2)] == ["1", "2"]  # type: ignore[index]


def ask(world: World, child: object, channel: object, request: list[object]) -> object:
    say(channel, Call(1, raw(request)))  # type: ignore[arg-type]
    return world.wait_request(child)  # type: ignore[arg-type]


@pytest.mark.parametrize(("words", "body", "answer", "result"), [
    (["trap_exit", True], TrapExit(True), False, "False"),
    (["monitor", {"pid": 5}], Monitor(1, 5), True, "1"),
    (["monitor", "name"], Monitor(1, 0, "name"), True, "1"),
    (["whereis", "name"], Whereis("name"), 12, "7.12"),
    (["whereis", "name"], Whereis("name"), None, "None"),
])  # fmt: skip
def test_a_request_waits_for_its_answer(world: World, words: list[object], body: object, answer: int, result: str) -> None:
    child = world.start(ACTORS + "asker", TESTER)
    channel = world.peer(child)
    asked = ask(world, child, channel, words)
    assert asked == frames.Numbered(1, body)  # type: ignore[arg-type]
    world.deliver(child, Answer(1, answer))
    assert terms(world.read(channel)) == [result]


def test_a_refused_request_raises_its_code(world: World) -> None:
    child = world.start(ACTORS + "asker", TESTER)
    channel = world.peer(child)
    spawn = ask(world, child, channel, ["spawn", "m:f"])
    assert isinstance(spawn, frames.Numbered)
    assert isinstance(spawn.body, Spawn)
    world.deliver(child, Answer(1, error=("start_failed", {"exit": 3})))
    (reply,) = world.read(channel)
    assert isinstance(reply, Reply)
    assert reply.error is not None
    assert reply.error[0] == "start_failed"


def test_an_exit_signal_counts_the_messages_before_it(world: World) -> None:
    child = world.start(ACTORS + "asker", TESTER)
    channel = world.peer(child)
    for _ in range(3):
        say(channel, Call(1, raw(["is_alive", {"pid": 4}])))
        world.deliver(child, Answer(world.wait_request(child).number, True))
        assert terms(world.read(channel)) == ["True"]
    say(channel, Call(2, raw(["exit", {"pid": TESTER}, "kill"])))
    asked = world.wait_request(child)
    assert asked.body == SendExit(TESTER, "kill", 3, 2)


def test_a_down_that_comes_when_a_stop_is_given_up_already_is_no_message(world: World) -> None:
    child = world.start(ACTORS + "stopper", TESTER + 1, TESTER, 0.0)
    channel = world.peer(child)
    monitor = world.wait(child, Monitor)
    world.deliver(child, Answer(1, True))
    world.deliver(child, Answer(world.wait_request(child).number, error=("unsupported", "")))  # it is no resident
    world.announce(child, TESTER + 1, opens=True)
    ended = world.wait(child, frames.Numbered)
    assert ended.body == Demonitor(monitor.ref)
    world.deliver(child, Down([monitor.ref], TESTER + 1, "normal"))
    world.deliver(child, Answer(ended.number, False))
    say(channel, Info(raw("next")))
    assert terms(world.read(channel)) == ["CallTimeout"]
    assert terms(world.read(channel)) == [["Message", f"{INSTANCE}.{TESTER}", "next"]]


@pytest.mark.parametrize(("how", "reason"), [
    ("return", "normal"),
    ("exit_self", {"shutdown": "enough"}),
    ("sys.exit(3)", {"exit": 3}),
    ("sys.exit()", "normal"),
    ("ValueError", {"error": {"type": "ValueError", "text": "wrong"}}),
    ("hostile str", {"error": {"type": "Hostile", "text": "<SystemExit in __str__>"}}),
    ("huge", {"shutdown": "x" * 2048 + "… truncated"}),
    ("no text", {"error": "<object>"}),
])  # fmt: skip
def test_the_exit_reason_of_a_process_that_ends_by_itself(world: World, how: str, reason: object) -> None:
    child = world.start(ACTORS + "leaver", how)
    assert world.wait_death(child) == reason


def test_a_gigantic_or_cyclic_reason_is_bounded(world: World) -> None:
    endless = world.wait_death(world.start(ACTORS + "leaver", "endless str"))
    assert isinstance(endless, dict)
    assert str(endless["error"]).startswith("{'type': 'Endless', 'text': 'xxx")
    assert "truncated" in str(endless)
    assert len(str(endless)) < 3000
    cyclic = world.wait_death(world.start(ACTORS + "leaver", "cyclic"))
    assert isinstance(cyclic, dict)
    assert set(cyclic) == {"shutdown"}
    assert "truncated" in str(cyclic)


@pytest.mark.parametrize("start", ["no_such_module_x:f", "actors:missing", "tests.lean_actors", "os:path.join"])
def test_a_start_that_cannot_be_loaded_is_refused(world: World, start: str) -> None:
    from actorcore.signals import Refused

    child = world.start(start, gate=True)
    refused = world.wait(child, Refused)
    assert isinstance(refused.reason, dict)
    assert world.wait_death(child) == refused.reason


def test_a_process_whose_guardian_is_gone_ends_at_once(world: World) -> None:
    import os

    from actorcore.runtime.status_page import declared_reason

    child = world.start(ACTORS + "echo")
    child.control.close()
    os.waitpid(child.os_pid, 0)
    world.dead[child.serial] = "noconnection"
    assert declared_reason(memoryview(child.page)) == "noconnection"


def test_the_lean_path_imports_nothing_heavy() -> None:
    heavy = "asyncio threading logging random psutil subprocess uvloop multiprocessing".split()
    code = f"import sys, actorcore.runtime.actor.lean; print([name for name in {heavy} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_a_life_that_a_zygote_has_rehearsed_leaves_nothing_to_its_forks() -> None:
    code = """
import gc, os
from actorcore.runtime import shared_registry
from actorcore.runtime.actor import process
from actorcore.runtime.zygote import birth
shared, pages = shared_registry.SharedRegistry(1), os.memfd_create("status")
os.truncate(pages, 4096)
birth.Nursery(os.getppid(), pages, shared.fd, "").rehearse(3)
gc.collect()
os.write(1, b"%d" % sum(isinstance(found, process.Process) for found in gc.get_objects()))
"""
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "0"


def test_a_rehearsed_life_imports_its_module_anew_and_does_without_where_that_fails() -> None:
    code = """
import os, sys
from actorcore.runtime import shared_registry
from actorcore.runtime.zygote import birth
looked_for = []
class Finder:
    def find_spec(self, name, path=None, target=None):
        looked_for.append(name)
        if len(looked_for) == 3:
            raise SyntaxError("of another version")
sys.meta_path.insert(0, Finder())
shared, pages = shared_registry.SharedRegistry(1), os.memfd_create("status")
os.truncate(pages, 4096)
nursery = birth.Nursery(os.getppid(), pages, shared.fd, "")
before = dict(sys.modules)
nursery.rehearse(1, imports=False)
assert looked_for == []
nursery.rehearse(3)
assert looked_for == [birth.understudy.__name__] * 3
os.write(1, b"as before" if sys.modules == before else b"others")
"""
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "as before"


def test_a_closed_pipe_is_an_error_and_not_a_death_by_sigpipe(world: World) -> None:
    assert world.wait_death(world.start(ACTORS + "leaver", "closed pipe")) == {"shutdown": "BrokenPipeError"}
