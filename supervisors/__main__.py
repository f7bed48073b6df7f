"""The console script ``actorcore``, also ``python -m supervisors``."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType

from supervisors import exit_codes


def _interrupted(signum: int, frame: FrameType | None) -> None:
    os._exit(exit_codes.INTERRUPTED)


def main() -> None:
    """Run the command line and exit with its code."""
    # Not KeyboardInterrupt: raised in a callback, as of a weak reference in the middle of an import, it is printed and lost,
    # and the command waits for ever. What a command leaves to be done at its end the daemon does: it sees it hang up.
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupted)
    from supervisors.cli.commands import run

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
