"""What one can ask a registry of keys, Elixir's Registry, and what it may be."""

from __future__ import annotations

from typing import Literal, TypeAlias, Union

import msgspec

from actorcore.frames import DECODE_ERRORS, decode_ext
from actorcore.words import Word


class RegistrySpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``unique``: one holder per key; ``duplicate``: any number of entries, also of one process under one key.

    ``listeners`` are names; who has one gets ``["register", registry, key, pid, value]`` and ``["unregister", registry, key,
    pid]`` as messages, with the name of the registry. Who wants to hear of a holder's death monitors it, as in Elixir.
    """

    keys: Literal["unique", "duplicate"] = "unique"
    listeners: list[str] = []


class Register(Word, frozen=True, tag="register"):
    """The asker takes ``key``. Errors: already_registered with the holder's serial, registry_full, invalid_key."""

    key: str
    value: object = None


class Unregister(Word, frozen=True, tag="unregister"):
    """All entries of the asker under ``key`` go, if there are any."""

    key: str


class UnregisterMatch(Word, frozen=True, tag="unregister_match"):
    """The asker's entries under ``key`` with this value go."""

    key: str
    value: object


class UpdateValue(Word, frozen=True, tag="update_value"):
    """The asker's value under ``key``; answer: ``[new, old]``. Error: not_found, it holds none."""

    key: str
    value: object


class Lookup(Word, frozen=True, tag="lookup"):
    """Answer: ``[[serial, value], …]``, oldest first."""

    key: str


class Match(Word, frozen=True, tag="match"):
    """As Lookup, of the entries with this value."""

    key: str
    value: object


class Keys(Word, frozen=True, tag="keys"):
    """Answer: the keys of ``who``, one for each entry."""

    who: int


class Values(Word, frozen=True, tag="values"):
    """Answer: the values of ``who`` under ``key``."""

    key: str
    who: int


class Count(Word, frozen=True, tag="count"):
    """Answer: how many entries there are."""


class Dispatch(Word, frozen=True, tag="dispatch"):
    """``message`` to each entry's holder, as a plain message of the registry. Answer: how many.

    Error: not_found, nobody has this unique key.
    """

    key: str
    message: object


class Select(Word, frozen=True, tag="select"):
    """The entries whose values meet ``criteria`` (:mod:`supervisors.registry.criteria`). Answer: ``[[key, serial, value], …]``.

    Error: invalid_criteria.
    """

    criteria: object


class Stop(Word, frozen=True, tag="stop"):
    """The registry ends with ``reason``."""

    reason: Union[str, dict[str, object]] = "normal"


RegistryRequest: TypeAlias = Union[
    Register, Unregister, UnregisterMatch, UpdateValue, Lookup, Match, Keys, Values, Count, Dispatch, Select, Stop
]  # fmt: skip
_decoder = msgspec.msgpack.Decoder(RegistryRequest, ext_hook=decode_ext)


def decode_request(body: msgspec.Raw) -> RegistryRequest | str:
    """The request, or what is wrong with it."""
    try:
        request: RegistryRequest = _decoder.decode(body)
        return request
    except DECODE_ERRORS as error:
        return str(error)[:200] or type(error).__name__
