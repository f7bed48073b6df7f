"""The book's page of names: who has which, who gave it, who keeps it for a next child, and what must be published."""

from __future__ import annotations

from typing import Any

from actorcore.effects import Publish, PublishMany, Retract
from actorcore.requests import Lookup, Register, RegisterMany, Release, Unregister
from tests.lives.party import Held, Party


class NameBook:
    def __init__(self, residents: dict[str, int]) -> None:
        self.parties: dict[int, Party] = {}
        self.published = dict(residents)
        self.names = {name: Held(serial, serial) for name, serial in residents.items()}
        self.publishes: set[str] = set()
        self.retracts: dict[int, str] = {}

    def _living(self, serial: int) -> Party | None:
        party = self.parties.get(serial)
        return party if party is not None and party.alive else None

    def _register(self, asker: Party, number: int, body: Register) -> None:
        error = self._name(asker, body)
        asker.waits[number] = (error is None or None, error)
        if error is None:
            self.publishes.add(body.name)

    def _register_many(self, asker: Party, number: int, body: RegisterMany) -> None:
        named: list[Party] = []
        asker.waits[number] = (True, None)
        for one in body.entries:
            error = self._name(asker, one)
            if error is not None:
                asker.waits[number] = (None, (error[0], {one.name: error[1]}))
                for holder in named:
                    self._free_name(holder)
                return
            named.append(self.parties[one.who or asker.serial])
        self.publishes.update(one.name for one in body.entries)

    def _name(self, asker: Party, body: Register) -> tuple[str, Any] | None:
        """Name the holder, or say why not."""
        holder = self._living(body.who or asker.serial)
        if holder is None:
            return ("process_not_alive", "noproc")
        taken = self._taken(body.name)
        # What a supervisor keeps is for the child in whose spec it is.
        parent = holder.parent if holder.spec is not None and holder.spec.name == body.name else 0
        if holder.name is not None:
            return ("already_registered", holder.name)
        if taken is not None and (taken.holder or taken.owner != parent):
            return ("already_registered", taken.holder)
        self._hold(holder, body.name, asker.serial, 0, body.value)
        return None

    def _taken(self, name: str) -> Held | None:
        """Who has it, now that somebody wants it: the dying let go."""
        taken = self.names.get(name)
        if taken is not None and taken.holder in self.parties and self.parties[taken.holder].ordered is not None:
            self._free_name(self.parties[taken.holder])
        return self.names.get(name)

    def _hold(self, holder: Party, name: str, registrar: int, owner: int, value: bytes = b"") -> None:
        """``owner`` keeps the name, or whoever kept it before."""
        taken = self.names.get(name)
        holder.name = name
        self.names[name] = Held(holder.serial, registrar, owner or (taken.owner if taken is not None else 0), value)

    def _release(self, asker: Party, number: int, body: Release) -> None:
        held = self.names.get(body.name)
        is_kept = held is not None and held.owner == asker.serial
        asker.waits[number] = (is_kept, None)
        if held is not None and is_kept:
            self._keep_no_longer(body.name, held)

    def _keep_no_longer(self, name: str, held: Held) -> None:
        held.owner = 0
        if not held.holder:
            del self.names[name]

    def _unregister(self, asker: Party, number: int, body: Unregister) -> None:
        held = self.names.get(body.name)
        if held is None or body.name not in self.published:
            asker.waits[number] = (None, ("not_found", body.name))
        elif asker.serial not in (held.holder, held.registrar):
            asker.waits[number] = (None, ("not_permitted", body.name))
        else:
            asker.waits[number] = (True, None)
            self._free_name(self.parties[held.holder])

    def _free_name(self, holder: Party) -> None:
        """It is its keeper's again, or nobody's."""
        if holder.name is None:
            return
        owner = self.names.pop(holder.name).owner
        if owner in self.parties:
            self.names[holder.name] = Held(0, owner, owner)
        if self.published.get(holder.name) == holder.serial:
            self.retracts[holder.serial] = holder.name
        holder.name = None

    def _free_reserved_name(self, holder: Party) -> None:
        if self.published.get(holder.name or "") != holder.serial:
            self._free_name(holder)

    def _lookup(self, asker: Party, number: int, body: Lookup) -> None:
        holder = self.published.get(body.name)
        asker.waits[number] = (None if holder is None else [holder, self.names[body.name].value], None)

    # ---- effects: the shared registry follows, no sooner and no later -----------------------------------------------

    def _publish(self, effect: Publish) -> None:
        assert effect.name in self.publishes, f"{effect.name} is published too early"
        held = self.names[effect.name]
        assert (held.holder, held.value) == (effect.serial, effect.value), f"{effect.name} is another's"
        self.publishes.discard(effect.name)
        self.published[effect.name] = effect.serial

    def _publish_many(self, effect: PublishMany) -> None:
        for one in effect.entries:
            self._publish(one)

    def _retract(self, effect: Retract) -> None:
        holder = self.published.pop(effect.name)
        assert self.retracts.pop(holder, None) == effect.name, f"{effect.name} is retracted, and {holder} has it"
