"""Groups: processes under names that any number of them share, and who is told of each change (OTP's pg), as a resident.

A process that has joined a group twice leaves it twice. Members and watchers are monitored: the dead are in no group. Members
stand in the shared registry too (:mod:`actorcore.shown`), where anybody reads them without asking.
"""

from __future__ import annotations

from typing import TypeAlias, Union

import msgspec

from actorcore.exit_reason import Term
from actorcore.frames import DECODE_ERRORS, decode_ext, encoder
from actorcore.pids import Pid
from actorcore.residents import AnswerTo, Do, Leave as End, Order, Ready, Send, Show
from actorcore.signals import NOBODY, Asking, Begin, Delivery, Demonitor, Down, Exit, Monitor
from actorcore.words import Word

MAX_MEMBERSHIPS = 65_536
MAX_GROUP_BYTES = 256
MAX_BYTES = 4 << 20
"""Of the names of all groups: they are part of each snapshot of the node."""


class GroupsSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """There is nothing to choose."""


class Join(Word, frozen=True, tag="join"):
    """These processes join ``group``, all or none. Errors: invalid_key, registry_full."""

    group: str
    serials: list[int]


class Leave(Word, frozen=True, tag="leave"):
    """Each of these leaves ``group`` once. Error: not_joined, none of them is in it."""

    group: str
    serials: list[int]


class Members(Word, frozen=True, tag="members"):
    """Answer: the serials of the members of ``group``, each as often as it has joined, longest first."""

    group: str


class WhichGroups(Word, frozen=True, tag="which_groups"):
    """Answer: the names of all groups that have members."""


class MonitorGroup(Word, frozen=True, tag="monitor"):
    """Answer: a ref and the members. From now on the asker gets ``[ref, "join" or "leave", group, pids]`` as messages."""

    group: str


class MonitorScope(Word, frozen=True, tag="monitor_scope"):
    """As MonitorGroup of all groups. Answer: a ref and ``{group: members}``."""


class DemonitorGroup(Word, frozen=True, tag="demonitor"):
    """No more messages with ``ref``. Answer: whether it was the asker's."""

    ref: int


class Stop(Word, frozen=True, tag="stop"):
    """The groups end with ``reason``; their members do not."""

    reason: Union[str, dict[str, object]] = "normal"


GroupRequest: TypeAlias = Union[
    Join, Leave, Members, WhichGroups, MonitorGroup, MonitorScope, DemonitorGroup, Stop
]  # fmt: skip
_request_decoder = msgspec.msgpack.Decoder(GroupRequest, ext_hook=decode_ext)


class Watch(msgspec.Struct, frozen=True):
    """``serial`` wants to hear of ``group``; None: of all."""

    serial: int
    group: str | None


class Memory(msgspec.Struct):
    """The whole state. ``monitors``: who is monitored, by which ref."""

    instance: int = 0
    parent: int = NOBODY
    last_number: int = 0
    groups: dict[str, list[int]] = {}
    watches: dict[int, Watch] = {}
    monitors: dict[int, int] = {}


_memory_decoder = msgspec.msgpack.Decoder(Memory)
Refusal: TypeAlias = tuple[str, Term]


class Groups:
    """The machine."""

    def __init__(self, spec: GroupsSpec | None = None) -> None:
        self._memory = Memory()
        self._groups_of: dict[int, list[str]] = {}
        self._count = self._bytes = 0
        self._changed: dict[str, None] = {}
        self._orders: list[Order] = []

    def handle(self, body: Delivery, now: float) -> list[Order]:
        """React to one delivery."""
        self._orders = []
        match body:
            case Begin(instance=instance, parent=parent):
                self._memory.instance, self._memory.parent = instance, parent
                self._orders += [Show(""), Ready()]
            case Exit(frm, reason) if frm in (self._memory.parent, NOBODY):
                self._orders.append(End(reason))
            case Down(_, serial):
                self._bury(serial)
            case Asking(frm, number, raw):
                self._ask(frm, number, raw)
            case _:
                pass  # of no concern to groups
        return [*self._show(), *self._orders]

    def _show(self) -> list[Order]:
        """What readers are to find where something has changed."""
        groups = {group: self._memory.groups.get(group) for group in self._changed}
        self._changed.clear()
        return [Show(group, encoder.encode(members) if members else b"") for group, members in groups.items()]

    def snapshot(self) -> bytes:
        """The whole state."""
        return encoder.encode(self._memory)

    def restore(self, state: bytes) -> None:
        """Become what :meth:`snapshot` described."""
        self._memory = _memory_decoder.decode(state)
        self._groups_of, self._count = {}, 0
        self._bytes = sum(len(group.encode()) for group in self._memory.groups)
        for group, members in self._memory.groups.items():
            self._count += len(members)
            for serial in members:
                self._groups_of.setdefault(serial, []).append(group)

    def _ask(self, frm: int, number: int, raw: msgspec.Raw) -> None:
        try:
            request: GroupRequest = _request_decoder.decode(raw)
        except DECODE_ERRORS as error:
            self._orders.append(AnswerTo(frm, number, error=("invalid_message", str(error)[:200])))
            return
        answer = self._serve(frm, request)
        self._orders.append(AnswerTo(frm, number, error=answer) if isinstance(answer, tuple) else AnswerTo(frm, number, answer))
        if isinstance(request, Stop):
            self._orders.append(End(request.reason))  # type: ignore[arg-type]

    def _serve(self, frm: int, request: GroupRequest) -> Term | Refusal:
        memory = self._memory
        match request:
            case Join(group, serials):
                return self._join(group, serials)
            case Leave(group, serials):
                gone = [serial for serial in serials if self._remove(group, serial)]
                if not gone:
                    return ("not_joined", group)
                self._tell("leave", group, gone)
                self._release(gone)
            case Members(group):
                return [*memory.groups.get(group, [])]
            case WhichGroups():
                return [*memory.groups]
            case MonitorGroup(group):
                return [self._watch(Watch(frm, group)), [*memory.groups.get(group, [])]]
            case MonitorScope():
                return [self._watch(Watch(frm, None)), {group: [*members] for group, members in memory.groups.items()}]
            case DemonitorGroup(ref):
                watch = memory.watches.get(ref)
                if watch is None or watch.serial != frm:
                    return False
                del memory.watches[ref]
                self._release([frm])
        return True

    def _join(self, group: str, serials: list[int]) -> Term | Refusal:
        if not 0 < len(group.encode()) <= MAX_GROUP_BYTES:
            return ("invalid_key", f"1 to {MAX_GROUP_BYTES} bytes")
        size_bytes = 0 if group in self._memory.groups or not serials else len(group.encode())
        if self._count + len(serials) > MAX_MEMBERSHIPS or self._bytes + size_bytes > MAX_BYTES:
            return ("registry_full", f"{MAX_MEMBERSHIPS} memberships, {MAX_BYTES} bytes of names")
        self._count += len(serials)
        self._bytes += size_bytes
        self._changed[group] = None
        for serial in serials:
            self._memory.groups.setdefault(group, []).append(serial)
            self._groups_of.setdefault(serial, []).append(group)
            self._monitor(serial)
        if serials:
            self._tell("join", group, serials)
        return True

    def _remove(self, group: str, serial: int) -> bool:
        """One membership; whether there was one."""
        members = self._memory.groups.get(group, [])
        if serial not in members:
            return False
        self._count -= 1
        self._changed[group] = None
        members.remove(serial)
        if not members:
            del self._memory.groups[group]
            self._bytes -= len(group.encode())
        joined = self._groups_of[serial]
        joined.remove(group)
        if not joined:
            del self._groups_of[serial]
        return True

    def _bury(self, serial: int) -> None:
        """Nobody hears of the dead what they do not hear of the living: one message for each membership."""
        self._memory.monitors.pop(serial, None)
        for ref in [ref for ref, watch in self._memory.watches.items() if watch.serial == serial]:
            del self._memory.watches[ref]
        for group in list(self._groups_of.get(serial, [])):
            self._remove(group, serial)
            self._tell("leave", group, [serial])

    def _tell(self, change: str, group: str, serials: list[int]) -> None:
        pids = [Pid(self._memory.instance, serial) for serial in serials]
        for ref, watch in self._memory.watches.items():
            if watch.group in (group, None):
                self._orders.append(Send(watch.serial, msgspec.Raw(encoder.encode([ref, change, group, pids]))))

    def _watch(self, watch: Watch) -> int:
        ref = self._next_number()
        self._memory.watches[ref] = watch
        self._monitor(watch.serial)
        return ref

    def _monitor(self, serial: int) -> None:
        if serial not in self._memory.monitors:
            number = self._memory.monitors[serial] = self._next_number()
            self._orders.append(Do(number, Monitor(number, serial)))

    def _release(self, serials: list[int]) -> None:
        """Who is neither a member nor a watcher any more is not monitored."""
        watching = {watch.serial for watch in self._memory.watches.values()}
        for serial in dict.fromkeys(serials):
            if serial not in self._groups_of and serial not in watching and serial in self._memory.monitors:
                self._orders.append(Do(self._next_number(), Demonitor(self._memory.monitors.pop(serial))))

    def _next_number(self) -> int:
        self._memory.last_number += 1
        return self._memory.last_number
