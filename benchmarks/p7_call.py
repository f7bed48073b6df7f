"""P7: a call of 64 B with a deadline between two processes, beside the bare transport and its floor.

Floor: os.read/os.write ping-pong over one SEQPACKET pair; bare: the same bytes through send, recv and msgspec. Pinned: all
on one CPU, where whatever the two do adds up, then on two, where the wake-up of a sleeping CPU is most of it.

``python -m benchmarks.p7_call [--json]``
"""

from __future__ import annotations

import os
import socket
import statistics
import time
from collections.abc import Callable

import msgspec

from actorcore import frames
from actorcore.frames import Call
from actorcore.runtime.actor.loops import loops
from benchmarks.lean_pair import Placement
from benchmarks.rows import Row, command, few, measured

BODY = b"x" * 64
ROUNDS = few(15, 3)
CALLS = 2000
GOAL, LOOP_GOAL, BARE_GOAL = 1.6, 2.2, 1.25


def run() -> list[Row]:
    return [*rows(True), *rows(False)]


def rows(is_shared: bool) -> list[Row]:
    """Calls to a function process, to a GenServer, to one that declares the type of its requests; between two loops."""
    floors: list[float] = []
    bares: list[float] = []
    calls: dict[str, list[float]] = {"a function process": [], "a GenServer": [], "a GenServer, typed": []}
    with Placement(is_shared) as placement:
        floor, bare = placement.bare(raw_echo), placement.bare(bare_echo)
        process, pids = placement.lean(*(f"benchmarks.actors:{name}" for name in ("echo", "EchoServer", "TypedEchoServer")))
        for _ in range(ROUNDS):
            floors.append(time_of(lambda: raw_trip(floor)))
            bares.append(time_of(lambda: bare_trip(bare)))
            for pid, times in zip(pids, calls.values(), strict=True):
                times.append(time_of(lambda pid=pid: process.call(pid, BODY)))  # type: ignore[misc]
        calls["a GenServer, from a loop to a loop"] = looped(placement)
    base, place = statistics.median(floors), "one CPU" if is_shared else "two CPUs"
    goals = dict(zip(calls, (GOAL, GOAL, GOAL, LOOP_GOAL), strict=True))
    return [
        measured("P7", f"os.read/os.write, {place}", "µs", floors),
        measured("P7", f"bare transport, {place}", "µs", bares, base, goal=f"≤ {BARE_GOAL} × floor", at_most=BARE_GOAL * base),
        *(
            measured("P7", f"call to {what}, {place}", "µs", times, base,
                     goal=f"≤ {goals[what]} × floor", at_most=goals[what] * base)
            for what, times in calls.items()
        ),
    ]  # fmt: skip


def time_of(trip: Callable[[], object]) -> float:
    """µs for one trip, the mean of CALLS."""
    start = time.perf_counter()
    for _ in range(CALLS):
        trip()
    return (time.perf_counter() - start) / CALLS * 1e6


def looped(placement: Placement) -> list[float]:
    """µs for one call with asyncio's loop on both sides."""
    loop = loops.new()
    process, (pid,) = placement.in_loop(loop, "benchmarks.actors:AsyncEchoServer")

    async def trips() -> float:
        start = time.perf_counter()
        for _ in range(CALLS):
            await process.call(pid, BODY)
        return (time.perf_counter() - start) / CALLS * 1e6

    try:
        return [loop.run_until_complete(trips()) for _ in range(ROUNDS)]
    finally:
        process.close()
        loop.close()


def raw_trip(sock: socket.socket) -> None:
    os.write(sock.fileno(), BODY)
    os.read(sock.fileno(), 65536)


def raw_echo(sock: socket.socket) -> None:
    fd = sock.fileno()
    while True:
        os.write(fd, os.read(fd, 65536))


encode = frames.encoder.encode
decode = msgspec.msgpack.Decoder(list[Call]).decode


def bare_trip(sock: socket.socket) -> None:
    sock.send(encode([Call(1, BODY)]))  # type: ignore[arg-type]  # encoded in place of its Raw
    (call,) = decode(sock.recv(65536))
    frames.term_decoder.decode(call.body)


def bare_echo(sock: socket.socket) -> None:
    while True:
        sock.send(encode(decode(sock.recv(65536))))


if __name__ == "__main__":
    command(run)
