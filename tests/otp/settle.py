"""Ticks, the unit of time of OTP vectors (FORMAT.md §5), and the one place that may sleep through some of them."""

from __future__ import annotations

import time

TICK_S = 0.1


def sleep_ticks(ticks: float) -> None:
    """Stay busy: an actor that sleeps reads nothing meanwhile, as a real one that computes."""
    time.sleep(ticks * TICK_S)
