"""Memory: all that a session remembers, and how a record changes it. What is kept of a session is this and nothing else."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from actorcore.exit_reason import Term
from supervisors.session.caps import Caps
from supervisors.session.context import Context
from supervisors.session.conversation import Conversation
from supervisors.session.records import Record, SessionChanged

VERSION = 1
"""Of the state; who changes its shape, other than by a field with a default, raises it and migrates."""


class State(msgspec.Struct):
    """``session``: its own record, as it was last told."""

    version: int = VERSION
    session: dict[str, Term] = {}
    conversation: Conversation = msgspec.field(default_factory=Conversation)
    context: Context = msgspec.field(default_factory=Context)

    def apply(self, records: Iterable[Record], caps: Caps) -> None:
        """Become what the records say, in order."""
        for record in records:
            if isinstance(record, SessionChanged):
                self.session = record.session
            else:
                self.conversation.apply(record, caps)
                self.context.apply(record, caps)


_decoder = msgspec.msgpack.Decoder(State)
_encoder = msgspec.msgpack.Encoder()  # the order of a map is that of age


def encode_state(state: State) -> bytes:
    """Its msgpack; what is oldest stays first."""
    return _encoder.encode(state)


def decode_state(data: bytes) -> State:
    """The state that :func:`encode_state` encoded.

    :raises DECODE_ERRORS: of actorcore.frames; it is none, or of later code.
    """
    state = _decoder.decode(data)
    if state.version > VERSION:
        raise msgspec.ValidationError(f"a state of version {state.version}; this code knows {VERSION}")
    return state
