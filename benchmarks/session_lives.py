"""Sessions that come back all at once, and sessions that come and go: what one client waits for, and what the daemon keeps of it.

Resume: a daemon with 100 sessions was killed; from the start of the next one until each has answered how many messages it has.
Floor: as many bare processes, asked for together and called once. Then one session after the other is created and stopped;
what guardian and node have more of afterwards is in the notes. Nothing is pinned; all on the disk of the temporary directory.

``python -m benchmarks.session_lives [--json]``
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from pathlib import Path

from benchmarks.daemons import ECHO, daemon
from benchmarks.rows import Row, command, few, measured
from supervisors.async_client import AsyncClient
from supervisors.client import Client
from supervisors.private_daemon import private_daemon
from supervisors.session.requests import GetMessages, SendMessage

SESSIONS = 100
MESSAGES = 20
ROUNDS = few(5, 2)
CYCLES = few(1000, 100)
WARM = few(250, 50)
"""Cycles before anything is counted: pools, caches, the interpreter's own stores and the history of events fill."""
WAIT_S = 120.0


def run() -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        bare, back = came_back(Path(folder))
        with daemon("") as (client, _):
            cycles, note = come_and_go(client, Path(folder))
    floor = sorted(bare)[len(bare) // 2]
    said = f"{MESSAGES} messages in each; with the start of the daemon"
    return [
        measured("", f"spawn and call of {SESSIONS} processes at once", "ms", bare),
        measured("", f"{SESSIONS} sessions resumed at once, all answer", "ms", back, floor, note=said),
        measured("", "a session is created and stopped", "ms", cycles, note=note),
    ]


def came_back(folder: Path) -> tuple[list[float], list[float]]:
    """How long each round took, in ms: bare processes, and the sessions of a daemon that was killed."""
    bare: list[float] = []
    back: list[float] = []
    ids: list[str] = []
    for _ in range(ROUNDS + 1):
        began = time.perf_counter()
        with private_daemon(folder / "run") as running:
            took, ids = asyncio.run(lived(folder, ids, began))
            if took:
                bare.append(took[0])
                back.append(took[1])
            running.process.kill()
            running.process.wait()
    return bare, back


async def lived(folder: Path, ids: list[str], began: float) -> tuple[list[float], list[str]]:
    """In a fresh daemon: what it took, if there were sessions ``ids``, else nothing; and the sessions that it has now."""
    async with await AsyncClient.connect(folder / "run", WAIT_S) as client:
        if not ids:
            return [], [await begun(client, folder / str(number)) for number in range(SESSIONS)]
        events = await client.manager.subscribe(types=["session_resumed"], after=0)
        back = sorted([(await events.next(WAIT_S)).session for _ in ids])
        assert back == sorted(ids)

        async def look(id: str) -> None:
            page = await client.call(id, GetMessages(0, 1), WAIT_S)
            assert isinstance(page, dict) and page["total"] == MESSAGES

        async def spawn() -> None:
            assert await client.call(await client.spawn(ECHO), 1, WAIT_S) == 1

        await asyncio.gather(*(look(id) for id in ids))
        resumed = (time.perf_counter() - began) * 1e3
        began = time.perf_counter()
        await asyncio.gather(*(spawn() for _ in ids))
        return [(time.perf_counter() - began) * 1e3, resumed], ids


async def begun(client: AsyncClient, project: Path) -> str:
    """The id of a new session with messages."""
    project.mkdir()
    id = str((await client.manager.create(project))["id"])
    await asyncio.gather(*(client.call(id, SendMessage("assistant", f"message {n}"), WAIT_S) for n in range(MESSAGES)))
    return id


def come_and_go(client: Client, folder: Path) -> tuple[list[float], str]:
    """How long each life took, in ms, and what guardian and node have more of after all of them."""
    node = int(str(client.node("status")["node_os_pid"]))
    daemon_pids = (node, int(Path(f"/proc/{node}/stat").read_text().rpartition(")")[2].split()[1]))
    project = folder / "project"
    project.mkdir()
    took: list[float] = []

    def cycle() -> None:
        began = time.perf_counter()
        id = str(client.manager.create(project)["id"])
        client.manager.stop(id)
        client.saved.delete(id)
        took.append((time.perf_counter() - began) * 1e3)

    for _ in range(WARM):
        cycle()
    before = held_by(daemon_pids)
    took.clear()
    for _ in range(CYCLES):
        cycle()
    kib, fds = (now - then for now, then in zip(held_by(daemon_pids), before, strict=True))
    return took, f"with its save deleted; after {CYCLES:,}: {kib:+d} KiB and {fds:+d} descriptors in guardian and node"


def held_by(os_pids: tuple[int, ...]) -> tuple[int, int]:
    """KiB of resident memory that is no file's, and open descriptors. Pages of the ledger, which is allocated as a whole when
    the daemon starts, are counted by the kernel as they are used for the first time: they are a memfd's."""
    texts = [Path(f"/proc/{os_pid}/status").read_text() for os_pid in os_pids]
    kib = sum(int(text.partition("RssAnon:")[2].split()[0]) for text in texts)
    return kib, sum(len(os.listdir(f"/proc/{os_pid}/fd")) for os_pid in os_pids)


if __name__ == "__main__":
    command(run)
