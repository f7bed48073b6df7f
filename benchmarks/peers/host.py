"""One peer in a process of its own: opened, measured, closed; each figure is a line of JSON as soon as there is one.

``python -m benchmarks.peers.host MODULE VARIANT SECONDS FIGURE…``. SECONDS: how long one figure is measured again and
again; at least once, and no more than MOST times. The first line says the version, or what is missing.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from typing import TextIO

from benchmarks.peers.contract import FIGURES, Missing, Peer
from benchmarks.peers.process_tree import adopt_orphans, end_below

MOST = 40
WARM_UP = 1
"""Measurements that are taken and forgotten, of what is quick enough to be taken again."""


def main() -> None:
    module, variant, seconds, *figures = sys.argv[1:]
    told = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what a peer prints is no figure
    adopt_orphans()
    try:
        peer: Peer[object] = importlib.import_module(f"benchmarks.peers.{module}").PEERS[variant]()
        peer.run(lambda: measure(peer, float(seconds), figures, told))
    except Missing as missing:
        tell(told, missing=str(missing))
    except ModuleNotFoundError as missing:
        if missing.name is None or missing.name.startswith("benchmarks"):
            raise
        tell(told, missing=f"no module {missing.name}: it is in the extra “peers”")
    finally:
        end_below(os.getpid())
    tell(told, closed=True)


def measure(peer: Peer[object], seconds: float, figures: list[str], told: TextIO) -> None:
    tell(told, version=peer.version(), remarks=dict(peer.remarks), lacks=dict(peer.lacks))
    for figure in figures:
        if figure not in peer.lacks:
            tell(told, figure=figure, values=repeated(peer, figure, seconds))


def repeated(peer: Peer[object], figure: str, seconds: float) -> list[float]:
    """Measurements of one figure until the time is over; a first one is forgotten when there is time for another."""
    take = getattr(peer, FIGURES[figure])
    values = list[float]()
    ending = time.monotonic() + seconds
    while not values or (len(values) < MOST and time.monotonic() < ending):
        values.append(take())
    return values[WARM_UP:] or values


def tell(told: TextIO, **words: object) -> None:
    told.write(json.dumps(words) + "\n")


if __name__ == "__main__":
    main()
