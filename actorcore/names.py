"""Names: one per process (OTP's register/2), reserved from the start, published when their holder is ready."""

from __future__ import annotations

import re

import msgspec

from actorcore.registry_layout import max_entries

MAX_NAMES = max_entries()
RESERVED_PREFIX = "system:"

_KEY = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}", re.ASCII)


def key_error(name: str, resident: bool = False) -> str | None:
    """The code that refuses ``name``, or None. Only residents have names that begin with ``system:``."""
    plain = name.removeprefix(RESERVED_PREFIX)
    if plain != name and not resident:
        return "reserved_key"
    return None if _KEY.fullmatch(plain) else "invalid_key"


class Registration(msgspec.Struct):
    holder: int
    registrar: int
    published: bool


class Names(msgspec.Struct):
    """Who holds which name, and who registered it."""

    registrations: dict[str, Registration] = {}
    held: dict[int, str] = {}

    def error_of(self, name: str, holder: int) -> str | None:
        """The code that refuses this registration, or None."""
        if name in self.registrations or holder in self.held:
            return "already_registered"
        return "registry_full" if self.is_full() else None

    def is_full(self) -> bool:
        return len(self.registrations) >= MAX_NAMES

    def add(self, name: str, holder: int, registrar: int, published: bool) -> None:
        """Raises ValueError when :meth:`error_of` has an objection."""
        error = self.error_of(name, holder)
        if error is not None:
            raise ValueError(f"{error}: {name}")
        self.registrations[name] = Registration(holder, registrar, published)
        self.held[holder] = name

    def publish(self, holder: int) -> str | None:
        """The name of ``holder`` that nobody could find until now; None when there is none."""
        name = self.held.get(holder)
        if name is None or self.registrations[name].published:
            return None
        self.registrations[name].published = True
        return name

    def release(self, holder: int) -> str | None:
        """Free the holder's name; the name when it was published, so that it must be retracted."""
        name = self.held.pop(holder, None)
        if name is None:
            return None
        return name if self.registrations.pop(name).published else None

    def release_unpublished(self, holder: int) -> None:
        """Free the name that was only reserved for a start that failed."""
        name = self.held.get(holder)
        if name is not None and not self.registrations[name].published:
            self.release(holder)

    def holder_of(self, name: str) -> int | None:
        """Who reserved or holds ``name``, ready or not."""
        registration = self.registrations.get(name)
        return None if registration is None else registration.holder

    def whereis(self, name: str) -> int | None:
        """Who answers to ``name``: a reserved name is found only once its holder is ready."""
        registration = self.registrations.get(name)
        return registration.holder if registration is not None and registration.published else None

    def unregister_error(self, name: str, asker: int) -> str | None:
        """The code that refuses ``asker`` to unregister ``name``, or None."""
        registration = self.registrations.get(name)
        if registration is None or not registration.published:
            return "not_found"
        return None if asker in (registration.holder, registration.registrar) else "not_permitted"
