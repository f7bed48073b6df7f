"""Real signals to the OS process of a Pid, without ever hitting a stranger that got its number."""

from __future__ import annotations

import os
import signal

from actorcore.errors import CallFailed
from actorcore.exit_reason import KILL, NOPROC
from actorcore.pids import Pid
from supervisors.clients import steps
from supervisors.clients.core import ClientCore
from supervisors.clients.steps import Steps, Target


def kill(core: ClientCore, to: Target, signum: int | None) -> Steps[None]:
    """The untrappable exit signal, or with ``signum`` a real signal; CallFailed ``noproc`` if that has nobody to go to."""
    if signum is None:
        yield from steps.send_exit(core, to, KILL)
        return
    pid = to if isinstance(to, Pid) else (yield from steps.whereis(core, to))
    os_pid = yield from _os_pid(core, pid)
    try:
        handle = os.pidfd_open(os_pid)
    except ProcessLookupError:
        raise CallFailed(NOPROC) from None
    try:
        # The number may have gone to a stranger before the pidfd was opened; the row of a dead process is gone.
        if (yield from _os_pid(core, pid)) != os_pid:
            raise CallFailed(NOPROC)
        signal.pidfd_send_signal(handle, signum)
    except ProcessLookupError:
        raise CallFailed(NOPROC) from None
    finally:
        os.close(handle)


def _os_pid(core: ClientCore, pid: Pid | None) -> Steps[int]:
    if pid is not None and pid.instance == core.connection.instance and pid.serial > 0:
        rows = yield from steps.processes(core, pid.serial - 1, 1)
        if rows and rows[0]["serial"] == pid.serial and isinstance(os_pid := rows[0]["os_pid"], int) and os_pid > 0:
            return os_pid
    raise CallFailed(NOPROC)
