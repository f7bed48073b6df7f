"""The daemon with sockets that take few datagrams, as where nobody may enlarge them, and fewer still."""

from __future__ import annotations

import sys

from actorcore.runtime import sockets
from supervisors import daemon

if __name__ == "__main__":
    sockets.SEND_BUFFER_BYTES = 8 << 10
    sys.exit(daemon.main())
