"""The daemon whose node weighs what it holds: the bytes of all of its live allocations, after each turn and at most.

Resident memory cannot tell: Python's arenas of a MiB stay for as long as one object of 16 bytes lives in them.
"""

from __future__ import annotations

import mmap
import os
import socket
import sys
import tracemalloc

from actorcore.runtime.node.node import Node
from supervisors import daemon
from supervisors.node_entry import kernel

SCALE = "ACTORCORE_TEST_SCALE"
"""In the environment: the file of two native words that shows both weights."""


class WeighedNode(Node):
    """Shows its weight before it says anything, so who has an answer can read the weight of that turn."""

    def _finish(self) -> None:
        self._scale[0], self._scale[1] = tracemalloc.get_traced_memory()
        super()._finish()

    def run(self) -> None:
        with open(os.environ[SCALE], "r+b") as file:
            self._scale = memoryview(mmap.mmap(file.fileno(), 16)).cast("Q")
        super().run()


def node_main(control: socket.socket, ledger: memoryview, registry: memoryview, status: memoryview) -> None:
    """As supervisors.node_entry.node_main."""
    tracemalloc.start()
    WeighedNode(control, ledger, registry, status, kernel).run()


if __name__ == "__main__":
    sys.exit(daemon.main("tests.fault.weighed:node_main"))
