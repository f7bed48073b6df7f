"""Links: symmetric, at most one per pair, gone when either end is."""

from __future__ import annotations

import msgspec


class Links(msgspec.Struct):
    """Who is linked to whom; dicts are ordered sets, so that effects follow the order of linking."""

    partners: dict[int, dict[int, None]] = {}

    def add(self, a: int, b: int) -> None:
        """Link the pair; linking again, or to oneself, changes nothing (OTP: link/1)."""
        if a == b:
            return
        self.partners.setdefault(a, {})[b] = None
        self.partners.setdefault(b, {})[a] = None

    def remove(self, a: int, b: int) -> bool:
        """Whether there was a link."""
        if b not in self.partners.get(a, {}):
            return False
        self._discard(a, b)
        self._discard(b, a)
        return True

    def drop(self, serial: int) -> list[int]:
        """Remove all links of a dead process; its partners, longest linked first."""
        partners = list(self.partners.pop(serial, {}))
        for partner in partners:
            self._discard(partner, serial)
        return partners

    def of(self, serial: int) -> list[int]:
        return list(self.partners.get(serial, {}))

    def count(self) -> int:
        return sum(map(len, self.partners.values())) // 2

    def _discard(self, a: int, b: int) -> None:
        remaining = self.partners[a]
        del remaining[b]
        if not remaining:
            del self.partners[a]
