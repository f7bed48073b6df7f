"""A process looks names up in shared memory, and asks the node when that changes too fast to be read (B6)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator

import pytest

from actorcore.errors import ProtocolError, RequestError
from actorcore.frames import Downlink, Numbered, decode_up, encoder
from actorcore.names import encode_value
from actorcore.pids import Pid
from actorcore.registry_layout import format_registry, registry_bytes
from actorcore.registry_reader import RegistryReader
from actorcore.registry_writer import RegistryWriter
from actorcore.runtime import sockets
from actorcore.runtime.actor.async_process import AsyncProcess
from actorcore.runtime.actor.process import Process
from actorcore.runtime.status_page import PAGE_BYTES, StatusPage
from actorcore.signals import Answer, Begin, Lookup, ProcessSpec, Register, RegisterMany, Request, Whereis

INSTANCE = 7


class Busy(RegistryReader):
    """It is always overtaken."""

    def lookup(self, name: str) -> int | None:
        raise RequestError("busy")

    def lookup_value(self, name: str) -> tuple[int, bytes] | None:
        raise RequestError("busy")


class Life:
    """A process in this one, whose node answers its first request with what was said before."""

    def __init__(self, reader_type: type[RegistryReader]) -> None:
        memory = memoryview(bytearray(registry_bytes(16)))
        format_registry(memory, INSTANCE, 16)
        self.writer = RegistryWriter(memory)
        self.node, self._control = sockets.pair()
        self._registry = reader_type(memory)
        self.is_busy = reader_type is Busy
        self._page = StatusPage(memoryview(bytearray(PAGE_BYTES)))
        self._begin = Begin(5, INSTANCE, 0, ProcessSpec("m:f"), 1)

    def will_answer(self, value: object) -> None:
        sockets.send(self.node, encoder.encode([Downlink(2, Answer(1, value))]))  # type: ignore[arg-type]

    def asked(self) -> list[Request]:
        data = sockets.receive(self.node)
        return [] if data is None else [word.body for word in decode_up(data.data) if isinstance(word, Numbered)]

    def act(self, do: Callable[[Process], object]) -> tuple[object, list[Request]]:
        """What it returned, and what the node was asked."""
        process = Process(self._control, self._begin, self._page, self._registry)
        try:
            return do(process), self.asked()
        finally:
            process.close()

    def act_async(self, do: Callable[[AsyncProcess], Awaitable[object]]) -> tuple[object, list[Request]]:
        async def main() -> tuple[object, list[Request]]:
            process = AsyncProcess(self._control, self._begin, self._page, self._registry)
            task = asyncio.current_task()
            assert task is not None
            process.attach(task)  # type: ignore[arg-type]
            try:
                return await do(process), self.asked()
            finally:
                process.close()

        return asyncio.run(main())


@pytest.fixture(params=[RegistryReader, Busy], ids=["read", "busy"])
def life(request: pytest.FixtureRequest) -> Iterator[Life]:
    made = Life(request.param)
    yield made
    made.node.close()


def pid(serial: int) -> Pid:
    return Pid(INSTANCE, serial)


def test_B6_acceptance_40_names_are_read_without_the_node_unless_they_change_too_fast(life: Life) -> None:
    life.writer.publish("n", 12, encode_value([1]))
    life.will_answer(12)
    assert life.act(lambda process: process.whereis("n")) == (pid(12), [Whereis("n")] if life.is_busy else [])


def test_B6_values_are_read_without_the_node_unless_they_change_too_fast(life: Life) -> None:
    life.writer.publish("n", 12, encode_value({"a": 1}))
    life.will_answer([12, encode_value({"a": 1})])
    found = life.act(lambda process: process.lookup("n"))
    assert found == ((pid(12), {"a": 1}), [Lookup("n")] if life.is_busy else [])


def test_B6_the_same_in_a_loop(life: Life) -> None:
    life.writer.publish("n", 12, encode_value("v"))
    life.will_answer([12, encode_value("v")])
    found = life.act_async(lambda process: process.lookup("n"))
    assert found == ((pid(12), "v"), [Lookup("n")] if life.is_busy else [])


def test_a_value_that_is_no_msgpack_is_told_and_not_a_crash() -> None:
    life = Life(RegistryReader)
    life.writer.publish("n", 12, b"\xc1")
    with pytest.raises(ProtocolError, match="not msgpack"):
        life.act(lambda process: process.lookup("n"))
    life.node.close()


def test_registrations_carry_their_values() -> None:
    life = Life(RegistryReader)
    life.will_answer(True)
    _, asked = life.act(lambda process: process.register("n", value=[1, None]))
    assert asked == [Register("n", 0, encode_value([1, None]))]
    life.node.close()
    life = Life(RegistryReader)
    life.will_answer(True)
    _, asked = life.act(lambda process: process.register_many({"a": pid(3), "b": pid(4)}, {"b": "x"}))
    assert asked == [RegisterMany([Register("a", 3), Register("b", 4, encode_value("x"))])]
    life.node.close()
