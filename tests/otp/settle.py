"""Ticks, the unit of time of OTP vectors (FORMAT.md §5), and the one place that may sleep through some of them."""

from __future__ import annotations

import time

TICK_S = 0.2
"""Decisive times differ by 8 of them, and on a busy machine any process may stand still for a second."""


def sleep_ticks(ticks: float) -> None:
    """Stay busy: an actor that sleeps reads nothing meanwhile, as a real one that computes."""
    time.sleep(ticks * TICK_S)
