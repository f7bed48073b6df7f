"""The clocks. Every other module gets time as an argument or from here.

Periodic wake-ups of the runtime: the guardian looks at the node's stamp once a second, the node stamps once a second when
idle and looks at the status page of a process with a ``busy_timeout_s`` once in that time; a process looks for orphans
among its children every 2 s, without children only once after its last message. Nothing else ticks.
"""

from __future__ import annotations

import functools
import time

NODE_STAMP_PERIOD_S = 1.0
LONGEST_POLL_S = 86_400.0
"""epoll_wait(2) counts milliseconds in an int, so it takes no more than 24 days: who waits longer looks up once a day."""

monotonic_s = time.monotonic
"""Seconds of CLOCK_MONOTONIC: it neither jumps with the wall clock nor runs during suspend."""
monotonic_ns = time.monotonic_ns
"""The same in nanoseconds."""
wall_s = time.time
"""UTC, seconds since 1970: to be shown and kept, never to be measured with."""
cpu_s = time.process_time
"""Seconds of CPU that this OS process has used."""


def utc_text(at: float) -> str:
    """``2026-11-22T01:34:06.123Z`` of a time in seconds since 1970, UTC (RFC 3339)."""
    second = int(at)
    return f"{_second_text(second)}.{int((at - second) * 1000):03}Z"


@functools.lru_cache(maxsize=1)
def _second_text(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))


def wall_offset_s() -> float:
    """What to add to :data:`monotonic_s` for the wall clock: UTC, seconds since 1970. It changes when that is set."""
    return time.time() - time.monotonic()
