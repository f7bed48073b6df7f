"""The runtime directory: where the daemon's socket, lock and log live, and the checks that keep strangers out of it.

Whoever can write this directory can pose as the daemon, so it must be a real directory of ours with mode 0700, or nothing
is done (RELIABILITY S1, F14'). A socket path longer than ``sun_path`` is reached through ``/proc/self/fd`` (F15').
"""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path

from actorcore.errors import RequestError

DIRECTORY_VARIABLE = "ACTORCORE_DIR"
STATE_VARIABLE = "ACTORCORE_STATE"
SESSIONS_NAME = "sessions"
"""In the state directory: the folder with one folder per saved session."""
SOCKET_NAME = "actorcore.sock"
LOCK_NAME = "start.lock"
LOG_NAME = "daemon.log"
PROCESS_LOGS_NAME = "log"
MAX_ADDRESS_BYTES = 107
"""``sun_path`` without its final NUL, unix(7)."""


def default_directory(environment: Mapping[str, str] = os.environ) -> Path:
    """``$ACTORCORE_DIR``, else ``$XDG_RUNTIME_DIR/actorcore``, else ``run`` in this user's state directory. Touches nothing.

    Never a fixed name in /tmp: anybody could have made it before us.

    :raises RequestError: ``invalid_spec``, a variable names no absolute path.
    """
    if chosen := environment.get(DIRECTORY_VARIABLE):
        return _absolute(DIRECTORY_VARIABLE, chosen)
    if runtime := environment.get("XDG_RUNTIME_DIR"):
        return _absolute("XDG_RUNTIME_DIR", runtime) / "actorcore"
    import platformdirs  # 20 ms that most callers need not spend

    return platformdirs.user_state_path("actorcore", appauthor=False) / "run"


def has_saved_sessions(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether there is anything in the state directory of ``$ACTORCORE_STATE`` that could be resumed."""
    try:
        with os.scandir(os.path.join(environment[STATE_VARIABLE], SESSIONS_NAME)) as entries:
            return next(entries, None) is not None
    except OSError:
        return False


def state_directory(directory: Path, environment: Mapping[str, str] = os.environ) -> Path:
    """Where the daemon with the runtime directory ``directory`` keeps what outlives it. Touches nothing.

    ``$ACTORCORE_STATE``, else ``state`` in ``directory``; but below ``$XDG_RUNTIME_DIR``, which ends with the login, this
    user's state directory.

    :raises RequestError: ``invalid_spec``, the variable names no absolute path.
    """
    if chosen := environment.get(STATE_VARIABLE):
        return _absolute(STATE_VARIABLE, chosen)
    runtime = environment.get("XDG_RUNTIME_DIR")
    if not runtime or not directory.is_relative_to(runtime):
        return directory / "state"
    import platformdirs

    return platformdirs.user_state_path("actorcore", appauthor=False)


def prepare_directory(directory: Path) -> Path:
    """``directory``, made with mode 0700 if it is missing, and checked.

    :raises RequestError: ``not_permitted``, it is no directory of ours with mode 0700, or cannot be made.
    """
    try:
        directory.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):  # what it is then is told below
            directory.mkdir(mode=0o700)
    except OSError as error:
        raise _refusal(directory, f"cannot be made: {error.strerror}") from None
    return check_directory(directory)


def check_directory(directory: Path) -> Path:
    """``directory`` itself when it is a real directory, ours, with mode 0700.

    :raises RequestError: ``not_permitted``, saying what is wrong with it.
    :raises FileNotFoundError: there is none.
    """
    found = os.lstat(directory)
    if stat.S_ISLNK(found.st_mode):
        raise _refusal(directory, "is a symbolic link")
    if not stat.S_ISDIR(found.st_mode):
        raise _refusal(directory, "is not a directory")
    if found.st_uid != os.geteuid():
        raise _refusal(directory, f"belongs to uid {found.st_uid}, not to {os.geteuid()}")
    mode = stat.S_IMODE(found.st_mode) & 0o777
    if mode != 0o700:
        raise _refusal(directory, f"has mode {mode:04o}, not 0700")
    return directory


@contextlib.contextmanager
def socket_address(directory: Path) -> Iterator[str]:
    """What to bind or connect for the socket in ``directory``; valid inside the ``with``, however long the path is.

    :raises OSError: the directory cannot be opened.
    """
    path = str(directory / SOCKET_NAME)
    if len(os.fsencode(path)) <= MAX_ADDRESS_BYTES:
        yield path
        return
    handle = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{handle}/{SOCKET_NAME}"
    finally:
        os.close(handle)


def dial(directory: Path, timeout_s: float) -> socket.socket:
    """A non-blocking stream connected to the daemon of ``directory``; at most ``timeout_s`` while its backlog is full.

    :raises RequestError: ``not_permitted``, the directory is not safe.
    :raises OSError: FileNotFoundError or ConnectionRefusedError: no daemon; BlockingIOError: the time is over.
    """
    check_directory(directory)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        micros = max(1, int(timeout_s * 1e6))
        # Not settimeout: that makes the socket non-blocking, and a full backlog would be EAGAIN at once.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("@ll", *divmod(micros, 1_000_000)))
        with socket_address(directory) as address:
            sock.connect(address)
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return sock


def _absolute(variable: str, text: str) -> Path:
    path = Path(text)
    if not path.is_absolute():
        raise RequestError("invalid_spec", f"{variable} is not an absolute path")
    return path


def _refusal(directory: Path, why: str) -> RequestError:
    return RequestError("not_permitted", f"runtime directory {directory} {why}")
