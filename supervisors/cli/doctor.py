"""What this machine offers of what the daemon is built on, and what is so without it (RELIABILITY H5).

Each probe tries the thing itself and returns what it saw, or raises :class:`Missing` or an OSError.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import resource
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec

from actorcore.errors import RequestError
from actorcore.runtime import memory, oom, sockets, syscalls
from supervisors import daemon, paths

PYTHON = (3, 11)
FDS_PER_SESSION = 2
"""In the guardian and in the node: a control socket and a pidfd."""
_LANDLOCK_CREATE_RULESET = 444
_LANDLOCK_CREATE_RULESET_VERSION = 1


class Missing(Exception):
    """The machine has it not; the text says what was seen instead."""


class Finding(msgspec.Struct, frozen=True):
    """``detail`` is what was seen; ``otherwise`` is what is so where it is missing; ``needed``: no daemon without it."""

    feature: str
    ok: bool
    needed: bool
    detail: str
    otherwise: str


class Probe(msgspec.Struct, frozen=True):
    """One feature and how it is looked for."""

    feature: str
    look: Callable[[], str]
    otherwise: str
    needed: bool = False


def examine(directory: Path) -> list[Finding]:
    """Every probe of PROBES, and the runtime directory."""
    own = Probe("runtime directory", lambda: _directory(directory), "name another with --dir or ACTORCORE_DIR", needed=True)
    return [_examine(probe) for probe in (*PROBES, own)]


def _examine(probe: Probe) -> Finding:
    try:
        return Finding(probe.feature, True, probe.needed, probe.look(), probe.otherwise)
    except (Missing, RequestError) as error:
        detail = str(error)
    except OSError as error:
        detail = errno.errorcode.get(error.errno or 0, "error").lower()
    return Finding(probe.feature, False, probe.needed, detail, probe.otherwise)


# ---- what is needed ---------------------------------------------------------------------------------------------------


def _python() -> str:
    if sys.version_info < PYTHON:
        raise Missing(platform.python_version())
    return platform.python_version()


def _machine() -> str:
    found = f"{platform.system()} {platform.release()} {platform.machine()}"
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        raise Missing(found)
    return found


def _pidfd() -> str:
    handle = os.pidfd_open(os.getpid())
    try:
        signal.pidfd_send_signal(handle, 0)
    finally:
        os.close(handle)
    return "open and signal work"


def _memfd() -> str:
    fd = memory.create_memfd("actorcore-doctor", memory.PAGE_BYTES)
    try:
        memory.seal(fd, future_write=True)
    finally:
        os.close(fd)
    return "shrink, grow and future-write seals work"


def _memory() -> str:
    wanted = daemon.LEDGER_BYTES + daemon.STATUS_PAGES * memory.PAGE_BYTES
    facts = dict(line.split(":") for line in syscalls.read_proc("meminfo").decode().splitlines())
    free = int(facts["MemAvailable"].split()[0]) << 10
    if free < wanted:
        raise Missing(f"{free >> 20} MiB are free, {wanted >> 20} MiB are needed")
    return f"{free >> 20} MiB free"


def _subreaper() -> str:
    before = ctypes.c_int()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(37, ctypes.byref(before), 0, 0, 0):  # PR_GET_CHILD_SUBREAPER
        raise OSError(ctypes.get_errno(), "prctl")
    return "orphans come to the guardian"


def _directory(directory: Path) -> str:
    try:
        paths.check_directory(directory)
    except FileNotFoundError:
        return f"{directory} will be made"
    return str(directory)


# ---- what is good to have ---------------------------------------------------------------------------------------------


def _descriptors() -> str:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)  # the daemon takes all that it may have
    sessions = max(0, (hard - 64) // FDS_PER_SESSION)
    text = f"{hard}: about {sessions} sessions"
    if sessions < 1000:
        raise Missing(text)
    return text


def _send_buffer() -> str:
    ours, theirs = sockets.pair()
    try:
        size = ours.getsockopt(1, 7) // 2  # SO_SNDBUF, which the kernel doubles
    finally:
        ours.close()
        theirs.close()
    if size < sockets.SEND_BUFFER_BYTES:
        raise Missing(f"{size >> 10} KiB of {sockets.SEND_BUFFER_BYTES >> 10}")
    return f"{size >> 10} KiB"


def _cgroup() -> str:
    for line in syscalls.read_proc("self/cgroup").decode().splitlines():
        number, _, path = line.split(":", 2)
        if number == "0":
            kill = Path("/sys/fs/cgroup") / path.lstrip("/") / "cgroup.kill"
            if os.access(kill, os.W_OK):
                return str(kill)
    raise Missing("no writable cgroup.kill")


def _victims() -> str:
    for look, seen in ((oom.kernel_log, "the kernel's log names them"), (oom.cgroup_count, "a memory cgroup counts them")):
        if (fd := look()) >= 0:
            os.close(fd)
            return seen
    raise Missing("neither the kernel's log nor the count of a memory cgroup can be read")


def _landlock() -> str:
    libc = ctypes.CDLL(None, use_errno=True)
    abi = libc.syscall(_LANDLOCK_CREATE_RULESET, None, 0, _LANDLOCK_CREATE_RULESET_VERSION)
    if abi < 0:
        raise OSError(ctypes.get_errno(), "landlock")
    return f"ABI {abi}"


def _uvloop() -> str:
    if not any(Path(folder, "uvloop").is_dir() for folder in sys.path):
        raise Missing("not installed")
    return "installed"


PROBES = (
    Probe("python", _python, "a newer Python is needed", needed=True),
    Probe("machine", _machine, "Linux on x86-64 is needed", needed=True),
    Probe("pidfd", _pidfd, "Linux 5.3 is needed: a signal must never hit a stranger", needed=True),
    Probe("memfd seals", _memfd, "Linux 5.1 is needed: no session may write the registry", needed=True),
    Probe("memory", _memory, "the daemon will not start", needed=True),
    Probe("subreaper", _subreaper, "Linux 3.4 is needed: somebody must reap orphans", needed=True),
    Probe("descriptors", _descriptors, "fewer sessions; raise the limit (ulimit -n)"),
    Probe("send buffer", _send_buffer, "senders wait earlier; raise net.core.wmem_max"),
    Probe("cgroup kill", _cgroup, "descendants are found by process group and tree; some may outlive a killed guardian"),
    Probe("oom victims", _victims, "who is killed for want of memory ends as killed, not as killed: oom"),
    Probe("landlock", _landlock, "sessions are kept apart against accidents, not against hostile code"),
    Probe("uvloop", _uvloop, "async processes run on asyncio's own loop, as they do now"),
)
