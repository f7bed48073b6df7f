"""``python -m tests.otp.daemon``: the daemon of the product, whose machines announce themselves to scenarios."""

from __future__ import annotations

import sys

from supervisors import daemon
from tests.otp.announced import node_main

if __name__ == "__main__":
    sys.exit(daemon.main(f"{node_main.__module__}:{node_main.__name__}"))
