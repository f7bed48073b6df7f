"""When a node takes a snapshot: often enough that a successor has little to replay, and more often when nobody waits."""

from __future__ import annotations

import contextlib
import mmap
import os
import socket
from pathlib import Path

from actorcore import guardian_words as words
from actorcore.kernel import Kernel
from actorcore.ledger import Ledger
from actorcore.runtime import memory, sockets
from actorcore.runtime.node.handover import HandOver
from actorcore.runtime.node.node import Node
from actorcore.runtime.node.replay import is_due
from actorcore.runtime.shared_registry import SharedRegistry
from supervisors import paths

LEDGER_BYTES = 1 << 20
PAGES = 4


def worked(events: int) -> Ledger:
    """A ledger with so many events since its snapshot."""
    ledger = Ledger.create(memoryview(bytearray(LEDGER_BYTES)))
    for _ in range(events):
        ledger.mark_performed(ledger.append(b"x"))
    return ledger


def least(processes: int, owed_bytes: int, is_quiet: bool) -> int:
    """After how many events a snapshot is due."""
    return next(events for events in range(5000) if is_due(worked(events), processes, owed_bytes, is_quiet))


def test_the_more_a_snapshot_costs_the_later_it_comes_and_eight_times_as_soon_when_nobody_waits() -> None:
    small, large, owing = (0, 0), (1600, 0), (0, 1 << 20)
    assert [least(*state, False) for state in (small, large, owing)] == [100, 400, 256]
    assert [least(*state, True) for state in (small, large, owing)] == [12, 50, 32]


def test_a_node_at_rest_leaves_its_successor_little_to_replay(tmp_path: Path) -> None:
    with mmap.mmap(-1, LEDGER_BYTES) as shared, memoryview(shared) as place:
        Ledger.create(place)
        child = os.fork()
        if child == 0:
            with contextlib.suppress(BaseException):
                rest(place, tmp_path)
                os._exit(0)
            os._exit(1)
        assert os.waitpid(child, 0)[1] == 0
        left = Ledger.open(place).load()
        assert (left.state is None, left.records) == (False, [])


def rest(place: memoryview, directory: Path) -> None:
    """Be a node that takes over, with some events, and has nothing to do in its next turns."""
    control, _guardian = sockets.pair()
    registry = SharedRegistry(1)
    status = memory.create_memfd("status", PAGES * 4096)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with paths.socket_address(directory) as address:
        listener.bind(address)
    listener.listen()
    node = Node(control, place, registry.memory, memory.map_shared(status, PAGES * 4096, writable=True), fresh)
    offers = [words.Offer(f"t{number}", 0) for number in range(20)]
    node._begin(HandOver(words.Take(1, 1), listener.detach(), registry.fd, offers=offers))
    assert len(Ledger.open(place).load().records) > len(offers)  # its first turn serves who waits
    node._turn()


def fresh(instance: int) -> Kernel:
    return Kernel(instance, {})
