"""The hand-over: what the guardian gives to a node whose turn has come, told in order, Take last."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass, field

from actorcore import guardian_words as words
from actorcore.runtime import sockets
from actorcore.runtime.node.performer import Handle

HANDOVER_FDS = 250
"""In one datagram at most."""


@dataclass
class HandOver:
    """The processes in the guardian's keeping, which of them stand still, its zygotes and templates;
    the listening socket, and the registry to read."""

    take: words.Take = field(default_factory=lambda: words.Take(0, 0))
    listener_fd: int = -1
    registry_fd: int = -1
    handles: dict[int, Handle] = field(default_factory=dict)
    halted: set[int] = field(default_factory=set)
    zygotes: dict[str, socket.socket] = field(default_factory=dict)
    offers: list[words.Offer] = field(default_factory=list)


def await_turn(control: socket.socket) -> HandOver:
    """Wait for Take, and for all that comes before it."""
    got = HandOver()
    while got.listener_fd < 0:
        datagram = sockets.await_datagram(control, HANDOVER_FDS)
        fds = iter(datagram.fds)
        match words.to_node.decode(datagram.data):
            case words.Held(items):
                for item in items:
                    # All told, else Python asks the kernel four things about each.
                    theirs = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, 0, next(fds))
                    got.handles[item.serial] = Handle(theirs, next(fds) if item.os_pid else -1)
                    if item.stopped:
                        got.halted.add(item.serial)
            case words.Zygote(template):
                got.zygotes[template] = socket.socket(fileno=next(fds))
            case words.Offer() as offer:
                got.offers.append(offer)
            case words.Take() as take:
                got.take = take
                got.listener_fd, status_fd, got.registry_fd = fds
                os.close(status_fd)
            case _:
                pass  # told again, or in the hand-over
    return got
