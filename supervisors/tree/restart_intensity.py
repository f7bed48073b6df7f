"""Restart intensity: OTP's limit on restarts, as a pure function of when the earlier ones were.

The rule is ``add_restart`` of OTP 25's supervisor.erl: the restart that is about to happen counts, an earlier one
counts while ``now <= then + period``, and more than ``intensity`` of them mean giving up. OTP reads its clock in whole
seconds, here times are exact, so a period is never a second longer than stated.
"""

from __future__ import annotations


def add_restart(times: list[float], now: float, intensity: int, period_s: float) -> tuple[list[float], bool]:
    """The restarts that count at ``now``, oldest first and with ``now`` added, and whether the newest is allowed.

    ``times``: earlier results of this function, monotonic seconds, rising.
    """
    counting = [then for then in times if now <= then + period_s]
    counting.append(now)
    # One more than the limit settles the question; without the cut a child that never gives up would fill the memory.
    return counting[-(intensity + 1) :], len(counting) <= intensity
