"""Known bad: the daemon of :mod:`tests.fault.weighed` whose manager does not forget a session that has ended."""

from __future__ import annotations

import sys

from supervisors import daemon
from supervisors.session.lifecycle import Lifecycle
from supervisors.session.words import Slot

KEPT: list[Slot] = []
end = Lifecycle._end


def kept(self: Lifecycle, slot: Slot) -> None:
    KEPT.append(slot)
    end(self, slot)


if __name__ == "__main__":
    Lifecycle._end = kept  # type: ignore[method-assign]
    sys.exit(daemon.main("tests.fault.weighed:node_main"))
