"""P9: bodies of 1 MiB, one way and there and back, in GB/s beside the bare transport and memcpy.

Floor: the same datagrams over a bare socketpair, from one buffer into one buffer. Two processes, on two CPUs and on one.

``python -m benchmarks.p9_bodies [--json]``
"""

from __future__ import annotations

import socket
import statistics
import time
from collections.abc import Callable

from actorcore.pids import Pid
from actorcore.runtime import sockets
from actorcore.runtime.actor.channel import PART_BYTES
from actorcore.runtime.actor.process import Process
from benchmarks.lean_pair import Placement
from benchmarks.rows import Row, command, few, measured

SIZE = 1 << 20
ROUNDS = few(9, 3)
BODIES = 100
GOAL_GB_S = 5.0
BODY = bytes(range(256)) * (SIZE // 256)


def run() -> list[Row]:
    """The rows, two CPUs first."""
    return [measured("", "memcpy of 1 MiB", "GB/s", [gb_s(copy) for _ in range(ROUNDS)]), *rows(False), *rows(True)]


def rows(is_shared: bool) -> list[Row]:
    """All ways in turn, ROUNDS times."""
    floors, plains, views, echoes = [], [], [], []
    with Placement(is_shared) as placement:
        bare = placement.bare(swallow)
        process, (plain, view) = placement.lean("benchmarks.actors:TypedEchoServer", "benchmarks.actors:ViewServer")
        for _ in range(ROUNDS):
            floors.append(gb_s(lambda: pour(bare)))
            plains.append(gb_s(lambda: casts(process, plain)))
            views.append(gb_s(lambda: casts(process, view)))
            echoes.append(gb_s(lambda: echo(process, plain), 2))
    place, floor, goal = "one CPU" if is_shared else "two CPUs", statistics.median(floors), f"≥ {GOAL_GB_S} GB/s"
    return [
        measured("P9", f"bare, in as long datagrams, {place}", "GB/s", floors),
        measured("P9", f"casts of bytes, {place}", "GB/s", plains, floor, goal=goal, at_least=GOAL_GB_S),
        measured("P9", f"casts taken as memoryview, {place}", "GB/s", views, floor, goal=goal, at_least=GOAL_GB_S),
        measured("P9", f"calls that echo bytes, both ways, {place}", "GB/s", echoes, floor),
    ]


def gb_s(pass_bodies: Callable[[], object], ways: int = 1) -> float:
    """Of BODIES bodies that ``pass_bodies`` passes, each ``ways`` times."""
    start = time.perf_counter()
    pass_bodies()
    return BODIES * SIZE * ways / (time.perf_counter() - start) / 1e9


def copy() -> None:
    source, target = memoryview(BODY), memoryview(bytearray(SIZE))
    for _ in range(BODIES):
        target[:] = source


def pour(sock: socket.socket) -> None:
    """The bare way."""
    view, size = memoryview(BODY), min(PART_BYTES, sockets.max_datagram_bytes(sock))
    parts = [view[at : at + size] for at in range(0, SIZE, size)]
    for _ in range(BODIES):
        for part in parts:
            sock.send(part)
    sock.recv(1)


def swallow(sock: socket.socket) -> None:
    """Its other end: confirms every BODIES bodies."""
    buffer = memoryview(bytearray(SIZE))
    while True:
        for _ in range(BODIES):
            got = 0
            while got < SIZE:
                got += sock.recv_into(buffer[got : got + PART_BYTES])
        sock.send(b"1")


def casts(process: Process, to: Pid) -> None:
    """All have been handled when the call behind them is answered."""
    for _ in range(BODIES):
        process.cast(to, BODY)
    process.call(to, b"", 60.0)


def echo(process: Process, to: Pid) -> None:
    for _ in range(BODIES):
        process.call(to, BODY, 60.0)


if __name__ == "__main__":
    command(run)
