"""Grants: what a process that may start nothing (``ProcessSpec.may_spawn``) may ask of the node's residents.

They start, stop and change what others have, so of each only those verbs are open to it that look, or concern itself
(RELIABILITY S5). A process that plays such a machine, or any other that starts what it is asked to, answers for itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import msgspec

from actorcore.frames import DECODE_ERRORS
from actorcore.signals import Asking

OpenVerbs: TypeAlias = Mapping[str, frozenset[str]]
"""By the resident's name (``system:…``) or its machine; of one that is not there nothing is open."""

_body_decoder = msgspec.msgpack.Decoder(list[msgspec.Raw] | dict[str, msgspec.Raw])
_text_decoder = msgspec.msgpack.Decoder(str)
_MAP_OF_ONE = b"\x81"


def verb_of(body: msgspec.Raw) -> str:
    """The first text of a list, or the ``verb`` of a map that has nothing else, not even that twice; else empty."""
    try:
        words = _body_decoder.decode(body)
        if isinstance(words, list):
            return _text_decoder.decode(words[0])
        return _text_decoder.decode(words["verb"]) if bytes(memoryview(body)[:1]) == _MAP_OF_ONE else ""
    except (*DECODE_ERRORS, LookupError):
        return ""


def is_open(verbs: OpenVerbs, asking: Asking, kind: str) -> bool:
    """Whether anybody may ask that of the resident that is a ``kind``."""
    return verb_of(asking.body) in verbs.get(kind, frozenset())
