"""The daemon without warm blanks: each spawn waits for a fork of its own."""

from __future__ import annotations

import sys

from supervisors import daemon, node_entry

if __name__ == "__main__":
    node_entry.POOL.clear()
    sys.exit(daemon.main())
