"""What a service of the daemon tells the manager, which tells whoever subscribes to events."""

from __future__ import annotations

import msgspec

from actorcore.exit_reason import Term
from actorcore.frames import encoder
from actorcore.residents import Send
from actorcore.words import Word

MANAGER = "system:manager"


class ServiceTold(Word, frozen=True, tag="service_told"):
    """An event of a service; types and fields are those of :mod:`supervisors.session.events`."""

    type: str
    data: dict[str, Term]


def tell_manager(type_: str, **data: Term) -> Send:
    """The order to publish this event."""
    return Send(MANAGER, msgspec.Raw(encoder.encode(ServiceTold(type_, data))))
