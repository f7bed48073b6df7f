"""Caps: how much one session remembers. Beyond a cap the oldest goes."""

from __future__ import annotations

import msgspec


class Caps(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Counts of things, and sizes in bytes.

    ``message_bytes`` bounds one text that is sent, one todo, one working value, what is known about one file;
    ``streamed_bytes`` one message that is streamed; ``tool_bytes`` the parameters and the result of one tool call;
    ``conversation_bytes`` all messages together, ``list_bytes`` each of the other lists. After ``checkpoint_records`` changes
    there is a checkpoint, so with ``durability = "checkpoint"`` no death costs more than that (acceptance 115).
    """

    messages: int = 1000
    reasoning_steps: int = 100
    tool_calls: int = 500
    todos: int = 500
    prompts: int = 100
    file_operations: int = 1000
    files: int = 50
    file_index: int = 1000
    working_items: int = 50
    context_messages: int = 100
    context_tokens: int = 4000
    message_bytes: int = 10_000
    streamed_bytes: int = 256 << 10
    tool_bytes: int = 64 << 10
    conversation_bytes: int = 8 << 20
    list_bytes: int = 1 << 20
    cache_entries: int = 1000
    cache_bytes: int = 4 << 20
    checkpoint_records: int = 1000


msgspec.msgpack.Decoder(Caps)  # what it is is found out here once, and not by each session that is forked


def trouble_with(caps: Caps) -> str | None:
    """Which cap cannot be so; None for those that one can live with."""
    for name in caps.__struct_fields__:
        if getattr(caps, name) < 1:
            return f"{name}: must be 1 or more"
    return None
