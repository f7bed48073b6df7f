"""Birth of a node: from the guardian's fork to the node's entry point, in the child."""

from __future__ import annotations

import importlib
import os
import signal
import socket
import sys
import traceback
from typing import NoReturn

from actorcore import faults
from actorcore.runtime import children, fault_injection, log, memory, sockets, syscalls
from actorcore.runtime.guardian.keep import Link, Mappings, say

NO_PROCESS = "there is no process for another node"
CRASH_CHARACTERS = 3000
"""The end of a traceback, where the reason is; a record of the log has 4 KiB."""


def fork_node(entry: str, mappings: Mappings, from_disk: bool) -> Link | None:
    """A new child that becomes a node; None, and a line in the log, when the machine has no process for it."""
    try:
        ours, theirs = sockets.pair()
    except OSError as error:
        say(f"{NO_PROCESS}: {error.strerror}")
        return None
    guardian_pid = os.getpid()
    memory.set_inherited(mappings.registry, True)
    try:
        os_pid = os.fork()
        if os_pid == 0:
            _become_node(entry, theirs, mappings, guardian_pid, from_disk)
    except OSError as error:
        ours.close()
        say(f"{NO_PROCESS}: {error.strerror}")
        return None
    finally:
        memory.set_inherited(mappings.registry, False)
        theirs.close()
    return Link(os_pid, ours)


def _become_node(entry: str, control: socket.socket, mappings: Mappings, guardian_pid: int, from_disk: bool) -> NoReturn:
    """In the forked child: keep the control socket and the mappings, nothing else; never return.

    The code is what the guardian has in memory, so that a broken disk harms no takeover, or else what is on disk now.
    """
    status = 1
    try:
        os.dup2(control.fileno(), 3, inheritable=False)
        syscalls.close_from(4)
        log.open_stderr()
        control = socket.socket(fileno=3)
        children.ignore_all_but(set())  # TERM and its like are the guardian's, which passes them on as words
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        os.setsid()
        syscalls.prctl(syscalls.PR_SET_CHILD_SUBREAPER, 0)
        syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() == guardian_pid:
            syscalls.set_process_name("actor-node")
            module, _, name = entry.partition(":")
            if from_disk:
                _forget_modules({"actorcore", module.partition(".")[0]})
                if faults.plan:
                    importlib.import_module(fault_injection.__name__).arm(faults.plan)
            getattr(importlib.import_module(module), name)(control, mappings.ledger, mappings.registry, mappings.status)
            status = 0
    except BaseException as error:
        lines = "".join(traceback.format_exception(error))
        log.report("node_crashed", 0, lines[-CRASH_CHARACTERS:])
    finally:
        os._exit(status)


def _forget_modules(packages: set[str]) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] in packages]:
        del sys.modules[name]
    importlib.invalidate_caches()
