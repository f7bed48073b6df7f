"""Renewal: whether a node of other code may take the place of the serving one. Pure; the guardian does what it says."""

from __future__ import annotations

import msgspec

from actorcore.guardian_words import VERSION, Ready

READY_S = 10.0
STRIKES = 2
"""New code that dies so often before it is ready is not used."""


class Renewal(msgspec.Struct):
    """Reload ``number``, under way until the new node serves. Times are monotonic seconds; a text is why it may not."""

    number: int
    due_s: float
    strikes: int = 0
    is_ready: bool = False

    def on_ready(self, said: Ready, serving_schema: int) -> str | None:
        """It has its code imported; the serving node writes snapshots of ``serving_schema``."""
        self.is_ready = True
        if said.words != VERSION:
            return "the new code needs a new guardian: take the daemon down and start it again"
        if not said.oldest <= serving_schema <= said.schema:
            reads = f"snapshots of schema {said.oldest} to {said.schema}"
            return f"the new code reads {reads}, the running code writes schema {serving_schema}"
        return None

    def on_death(self, is_node: bool) -> str | None:
        """It died; without a text it is to be tried again."""
        self.strikes += 1
        if is_node:
            return "the new node died before it served; the log tells why"
        if self.is_ready or self.strikes == STRIKES:
            return "the new code died before it was ready; the log tells why"
        return None

    def on_time(self, now_s: float) -> str | None:
        """Time has passed."""
        return None if self.is_ready or now_s <= self.due_s else f"the new code was not ready within {READY_S:g} s"
