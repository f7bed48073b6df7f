"""Names: one per process (OTP's register/2), reserved from the start, published when their holder is ready, with a value."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

import msgspec

from actorcore.errors import ProtocolError
from actorcore.exit_reason import Term
from actorcore.frames import DECODE_ERRORS, encode, term_decoder
from actorcore.registry_layout import VALUE_BYTES, blocks_of, heap_blocks, max_entries
from actorcore.shown import Change, Shown
from actorcore.signals import NOBODY

MAX_NAMES = max_entries()
MAX_BLOCKS = heap_blocks()
RESERVED_PREFIX = "system:"

_KEY = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}", re.ASCII)


NO_VALUES: Mapping[str, Term] = MappingProxyType({})


def key_error(name: str, resident: bool = False) -> str | None:
    """The code that refuses ``name``, or None. Only residents, and whom the node's own start, may have ``system:…``."""
    plain = name.removeprefix(RESERVED_PREFIX)
    if plain != name and not resident:
        return "reserved_key"
    return None if _KEY.fullmatch(plain) else "invalid_key"


def encode_value(term: Term) -> bytes:
    """The value of a name as it is stored; None is none. Raises RequestError ``invalid_message`` for what is no plain data."""
    return b"" if term is None else encode(term)


def decode_value(value: bytes) -> Term:
    """The term that :func:`encode_value` was given.

    :raises ProtocolError: whoever registered it stored something else.
    """
    try:
        return term_decoder.decode(value) if value else None
    except DECODE_ERRORS:
        raise ProtocolError("a value that is not msgpack") from None


class Registration(msgspec.Struct):
    """``holder`` NOBODY: only reserved. ``owner``: whose child has this name in its spec; it stays taken for the next one.

    ``value`` are bytes that whoever looks the name up gets with it.
    """

    holder: int
    registrar: int
    published: bool
    owner: int = NOBODY
    value: bytes = b""


class Names(msgspec.Struct):
    """Who holds which name, who registered it, and who keeps it for a child that may be between two lives (B12).

    ``blocks``: of the shared registry's heap, what all values take. Room is decided here: what this table accepts fits there,
    beside what residents have ``shown``.
    """

    registrations: dict[str, Registration] = {}
    held: dict[int, str] = {}
    owned: dict[int, dict[str, None]] = {}
    blocks: int = 0
    shown: Shown = msgspec.field(default_factory=Shown)

    def error_of(self, name: str, holder: int, parent: int = NOBODY, value: bytes = b"") -> str | None:
        """The code that refuses this registration, or None. ``parent`` started ``holder``: it may have reserved the name."""
        if holder in self.held:
            return "already_registered"
        taken = self.registrations.get(name)
        if taken is not None and (taken.holder != NOBODY or taken.owner != parent):
            return "already_registered"
        if len(value) > VALUE_BYTES:
            return "value_too_long"
        return "registry_full" if self.is_full(taken is None, value) else None

    def is_full(self, is_new: bool = True, value: bytes = b"") -> bool:
        """Whether there is no room for a name, if it ``is_new``, or for its value."""
        if len(self.registrations) + self.shown.count + is_new > MAX_NAMES:
            return True
        return self.blocks + self.shown.blocks + blocks_of(len(value)) > MAX_BLOCKS

    def show(self, owner: int, key: str, value: bytes) -> list[Change]:
        """Resident ``owner`` shows ``value`` under ``key``."""
        return self.shown.put(owner, key, value, len(self.registrations), self.blocks)

    def add(
        self, name: str, holder: int, registrar: int, published: bool, *,
        parent: int = NOBODY, value: bytes = b"", reserve: bool = False,
    ) -> None:  # fmt: skip
        """``reserve``: the name stays taken for ``parent`` until it gives it up (:meth:`give_up`) or ends.

        Raises ValueError when :meth:`error_of` has an objection.
        """
        error = self.error_of(name, holder, parent, value)
        if error is not None:
            raise ValueError(f"{error}: {name}")
        before = self.registrations.get(name)
        owner = parent if reserve else before.owner if before is not None else NOBODY
        self.registrations[name] = Registration(holder, registrar, published, owner, value)
        self.held[holder] = name
        self.blocks += blocks_of(len(value))
        if owner != NOBODY:
            self.owned.setdefault(owner, {})[name] = None

    def publish(self, holder: int) -> tuple[str, bytes] | None:
        """Name and value of ``holder`` that nobody could find until now; None when there is none."""
        name = self.held.get(holder)
        if name is None or self.registrations[name].published:
            return None
        self.registrations[name].published = True
        return name, self.registrations[name].value

    def release(self, holder: int) -> str | None:
        """Free the holder's name, or leave it reserved; the name when it was published, so that it must be retracted."""
        name = self.held.pop(holder, None)
        if name is None:
            return None
        before = self.registrations.pop(name)
        self.blocks -= blocks_of(len(before.value))
        if before.owner != NOBODY:
            self.registrations[name] = Registration(NOBODY, before.owner, False, before.owner)
        return name if before.published else None

    def release_unpublished(self, holder: int) -> None:
        """Free the name that was only reserved for a start that failed."""
        name = self.held.get(holder)
        if name is not None and not self.registrations[name].published:
            self.release(holder)

    def give_up(self, owner: int, name: str) -> bool:
        """``owner`` keeps the name no longer; whoever holds it keeps it. Whether there was such a reservation."""
        mine = self.owned.get(owner, {})
        if name not in mine:
            return False
        del mine[name]
        if not mine:
            del self.owned[owner]
        if self.registrations[name].holder == NOBODY:
            del self.registrations[name]
        else:
            self.registrations[name].owner = NOBODY
        return True

    def end_owner(self, owner: int) -> None:
        """``owner`` is dead: it keeps no names any more."""
        for name in list(self.owned.get(owner, ())):
            self.give_up(owner, name)

    def holder_of(self, name: str) -> int | None:
        """Who holds ``name``, ready or not; NOBODY when it is only reserved."""
        registration = self.registrations.get(name)
        return None if registration is None else registration.holder

    def whereis(self, name: str) -> int | None:
        """Who answers to ``name``: a reserved name is found only once its holder is ready."""
        registration = self.found(name)
        return None if registration is None else registration.holder

    def found(self, name: str) -> Registration | None:
        """The registration that a look-up finds."""
        registration = self.registrations.get(name)
        return registration if registration is not None and registration.published else None

    def unregister_error(self, name: str, asker: int) -> str | None:
        """The code that refuses ``asker`` to unregister ``name``, or None."""
        registration = self.found(name)
        if registration is None:
            return "not_found"
        return None if asker in (registration.holder, registration.registrar) else "not_permitted"
