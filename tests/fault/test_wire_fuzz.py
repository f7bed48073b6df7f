"""R9 on the live socket: malformed bytes end their connection and nothing else; the daemon is afterwards as it was before."""

from __future__ import annotations

import random
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from actorcore.errors import ProtocolError
from actorcore.frames import Farewell, Numbered, Uplink, Welcome, decode_hello, decode_up
from actorcore.signals import Link, Register, SendExit, Spawn, Unlink
from tests.daemon_fixture import Desk, descendants, descriptors_beyond
from tests.fault.test_resources import await_pool
from tests.fault.wire import ANSWERS, REFUSED, dialled, framed, hello, send, until_eof
from tests.malformed import Decoder, decoders, mutated

AT_ONCE = 32
"""Connections open at the same time."""
VALID_PER_CONNECTION = 3
HARMFUL = (SendExit, Link, Unlink, Register, Spawn)
"""What chance may turn on a bystander, or on this machine; their malformed kin are sent, they are not."""
MAX_GROWTH_KB = 4096

ALL = decoders()


def frames_of(data: bytes) -> Iterator[bytes]:
    while data:
        size = int.from_bytes(data[:4], "big")
        assert 0 < size <= len(data) - 4
        yield data[4 : 4 + size]
        data = data[4 + size :]


class Batch:
    """Frames for one connection: some that decode, and last one that does not."""

    def __init__(self, chance: random.Random, decoder: Decoder) -> None:
        self.inputs = 0
        self.bytes = b""
        valid = 0
        while True:
            data = mutated(chance, decoder)
            if not data or len(data) > 0xFFFF:
                continue
            try:
                said = decode_up(data)
            except ProtocolError:
                self.inputs += 1
                self.bytes += framed(data)
                return
            if valid < VALID_PER_CONNECTION and not any(is_harmful(message) for message in said):
                valid += 1
                self.inputs += 1
                self.bytes += framed(data)


def is_harmful(message: Uplink) -> bool:
    """Also what is no request of a client at all: it would end the connection before its time."""
    return not isinstance(message, Numbered) or isinstance(message.body, HARMFUL)


def resident_kb(os_pid: int) -> int:
    return int(Path(f"/proc/{os_pid}/status").read_text().partition("VmRSS:")[2].split()[0])


def attack(desk: Desk, inputs: int, seed: int) -> int:
    """Send at least so many; how many it were."""
    chance = random.Random(seed)
    done = 0
    while done < inputs:
        with ExitStack() as stack:
            batches = [Batch(chance, ALL["request"]) for _ in range(AT_ONCE)]
            socks = [stack.enter_context(dialled(desk)) for _ in batches]
            for sock, batch in zip(socks, batches, strict=True):
                send(sock, hello() + batch.bytes)
            for sock, batch in zip(socks, batches, strict=True):
                first, *rest = frames_of(until_eof(sock))
                assert isinstance(ANSWERS.decode(first), Welcome), f"seed {seed}"
                assert ANSWERS.decode(rest[-1]) == REFUSED, f"seed {seed}"
                done += batch.inputs
        with ExitStack() as stack:
            hellos = [mutated(chance, ALL["hello"]) for _ in range(AT_ONCE)]
            socks = [stack.enter_context(dialled(desk)) for _ in hellos]
            for sock, data in zip(socks, hellos, strict=True):
                send(sock, framed(data))
                sock.shutdown(socket.SHUT_WR)
            for sock, data in zip(socks, hellos, strict=True):
                check_greeting(data, until_eof(sock))
                done += 1
    return done


def check_greeting(data: bytes, answer: bytes) -> None:
    """A hello that decodes is welcomed or refused with a word; anything else is not a frame of this protocol."""
    answers = [ANSWERS.decode(frame) for frame in frames_of(answer)]
    try:
        said = decode_hello(data)
    except ProtocolError:
        assert answers == [REFUSED]
        return
    (only,) = answers
    if isinstance(only, Farewell):
        assert only.code in ("unsupported_version", "expired"), (said, only)


@pytest.mark.torture
@pytest.mark.timeout(0)
def test_R9_more_on_the_live_socket_than_make_test_has_time_for(
    desk: Desk, malformed_live: int, malformed_seed: int, capsys: pytest.CaptureFixture[str]
) -> None:
    test_R9_twenty_thousand_malformed_inputs_leave_the_daemon_as_it_was(desk, 20 * malformed_live, malformed_seed, capsys)


@pytest.mark.timeout(300)
def test_R9_twenty_thousand_malformed_inputs_leave_the_daemon_as_it_was(
    desk: Desk, malformed_live: int, malformed_seed: int, capsys: pytest.CaptureFixture[str]
) -> None:
    attack(desk, malformed_live // 10, malformed_seed + 1)  # what is allocated once is allocated
    await_pool(desk)
    node = desk.node_os_pid()
    before = descriptors_beyond(desk), set(descendants(desk.daemon.guardian_pid)), node
    before_kb = resident_kb(node)
    done = attack(desk, malformed_live, malformed_seed)
    after = descriptors_beyond(desk), set(descendants(desk.daemon.guardian_pid)), desk.node_os_pid()
    with capsys.disabled():
        print(f"\nR9: {done:,} malformed inputs on the live socket, node {before_kb} kB → {resident_kb(node)} kB")
    assert after == before, f"seed {malformed_seed}"
    assert resident_kb(node) - before_kb < MAX_GROWTH_KB, f"seed {malformed_seed}"
