"""One line on stderr, from where nothing may fail because of it: a full or closed log harms nobody."""

from __future__ import annotations

import os


def complain(text: str) -> None:
    """Write ``text`` and a line end to descriptor 2, past any buffers; what does not go there is lost."""
    try:
        os.write(2, text.encode("utf-8", "replace") + b"\n")
    except OSError:  # ENOSPC, EBADF, EPIPE: there is no other place to tell it
        pass
