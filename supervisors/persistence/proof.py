"""Proof: what a session's database must show before its content is believed.

Its snapshot is signed, each record after it is chained to all before, be it in the database or in the log beside it, and the
*head*, a note of 112 bytes, says how far the chain went. The head is written after each record without a sync of its own: after
a crash it may be behind, never ahead. So a tail that is missing, be it cut off by somebody or dropped because a damaged end of
a log looks like one that was never written, is missed here. A head lies within one sector, which a disk writes as a whole.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

import msgspec

from actorcore.errors import RequestError
from supervisors.persistence import snapshot as snapshots
from supervisors.persistence.signing import MAC_BYTES, Keys, chain, is_same, sign_head
from supervisors.persistence.snapshot import Snapshot

_FIELDS = struct.Struct(f">8sQQQQQ{MAC_BYTES}s")
_SIZE = struct.Struct(">I")
_RECORD = struct.Struct(f">I{MAC_BYTES}s")
_MAGIC = b"achead1\n"
HEAD_BYTES = _FIELDS.size + MAC_BYTES


class Untrue(RequestError):
    """``signature_verification_failed``: something was changed, is missing, or is of another session or time."""

    def __init__(self, what: str) -> None:
        super().__init__("signature_verification_failed", what)


class Head(msgspec.Struct, frozen=True):
    """``epoch`` names the file of the database; ``number`` and ``mac`` are those of the newest record, or of the snapshot.

    ``is_running``: the process of the session has not ended in order since.
    """

    epoch: int
    generation: int
    number: int
    mac: bytes
    is_running: bool


class Content(msgspec.Struct, frozen=True):
    """What was proved. ``text`` is the snapshot as it stands in the database, ``records`` are those after it with their
    signatures, ``number`` and ``mac`` those of the last; ``key`` is the number of the key that chains them. ``log_bytes`` is how
    much of the log stands for some of them."""

    snapshot: Snapshot
    text: bytes
    records: list[tuple[bytes, bytes]]
    number: int
    mac: bytes
    key: int
    log_bytes: int = 0


def encode_head(head: Head, keys: Keys) -> bytes:
    """Its signed bytes."""
    number = keys.current
    fields = _FIELDS.pack(_MAGIC, number, head.epoch, head.generation, head.number, head.is_running, head.mac)
    return fields + sign_head(keys.by_number[number], fields)


def decode_head(data: bytes, keys: Keys) -> Head | None:
    """The head in a whole file; None: there is none yet, what it belongs to has not been made to the end.

    :raises Untrue: these are not the bytes of a head of this session.
    """
    if not data.strip(b"\0"):
        return None
    if len(data) != HEAD_BYTES:
        raise Untrue("head: cut")
    fields, mac = data[: _FIELDS.size], data[_FIELDS.size :]
    magic, key, epoch, generation, number, running, last = _FIELDS.unpack(fields)
    if magic != _MAGIC or key not in keys.by_number or not is_same(sign_head(keys.by_number[key], fields), mac):
        raise Untrue("head")
    return Head(epoch, generation, number, last, bool(running))


def prove(
    id: str, keys: Keys, texts: Sequence[tuple[int, bytes]], records: Sequence[tuple[int, bytes, bytes]]
) -> Content:
    """The content of a database whose rows are ``texts`` (generation, snapshot) and ``records`` (number, body, signature).

    :raises RequestError: as :func:`snapshots.decode`; :class:`Untrue`.
    """
    if len(texts) != 1:
        raise Untrue("snapshot: none" if not texts else "snapshot: several")
    ((generation, text),) = texts
    snapshot = snapshots.decode(text, id, keys)
    if snapshot.generation != generation:
        raise Untrue("snapshot: generation")
    number, mac, key = snapshot.number, snapshots.signature_of(text), snapshots.key_number_of(text)
    kept = []
    for found, body, signature in records:
        number += 1
        mac = chain(keys.by_number[key], mac, number, body)
        if found != number or not is_same(mac, signature):
            raise Untrue("records")
        kept.append((body, signature))
    return Content(snapshot, text, kept, number, mac, key)


def encode_frame(records: Sequence[tuple[bytes, bytes]]) -> bytes:
    """Records with their signatures as one frame of the log: it is there as a whole or not at all."""
    rows = b"".join([_RECORD.pack(len(body), mac) + body for body, mac in records])
    return _SIZE.pack(len(rows)) + rows


def follow(content: Content, keys: Keys, log: bytes) -> Content:
    """``content`` and the records of the log beside it, as long as each frame is whole and chained to what is before it.

    What follows is the beginning of an append that nobody was told of, or what is left of records before the snapshot; was it
    more once, :func:`check_head` misses it.
    """
    key, number, mac, end = keys.by_number[content.key], content.number, content.mac, 0
    records = list(content.records)
    while frame := _frame_at(log, end, key, number, mac):
        records += frame
        number += len(frame)
        mac = frame[-1][1]
        end += len(encode_frame(frame))
    return msgspec.structs.replace(content, records=records, number=number, mac=mac, log_bytes=end)


def _frame_at(log: bytes, at: int, key: bytes, number: int, mac: bytes) -> list[tuple[bytes, bytes]]:
    """The records of the frame that begins there, behind record ``number`` with signature ``mac``; none: there is no such one."""
    begin = at + _SIZE.size
    if begin > len(log):
        return []
    end = begin + _SIZE.unpack_from(log, at)[0]
    records: list[tuple[bytes, bytes]] = []
    while begin < end:
        if end > len(log) or begin + _RECORD.size > end:
            return []
        size, signature = _RECORD.unpack_from(log, begin)
        body = log[begin + _RECORD.size : begin + _RECORD.size + size]
        begin += _RECORD.size + size
        number += 1
        mac = chain(key, mac, number, body)
        if begin > end or not is_same(mac, signature):
            return []
        records.append((body, signature))
    return records


def check_head(head: Head, content: Content) -> None:
    """That the database is not behind its head.

    :raises Untrue: something is missing, or is not what was there.
    """
    snapshot = content.snapshot
    if head.generation > snapshot.generation or head.number > content.number:
        raise Untrue("records: some are missing")
    if head.generation < snapshot.generation:
        if head.number > snapshot.number:
            raise Untrue("records: some are missing")
        return
    if head.number < snapshot.number:
        raise Untrue("head: of another snapshot")
    at = head.number - snapshot.number
    mac = content.records[at - 1][1] if at else snapshots.signature_of(content.text)
    if not is_same(mac, head.mac):
        raise Untrue("records: not those that were there")


def check_generation(known: int, content: Content) -> None:
    """That this is not older than what is ``known`` to have been saved (RELIABILITY F5').

    :raises Untrue: it is.
    """
    if content.snapshot.generation < known:
        raise Untrue("an older save in the place of a newer one")
