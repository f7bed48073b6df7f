"""Monitors: one-way, any number per pair, each fires exactly once or is removed.

The same table serves whatever must be settled when a target dies: the asks that a resident has not answered yet.
"""

from __future__ import annotations

import msgspec


class Monitors(msgspec.Struct):
    """``refs`` answers "who watches this target", ``targets`` "what does this watcher's ref watch". ``late``: by watcher, the
    refs that began to watch when the end of their target was decided already.
    """

    refs: dict[int, dict[int, dict[int, None]]] = {}
    targets: dict[int, dict[int, int]] = {}
    late: dict[int, dict[int, None]] = {}

    def has(self, watcher: int, ref: int) -> bool:
        return ref in self.targets.get(watcher, {})

    def add(self, watcher: int, ref: int, target: int, is_late: bool = False) -> None:
        """Raises ValueError for a ref that the watcher uses already."""
        if self.has(watcher, ref):
            raise ValueError(f"ref {ref} of {watcher} is in use")
        self.targets.setdefault(watcher, {})[ref] = target
        self.refs.setdefault(target, {}).setdefault(watcher, {})[ref] = None
        if is_late:
            self.late.setdefault(watcher, {})[ref] = None

    def remove(self, watcher: int, ref: int) -> bool:
        """Whether the monitor still existed."""
        target = self.targets.get(watcher, {}).get(ref)
        if target is None:
            return False
        self._forget_watch(target, watcher, ref)
        self.take_late(watcher, [ref])
        remaining = self.targets[watcher]
        del remaining[ref]
        if not remaining:
            del self.targets[watcher]
        return True

    def fire(self, target: int) -> list[tuple[int, list[int]]]:
        """Remove all monitors of a dead target; each watcher with its refs, longest watching first."""
        fired = [(watcher, list(refs)) for watcher, refs in self.refs.pop(target, {}).items()]
        for watcher, refs in fired:
            remaining = self.targets[watcher]
            for ref in refs:
                del remaining[ref]
            if not remaining:
                del self.targets[watcher]
        return fired

    def take_late(self, watcher: int, refs: list[int]) -> list[int]:
        """Those of ``refs`` that are late, and are forgotten as such."""
        late = self.late.get(watcher)
        if late is None:
            return []
        taken = [ref for ref in refs if ref in late]
        for ref in taken:
            del late[ref]
        if not late:
            del self.late[watcher]
        return taken

    def drop(self, watcher: int) -> None:
        """Remove all monitors that a dead watcher had."""
        self.late.pop(watcher, None)
        for ref, target in self.targets.pop(watcher, {}).items():
            self._forget_watch(target, watcher, ref)

    def count(self) -> int:
        return sum(map(len, self.targets.values()))

    def _forget_watch(self, target: int, watcher: int, ref: int) -> None:
        watchers = self.refs[target]
        del watchers[watcher][ref]
        if not watchers[watcher]:
            del watchers[watcher]
        if not watchers:
            del self.refs[target]
