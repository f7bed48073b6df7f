"""A zygote: a program that imports a template's modules once and then forks actor processes from itself.

``python -m actorcore.runtime.zygote.zygote PYTHON TEMPLATE GUARDIAN_PID LOGS PLAN FORKS [MODULE …]``; an empty PLAN is none.
PYTHON is the daemon's: under one whose Python was replaced nobody is born with another.
FORKS is ``one`` or ``many``: whose control socket has ended behind its only order forks that one process and ends, so
it prepares nothing for others.

It stays single-threaded and holds no more than its own sockets, so that a fork is cheap and nothing of one session is
seen by another. Its children are the guardian's (CLONE_PARENT): it may die at any moment without harming one.
"""

from __future__ import annotations

import gc
import importlib
import os
import resource
import signal
import socket
import sys
from collections.abc import Sequence

from actorcore.exit_reason import bounded_text
from actorcore.faults import point
from actorcore.guardian_words import EXIT_PRELOAD, EXIT_PYTHON, EXIT_THREADS, MANY, PYTHON, ForkRefused, encoder, fork_order
from actorcore.runtime import children, fault_injection, sockets, syscalls
from actorcore.runtime.actor import lean
from actorcore.runtime.complain import complain
from actorcore.runtime.zygote import birth, immortals
from actorcore.runtime.zygote.limits import clear_signals
from actorcore.words import ASYNCIO

CONTROL_FD, STATUS_FD, REGISTRY_FD = 3, 4, 5
FLAVOURS = {ASYNCIO: (lean.ASYNC_FLAVOUR,)}
"""What the built-in templates import beyond the code of every zygote."""
ORDER_BYTES = 64
ORDER_ROOM = socket.CMSG_SPACE(4)
OOM_SCORE_ADJ = 500
"""Of zygotes and their children (proc(5)): when memory ends, sessions go before the daemon."""


def main(template: str, guardian_pid: int, logs: str, plan: str, forks: str, preload: Sequence[str]) -> int:
    """Serve fork orders until the control socket ends; the exit status. ``plan``: see fault_injection."""
    for name in children.BIND_NOW:
        del os.environ[name]
    syscalls.close_from(REGISTRY_FD + 1)
    syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != guardian_pid:
        return 0
    # Inherited by every child.
    syscalls.prctl(syscalls.PR_SET_NO_NEW_PRIVS, 1)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    syscalls.raise_oom_score(OOM_SCORE_ADJ)
    modules = (*FLAVOURS.get(template, ()), *preload)
    if not _import_all(template, modules):
        return EXIT_PRELOAD
    if len(os.listdir("/proc/self/task")) > 1:
        complain(f"template {template}: one of {', '.join(modules)} starts threads, and a process with threads is not forked")
        return EXIT_THREADS
    if "asyncio" in sys.modules:
        lean.async_flavour().prepare()
    clear_signals()
    os.chdir("/")
    os.umask(0o077)
    control = socket.socket(fileno=CONTROL_FD)
    nursery = birth.Nursery(guardian_pid, STATUS_FD, REGISTRY_FD, logs, imports=not preload)
    if forks == MANY:
        _prepare(nursery)
    if plan:
        fault_injection.arm(plan)
    syscalls.set_process_name(children.NEWBORN_COMM)
    control.setblocking(True)
    while (status := _fork(control, nursery)) is None:
        pass
    return status


def _prepare(nursery: birth.Nursery) -> None:
    """Make the lives of all children cheap: code specialised, nothing of ours counted or collected in them."""
    nursery.rehearse_births(birth.REHEARSALS_OF_ZYGOTE)
    nursery.rehearse(birth.REHEARSALS_OF_ZYGOTE)
    gc.collect()
    immortals.immortalize()
    gc.freeze()
    nursery.rehearse(birth.REHEARSALS_OF_BLANK, imports=False)  # the collection has emptied the interpreter's free lists


def _import_all(template: str, modules: Sequence[str]) -> bool:
    """Whether all could be imported; where one cannot, the log says why."""
    for module in modules:
        try:
            importlib.import_module(module)
        except BaseException as error:  # also SystemExit: a module that wants to end the program
            complain(f"template {template}: import of {module}: {type(error).__name__}: {bounded_text(str(error), 500)}")
            return False
    return True


def _fork(control: socket.socket, nursery: birth.Nursery) -> int | None:
    """Wait for an order and obey it; a status when there will be no more: 0, or the errno of a fork that failed where
    nobody is left to be told, as in a zygote for one process alone.

    The barest way to receive one: what the zygote writes to between two forks, each child holds a copy of.
    """
    try:
        data, rights, _, _ = control.recvmsg(ORDER_BYTES, ORDER_ROOM, socket.MSG_CMSG_CLOEXEC)
    except ConnectionResetError:
        return 0
    if not data:
        return 0
    ((_, _, descriptor),) = rights
    child_end = int.from_bytes(descriptor, sys.byteorder)
    order = fork_order.decode(data)
    point("zygote.ordered")
    try:
        if syscalls.fork_sibling() == 0:
            nursery.live(child_end, order)
    except OSError as error:
        try:
            sockets.send(control, encoder.encode(ForkRefused(order.serial, error.errno or 0)))
        except sockets.PeerGone:
            return error.errno or 1
    finally:
        os.close(child_end)
    point("zygote.forked")
    return None


if __name__ == "__main__":
    if sys.argv[1] == PYTHON:
        status = main(sys.argv[2], int(sys.argv[3]), sys.argv[4], sys.argv[5], sys.argv[6], sys.argv[7:])
    else:
        complain(f"template {sys.argv[2]}: this is Python {PYTHON}, the daemon is {sys.argv[1]}")
        status = EXIT_PYTHON
    os._exit(status)  # not waiting for threads that a module may have started
