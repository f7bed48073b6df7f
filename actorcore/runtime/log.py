"""The log of guardian and node: one JSON line per record on stderr; it never blocks and counts what it drops."""

from __future__ import annotations

import os

import msgspec

from actorcore.exit_reason import Term
from actorcore.runtime import clock

_LIMIT_BYTES = 4096
_dropped = 0


def report(kind: str, serial: int, detail: Term = None) -> None:
    """Write one record. JSON escapes control characters, so a record is a line whatever it quotes."""
    global _dropped
    record = {"at_s": round(clock.monotonic_s(), 6), "kind": kind, "serial": serial, "detail": detail, "dropped": _dropped}
    line = msgspec.json.encode(record, enc_hook=repr)
    if len(line) > _LIMIT_BYTES:
        line = msgspec.json.encode({**record, "detail": "truncated"})
    try:
        os.write(2, line + b"\n")
        _dropped = 0
    except OSError:
        _dropped += 1
