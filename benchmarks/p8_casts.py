"""P8: casts of 64 B one way, in batches and one by one, beside the bare transport.

Bare: the same datagrams, sent from one buffer, received and decoded as typed messages. Two processes on two CPUs; the
last cast has been handled when the call behind it is answered.

``python -m benchmarks.p8_casts [--json]``
"""

from __future__ import annotations

import socket
import statistics
import time
from collections.abc import Callable

import msgspec

from actorcore import frames
from actorcore.frames import BATCH_MESSAGES, Cast
from actorcore.pids import Pid
from actorcore.runtime.actor.process import Process
from benchmarks.lean_pair import Placement
from benchmarks.rows import Row, command, few, measured

BODY = b"x" * 64
ROUNDS = few(11, 3)
CASTS = 64_000
SINGLES = 16_000
BATCH = 1000
GOAL_BARE, GOAL_API, GOAL_RATIO = 3e6, 1e6, 8
CAST: Cast = Cast(msgspec.Raw(frames.encoder.encode(BODY)))


def run() -> list[Row]:
    bare_batched, bare_single, server, function, single = [], [], [], [], []
    with Placement(is_shared=False) as placement:
        bare = placement.bare(count)
        process, (gen, plain) = placement.lean("benchmarks.actors:TypedEchoServer", "benchmarks.actors:echo")
        for _ in range(ROUNDS):
            bare_batched.append(per_second(CASTS, lambda: pour(bare, BATCH_MESSAGES, CASTS)))
            bare_single.append(per_second(SINGLES, lambda: pour(bare, 1, SINGLES)))
            server.append(per_second(CASTS, lambda: casts(process, gen, BATCH, CASTS)))
            function.append(per_second(CASTS, lambda: casts(process, plain, BATCH, CASTS)))
            single.append(per_second(SINGLES, lambda: casts(process, gen, 1, SINGLES)))
    lone, bare_lone = statistics.median(single), statistics.median(bare_single)
    goal = f"≥ {GOAL_BARE:,.0f} and ≥ {GOAL_RATIO} × floor"
    return [
        measured("P8", "bare, 64 in a datagram", "/s", bare_batched, bare_lone, goal=goal,
                 at_least=max(GOAL_BARE, GOAL_RATIO * bare_lone), note="floor: the same one by one"),
        measured("P8", "casts in batches to a function process", "/s", function, lone, goal=f"≥ {GOAL_API:,.0f}",
                 at_least=GOAL_API),
        measured("P8", "casts in batches to a GenServer, typed", "/s", server, lone, goal=f"≥ {GOAL_API:,.0f}",
                 at_least=GOAL_API),
    ]  # fmt: skip


def per_second(messages: int, say: Callable[[], object]) -> float:
    start = time.perf_counter()
    say()
    return messages / (time.perf_counter() - start)


def pour(sock: socket.socket, batch: int, messages: int) -> None:
    """The bare way."""
    encode = frames.encoder.encode
    for _ in range(messages // batch):
        sock.send(encode([CAST] * batch))
    sock.send(b"\x90")
    sock.recv(1)


def count(sock: socket.socket) -> None:
    """Its other end: answers an empty batch."""
    decode = msgspec.msgpack.Decoder(list[Cast]).decode
    while True:
        if not decode(sock.recv(65536)):
            sock.send(b"1")


def casts(process: Process, to: Pid, batch: int, messages: int) -> None:
    """Through the API."""
    if batch == 1:
        for _ in range(messages):
            process.cast(to, BODY)
    else:
        for _ in range(messages // batch):
            with process.batch():
                for _ in range(batch):
                    process.cast(to, BODY)
    process.call(to, b"", 60.0)


if __name__ == "__main__":
    command(run)
