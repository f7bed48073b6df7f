"""Who is told of which events: a bounded history, and for each subscriber how far it has come in it.

Nobody has a queue of his own: a subscriber is sent at most WINDOW events that it has not seen yet, then the others wait in
the history, which is the same for all. What leaves the history before a slow subscriber has got it is counted for him and
told in its place (``events_dropped``). So a dead or slow subscriber costs a few words and delays nobody.
"""

from __future__ import annotations

import msgspec

from actorcore.exit_reason import Term
from actorcore.frames import encoder
from supervisors.session.events import LIFECYCLE, Event

HISTORY_EVENTS = 1024
HISTORY_BYTES = 1 << 20
WINDOW = 128
MAX_SUBSCRIPTIONS = 1024


_event_decoder = msgspec.msgpack.Decoder(Event)


class Told(msgspec.Struct, frozen=True):
    """An event in the history; ``body`` is its map as msgpack, ``record`` the last of its session's records that was told."""

    number: int
    session: str
    type: str
    body: bytes
    record: int | None = None


class Subscription(msgspec.Struct):
    """``ref`` is its number, ``to`` who is told. ``session``: of which one, empty: the lifecycle of all; ``types``: these only.

    ``cursor``: the event up to which it has been looked after. ``sent`` and ``seen`` count what it was sent, and has seen of
    that. ``dropped``: what it has missed since it was told last. ``gap``: the ``after`` that is not in the history any more.
    ``over``: it has come to the last event of its session. ``token``: by which it knows us.
    """

    ref: int
    to: int
    session: str
    types: list[str]
    cursor: int
    sent: int = 0
    seen: int = 0
    dropped: int = 0
    gap: int | None = None
    over: bool = False
    token: bytes = b""

    def pass_by(self, told: Told) -> None:
        """It has been looked after as far as ``told``."""
        self.cursor = told.number
        if self.session and told.session == self.session:
            self.over = told.type == "session_terminated"

    def wants(self, told: Told) -> bool:
        if self.types and told.type not in self.types:
            return False
        return told.session == self.session if self.session else bool(self.types) or told.type in LIFECYCLE


class Subscriptions(msgspec.Struct):
    """All of them, by session (empty: of all sessions), oldest first; ``where`` finds them by ref.

    ``number``: the last event's; ``refs``: the last ref. An event is looked at by those only who may want it, so one that a
    thousand others do not want costs them nothing; their cursors stay behind.
    """

    number: int = 0
    refs: int = 0
    size_bytes: int = 0
    history: list[Told] = []
    groups: dict[str, list[Subscription]] = {}
    where: dict[int, str] = {}

    @property
    def first(self) -> int:
        """The number of the oldest event in the history."""
        return self.number - len(self.history) + 1

    def find(self, ref: int) -> Subscription | None:
        """The subscription with this ref."""
        return next((one for one in self.groups.get(self.where.get(ref, ""), []) if one.ref == ref), None)

    def last_of(self, session: str, is_resumed: bool) -> tuple[int, int | None]:
        """The ``seq`` after which the events of ``session`` go on, and the last of its records that was told (None: nobody
        knows): it may have lived here before.

        Once the history has lost what it had, the last number of all, which no ``seq`` can have passed.
        """
        last = next((told for told in reversed(self.history) if told.session == session), None)
        seq = 0 if last is None else _event_decoder.decode(last.body).seq
        if not is_resumed:
            return seq, 0
        if last is None:
            return self.number if self.first > 1 else 0, None
        return seq, last.record

    def remove(self, ref: int) -> None:
        """It is over; nothing happens when it is already."""
        session = self.where.pop(ref, None)
        if session is not None:
            left = [one for one in self.groups[session] if one.ref != ref]
            if left:
                self.groups[session] = left
            else:
                del self.groups[session]

    def concerned(self, session: str) -> list[Subscription]:
        """Who may want an event of ``session``."""
        return [*(self.groups.get(session, []) if session else []), *self.groups.get("", [])]

    def all(self) -> list[Subscription]:
        """Every one."""
        return [one for group in self.groups.values() for one in group]

    def publish(self, event: Event, record: int | None = None) -> None:
        """Into the history; ``event`` has the next number, ``record``: see Told. What it pushes out is lost to whoever has
        not got it.
        """
        told = Told(event.number, event.session, event.type, encoder.encode(event), record)
        self.number = event.number
        self.history.append(told)
        self.size_bytes += len(told.body)
        while len(self.history) > HISTORY_EVENTS or self.size_bytes > HISTORY_BYTES:
            lost = self.history.pop(0)
            self.size_bytes -= len(lost.body)
            for one in self.concerned(lost.session):
                if one.cursor < lost.number:
                    one.pass_by(lost)
                    one.dropped += one.wants(lost)

    def add(self, to: int, session: str, types: list[str], after: int | None, token: bytes = b"") -> Subscription:
        """A new one, which gets what comes from now on; with ``after`` also the events behind that number."""
        self.refs += 1
        one = Subscription(self.refs, to, session, types, self.number, token=token)
        if after is not None:
            # A number that has not been given yet was another daemon's.
            one.gap = after if after < self.first - 1 or after > self.number else None
            one.cursor = self.first - 1 if one.gap is not None else after
        self.groups.setdefault(session, []).append(one)
        self.where[one.ref] = session
        return one

    def due(self, one: Subscription) -> list[bytes]:
        """What is to be sent to ``one`` now, each as the body of a message."""
        bodies: list[bytes] = []
        if one.gap is not None:
            bodies.append(self._mark(one, "events_gap", {"after": one.gap, "oldest": self.first}))
            one.gap = None
        at = max(0, one.cursor - self.first + 1)
        while one.sent + len(bodies) - one.seen < WINDOW:
            if one.dropped:
                bodies.append(self._mark(one, "events_dropped", {"count": one.dropped}))
                one.dropped = 0
            elif at < len(self.history):
                told, at = self.history[at], at + 1
                one.pass_by(told)
                if one.wants(told):
                    bodies.append(_body(one, told.body))
            else:
                break
        one.sent += len(bodies)
        return bodies

    def _mark(self, one: Subscription, type_: str, data: dict[str, Term]) -> bytes:
        return _body(one, encoder.encode(Event(one.cursor, 0, one.session, type_, 0.0, data)))


def _body(one: Subscription, event: bytes) -> bytes:
    return encoder.encode({"subscription": one.ref, "token": one.token, "event": msgspec.Raw(event)})
