"""Context: what a session works with now: active files, what is known about files, working values. Pure, changed by records.

``build`` puts together what a model is to be told, within a number of tokens.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias, TypeVar

import msgspec

from actorcore.exit_reason import Term
from supervisors.session.caps import Caps
from supervisors.session.conversation import Conversation
from supervisors.session.records import FileAdded, FileIndexed, FileRemoved, Record, WorkingDeleted, WorkingPut

Part: TypeAlias = Literal["conversation", "files", "file_index", "working_context"]
Item = TypeVar("Item")
BYTES_PER_TOKEN = 4
"""An estimate, good enough for a budget; who knows the model's own way of counting gives it to :func:`build`."""


def estimated_tokens(text: str) -> int:
    """Of ``text``, rounded up."""
    return -(-len(text.encode()) // BYTES_PER_TOKEN)


class Context(msgspec.Struct):
    """All of them oldest first."""

    files: list[str] = []
    file_index: dict[str, dict[str, Term]] = {}
    working: dict[str, Term] = {}

    def apply(self, record: Record, caps: Caps) -> None:
        """What ``record`` says; one of no concern to a context changes nothing."""
        match record:
            case FileAdded(path):
                if path not in self.files:
                    self.files.append(path)
                for gone in self.files[: -caps.files]:
                    self._remove(gone)
            case FileRemoved(path):
                self._remove(path)
            case FileIndexed(path, facts, at):
                known = self.file_index.pop(path, {})
                self.file_index[path] = known | facts | {"last_accessed": at}
                _evict(self.file_index, caps.file_index)
            case WorkingPut(key, value):
                self.working.pop(key, None)  # written again it is the newest
                self.working[key] = value
                _evict(self.working, caps.working_items)
            case WorkingDeleted(key):
                self.working.pop(key, None)

    def _remove(self, path: str) -> None:
        if path in self.files:
            self.files.remove(path)
        self.file_index.pop(path, None)


def build(
    conversation: Conversation, context: Context, parts: list[Part], max_messages: int, max_files: int, max_tokens: int,
    count: Callable[[str], int] = estimated_tokens,
) -> dict[str, Term]:  # fmt: skip
    """``{"parts": exactly those asked for, "tokens": what they cost together, "omitted": items there was no room for}``.

    The parts take from the budget in the order in which they are asked for, each its newest items first; an item that does
    not fit ends its part. Within a part the order is oldest first.
    """
    built: dict[str, Term] = {}
    tokens = omitted = 0
    for part in dict.fromkeys(parts):
        items = _items(conversation, context, part, max_messages, max_files)
        chosen: list[tuple[str, Term]] = []
        for key, value in reversed(items):
            cost = count(key) + count(str(value))
            if tokens + cost > max_tokens:
                break
            tokens += cost
            chosen.append((key, value))
        omitted += len(items) - len(chosen)
        chosen.reverse()
        built[part] = _shaped(part, chosen)
    return {"parts": built, "tokens": tokens, "omitted": omitted}


def _items(conversation: Conversation, context: Context, part: Part, max_messages: int, max_files: int) -> list[tuple[str, Term]]:
    """Name and content of each, oldest first, as many as there may be."""
    match part:
        case "conversation":
            return [(message.role, message.content) for message in _newest(conversation.messages.items, max_messages)]
        case "files":
            return [(path, "") for path in _newest(context.files, max_files)]
        case "file_index":
            return list(_newest(list(context.file_index.items()), max_files))
        case "working_context":
            return list(context.working.items())


def _shaped(part: Part, items: list[tuple[str, Term]]) -> Term:
    if part == "conversation":
        return [{"role": role, "content": content} for role, content in items]
    if part == "files":
        return [path for path, _ in items]
    return dict(items)


def _newest(items: list[Item], count: int) -> list[Item]:
    return items[-count:] if count else []


def _evict(kept: dict[str, Item], cap: int) -> None:
    for key in list(kept)[:-cap]:
        del kept[key]
