"""P16: durable messages of 200 B over 50 sessions: each written and synced before it is acknowledged; the same without sync.

Floor: 50 processes that append 200 B to a file of their own and fdatasync it. The journal is what a session does before its
answer; through the public API 50 clients' worth of calls are under way at once, one for each session. All on the disk of the
temporary directory; nothing is pinned. A sync on a busy disk of a virtual machine costs what its neighbours leave of it.

``python -m benchmarks.p16_durable [--json]``
"""

from __future__ import annotations

import asyncio
import functools
import mmap
import os
import stat
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from actorcore.exit_reason import Term
from actorcore.signals import ProcessSpec
from benchmarks.daemons import daemon
from benchmarks.rows import Row, command, few, measured, percentile
from supervisors.async_client import AsyncClient
from supervisors.persistence.database import Database
from supervisors.persistence.signing import Ring
from supervisors.session.requests import SendMessage
from supervisors.tree.child_spec import ChildSpec

SESSIONS = 50
BODY = b"x" * 200
MESSAGES = few(60, 15)
"""Per session and round."""
ROUNDS = few(5, 2)
GOAL_PER_S, GOAL_P99_MS = 5_000, 20.0

Writer = Callable[[], None]


def run() -> list[Row]:
    floors, floor_ms = many(bare)
    kept, kept_ms = many(journal)
    with unsynced():
        loose, loose_ms = many(journal)
    whole, whole_ms = public()
    floor = sorted(floors)[len(floors) // 2]
    return [
        measured("P16", "bare write + fdatasync, 50 files", "messages/s", floors, note=told(floor_ms)),
        measured("P16", "journal of 50 sessions, synced", "messages/s", kept, floor, note=told(kept_ms)),
        measured("P16", "the same, not synced", "messages/s", loose, floor, note=told(loose_ms)),
        measured("P16", "messages to 50 sessions, through the API", "messages/s", whole, floor, note=told(whole_ms),
                 goal=f"≥ {GOAL_PER_S}/s", at_least=GOAL_PER_S),
        measured("P16", "p99 of one message, through the API", "ms", p99s(whole_ms), percentile(sorted(floor_ms), 0.99),
                 goal=f"< {GOAL_P99_MS:g} ms", at_most=GOAL_P99_MS, note="of each round; its floor is the p99 of the bare write"),
    ]  # fmt: skip


def p99s(ms: list[float]) -> list[float]:
    """Of each round."""
    size = SESSIONS * MESSAGES
    return [percentile(sorted(ms[at : at + size]), 0.99) for at in range(0, len(ms), size)]


def told(ms: list[float]) -> str:
    ordered = sorted(ms)
    return f"each {percentile(ordered, 0.5):.2f} ms, p99 {percentile(ordered, 0.99):.1f} ms"


# ---- 50 processes that write ------------------------------------------------------------------------------------------


def bare(folder: str) -> Writer:
    fd = os.open(f"{folder}/{uuid.uuid4()}", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def write() -> None:
        os.write(fd, BODY)
        os.fdatasync(fd)

    return write


def journal(folder: str) -> Writer:
    id = str(uuid.uuid4())
    database = Database(f"{folder}/{id}", id, Ring({1: b"k" * 32}).keys_of(id))
    database.open()
    return lambda: (database.append([BODY]), None)[1]


@contextmanager
def unsynced() -> Iterator[None]:
    """Known bad: a journal that leaves it to the kernel when to write."""
    before = os.fdatasync
    os.fdatasync = lambda fd: None
    try:
        yield
    finally:
        os.fdatasync = before


def many(make: Callable[[str], Writer]) -> tuple[list[float], list[float]]:
    """Messages per second of each round, and how long each message took, in ms."""
    rates, took = [], []
    for _ in range(ROUNDS):
        with tempfile.TemporaryDirectory() as folder, mmap.mmap(-1, SESSIONS * (MESSAGES + 1) * 8) as shared:
            began = all_at_once(functools.partial(writer_of, make, folder, shared))
            times = memoryview(shared).cast("Q").tolist()
            rates.append(SESSIONS * MESSAGES / (max(times[:SESSIONS]) - began) * 1e9)
            took += [nanos / 1e6 for nanos in times[SESSIONS:]]
    return rates, took


def writer_of(make: Callable[[str], Writer], folder: str, shared: mmap.mmap, number: int) -> Writer:
    write = make(folder)
    write()  # what is done once

    def note(at: int, nanos: int) -> None:
        shared[8 * at : 8 * at + 8] = nanos.to_bytes(8, "little")

    def act() -> None:
        for at in range(number * MESSAGES, (number + 1) * MESSAGES):
            began = time.perf_counter_ns()
            write()
            note(SESSIONS + at, time.perf_counter_ns() - began)
        note(number, time.perf_counter_ns())

    return act


def all_at_once(make: Callable[[int], Writer]) -> int:
    """Fork SESSIONS processes, let them begin together, wait for all; when they began, in ns of the monotonic clock."""
    (ready, says), (go, lets) = os.pipe(), os.pipe()
    pids = []
    for number in range(SESSIONS):
        if (pid := os.fork()) == 0:
            os.close(lets)
            act = make(number)
            os.write(says, b"x")
            os.read(go, 1)  # the end of the pipe
            act()
            os._exit(0)
        pids.append(pid)
    waiting = SESSIONS
    while waiting:
        waiting -= len(os.read(ready, waiting))
    began = time.perf_counter_ns()
    os.close(lets)
    for pid in pids:
        assert os.waitpid(pid, 0)[1] == 0
    for fd in (ready, says, go):
        os.close(fd)
    return began


# ---- 50 sessions of a daemon ------------------------------------------------------------------------------------------


def public() -> tuple[list[float], list[float]]:
    """The same of messages that a client sends to sessions."""
    with daemon("") as (client, directory), tempfile.TemporaryDirectory() as folder:
        ids = []
        for number in range(SESSIONS):
            record = record_of(Path(folder, f"p{number}"))
            ids.append(str(record["id"]))
            process = ProcessSpec("supervisors.session.server:SessionServer", [record], name=ids[-1], trap_exit=True)
            client.start_session(ChildSpec(ids[-1], process))
        return asyncio.run(talk(directory, ids))


def record_of(project: Path) -> dict[str, Term]:
    project.mkdir()
    found = project.stat()
    folder: Term = {
        "path": str(project), "dev": found.st_dev, "inode": found.st_ino, "uid": found.st_uid, "gid": found.st_gid,
        "mode": stat.S_IMODE(found.st_mode),
    }  # fmt: skip
    return {"id": str(uuid.uuid4()), "name": project.name, "project": folder, "created_at": 1.0, "updated_at": 1.0}


async def talk(directory: Path, ids: list[str]) -> tuple[list[float], list[float]]:
    rates, took = [], []
    async with await AsyncClient.connect(directory) as client:

        async def send(id: str, count: int) -> None:
            for _ in range(count):
                began = time.perf_counter()
                await client.call(id, SendMessage("user", BODY.decode()), 30.0)
                took.append((time.perf_counter() - began) * 1e3)

        await asyncio.gather(*(send(id, 2) for id in ids))
        took.clear()
        for _ in range(ROUNDS):
            began = time.perf_counter()
            await asyncio.gather(*(send(id, MESSAGES) for id in ids))
            rates.append(SESSIONS * MESSAGES / (time.perf_counter() - began))
    return rates, took


if __name__ == "__main__":
    command(run)
