"""p7: a call between two lean processes through the API, against its floor, and casts one way.

Floor: os.read/os.write ping-pong over one SEQPACKET pair. Both processes pinned to one CPU; 64-byte body; median of
rounds taken in turn, so that drift of the machine hits both alike. Target: call <= 1.6 x floor (LIMITS.md §4).

``python -m benchmarks.p7_call [--json]``
"""

from __future__ import annotations

import os
import signal
import socket
import statistics
import time
from collections.abc import Callable
from typing import NoReturn

from actorcore import frames
from actorcore.frames import Downlink
from actorcore.pids import Pid
from actorcore.runtime import lean, sockets
from actorcore.runtime.process import Process
from actorcore.runtime.status_page import StatusPage
from actorcore.signals import Begin, Channel, ProcessSpec
from benchmarks.rows import Row, command, measured

BODY = b"x" * 64
ROUNDS = 15
CALLS = 4000
CASTS = 100_000
TARGET = 1.6


def run() -> list[Row]:
    """The rows; the affinity of this process is as before afterwards."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    floor, raw_peer = raw_pair()
    process, lean_peers = lean_pairs()
    try:
        floors, functions, servers, single, batched = [], [], [], [], []
        for _ in range(ROUNDS):
            floors.append(time_of(lambda: raw_trip(floor)))
            functions.append(time_of(lambda: process.call(Pid(1, 2), BODY)))
            servers.append(time_of(lambda: process.call(Pid(1, 3), BODY)))
            single.append(casts(process, False))
            batched.append(casts(process, True))
    finally:
        for os_pid in (raw_peer, *lean_peers):
            os.kill(os_pid, signal.SIGKILL)
            os.waitpid(os_pid, 0)
        os.sched_setaffinity(0, before)
    base, goal, note = statistics.median(floors), f"≤ {TARGET} × floor", "all pinned to one CPU; floor: os.read/os.write"
    return [
        measured("P7", "call to a function process", "µs", functions, base, goal=goal, at_most=TARGET * base, note=note),
        measured("P7", "call to a GenServer", "µs", servers, base, goal=goal, at_most=TARGET * base),
        measured("", "casts one by one", "/s", single),
        measured("P8", "casts in a batch", "/s", batched, goal="≥ 1,000,000 /s", at_least=1e6),
    ]


def time_of(trip: Callable[[], object]) -> float:
    """µs for one trip, the mean of CALLS."""
    start = time.perf_counter()
    for _ in range(CALLS):
        trip()
    return (time.perf_counter() - start) / CALLS * 1e6


def casts(process: Process, batched: bool) -> float:
    """Casts per second, until the peer has answered a call behind them."""
    to = Pid(1, 2)
    start = time.perf_counter()
    if batched:
        for _ in range(CASTS // 1000):
            with process.batch():
                for _ in range(1000):
                    process.cast(to, BODY)
    else:
        for _ in range(CASTS):
            process.cast(to, BODY)
    process.call(to, b"", 60.0)
    return CASTS / (time.perf_counter() - start)


def raw_trip(sock: socket.socket) -> None:
    os.write(sock.fileno(), BODY)
    os.read(sock.fileno(), 65536)


def raw_pair() -> tuple[socket.socket, int]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    os_pid = os.fork()
    if os_pid == 0:
        fd = theirs.fileno()
        while True:
            os.write(fd, os.read(fd, 65536))
    return ours, os_pid


def lean_pairs() -> tuple[Process, list[int]]:
    """This process as serial 1 with channels to a function process (2) and a GenServer (3)."""
    node, control = sockets.pair()
    process = Process(control, begin(1, "none"), StatusPage(memoryview(bytearray(4096))))
    peers = []
    for serial, name in ((2, "echo"), (3, "EchoServer")):
        ours, theirs = sockets.pair()
        os_pid = os.fork()
        if os_pid == 0:
            child(serial, name, theirs)
        introduce(node, serial, serial, ours)
        peers.append(os_pid)
    keep.append(node)
    return process, peers


keep: list[socket.socket] = []


def child(serial: int, name: str, channel: socket.socket) -> NoReturn:
    node, control = sockets.pair()
    introduce(node, 1, 1, channel)
    keep.append(node)
    lean.run(control, begin(serial, f"benchmarks.p7_actors:{name}"), memoryview(bytearray(4096)))


def introduce(node: socket.socket, seq: int, peer: int, channel: socket.socket) -> None:
    sockets.send(node, frames.encoder.encode([Downlink(seq, Channel(peer))]), [channel.fileno()])


def begin(serial: int, start: str) -> Begin:
    return Begin(serial, 1, 0, ProcessSpec(start), 0)


if __name__ == "__main__":
    command(run)
