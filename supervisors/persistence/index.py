"""The index: what the store knows of each session's newest save, in one signed file that is replaced as a whole.

It shows an older save in the place of a newer one (RELIABILITY F5'), and has what a list says of a session that lives. It
is no source of truth: lost or damaged, it is empty, and filled again by what is saved and looked at from then on.
"""

from __future__ import annotations

import msgspec

from actorcore.frames import DECODE_ERRORS
from supervisors.persistence import files
from supervisors.persistence.saved import SavedSession
from supervisors.persistence.signing import MAC_BYTES, Ring, is_same, sign_index

NAME = "index"
_MAX_BYTES = 64 << 20
_decoder = msgspec.msgpack.Decoder(dict[str, SavedSession])
_NUMBER_BYTES = 8


class Index:
    """In ``state``, the store's directory; only the store writes it."""

    def __init__(self, state: str) -> None:
        self._path = f"{state}/{NAME}"
        self.lines: dict[str, SavedSession] = {}

    def load(self, ring: Ring) -> bool:
        """Read it; whether it was there and is to be believed."""
        try:
            data = files.read_private(self._path, _MAX_BYTES)
        except (OSError, files.FileTrouble):
            return False
        number, mac, body = _parts(data)
        if number not in ring.secrets or not is_same(sign_index(ring.secrets[number], body), mac):
            return False
        try:
            self.lines = _decoder.decode(body)
        except DECODE_ERRORS:
            return False
        return True

    def write(self, ring: Ring) -> None:
        """Make it durable as it is now; raises OSError, FileTrouble."""
        number = max(ring.secrets)
        body = msgspec.msgpack.encode(self.lines)
        mac = sign_index(ring.secrets[number], body)
        files.replace_private(self._path, number.to_bytes(_NUMBER_BYTES, "big") + mac + body, "index")


def _parts(data: bytes) -> tuple[int, bytes, bytes]:
    end = _NUMBER_BYTES + MAC_BYTES
    return int.from_bytes(data[:_NUMBER_BYTES], "big"), data[_NUMBER_BYTES:end], data[end:]
