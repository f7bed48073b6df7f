"""Notes: what a session tells the store of its newest save, signed, since anybody may cast."""

from __future__ import annotations

import msgspec

from actorcore.exit_reason import Term
from supervisors.persistence.signing import Keys, is_same, sign_note
from supervisors.persistence.store_words import SavedNote, SessionSaved


def saved_note(id: str, keys: Keys, generation: int, session: dict[str, Term]) -> SessionSaved:
    """What the process of session ``id``, which has these keys, tells."""
    note = msgspec.msgpack.encode(SavedNote(generation, session))
    return SessionSaved(id, note, keys.current, sign_note(keys.by_number[keys.current], note))


_note_decoder = msgspec.msgpack.Decoder(SavedNote)


def note_in(saved: SessionSaved, keys: Keys) -> SavedNote | None:
    """What is noted there; None: not by the process that has the keys of this session."""
    key = keys.by_number.get(saved.key)
    if key is None or not is_same(sign_note(key, saved.note), saved.mac):
        return None
    return _note_decoder.decode(saved.note)
