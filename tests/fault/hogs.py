"""Actors that take more of the machine than is theirs."""

from __future__ import annotations

from tests.fault.actors import Witness

CHUNK_BYTES = 8 << 20


class Glutton(Witness):
    def handle_cast(self, request: object) -> object:  # type: ignore[override]
        if request != ["devour", None]:
            return super().handle_cast(request)
        eaten = []
        while True:
            eaten.append(b"\1" * CHUNK_BYTES)
