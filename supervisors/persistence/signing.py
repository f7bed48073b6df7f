"""Signing: from the machine's secrets to the signature of one record, so that nothing is believed but what was written here.

A machine has a ring of numbered secrets, of which the newest signs. A session gets keys of its own, derived from them: it
can neither sign for another session nor learn the secret. Each signature says in its first bytes what it is one of, and
lengths stand before texts: no signature of one thing is that of another.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from hmac import HMAC, compare_digest, digest

import msgspec

SECRET_BYTES = 32
MAC_BYTES = 32
MAX_SECRETS = 1000
_HASH = "sha256"


class InvalidRing(ValueError):
    """The text of a key ring that is cut, malformed, or not as it was written. It holds no part of a secret."""


class Keys(msgspec.Struct, frozen=True):
    """Those of one session: number of the secret → key. Never shown: ``repr`` has the numbers only."""

    by_number: Mapping[int, bytes]

    @property
    def current(self) -> int:
        """The number of the key that signs what is new."""
        return max(self.by_number)

    def __repr__(self) -> str:
        return f"Keys({sorted(self.by_number)})"


class Ring(msgspec.Struct, frozen=True):
    """The secrets of a machine by number, from 1. Never shown, as :class:`Keys`."""

    secrets: Mapping[int, bytes]

    def keys_of(self, session: str) -> Keys:
        """The keys of the session with this id."""
        return Keys({number: _mac(secret, b"session", session.encode()) for number, secret in self.secrets.items()})

    def rotated(self, secret: bytes) -> Ring:
        """The ring with ``secret`` as its newest."""
        return Ring({**self.secrets, max(self.secrets, default=0) + 1: secret})

    def __repr__(self) -> str:
        return f"Ring({sorted(self.secrets)})"


def encode_ring(ring: Ring) -> bytes:
    """One line per secret, number and hex, and a last line that shows that none is missing."""
    lines = "".join(f"{number} {ring.secrets[number].hex()}\n" for number in sorted(ring.secrets)).encode()
    return lines + f"end {_check_of(lines)}\n".encode()


def decode_ring(data: bytes) -> Ring:
    """The ring that :func:`encode_ring` encoded.

    :raises InvalidRing: these are not its bytes, all of them and no others.
    """
    lines, found, last = data.rpartition(b"end ")
    if not found or last != f"{_check_of(lines)}\n".encode():
        raise InvalidRing("cut or changed")
    secrets: dict[int, bytes] = {}
    for line in lines.decode("ascii", "replace").splitlines():
        number, _, text = line.partition(" ")
        try:
            secrets[int(number)] = bytes.fromhex(text)
        except ValueError:
            raise InvalidRing("malformed") from None
    ring = Ring(secrets)
    if not secrets or encode_ring(ring) != data or any(len(secret) != SECRET_BYTES for secret in secrets.values()):
        raise InvalidRing("malformed")
    return ring


def _check_of(lines: bytes) -> str:
    return digest(b"ring", lines, _HASH).hex()[:16]


# ---- signatures -------------------------------------------------------------------------------------------------------


def sign_snapshot(key: bytes, canonical: bytes) -> bytes:
    """Of a snapshot without its signature, in its one canonical form."""
    return _mac(key, b"snapshot", canonical)


def chain(key: bytes, before: bytes, number: int, body: bytes) -> bytes:
    """Of record ``number``, after a record or snapshot with signature ``before``: it stands for all that came before, too."""
    return _mac(key, b"record", before, number.to_bytes(8, "big"), body)


def sign_head(key: bytes, fields: bytes) -> bytes:
    """Of the note how far a journal goes."""
    return _mac(key, b"head", fields)


def sign_note(key: bytes, note: bytes) -> bytes:
    """Of what a session tells the store of its newest save."""
    return _mac(key, b"note", note)


def sign_index(secret: bytes, data: bytes) -> bytes:
    """Of the store's list of what was saved."""
    return _mac(secret, b"index", data)


def is_same(one: bytes, other: bytes) -> bool:
    """Whether two signatures are equal, in a time that does not tell where they differ."""
    return compare_digest(one, other)


def _mac(key: bytes, *parts: bytes) -> bytes:
    mac = _begun(key).copy()
    mac.update(b"".join([len(part).to_bytes(4, "big") + part for part in parts]))
    return mac.digest()


@functools.lru_cache(maxsize=MAX_SECRETS)
def _begun(key: bytes) -> HMAC:
    """Each record takes two signatures; to look the hash up and to begin with the key is most of the work on so little."""
    return HMAC(key, digestmod=_HASH)
