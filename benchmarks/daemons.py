"""A private daemon for benchmarks, configured in TOML, and what they do around their measurements."""

from __future__ import annotations

import contextlib
import mmap
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from actorcore.errors import CallTimeout
from supervisors.client import Client
from supervisors.private_daemon import private_daemon

PAUSE_S = 0.02
"""For the node to find nothing else to do."""
ECHO = "benchmarks.actors:EchoServer"
MEMORY = "/dev/shm" if os.path.isdir("/dev/shm") else None
"""Where the runtime directories are, as ``$XDG_RUNTIME_DIR`` is in memory. On ext4 a birth makes its log after a look at every
inode that was deleted in the last minutes (``recently_deleted`` in fs/ext4/ialloc.c): 0.3 ms after a benchmark of many."""
PRELOADED = "bench"
"""The template that has imported ECHO's module, if the configuration is :func:`templates`'s."""


def fork_us() -> list[float]:
    """The floor of a birth: ``os.fork`` in a zygote that serves nobody, until its child's first byte, many times."""
    found = subprocess.run([sys.executable, "-m", "benchmarks.fork_floor"], capture_output=True, check=True)
    return msgspec.json.decode(found.stdout, type=list[float])


def templates(pool: int, lean_pool: int = 8) -> str:
    """The configuration with a template that has imported the actors of the benchmarks."""
    return f'[templates.lean]\npool = {lean_pool}\n[templates.{PRELOADED}]\npreload = ["benchmarks.actors"]\npool = {pool}\n'


@contextlib.contextmanager
def daemon(configuration: str) -> Iterator[tuple[Client, Path]]:
    """A client of a daemon of its own, and the daemon's runtime directory; its state is where temporary files are."""
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory(dir=MEMORY) as memory:
        os.environ["PYTHONPATH"] = str(Path(__file__).parents[1])  # whence the template imports the actors
        own = private_daemon(Path(memory) / "run", configuration, state=Path(folder) / "state")
        with own as running, running.connect() as client:
            yield client, running.directory


def touch(size_bytes: int) -> None:
    """Have the machine give this much memory once, and give it back: a guest's first use of a page is slow (LIMITS §0)."""
    with mmap.mmap(-1, size_bytes, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE):
        pass


def pause(client: Client, seconds: float = PAUSE_S) -> None:
    """Ask nothing of the node for a while."""
    with contextlib.suppress(CallTimeout):
        client.receive(seconds)


def await_pool(client: Client, count: int) -> None:
    """Until so many blanks wait: all pools are full."""
    while client.node("status")["blanks"] != count:
        pause(client)
    pause(client)  # the last of them rehearses


def time_us(action: Callable[[], object]) -> float:
    """How long ``action`` takes."""
    started = time.perf_counter_ns()
    action()
    return (time.perf_counter_ns() - started) / 1e3
