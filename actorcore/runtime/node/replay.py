"""When a snapshot is due: it costs the node a moment, and spares its successor the replay of all events before it."""

from __future__ import annotations

from actorcore.ledger import Ledger

SNAPSHOT_BYTES = 4 << 20
SNAPSHOT_EVENTS = 100
PROCESSES_PER_EVENT = 4
OWED_BYTES_PER_EVENT = 4096
"""A snapshot costs with the processes and with what clients are owed, what a successor replays with the events: for so many
more processes, for so much more owed, it comes one event later."""
QUIET_S = 0.1
QUIET_SHARE = 8
"""When nothing has happened for QUIET_S nobody waits for the node, and a fraction of the events is enough."""


def is_due(ledger: Ledger, processes: int, owed_bytes: int, is_quiet: bool = False) -> bool:
    """Whether a snapshot now is worth it; ``is_quiet``: nobody waits for what it costs."""
    events = max(SNAPSHOT_EVENTS, processes // PROCESSES_PER_EVENT + owed_bytes // OWED_BYTES_PER_EVENT)
    return ledger.needs_snapshot(SNAPSHOT_BYTES, events // QUIET_SHARE if is_quiet else events)
