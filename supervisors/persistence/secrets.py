"""The machine's secrets: a private file of random numbers, made once, never replaced, never guessed.

If it is missing while saves exist, unreadable or damaged, nothing is signed and nothing believed until it is back
(acceptance 131): there is no other key to fall back to.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from actorcore.errors import RequestError
from supervisors.persistence import files
from supervisors.persistence.signing import MAX_SECRETS, SECRET_BYTES, InvalidRing, Ring, decode_ring, encode_ring

NAME = "keys"
LOCK_NAME = "keys.lock"
_MAX_BYTES = 100 * (MAX_SECRETS + 1)


class SecretTrouble(RequestError):
    """``secret_unusable``."""

    def __init__(self, what: str) -> None:
        super().__init__("secret_unusable", what)


def ring_of(state: str, has_saves: Callable[[], bool], chance: Callable[[int], bytes] = os.urandom) -> Ring:
    """The ring of the state directory ``state``, made now if there was none and nothing is signed with one.

    :raises SecretTrouble: it cannot be had; nothing was changed.
    """
    with _alone(state):
        found = _read(state)
        if found is None:
            if has_saves():
                raise SecretTrouble("missing")
            found = Ring({}).rotated(chance(SECRET_BYTES))
            files.replace_private(f"{state}/{NAME}", encode_ring(found), "secret")
        return found


def rotate(state: str, chance: Callable[[int], bytes] = os.urandom) -> Ring:
    """A ring with one secret more, which signs from now on; the older ones still prove what they have signed.

    :raises SecretTrouble: there is no ring, it cannot be read or written, or it is full; nothing was changed.
    """
    with _alone(state):
        found = _read(state)
        if found is None:
            raise SecretTrouble("missing")
        if len(found.secrets) >= MAX_SECRETS:
            raise SecretTrouble(f"{MAX_SECRETS} of them already")
        found = found.rotated(chance(SECRET_BYTES))
        files.replace_private(f"{state}/{NAME}", encode_ring(found), "secret")
        return found


def _read(state: str) -> Ring | None:
    try:
        return decode_ring(files.read_private(f"{state}/{NAME}", _MAX_BYTES))
    except FileNotFoundError:
        return None
    except InvalidRing as error:
        raise SecretTrouble(str(error)) from None


@contextmanager
def _alone(state: str) -> Iterator[None]:
    """No other process makes or changes a ring meanwhile."""
    try:
        fd = files.open_private(f"{state}/{LOCK_NAME}", os.O_RDWR | os.O_CREAT)
        try:
            fcntl.lockf(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)
    except OSError as error:
        raise SecretTrouble(files.FileTrouble.of(error).detail) from None
    except files.FileTrouble as error:
        raise SecretTrouble(error.detail) from None
