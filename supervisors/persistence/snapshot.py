"""Snapshots: a session's whole state as one signed text, which is both the checkpoint in its database and the exchange format.

The text is JSON in its one canonical form (keys sorted, no white space): a file with the same meaning in other bytes is
refused. The signature covers everything else in it: format, version, id, generation, content.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import msgspec

from actorcore.errors import RequestError
from actorcore.exit_reason import Term
from actorcore.frames import DECODE_ERRORS
from supervisors.persistence.signing import Keys, is_same, sign_snapshot

FORMAT = "actorcore-session"
VERSION = 1
MAX_BYTES = 10 << 20
NUMBERS = range(1 << 62)
"""Of generations and records: what SQLite and the head of a database can say, with room to count on."""
SESSION_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", re.ASCII)
"""A UUID of version 4 in its canonical text; names of folders are made of nothing else."""

Fields: TypeAlias = dict[str, Any]
Migrations: TypeAlias = Mapping[int, Callable[[Fields], Fields]]
MIGRATIONS: Migrations = {}
"""Version → what makes of its fields those of the next one."""

_canonical = msgspec.json.Encoder(order="sorted")


class Snapshot(msgspec.Struct, frozen=True):
    """``generation`` rises by one per snapshot of a session; ``number`` is that of the last record that it stands for.

    ``session`` is the session's own record as a map, ``content`` the state of its server (opaque here), ``saved_at`` is in
    seconds since 1970 UTC. ``records`` have been made since, where the snapshot goes somewhere without its database.
    """

    id: str
    generation: int
    number: int
    saved_at: float
    session: dict[str, Term]
    content: bytes
    records: list[bytes]


class InvalidSnapshot(RequestError):
    """Not a snapshot that may be believed: ``file_too_large``, ``invalid_json``, ``not_a_map``, ``invalid_version``,
    ``unsupported_version``, ``missing_fields`` (all of them named), ``invalid_field``, ``signature_verification_failed``."""


def check_id(text: object) -> str:
    """``text`` if it can be a session's id.

    :raises RequestError: ``invalid_id``.
    """
    if not isinstance(text, str) or not SESSION_ID.fullmatch(text):
        raise RequestError("invalid_id", "not a UUID of version 4")
    return text


def encode(snapshot: Snapshot, keys: Keys) -> bytes:
    """The signed text.

    :raises RequestError: ``file_too_large``; ``json_encode_error``, the session's record cannot be told in JSON.
    """
    number = keys.current
    fields: Fields = {"format": FORMAT, "version": VERSION, "key": number, **msgspec.structs.asdict(snapshot)}
    try:
        plain = msgspec.json.decode(_canonical.encode(fields))
    except (*DECODE_ERRORS, TypeError, ValueError, OverflowError):
        raise RequestError("json_encode_error", "the session's record is no JSON") from None
    plain["mac"] = sign_snapshot(keys.by_number[number], _canonical.encode(plain)).hex()
    text = _canonical.encode(plain)
    if len(text) > MAX_BYTES:
        raise RequestError("file_too_large", f"{len(text)} bytes, at most {MAX_BYTES}")
    return text


def decode(data: bytes, id: str, keys: Keys) -> Snapshot:
    """What was signed in ``data`` as a snapshot of session ``id``.

    :raises InvalidSnapshot: see there.
    """
    fields = _fields(data)
    if fields["version"] == VERSION:  # an older one is read as it was signed, and made newer after that
        _check_missing(fields)
    _verify(data, fields, keys)
    snapshot = _converted(fields)
    if snapshot.id != id:  # the keys of one session sign for it alone; this is for who mixes up keys
        raise _untrue()
    return snapshot


def decode_unsigned(data: bytes) -> Snapshot:
    """What ``data`` says, signed by whomever or not at all: only for an import that was told to trust it.

    :raises InvalidSnapshot: as :func:`decode`, but for the signature.
    """
    return _converted(_fields(data))


def id_of(data: bytes) -> str:
    """Which session ``data`` says that it is of; nothing else of it is looked at.

    :raises RequestError: it is no snapshot, or ``invalid_id``.
    """
    return check_id(_fields(data).get("id"))


def signature_of(data: bytes) -> bytes:
    """The signature in a text that :func:`decode` has accepted: where the chain of records goes on."""
    return bytes.fromhex(_fields(data)["mac"])


def key_number_of(data: bytes) -> int:
    """The key that has signed a text that :func:`decode` has accepted."""
    return int(_fields(data)["key"])


def _fields(data: bytes) -> Fields:
    if len(data) > MAX_BYTES:
        raise InvalidSnapshot("file_too_large", f"{len(data)} bytes, at most {MAX_BYTES}")
    try:
        fields = msgspec.json.decode(data)
    except DECODE_ERRORS:
        raise InvalidSnapshot("invalid_json", "no JSON") from None
    if not isinstance(fields, dict):
        raise InvalidSnapshot("not_a_map", type(fields).__name__)
    version = fields.get("version", 0)
    if type(version) is not int or version < 1:
        raise InvalidSnapshot("invalid_version", "not a number from 1")
    if version > VERSION:
        raise InvalidSnapshot("unsupported_version", f"{version}, newer than {VERSION}")
    return fields


def _verify(data: bytes, fields: Fields, keys: Keys) -> None:
    unsigned = {name: value for name, value in fields.items() if name != "mac"}
    key = fields.get("key")
    secret = keys.by_number.get(key) if type(key) is int else None
    mac = fields.get("mac")
    if secret is None or not isinstance(mac, str) or _canonical.encode(fields) != data:
        raise _untrue()
    if not is_same(sign_snapshot(secret, _canonical.encode(unsigned)).hex().encode(), mac.encode()):
        raise _untrue()


def _untrue() -> InvalidSnapshot:
    return InvalidSnapshot("signature_verification_failed", "not signed here for this session, or changed since")


def upgraded(fields: Fields, migrations: Migrations = MIGRATIONS, version: int = VERSION) -> Fields:
    """The fields as the newest ``version`` has them."""
    while fields["version"] < version:
        known = fields["version"]
        fields = {**migrations[known](fields), "version": known + 1}
    return fields


_NEEDED = ("format", "version", *Snapshot.__struct_fields__)


def _check_missing(fields: Fields) -> None:
    if missing := [name for name in _NEEDED if name not in fields]:
        raise InvalidSnapshot("missing_fields", ", ".join(missing))


def _converted(fields: Fields) -> Snapshot:
    fields = upgraded(fields)
    _check_missing(fields)
    if fields["format"] != FORMAT:
        raise InvalidSnapshot("invalid_field", "format")
    try:
        snapshot = msgspec.convert(fields, Snapshot, strict=True)
    except msgspec.ValidationError as error:
        raise InvalidSnapshot("invalid_field", str(error).partition("$.")[2].rstrip("`") or "?") from None
    for name in ("generation", "number"):
        if getattr(snapshot, name) not in NUMBERS:
            raise InvalidSnapshot("invalid_field", name)
    check_id(snapshot.id)
    return snapshot
