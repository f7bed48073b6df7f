"""The asyncio client against a fake node: as the blocking one, many at a time."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

from actorcore.errors import CallFailed, CallTimeout
from actorcore.frames import Call, Numbered, Reply
from actorcore.pids import Pid
from actorcore.runtime.actor.channel import Channel
from actorcore.signals import Down, Monitor, Whereis
from supervisors.async_client import AsyncClient
from supervisors.clients.messages import DownMessage
from tests.fake_node import INSTANCE, Session, running
from tests.test_client import PEER, Peer, constant, read_one, refuse_all, reply


def test_without_a_daemon_connect_fails_with_noconnection(tmp_path: Path) -> None:
    with pytest.raises(CallFailed) as caught:
        asyncio.run(_connect(tmp_path))
    assert caught.value.reason == "noconnection"


async def _connect(directory: Path) -> None:
    await (await AsyncClient.connect(directory)).close()


def test_a_hundred_requests_at_once_survive_a_killed_node(tmp_path: Path) -> None:
    def script(session: Session, said: Numbered) -> None:
        if len(node.requests) in (30, 80):
            session.die()
        assert isinstance(said.body, Whereis)
        session.answer(said, int(said.body.name))

    async def ask() -> list[Pid | None]:
        async with await AsyncClient.connect(node.directory) as client:
            return list(await asyncio.gather(*(client.whereis(str(number)) for number in range(1, 101))))

    with running(tmp_path / "run", script) as node:
        assert asyncio.run(ask()) == [Pid(INSTANCE, number) for number in range(1, 101)]
        assert len(node.hellos) == 3


def test_calls_at_the_same_time_share_one_introduction_and_get_their_own_answers(tmp_path: Path) -> None:
    def act(session: Session, channel: Channel) -> None:
        calls: list[Call] = []
        while len(calls) < 2:
            assert channel.sock is not None
            channel.sock.recv(1, socket.MSG_PEEK)
            calls += [message for message in channel.read() or [] if isinstance(message, Call)]
        for call in reversed(calls):
            channel.post(Reply(call.number, call.body))
            channel.flush()

    async def ask() -> list[object]:
        async with await AsyncClient.connect(node.directory) as client:
            return list(await asyncio.gather(client.call(PEER, "a"), client.call(PEER, "b")))

    with running(tmp_path / "run", Peer(act)) as node:
        assert asyncio.run(ask()) == ["a", "b"]
        assert len(node.requests) == 1


def test_a_call_that_is_timed_out_leaves_nothing_and_the_next_one_works(tmp_path: Path) -> None:
    def act(session: Session, channel: Channel) -> None:
        reply(channel, "first")
        read_one(channel)
        reply(channel, "third")

    async def ask() -> object:
        async with await AsyncClient.connect(node.directory) as client:
            assert await client.call(PEER, 1) == "first"  # there is a channel: the next request leaves at once
            with pytest.raises(CallTimeout):
                await client.call(PEER, 2, timeout_s=0.01)
            assert client._core.awaited == {}
            return await client.call(PEER, 3)

    with running(tmp_path / "run", Peer(act)) as node:
        assert asyncio.run(ask()) == "third"


def test_a_receiver_is_woken_by_a_down(tmp_path: Path) -> None:
    def script(session: Session, said: Numbered) -> None:
        assert isinstance(said.body, Monitor)
        session.answer(said)
        session.deliver(Down([said.body.ref], PEER.serial, "killed"))

    async def ask() -> None:
        async with await AsyncClient.connect(node.directory) as client:
            mail, ref = await asyncio.gather(client.receive(5.0), client.monitor(PEER))  # started in this order
            assert mail == DownMessage(ref, PEER, "killed")

    with running(tmp_path / "run", script) as node:
        asyncio.run(ask())


def test_a_killed_guardian_fails_all_that_is_pending(tmp_path: Path) -> None:
    def script(session: Session, said: Numbered) -> None:
        node.listener.shutdown(socket.SHUT_RDWR)
        session.die()

    async def ask() -> list[object]:
        async with await AsyncClient.connect(node.directory) as client:
            outcomes = await asyncio.gather(client.whereis("a"), client.whereis("b"), return_exceptions=True)
            return [outcome.reason if isinstance(outcome, CallFailed) else outcome for outcome in outcomes]

    with running(tmp_path / "run", script) as node:
        assert asyncio.run(ask()) == ["noconnection", "noconnection"]


def test_close_ends_the_entry_at_once(tmp_path: Path) -> None:
    with running(tmp_path / "run", refuse_all) as node:
        asyncio.run(_connect(node.directory))
    assert node.goodbyes == 1


def test_an_empty_page_ends_the_process_table(tmp_path: Path) -> None:
    async def ask() -> list[object]:
        async with await AsyncClient.connect(node.directory) as client:
            return [row async for row in client.processes()]

    with running(tmp_path / "run", constant([])) as node:
        assert asyncio.run(ask()) == []
