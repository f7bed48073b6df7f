"""Lives of one session's database, one after the other, each ended by a SIGKILL or hurt by failures at named points or calls.

``python -m tests.persistence.crashes STRIKES SEED``: prints how many strikes there were, as JSON, or what was lost. A program of
its own, for a small process forks fast.
"""

from __future__ import annotations

import errno
import json
import mmap
import os
import random
import signal
import struct
import sys
import tempfile
import uuid
from collections import Counter

from actorcore import faults
from actorcore.errors import RequestError
from actorcore.faults import FILE_POINTS
from supervisors.persistence.database import Database
from supervisors.persistence.proof import Content
from supervisors.persistence.signing import Ring

ID = str(uuid.UUID(int=9, version=4))
KEYS = Ring({1: b"k" * 32}).keys_of(ID)
POINTS = [name for name in FILE_POINTS if name.startswith("database.")]
MAY_FAIL = {"append", "inserted", "written", "checkpoint", "replaced", "created", "filled", "head"}
"""Points with a call behind them that can fail; at the others everything is done, and only death comes between."""
ERRORS = (errno.EIO, errno.ENOSPC)
STEPS_OF_A_LIFE = 24
SAVED_AFTER = 40
"""Records: so that a life stays short however many there were."""
_FIELDS = struct.Struct("QQ")


class Lost(Exception):
    """What was acknowledged is not there, or what was never asked for is."""


class Strikes:
    """The hook of the named points: at some passes it fails, at one it kills."""

    def __init__(self, chance: random.Random, counts: mmap.mmap) -> None:
        self._chance, self._counts = chance, counts
        self._kill_at, self._kill_in = chance.choice(POINTS), chance.randrange(1, 5)

    def __call__(self, name: str) -> None:
        self._kill_in -= name == self._kill_at
        place = 16 + 8 * POINTS.index(name)
        if self._kill_in <= 0:
            self._count(place)
            signal.raise_signal(signal.SIGKILL)
        if name.partition(".")[2] in MAY_FAIL and self._chance.random() < 0.3:
            self._count(place)
            raise OSError(self._chance.choice(ERRORS), "struck")

    def _count(self, place: int) -> None:
        self._counts[place : place + 8] = struct.pack("Q", struct.unpack("Q", self._counts[place : place + 8])[0] + 1)


def last_of(content: Content) -> int:
    """The last number, where all before it are there."""
    last = int(content.snapshot.content or b"0")
    for body, _ in content.records:
        if int(body) != last + 1:
            raise Lost(f"{last} is followed by {body!r}")
        last += 1
    return last


def live(folder: str, seed: int, said: mmap.mmap) -> None:
    """One life. ``said``: the last number that was acknowledged, and the last that was asked for."""
    chance = random.Random(seed)
    strikes = Strikes(chance, said)
    database = Database(folder, ID, KEYS)
    faults.hook = strikes
    try:
        content = database.open()
    except RequestError as error:
        if error.code in ("write_failed", "path_no_space"):
            return  # the next one tries
        raise
    acknowledged, asked = _FIELDS.unpack(said[:16])
    last = last_of(content)
    if not acknowledged <= last <= asked:
        raise Lost(f"{last} is kept, {acknowledged} was acknowledged, {asked} asked for")
    for _ in range(chance.randrange(STEPS_OF_A_LIFE)):
        try:
            if chance.random() < 0.1 or len(database.content.records) > SAVED_AFTER:
                database.checkpoint({}, b"%d" % last)
                continue
            count = chance.choice((1, 1, 1, 3))
            said[:16] = _FIELDS.pack(last, last + count)
            database.append([b"%d" % number for number in range(last + 1, last + count + 1)])
            last += count
            said[:16] = _FIELDS.pack(last, last)
        except RequestError:
            pass  # not kept, and said so: the session goes on
    try:
        database.close()
    except RequestError:
        pass  # the next one finds it running, and all that was acknowledged


def lives(strikes: int, seed: int) -> dict[str, int]:
    """Strikes until there were so many, by point.

    :raises Lost: with the seed of the life that found it.
    """
    said = mmap.mmap(-1, 4096)
    with tempfile.TemporaryDirectory(dir="/dev/shm") as root:
        while True:
            counts = Counter({name: struct.unpack("Q", said[16 + 8 * at : 24 + 8 * at])[0] for at, name in enumerate(POINTS)})
            if counts.total() >= strikes:
                return dict(counts)
            seed += 1
            child = os.fork()
            if child == 0:
                try:
                    live(f"{root}/{ID}", seed, said)
                except BaseException as error:
                    print(f"seed {seed}: {type(error).__name__}: {error}", flush=True)
                    os._exit(1)
                os._exit(0)
            if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1:
                raise Lost(f"seed {seed}")


if __name__ == "__main__":
    print(json.dumps(lives(int(sys.argv[1]), int(sys.argv[2]))))
