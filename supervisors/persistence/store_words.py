"""The vocabulary of the store: what may be asked of ``system:store``, as maps whose ``verb`` names the request."""

from __future__ import annotations

from typing import TypeAlias, Union

import msgspec

from actorcore.exit_reason import Term

MAX_PAGE_ROWS = 500


class _StoreRequest(msgspec.Struct, frozen=True, tag_field="verb", forbid_unknown_fields=True):
    pass


class OpenSession(_StoreRequest, frozen=True, tag="open"):
    """By the process of session ``id`` and nobody else: its :class:`Grant`.

    Refused with ``session_limit_reached`` when it is a new one too many, ``not_permitted`` to anybody else.
    """

    id: str


class Grant(msgspec.Struct, frozen=True):
    """``folder`` and ``keys`` (number → key) of a session, and the ``generation`` that it had at least. ``crowd``: it is a new
    one, with which so many are saved, of so many that may be; None: there is room enough."""

    folder: str
    keys: dict[int, bytes]
    generation: int
    crowd: tuple[int, int] | None = None


class SessionSaved(_StoreRequest, frozen=True, tag="saved"):
    """Cast by the process of a session when a snapshot of it is durable. ``note``: the msgpack of a :class:`SavedNote`; ``mac``:
    its signature with key ``key`` of the session, since anybody may cast.
    """

    id: str
    note: bytes
    key: int
    mac: bytes


class SavedNote(msgspec.Struct, frozen=True, array_like=True):
    """Snapshot ``generation`` is durable, ``session`` is the session's own record."""

    generation: int
    session: dict[str, Term]


class ListSaved(_StoreRequest, frozen=True, tag="list"):
    """Newest first: ``{"sessions": [SavedSession…], "bad": n, "next": k}``; ``after``: how many to pass over."""

    after: int = 0
    limit: int = MAX_PAGE_ROWS


class ListResumable(_StoreRequest, frozen=True, tag="resumable"):
    """As ListSaved, without those that live and those whose project another live one works in.

    ``running``: only those whose process did not end in order.
    """

    running: bool = False
    after: int = 0
    limit: int = MAX_PAGE_ROWS


class FindByProject(_StoreRequest, frozen=True, tag="find"):
    """The newest saved session of the project at ``path``; None."""

    path: str


class GetSaved(_StoreRequest, frozen=True, tag="get"):
    """``{"session", "generation", "saved_at"}``: the record to resume session ``id`` with, everything of it proved."""

    id: str


class Locate(_StoreRequest, frozen=True, tag="locate"):
    """The path of the folder that saved session ``id`` is in, live or not."""

    id: str


class DeleteSaved(_StoreRequest, frozen=True, tag="delete"):
    """Whether it was there; ``running``: it lives, and stays."""

    id: str


class ClearSaved(_StoreRequest, frozen=True, tag="clear"):
    """Delete all that do not live; a Cleanup."""


class CleanUp(_StoreRequest, frozen=True, tag="cleanup"):
    """Delete those saved more than ``days`` ago that do not live; a Cleanup."""

    days: Term


class Export(_StoreRequest, frozen=True, tag="export"):
    """The signed text of session ``id``, which must not live, as bytes."""

    id: str


class Import(_StoreRequest, frozen=True, tag="import"):
    """Save what ``data`` says as a session of this machine; its id. ``unsigned``: believe it whoever signed it."""

    data: bytes
    unsigned: bool = False


class Rotate(_StoreRequest, frozen=True, tag="rotate"):
    """Sign with a new secret from now on: ``{"key": number}``. What older ones have signed stays valid."""


StoreRequest: TypeAlias = Union[
    OpenSession, ListSaved, ListResumable, FindByProject, GetSaved, Locate, DeleteSaved, ClearSaved, CleanUp, Export, Import,
    Rotate,
]  # fmt: skip
