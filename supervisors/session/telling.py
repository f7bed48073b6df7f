"""What the manager tells: the events of sessions and services, by number, to whoever has subscribed.

Pure; what is to be done is appended to ``orders``.
"""

from __future__ import annotations

import msgspec

from actorcore.exit_reason import Term
from actorcore.residents import Do, Order, Send
from actorcore.signals import Demonitor, Monitor, Processes, Spawn
from supervisors.services.told import ServiceReborn, ServiceTold
from supervisors.session import events
from supervisors.session.events import Event
from supervisors.session.subscriptions import Subscription
from supervisors.session.words import LastTold, Memory, Publish, Refusal, Slot


class Telling:
    """``slots``: all sessions by id, in the order of their creation."""

    def __init__(self, memory: Memory) -> None:
        self.now = 0.0
        self.orders: list[Order] = []
        self.memory = memory
        self.slots = {slot.record.id: slot for slot in memory.sessions}
        self._news: dict[str, None] = {}

    # ---- of sessions and services -----------------------------------------------------------------------------------

    def tell(self, slot: Slot, type_: str, **data: Term) -> int:
        """An event of the session; its number."""
        slot.seq += 1
        return self._publish(slot.record.id, slot.seq, type_, data, slot.told)

    def on_its_own(self, frm: int, request: Publish | LastTold) -> Term | Refusal:
        """What the process of a session asks: to tell something, or what was told before it; the answer."""
        slot = self.slots.get(request.session)
        if slot is None:
            return ("not_found", None)
        if slot.voice() != frm:
            return ("not_permitted", None)
        if isinstance(request, LastTold):
            return slot.told
        for type_, data in request.events:
            if (trouble := events.trouble_with(type_, data)) is not None:
                return trouble
            if type_ not in events.OWN:
                return ("not_permitted", type_)
        if request.record is not None:
            slot.told = request.record
        for type_, data in request.events:
            self.tell(slot, type_, **data)
        return self.memory.subscriptions.number

    def _publish(self, session: str, seq: int, type_: str, data: dict[str, Term], record: int | None = None) -> int:
        number = self.memory.subscriptions.number + 1
        at = self.now + self.memory.offset_s
        self.memory.subscriptions.publish(Event(number, seq, session, type_, at, data), record)
        self.memory.counters[type_] = self.memory.counters.get(type_, 0) + 1
        self._news[session] = None
        return number

    def on_service_told(self, told: ServiceTold) -> None:
        """An event of a service: of the session that it concerns, if there is one."""
        self.tell_about(str(told.data.get("key")), told.type, told.data)

    def tell_about(self, id: str, type_: str, data: dict[str, Term]) -> None:
        """An event of session ``id``, or of none if that is not there."""
        slot = self.slots.get(id)
        if slot is not None:
            self.tell(slot, type_, **data)
        else:
            self.memory.seq += 1
            self._publish("", self.memory.seq, type_, data)

    def on_service_reborn(self, told: ServiceReborn, after: int) -> None:
        """A resident was killed, and goes on as ``after``."""
        self.memory.reborn[told.name] = count = self.memory.reborn.get(told.name, 0) + 1
        for event in told.events(after, count):
            self.on_service_told(event)

    # ---- to subscribers ---------------------------------------------------------------------------------------------

    def spread(self) -> None:
        """Send every subscriber what is due to him, after everything else has been decided."""
        sessions, self._news = self._news, {}
        subscriptions = self.memory.subscriptions
        due = {one.ref: one for session in sessions for one in subscriptions.concerned(session)}
        for one in due.values():
            self.serve(one)

    def serve(self, one: Subscription) -> None:
        """Send ``one`` what is due to it."""
        subscriptions = self.memory.subscriptions
        self.orders += [Send(one.to, msgspec.Raw(body)) for body in subscriptions.due(one)]
        if one.over and one.cursor == subscriptions.number:
            subscriptions.remove(one.ref)
            self.do(Demonitor(one.ref))

    def do(self, request: Monitor | Demonitor | Processes | Spawn) -> int:
        """Make it as the manager; its number."""
        self.memory.orders += 1
        self.orders.append(Do(self.memory.orders, request))
        return self.memory.orders
