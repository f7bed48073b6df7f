"""A zygote that serves nobody: prints as JSON how many µs ``os.fork`` takes until the child's first byte, many times."""

from __future__ import annotations

import gc
import importlib
import os
import time

import msgspec

from actorcore.runtime import memory
from actorcore.runtime.shared_registry import SharedRegistry
from actorcore.runtime.status_page import PAGE_BYTES
from actorcore.runtime.zygote import birth
from benchmarks.rows import few

FORKS = few(300, 60)


def main() -> None:
    registry = SharedRegistry(1)
    nursery = birth.Nursery(os.getpid(), memory.create_memfd("status", PAGE_BYTES), registry.fd, "")
    importlib.import_module("benchmarks.actors")
    nursery.rehearse(birth.REHEARSALS_OF_ZYGOTE)
    gc.collect()
    gc.freeze()
    times = [fork_us() for _ in range(FORKS)]
    print(msgspec.json.encode(times).decode())


def fork_us() -> float:
    reader, writer = os.pipe()
    started = time.perf_counter_ns()
    child = os.fork()
    if child == 0:
        os.write(writer, b"1")
        os._exit(0)
    os.read(reader, 1)
    spent = (time.perf_counter_ns() - started) / 1e3
    os.waitpid(child, 0)
    os.close(reader)
    os.close(writer)
    return spent


if __name__ == "__main__":
    main()
