"""The state of an object of callbacks as OTP's sys shows and replaces it: its attributes."""

from __future__ import annotations

import msgspec

from actorcore.exit_reason import Term
from actorcore.frames import term_decoder
from actorcore.pids import EXT_PID, Pid, pack_pid


def attributes(server: object, apart: frozenset[str]) -> dict[str, object]:
    """Its attributes by name, those in slots as well, without those ``apart``."""
    found: object = object.__getstate__(server)
    parts = found if isinstance(found, tuple) else (found,)
    return {name: value for part in parts if part for name, value in part.items() if name not in apart}


def set_attributes(server: object, state: object, apart: frozenset[str]) -> None:
    """These attributes instead of those that it has.

    :raises TypeError: no dict of names; nothing has changed.
    """
    if not isinstance(state, dict) or not all(isinstance(name, str) and name not in apart for name in state):
        raise TypeError(f"no dict of attributes: {type(state).__name__}")
    before = attributes(server, apart)
    try:
        _set(server, before, state)
    except BaseException:
        _set(server, attributes(server, apart), before)
        raise


def _set(server: object, before: dict[str, object], after: dict[str, object]) -> None:
    for name in before.keys() - after.keys():
        delattr(server, name)
    for name, value in after.items():
        setattr(server, name, value)


def shown(value: object) -> Term:
    """``value`` as plain data, ``<name of its type>`` in place of what is none."""
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return _plain(value)


def _plain(value: object) -> Term:
    try:
        term: Term = term_decoder.decode(_encoder.encode(value))
    except Exception:  # whatever its parts may raise
        return _name_of(value)
    return term


def _stand_in(value: object) -> object:
    return msgspec.msgpack.Ext(EXT_PID, pack_pid(value)) if isinstance(value, Pid) else _name_of(value)


def _name_of(value: object) -> str:
    return f"<{type(value).__name__}>"


_encoder = msgspec.msgpack.Encoder(enc_hook=_stand_in)
