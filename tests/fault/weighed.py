"""The daemon whose node weighs what it holds: the bytes of all of its live allocations, after each turn and at most.

Resident memory cannot tell: Python's arenas of a MiB stay for as long as one object of 16 bytes lives in them.
"""

from __future__ import annotations

import gc
import mmap
import os
import socket
import sys
import tracemalloc
from pathlib import Path

from actorcore.runtime.node.node import Node
from supervisors import daemon
from supervisors.node_entry import kernel

SCALE = "ACTORCORE_TEST_SCALE"
"""In the environment: the file of three native words that shows both weights; the third asks for garbage to be left out."""
SCALE_BYTES = 24


def weights(scale: Path) -> tuple[int, int]:
    """Bytes that the node holds, and the most that it ever held."""
    held, most, _ = memoryview(scale.read_bytes()).cast("Q")
    return held, most


def leave_garbage_out(scale: Path, is_so: bool) -> None:
    """From now on; it costs each turn a collection."""
    with open(scale, "r+b") as file:
        file.seek(16)
        file.write(int(is_so).to_bytes(8, sys.byteorder))


class WeighedNode(Node):
    """Shows its weight before it says anything, so who has an answer can read the weight of that turn."""

    def _finish(self) -> None:
        if self._scale[2]:
            gc.collect()
        self._scale[0], self._scale[1] = tracemalloc.get_traced_memory()
        super()._finish()

    def run(self) -> None:
        with open(os.environ[SCALE], "r+b") as file:
            self._scale = memoryview(mmap.mmap(file.fileno(), SCALE_BYTES)).cast("Q")
        super().run()


def node_main(control: socket.socket, ledger: memoryview, registry: memoryview, status: memoryview) -> None:
    """As supervisors.node_entry.node_main."""
    tracemalloc.start()
    WeighedNode(control, ledger, registry, status, kernel).run()


if __name__ == "__main__":
    sys.exit(daemon.main("tests.fault.weighed:node_main"))
