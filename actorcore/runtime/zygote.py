"""A zygote: a program that imports a template's modules once and then forks actor processes from itself.

It stays single-threaded and holds no more than its own sockets, so that a fork is cheap and nothing of one session is
seen by another. Its children are the guardian's (CLONE_PARENT): it may die at any moment without harming one.
"""

from __future__ import annotations

import contextlib
import gc
import os
import resource
import signal
import socket
import sys

from actorcore.faults import point
from actorcore.guardian_words import ForkRefused, encoder, fork_order
from actorcore.runtime import birth, children, fault_injection, sockets, syscalls

CONTROL_FD, STATUS_FD, REGISTRY_FD = 3, 4, 5


def main(template: str, guardian_pid: int, plan: str = "") -> None:
    """Serve fork orders until the control socket ends, then return. ``plan``: see fault_injection."""
    syscalls.close_from(REGISTRY_FD + 1)
    syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != guardian_pid:
        return
    syscalls.set_process_name(children.NEWBORN_COMM)
    # Python changed these at its start; SIGPIPE stays ignored: a closed stdout is an error and not a death.
    for number in (signal.SIGINT, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    # Inherited by every child.
    syscalls.prctl(syscalls.PR_SET_NO_NEW_PRIVS, 1)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    control = socket.socket(fileno=CONTROL_FD)
    nursery = birth.Nursery(template, guardian_pid, STATUS_FD, REGISTRY_FD)
    nursery.rehearse(birth.REHEARSALS_OF_ZYGOTE)
    if plan:
        fault_injection.arm(plan)
    gc.collect()
    gc.freeze()
    nursery.rehearse(birth.REHEARSALS_OF_BLANK)  # the collection has emptied the interpreter's free lists
    with contextlib.suppress(sockets.PeerGone):
        while True:
            _fork(control, nursery, sockets.await_datagram(control))


def _fork(control: socket.socket, nursery: birth.Nursery, datagram: sockets.Datagram) -> None:
    order = fork_order.decode(datagram.data)
    (child_end,) = datagram.fds
    point("zygote.ordered")
    try:
        if syscalls.fork_sibling() == 0:
            nursery.live(child_end, order)
    except OSError as error:
        sockets.send(control, encoder.encode(ForkRefused(order.serial, error.errno or 0)))
    finally:
        os.close(child_end)
    point("zygote.forked")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), *sys.argv[3:])
