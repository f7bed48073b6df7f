"""Succession: when the next node is started, and when the one that there is has to go. Pure; times are monotonic seconds.

A node that dies is followed at once by its spare; what may have to wait is the next spare. The pause grows with every node
that never served, with every one that ended by itself before it had served for YOUNG_S, and with every spare that died before
it was ready: that is code that cannot start, and starting it as fast as possible takes a whole CPU from those who live. A
node that has served and was killed from outside is no such code, however soon that was, and who waits for its successor must
not wait for a pause too.
"""

from __future__ import annotations

import msgspec

from actorcore.renewal import READY_S

PAUSES_S = (0.0, 0.0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
"""After the first, second … failure in a row; the last one holds for all that follow."""
YOUNG_S = 0.01
"""A node that has served for less and ended by itself died of what it met at once: clients that returned, events that waited."""
HANG_S = 5.0
"""A node that has not stamped the ledger for so long is killed."""


class Succession(msgspec.Struct):
    """``failures``: nodes in a row that could not start; ``strikes``: spares in a row that died before they were ready."""

    failures: int = 0
    strikes: int = 0
    next_start_s: float = 0.0
    spare_due_s: float = 0.0
    took_over_s: float = 0.0
    serving_s: float | None = None
    looked_s: float = 0.0
    fair_since_s: float = 0.0

    def on_spare_started(self, now_s: float) -> None:
        """It has READY_S to import its code."""
        self.spare_due_s = now_s + READY_S

    def on_spare_dead(self, was_ready: bool, now_s: float) -> None:
        """``was_ready``: it was killed, which says nothing about its code."""
        self.strikes += not was_ready
        self.next_start_s = now_s + self.pause_s()

    def on_spare_ready(self) -> None:
        self.strikes = 0

    def on_took_over(self, now_s: float) -> None:
        """The spare is the node, and the next spare may be started, after the pause if there must be one."""
        self.took_over_s, self.serving_s = now_s, None
        self.next_start_s = now_s + self.pause_s()

    def on_serving(self, now_s: float) -> None:
        self.serving_s = now_s

    def on_node_dead(self, was_killed: bool, now_s: float) -> None:
        """``was_killed``: from outside, which says nothing about its code if that has served."""
        is_failure = self.serving_s is None or (not was_killed and now_s - self.serving_s < YOUNG_S)
        self.failures = self.failures + 1 if is_failure else 0

    def pause_s(self) -> float:
        """How long the next start waits."""
        return PAUSES_S[min(max(self.failures, self.strikes, 1), len(PAUSES_S)) - 1]

    def is_spare_late(self, now_s: float) -> bool:
        """Of a spare that is not ready."""
        return now_s >= self.spare_due_s

    def silent_s(self, stamp_s: float, now_s: float) -> float | None:
        """For how long the node has made no turn, when that is too long; ``stamp_s`` is its last one by the ledger.

        Time in which nobody looked here does not count: whatever froze the guardian may have frozen the node too. Nor does what
        has been told: who is killed for it is not gone at once.
        """
        if now_s - self.looked_s > HANG_S / 2:
            self.fair_since_s = now_s
        self.looked_s = now_s
        silent_s = now_s - max(stamp_s, self.took_over_s, self.fair_since_s)
        if silent_s <= HANG_S:
            return None
        self.fair_since_s = now_s
        return silent_s
