"""The daemon that may not read the kernel's log, as most in a container."""

from __future__ import annotations

import sys

from actorcore.runtime import oom
from supervisors import daemon

if __name__ == "__main__":
    oom.kernel_log = lambda: -1
    sys.exit(daemon.main())
