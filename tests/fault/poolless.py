"""The daemon without warm blanks: each spawn waits for a fork of its own."""

from __future__ import annotations

import sys
from pathlib import Path

from supervisors import daemon

if __name__ == "__main__":
    sys.argv += ["--config", str(Path(__file__).with_suffix(".toml"))]
    sys.exit(daemon.main())
