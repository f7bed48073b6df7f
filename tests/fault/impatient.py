"""The daemon that gives a zygote half a second to import its modules."""

from __future__ import annotations

import sys

from actorcore.runtime.guardian import zygotes
from supervisors import daemon

if __name__ == "__main__":
    zygotes.PRELOAD_S = 0.5
    sys.exit(daemon.main())
