"""Registry: processes under keys of their own choice, with values, unique or not (Elixir's Registry), as a resident.

Who registers is linked to the registry, as in Elixir: its entries go with it, and when the registry dies so does a holder
that does not trap exits, for its names would be lost without its knowing. Who holds a key stands in the shared registry too
(:mod:`actorcore.shown`), where anybody reads it without asking.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from actorcore.exit_reason import Term
from actorcore.frames import decode_ext, encoder
from actorcore.pids import Pid
from actorcore.residents import AnswerTo, Do, Leave, Order, Ready, Send, Show
from actorcore.signals import NOBODY, Answer, Asking, Begin, Delivery, Exit, IsAlive, Link, Unlink
from supervisors.registry.criteria import is_met, read_criteria
from supervisors.registry.words import (
    Dispatch,
    Keys,
    Lookup,
    Match,
    Register,
    RegistryRequest,
    RegistrySpec,
    Select,
    Stop,
    Unregister,
    UnregisterMatch,
    UpdateValue,
    Values,
    decode_request,
)  # fmt: skip

MAX_ENTRIES = 65_536
MAX_KEY_BYTES = 256
MAX_BYTES = 4 << 20
"""Of all keys and values: they are part of each snapshot of the node."""


class Entry(msgspec.Struct):
    """One registration."""

    key: str
    serial: int
    value: object
    size_bytes: int = 0


class Doubt(msgspec.Struct, frozen=True):
    """A registration that waits for word whether ``holder`` of the key lives."""

    holder: int
    frm: int
    number: int
    key: str
    value: object


class Memory(msgspec.Struct):
    """The whole state."""

    spec: RegistrySpec
    parent: int
    last_number: int
    entries: list[Entry]
    doubts: dict[int, Doubt]
    instance: int = 0
    name: str = ""


_memory_decoder = msgspec.msgpack.Decoder(Memory, ext_hook=decode_ext)
Refusal: TypeAlias = tuple[str, Term]


class Registry:
    """The machine."""

    def __init__(self, spec: RegistrySpec | None = None) -> None:
        self._spec = spec or RegistrySpec()
        self._parent = NOBODY
        self._instance, self._name = 0, ""
        self._last_number = 0
        self._by_key: dict[str, list[Entry]] = {}
        self._by_serial: dict[int, list[Entry]] = {}
        self._count = self._bytes = 0
        self._doubts: dict[int, Doubt] = {}
        self._changed: dict[str, None] = {}
        self._orders: list[Order] = []

    def handle(self, body: Delivery, now: float) -> list[Order]:
        """React to one delivery."""
        self._orders = []
        match body:
            case Begin(instance=instance, spec=spec, parent=parent):
                self._parent, self._instance, self._name = parent, instance, spec.name or ""
                self._orders += [Show(""), Ready()]
            case Exit(frm, reason) if frm in (self._parent, NOBODY):
                self._orders.append(Leave(reason))
            case Exit(frm):
                for entry in list(self._by_serial.get(frm, [])):
                    self._remove(entry)
            case Answer(number, value) if number in self._doubts:
                self._decide(self._doubts.pop(number), value is True)
            case Asking(frm, number, raw):
                self._ask(frm, number, raw)
            case _:
                pass  # of no concern to a registry
        return [*self._show(), *self._orders]

    def _show(self) -> list[Order]:
        """What readers are to find where something has changed."""
        shows: list[Order] = []
        for key in self._changed:
            held = [[entry.serial, entry.value] for entry in self._by_key.get(key, [])]
            shows.append(Show(key, encoder.encode(held) if held else b""))
        self._changed.clear()
        return shows

    def snapshot(self) -> bytes:
        """The whole state."""
        entries = [entry for held in self._by_key.values() for entry in held]
        return encoder.encode(Memory(self._spec, self._parent, self._last_number, entries, self._doubts,
                                     self._instance, self._name))  # fmt: skip

    def restore(self, state: bytes) -> None:
        """Become what :meth:`snapshot` described."""
        memory = _memory_decoder.decode(state)
        self._spec, self._parent, self._last_number = memory.spec, memory.parent, memory.last_number
        self._by_key, self._by_serial, self._doubts = {}, {}, memory.doubts
        self._count = self._bytes = 0
        self._instance, self._name = memory.instance, memory.name
        for entry in memory.entries:
            self._add(entry)
        self._changed.clear()

    def _ask(self, frm: int, number: int, raw: msgspec.Raw) -> None:
        request = decode_request(raw)
        if isinstance(request, str):
            self._orders.append(AnswerTo(frm, number, error=("invalid_message", request)))
            return
        if isinstance(request, Stop):
            self._orders += [AnswerTo(frm, number, True), Leave(request.reason)]  # type: ignore[arg-type]
            return
        answer = self._serve(frm, number, request)
        if answer is None:  # later
            return
        self._orders.append(AnswerTo(frm, number, error=answer) if isinstance(answer, tuple) else AnswerTo(frm, number, answer))

    def _serve(self, frm: int, number: int, request: RegistryRequest) -> Term | Refusal:
        match request:
            case Register(key, value):
                return self._register(frm, number, key, value)
            case Unregister(key):
                return self._unregister([entry for entry in self._by_key.get(key, []) if entry.serial == frm])
            case UnregisterMatch(key, value):
                held = self._by_key.get(key, [])
                return self._unregister([entry for entry in held if (entry.serial, entry.value) == (frm, value)])
            case UpdateValue(key, value):
                return self._update(frm, key, value)
            case Lookup(key):
                return [[entry.serial, entry.value] for entry in self._by_key.get(key, [])]  # type: ignore[list-item]
            case Match(key, value):
                found = [entry for entry in self._by_key.get(key, []) if entry.value == value]
                return [[entry.serial, entry.value] for entry in found]  # type: ignore[list-item]
            case Keys(who):
                return [entry.key for entry in self._by_serial.get(who, [])]
            case Values(key, who):
                return [entry.value for entry in self._by_key.get(key, []) if entry.serial == who]  # type: ignore[misc]
            case Dispatch(key, message):
                return self._dispatch(key, message)
            case Select(said):
                criteria = read_criteria(said)
                if isinstance(criteria, str):
                    return ("invalid_criteria", criteria)
                every = [entry for held in self._by_key.values() for entry in held]
                return [[entry.key, entry.serial, entry.value] for entry in every if is_met(criteria, entry.value)]  # type: ignore[list-item]
            case _:
                return self._count

    def _update(self, frm: int, key: str, value: object) -> Term | Refusal:
        for entry in self._by_key.get(key, []):
            if entry.serial == frm:
                size_bytes = _size_bytes(key, value)
                if self._bytes + size_bytes - entry.size_bytes > MAX_BYTES:
                    return ("registry_full", MAX_BYTES)
                self._bytes += size_bytes - entry.size_bytes
                old, entry.value, entry.size_bytes = entry.value, value, size_bytes
                self._changed[key] = None
                return [value, old]  # type: ignore[list-item]
        return ("not_found", key)

    def _dispatch(self, key: str, message: object) -> Term | Refusal:
        held = self._by_key.get(key, [])
        if not held and self._spec.keys == "unique":
            return ("not_found", key)
        self._orders += [Send(entry.serial, msgspec.Raw(encoder.encode(message))) for entry in held]
        return len(held)

    def _decide(self, doubt: Doubt, is_alive: bool) -> None:
        """Whether the key is free after all: its holder may be dead without our having heard of it."""
        holders = self._by_key.get(doubt.key, [])
        if holders and (is_alive or holders[0].serial != doubt.holder):
            answer = AnswerTo(doubt.frm, doubt.number, error=("already_registered", holders[0].serial))
        else:
            for entry in list(holders):
                self._remove(entry)
            taken = self._take(doubt.frm, doubt.key, doubt.value)
            answer = AnswerTo(doubt.frm, doubt.number, True, None if taken is True else taken)  # type: ignore[arg-type]
        self._orders.append(answer)

    def _register(self, frm: int, number: int, key: str, value: object) -> Term | Refusal:
        if not 0 < len(key.encode()) <= MAX_KEY_BYTES:
            return ("invalid_key", f"1 to {MAX_KEY_BYTES} bytes")
        holders = self._by_key.get(key, [])
        if self._spec.keys == "unique" and holders:
            self._doubts[self._do(IsAlive(holders[0].serial))] = Doubt(holders[0].serial, frm, number, key, value)
            return None
        return self._take(frm, key, value)

    def _take(self, frm: int, key: str, value: object) -> bool | Refusal:
        size_bytes = _size_bytes(key, value)
        if self._count >= MAX_ENTRIES or self._bytes + size_bytes > MAX_BYTES:
            return ("registry_full", f"{MAX_ENTRIES} entries of {MAX_BYTES} bytes")
        if frm not in self._by_serial:
            self._do(Link(frm))
        self._add(Entry(key, frm, value, size_bytes))
        self._tell(["register", self._name, key, Pid(self._instance, frm), value])
        return True

    def _unregister(self, entries: list[Entry]) -> bool:
        for entry in entries:
            self._remove(entry)
            if entry.serial not in self._by_serial:
                self._do(Unlink(entry.serial))
        for entry in entries[:1]:
            if any(other.key == entry.key for other in self._by_serial.get(entry.serial, [])):
                break  # it holds the key still, with another value (registry.ex, unregister_match)
            self._tell(["unregister", self._name, entry.key, Pid(self._instance, entry.serial)])
        return True

    def _tell(self, news: list[object]) -> None:
        self._orders += [Send(listener, msgspec.Raw(encoder.encode(news))) for listener in self._spec.listeners]

    def _add(self, entry: Entry) -> None:
        self._count += 1
        self._bytes += entry.size_bytes
        self._changed[entry.key] = None
        self._by_key.setdefault(entry.key, []).append(entry)
        self._by_serial.setdefault(entry.serial, []).append(entry)

    def _remove(self, entry: Entry) -> None:
        self._count -= 1
        self._bytes -= entry.size_bytes
        self._changed[entry.key] = None
        for table, key in ((self._by_key, entry.key), (self._by_serial, entry.serial)):
            held: list[Entry] = table[key]  # type: ignore[index]
            held[:] = [other for other in held if other is not entry]
            if not held:
                del table[key]  # type: ignore[arg-type]

    def _do(self, request: Link | Unlink | IsAlive) -> int:
        self._last_number += 1
        self._orders.append(Do(self._last_number, request))
        return self._last_number


def _size_bytes(key: str, value: object) -> int:
    """What an entry takes of a snapshot, about."""
    return len(key.encode()) + len(encoder.encode(value))
