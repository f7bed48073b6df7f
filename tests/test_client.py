"""The blocking client against a fake node: what callers see while nodes, peers and the guardian die."""

from __future__ import annotations

import contextlib
import math
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from actorcore import frames
from actorcore.errors import CallFailed, CallTimeout, RequestError
from actorcore.frames import Call, Cast, Farewell, Info, Numbered, Reply
from actorcore.pids import Pid
from actorcore.runtime import sockets
from actorcore.runtime.actor.buffers import Buffers
from actorcore.runtime.actor.channel import Channel
from actorcore.runtime.sockets import PeerGone
from actorcore.signals import (
    Ask,
    Channel as ChannelDelivery,
    Demonitor,
    Down,
    Exit,
    Introduce,
    Link,
    Monitor,
    PeerDown,
    Processes,
    ProcessSpec,
    SendExit,
    Spawn,
    Unlink,
    Whereis,
)
from supervisors import paths
from supervisors.client import Client
from supervisors.clients import steps
from supervisors.clients.messages import DownMessage, ExitMessage, InfoMessage, Ref
from supervisors.clients.tasks import run_task
from tests.fake_node import INSTANCE, SERIAL, FakeNode, Script, Session, running

PEER = Pid(INSTANCE, 7)
Start = Callable[[Script], tuple[FakeNode, Client]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a fake node with a script and connects a client to it."""
    with contextlib.ExitStack() as stack:

        def starting(script: Script) -> tuple[FakeNode, Client]:
            node = stack.enter_context(running(tmp_path / "run", script))
            client = Client.connect(node.directory)
            stack.callback(client.close)
            return node, client

        yield starting


def raw(term: object) -> msgspec.Raw:
    return msgspec.Raw(frames.encoder.encode(term))


def refuse_all(session: Session, said: Numbered) -> None:
    session.answer(said, None, ("unsupported", "not in this script"))


def constant(value: object) -> Script:
    return lambda session, said: session.answer(said, value)


class Peer:
    """A script whose process 7 is this object: it gets the channel and acts with it as soon as it is made."""

    def __init__(self, act: Callable[[Session, Channel], None]) -> None:
        self._act = act
        self._channels: list[Channel] = []

    def __call__(self, session: Session, said: Numbered) -> None:
        assert said.body == Introduce(PEER.serial)
        mine, theirs = sockets.pair()
        with theirs:
            session.deliver(ChannelDelivery(PEER.serial, True), theirs.fileno())
        session.answer(said)
        mine.setblocking(True)
        with mine:
            self._act(session, Channel(SERIAL, Buffers(), mine))


def read_one(channel: Channel) -> object:
    """The next message of the client; blocks, as the peer's socket does."""
    assert channel.sock is not None
    channel.sock.recv(1, socket.MSG_PEEK)
    messages = channel.read()
    assert messages is not None
    (message,) = messages
    return message


def reply(channel: Channel, term: object) -> None:
    call = read_one(channel)
    assert isinstance(call, Call)
    channel.post(Reply(call.number, raw(term)))
    channel.flush()


# ---- connecting -----------------------------------------------------------------------------------------------------


def test_the_client_has_the_pid_that_the_node_gave_it(start: Start) -> None:
    _, client = start(refuse_all)
    assert client.pid == Pid(INSTANCE, SERIAL)


def test_without_a_daemon_connect_fails_with_noconnection(tmp_path: Path) -> None:
    with pytest.raises(CallFailed) as caught:
        Client.connect(tmp_path)
    assert caught.value.reason == "noconnection"


def test_an_unsafe_directory_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    with pytest.raises(RequestError) as caught:
        Client.connect(tmp_path)
    assert caught.value.code == "not_permitted"


def test_the_refusal_of_the_node_is_raised(tmp_path: Path) -> None:
    with running(tmp_path / "run", refuse_all) as node:
        node.refusal = Farewell("unsupported_version", "this daemon speaks 2")
        with pytest.raises(RequestError, match=r"^unsupported_version: this daemon speaks 2$"):
            Client.connect(node.directory)


def test_a_daemon_that_does_not_welcome_ends_in_a_timeout(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    with socket.socket(socket.AF_UNIX) as listener, paths.socket_address(tmp_path) as address:
        listener.bind(address)
        listener.listen(1)
        with pytest.raises(CallTimeout):
            Client.connect(tmp_path, timeout_s=0.01)


def test_close_ends_the_clients_entry_at_once(tmp_path: Path) -> None:
    with running(tmp_path / "run", refuse_all) as node, Client.connect(node.directory):
        pass
    assert node.goodbyes == 1


# ---- requests to the node -------------------------------------------------------------------------------------------


def test_spawn_says_all_of_the_spec_and_returns_the_pid(start: Start) -> None:
    node, client = start(constant(9))
    assert client.spawn("m:f", 1, "two", name="n", env={"A": "b"}, trap_exit=True, link=True) == Pid(INSTANCE, 9)
    spec = ProcessSpec("m:f", [1, "two"], name="n", env={"A": "b"}, trap_exit=True)
    assert [said.body for said in node.requests] == [Spawn(spec, link=True)]


def test_who_talked_to_its_latest_child_gets_the_next_one_with_its_channel(start: Start) -> None:
    serials = iter((6, PEER.serial, 8, 9))
    talk = Peer(lambda session, channel: None)

    def act(session: Session, said: Numbered) -> None:
        if isinstance(said.body, Spawn):
            session.answer(said, next(serials))
        else:
            talk(session, said)

    node, client = start(act)
    client.spawn("m:f")
    client.cast(client.spawn("m:f"), "hello")
    client.spawn("m:f")
    client.spawn("m:f")
    assert [said.body.introduce for said in node.requests if isinstance(said.body, Spawn)] == [False, False, True, False]


def test_an_init_that_says_ignore_is_a_failed_start(start: Start) -> None:
    _, client = start(constant(None))
    with pytest.raises(RequestError, match=r"^start_failed: ignore$"):
        client.spawn("m:f")


def test_a_refusal_has_the_nodes_code_and_its_reason_as_text(start: Start) -> None:
    _, client = start(lambda session, said: session.answer(said, None, ("start_failed", {"exit": 3})))
    with pytest.raises(RequestError) as caught:
        client.spawn("m:f")
    assert (caught.value.code, caught.value.detail) == ("start_failed", '{"exit":3}')


def test_a_name_that_nobody_has_is_nobody(start: Start) -> None:
    _, client = start(constant(None))
    assert client.whereis("nobody") is None


def test_no_answer_in_time_is_a_timeout_and_the_late_one_is_dropped(start: Start) -> None:
    held: list[Numbered] = []

    def script(session: Session, said: Numbered) -> None:
        if said.body == Whereis("slow"):
            held.append(said)
            return
        session.answer(held[0], 1)
        session.answer(said, 2)

    _, client = start(script)
    with pytest.raises(CallTimeout):
        client._driver.run(steps.whereis(client._core, "slow"), 0.01)
    assert client.whereis("fast") == Pid(INSTANCE, 2)
    assert client._core.outcomes == {}


@pytest.mark.parametrize("timeout_s", [math.inf, 1e12])
def test_who_has_all_the_time_there_is_gets_the_answer(start: Start, timeout_s: float) -> None:
    _, client = start(lambda session, said: session.answer(said, 2))
    assert client._driver.run(steps.whereis(client._core, "fast"), timeout_s) == Pid(INSTANCE, 2)


def test_a_resident_is_looked_up_once_and_asked_in_its_own_words(start: Start) -> None:
    def script(session: Session, said: Numbered) -> None:
        session.answer(said, 3 if said.body == Whereis("system:node") else {"state": "ready"})

    node, client = start(script)
    assert [client.node("status"), client.node("status")] == [{"state": "ready"}] * 2
    ask = Ask(3, raw({"verb": "status"}))
    assert [said.body for said in node.requests] == [Whereis("system:node"), ask, ask]


def test_the_process_table_is_read_page_by_page(start: Start) -> None:
    pages = {0: [{"serial": 1}, {"serial": 4}], 4: [{"serial": 6}], 6: []}

    def script(session: Session, said: Numbered) -> None:
        assert isinstance(said.body, Processes)
        session.answer(said, pages[said.body.after])

    _, client = start(script)
    assert list(client.processes()) == [{"serial": 1}, {"serial": 4}, {"serial": 6}]


# ---- takeovers ------------------------------------------------------------------------------------------------------


def test_a_node_killed_under_a_request_is_not_seen_by_the_caller(start: Start) -> None:
    def script(session: Session, said: Numbered) -> None:
        if len(node.hellos) < 4:
            session.die()
        session.answer(said, 5)

    node, client = start(script)
    assert client.whereis("x") == Pid(INSTANCE, 5)
    assert [(hello.serial, hello.acknowledged) for hello in node.hellos] == [(0, 0)] + [(SERIAL, 1)] * 3
    assert {said.number for said in node.requests} == {node.requests[0].number}


def test_a_killed_guardian_fails_what_is_pending_with_noconnection(start: Start) -> None:
    def script(session: Session, said: Numbered) -> None:
        node.listener.shutdown(socket.SHUT_RDWR)
        session.die()

    node, client = start(script)
    with pytest.raises(CallFailed) as caught:
        client.whereis("x")
    assert caught.value.reason == "noconnection"
    with pytest.raises(CallFailed) as caught:
        client.whereis("x")
    assert caught.value.reason == "noconnection"


def test_a_killed_guardian_fires_every_monitor_with_noconnection(start: Start) -> None:
    def script(session: Session, said: Numbered) -> None:
        session.answer(said)
        node.listener.shutdown(socket.SHUT_RDWR)
        session.die()

    node, client = start(script)
    ref = client.monitor(PEER)
    assert client.wait_down(ref) == DownMessage(ref, PEER, "noconnection")


# ---- channels -------------------------------------------------------------------------------------------------------


def test_a_call_goes_over_the_channel_and_a_second_one_needs_no_introduction(start: Start) -> None:
    def act(session: Session, channel: Channel) -> None:
        reply(channel, "one")
        reply(channel, "two")

    node, client = start(Peer(act))
    assert [client.call(PEER, 1), client.call(PEER, 2)] == ["one", "two"]
    assert [said.body for said in node.requests] == [Introduce(7)]


def test_large_requests_and_replies_go_in_parts(start: Start) -> None:
    def act(session: Session, channel: Channel) -> None:
        large: list[object] = []
        assert channel.sock is not None
        while not large:
            channel.sock.recv(1, socket.MSG_PEEK)
            large += channel.read() or []
        (call,) = large
        assert isinstance(call, Call)
        channel.post(Reply(call.number, call.body))
        channel.flush()

    _, client = start(Peer(act))
    body = "x" * 300_000
    assert client.call(PEER, body) == body


def test_an_error_reply_is_a_refusal(start: Start) -> None:
    def act(session: Session, channel: Channel) -> None:
        call = read_one(channel)
        assert isinstance(call, Call)
        channel.post(Reply(call.number, error=("unknown_request", "what?")))
        channel.flush()

    _, client = start(Peer(act))
    with pytest.raises(RequestError, match=r"^unknown_request: what\?$"):
        client.call(PEER, 1)


def test_a_callee_that_dies_under_the_call_fails_it_with_its_reason(start: Start) -> None:
    def act(session: Session, channel: Channel) -> None:
        read_one(channel)
        channel.close()
        session.deliver(PeerDown(PEER.serial, {"signal": "SIGSEGV"}))

    _, client = start(Peer(act))
    with pytest.raises(CallFailed) as caught:
        client.call(PEER, 1)
    assert caught.value.reason == {"signal": "SIGSEGV"}


def test_an_answer_sent_before_the_death_counts(start: Start) -> None:
    def act(session: Session, channel: Channel) -> None:
        session.deliver(PeerDown(PEER.serial, "killed"))

    def early(session: Session, channel: Channel) -> None:
        reply(channel, "done")
        act(session, channel)

    _, client = start(Peer(early))
    assert client.call(PEER, 1) == "done"


def test_a_call_to_the_dead_fails_with_noproc(start: Start) -> None:
    _, client = start(lambda session, said: session.answer(said, None, ("process_not_alive", "noproc")))
    with pytest.raises(CallFailed) as caught:
        client.call(PEER, 1)
    assert caught.value.reason == "noproc"


def test_a_call_to_a_service_that_dies_as_it_is_asked_fails_with_its_reason(start: Start) -> None:
    def script(session: Session, said: Numbered) -> None:
        if isinstance(said.body, Whereis):
            session.answer(said, PEER.serial)
        else:
            session.answer(said, None, ("process_not_alive", "noproc"))

    _, client = start(script)
    with pytest.raises(CallFailed) as caught:
        client.call("system:store", 1)
    assert caught.value.reason == "noproc"


def test_a_call_to_a_pid_of_another_daemon_fails_without_asking_anybody(start: Start) -> None:
    node, client = start(refuse_all)
    with pytest.raises(CallFailed) as caught:
        client.call(Pid(INSTANCE + 1, 7), 1)
    assert (caught.value.reason, node.requests) == ("noproc", [])


def test_cast_and_send_are_different_messages(start: Start) -> None:
    seen: list[object] = []

    def act(session: Session, channel: Channel) -> None:
        seen.extend([read_one(channel), read_one(channel)])

    node, client = start(Peer(act))
    client.cast(PEER, 1)
    client.send(PEER, 2)
    node_has_read(client, node)
    assert seen == [Cast(raw(1)), Info(raw(2))]


def node_has_read(client: Client, node: FakeNode) -> None:
    """The script is done with what was sent before: it answers one request more."""
    node.script = constant(None)
    client.whereis("barrier")


def test_a_send_to_a_dead_pid_vanishes_and_to_a_free_name_is_an_error(start: Start) -> None:
    def script(session: Session, said: Numbered) -> None:
        if isinstance(said.body, Whereis):
            session.answer(said, None)
        else:
            session.answer(said, None, ("process_not_alive", "noproc"))

    _, client = start(script)
    client.send(PEER, 1)
    client.cast("nobody", 1)
    with pytest.raises(CallFailed) as caught:
        client.send("nobody", 1)
    assert caught.value.reason == "noproc"


def test_exit_says_how_many_messages_go_before_it(start: Start) -> None:
    def act(session: Session, channel: Channel) -> None:
        read_one(channel)
        read_one(channel)
        session.node.script = constant(True)

    node, client = start(Peer(act))
    client.cast(PEER, 1)
    client.cast(PEER, 2)
    client.exit(PEER, "shutdown")
    assert node.requests[-1].body == SendExit(PEER.serial, "shutdown", 2, 2)


# ---- mail -----------------------------------------------------------------------------------------------------------


def test_a_down_comes_after_everything_that_the_dead_had_sent(start: Start) -> None:
    def act(session: Session, channel: Channel) -> None:
        reply(channel, "ok")
        monitor = next_request(session)
        session.answer(monitor)
        for number in range(3):
            channel.post(Info(raw(number)))
        channel.flush()
        channel.close()
        assert isinstance(monitor.body, Monitor)
        session.deliver(Down([monitor.body.ref], PEER.serial, "killed"))

    _, client = start(Peer(act))
    client.call(PEER, "hello")
    ref = client.monitor(PEER)
    assert [client.receive(5.0) for _ in range(4)] == [
        InfoMessage(PEER, 0),
        InfoMessage(PEER, 1),
        InfoMessage(PEER, 2),
        DownMessage(ref, PEER, "killed"),
    ]


def next_request(session: Session) -> Numbered:
    """Read on to the next request, past acknowledgements."""
    while not isinstance(said := session.line.read()[0], Numbered):
        pass
    return said


def test_an_exit_waits_for_the_messages_that_were_sent_before_it(start: Start) -> None:
    def act(session: Session, channel: Channel) -> None:
        reply(channel, "ok")
        session.deliver(Exit(PEER.serial, "shutdown", after=3))
        for number in (1, 2):
            channel.post(Info(raw(number)))
        channel.flush()
        read_one(channel)

    _, client = start(Peer(act))
    client.call(PEER, "hello")
    assert [client.receive(5.0) for _ in range(3)] == [
        InfoMessage(PEER, 1),
        InfoMessage(PEER, 2),
        ExitMessage(PEER, "shutdown"),
    ]
    client.cast(PEER, "done")


def test_wait_down_leaves_other_mail_where_it_is(start: Start) -> None:
    def script(session: Session, said: Numbered) -> None:
        assert isinstance(said.body, Monitor)
        session.answer(said)
        session.deliver(Exit(PEER.serial, "normal"))
        session.deliver(Down([said.body.ref], PEER.serial, "killed"))

    _, client = start(script)
    ref = client.monitor(PEER)
    assert client.wait_down(ref) == DownMessage(ref, PEER, "killed")
    assert client.receive(5.0) == ExitMessage(PEER, "normal")


def test_a_monitor_of_a_pid_of_another_daemon_fires_at_once(start: Start) -> None:
    _, client = start(refuse_all)
    stranger = Pid(INSTANCE + 1, 7)
    ref = client.monitor(stranger)
    assert client.receive(0) == DownMessage(ref, stranger, "noproc")


def test_demonitor_takes_its_down_out_of_the_mailbox(start: Start) -> None:
    def script(session: Session, said: Numbered) -> None:
        if isinstance(said.body, Monitor):
            session.deliver(Down([said.body.ref], 0, "noproc"))
        session.answer(said, not isinstance(said.body, Demonitor))

    _, client = start(script)
    ref = client.monitor("nobody")
    assert client.demonitor(ref) is False
    with pytest.raises(CallTimeout):
        client.receive(0)


def test_who_gives_up_a_stop_before_its_monitor_is_confirmed_leaves_no_monitor(start: Start) -> None:
    def script(session: Session, said: Numbered) -> None:
        if isinstance(said.body, Whereis):
            session.answer(said, 7)

    node, client = start(script)
    with pytest.raises(CallTimeout):
        client.stop(PEER, timeout_s=0.0)
    assert client.whereis("peer") == PEER
    monitor, *later = (said.body for said in node.requests)
    assert isinstance(monitor, Monitor)
    assert (later, client._core.monitors) == ([Demonitor(monitor.ref), Whereis("peer")], {})


def test_who_gives_up_a_start_with_a_monitor_leaves_no_monitor(start: Start) -> None:
    node, client = start(lambda session, said: session.answer(said, 7) if isinstance(said.body, Whereis) else None)
    work = steps.spawn_monitor(client._core, ProcessSpec("jobs:count"), wait_init=True)
    next(work)
    work.close()
    client.whereis("jobs")
    spawn, *later = (said.body for said in node.requests)
    assert isinstance(spawn, Spawn)
    assert (later, client._core.monitors) == ([Demonitor(spawn.monitor), Whereis("jobs")], {})


def test_the_end_of_a_task_that_is_given_up_just_then_is_no_mail(start: Start) -> None:
    def script(session: Session, said: Numbered) -> None:
        match said.body:
            case Whereis():
                session.answer(said, 7)
            case Ask():
                session.answer(said, 8)
            case Unlink(task):
                session.deliver(Exit(task, {"shutdown": "just then"}))
                session.answer(said)
            case Link() | SendExit():
                session.answer(said)

    node, client = start(script)
    work = run_task(client._core, "system:clerks", ProcessSpec("jobs:count"))
    number = next(work)
    for _ in range(3):  # where it is, that it starts the task, that this is linked to it
        number = work.send(client._driver._wait(number, None))
    work.close()
    client.whereis("clerks")
    assert [type(said.body) for said in node.requests][-4:] == [Introduce, SendExit, Unlink, Whereis]
    assert (list(client._core.mailbox), client._core._unlinking) == ([], {})


def test_a_refused_monitor_leaves_nothing(start: Start) -> None:
    _, client = start(refuse_all)
    with pytest.raises(RequestError):
        client.monitor(PEER)
    assert client._core.monitors == {}


def test_a_call_to_a_client_is_refused_at_once(start: Start) -> None:
    seen: list[object] = []

    def act(session: Session, channel: Channel) -> None:
        channel.post(Call(1, raw("you?")))
        channel.flush()
        call, answer = read_one(channel), read_one(channel)
        assert isinstance(call, Call)
        seen.append(answer)
        channel.post(Reply(call.number, raw("end")))
        channel.flush()

    _, client = start(Peer(act))
    assert client.call(PEER, 1) == "end"
    assert seen == [Reply(1, error=("unsupported", "a client answers no calls"))]


def test_a_dead_peer_ends_its_channel(start: Start) -> None:
    def act(session: Session, channel: Channel) -> None:
        reply(channel, "ok")
        session.deliver(PeerDown(PEER.serial, "killed"))
        with pytest.raises(PeerGone):
            read_one(channel)

    node, client = start(Peer(act))
    client.call(PEER, 1)
    node_has_read(client, node)
    assert client._core.find(PEER.serial) is None
    with pytest.raises(CallTimeout):
        client.receive(0)


def test_refs_differ(start: Start) -> None:
    _, client = start(constant(True))
    first, second = client.monitor(PEER), client.monitor(PEER)
    assert (first != second, isinstance(first, int), Ref(first)) == (True, True, first)
