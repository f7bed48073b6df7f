"""Invariants: what holds between any two events. Tests check it after each; it costs a walk over the whole table."""

from __future__ import annotations

from actorcore.names import MAX_BLOCKS
from actorcore.registry_layout import blocks_of
from actorcore.signals import NOBODY
from actorcore.table import hangs
from actorcore.table.backlog import MAX_BACKLOG, MAX_OWED_BYTES, MAX_OWED_TOGETHER_BYTES, MAX_UNACKNOWLEDGED, weight
from actorcore.table.entry import NO_PAGE, Kind, Phase
from actorcore.table.state import State


def check(state: State) -> None:
    """Raises AssertionError that names the first violation."""
    _entries(state)
    _pages(state)
    _bonds(state)
    _channels(state)
    _names(state)
    _deadlines(state)
    _hangs(state)


def _require(holds: bool, *what: object) -> None:
    if not holds:
        raise AssertionError(" ".join(map(str, what)))


def _entries(state: State) -> None:
    _require(list(state.entries) == sorted(state.entries), "entries are in order of serial")
    for serial, entry in state.entries.items():
        _require(entry.serial == serial <= state.last_serial, "serial", serial, "is its key")
        seqs = [seq for seq, _ in entry.backlog]
        _require(seqs == sorted(set(seqs)), "backlog of", serial, "rises")
        _require(not seqs or seqs[-1] <= entry.seq, "backlog of", serial, "is numbered by its entry")
        _require(len(seqs) <= max(MAX_BACKLOG, MAX_UNACKNOWLEDGED), "backlog of", serial, "is bounded")
        _require(entry.owed == sum(weight(body) for _, body in entry.backlog) <= MAX_OWED_BYTES, serial, "is owed its backlog")
        _require(entry.phase is not Phase.DYING or not seqs, "nothing waits for the dying", serial)
        if entry.kind is Kind.PROCESS:
            _require(entry.phase is not Phase.DYING or entry.ordered is not None, serial, "dies for a reason")
            _require(entry.jammed or not seqs, "nothing waits for writable", serial)
            _require(entry.phase is not Phase.FORKING or entry.jammed, "the unborn", serial, "are jammed")
            _require(not (entry.is_blank() and seqs), "nothing waits for blank", serial)
        else:
            phases = (Phase.RUNNING,) if entry.spec is None else (Phase.BOOTING, Phase.RUNNING)
            _require(entry.phase in phases, serial, "without OS process ends in the turn that dooms it")
        _require(entry.phase in (Phase.FORKING, Phase.BOOTING, Phase.DYING) or not entry.starter, serial, "is answered")
        _require(not entry.is_writable() or not entry.waiting, "nothing waits for a writable end", serial)
    owed = sum(entry.owed for entry in state.entries.values())
    _require(owed == state.owed <= MAX_OWED_TOGETHER_BYTES, "all are owed what each is owed")
    blanks = {serial for serials in state.blanks.values() for serial in serials}
    _require(blanks == {entry.serial for entry in state.entries.values() if entry.is_blank()}, "blanks are listed")


def _pages(state: State) -> None:
    used = [entry.page for entry in state.entries.values() if entry.kind is Kind.PROCESS]
    _require(sorted(used + state.pages_freed) == list(range(state.pages_used)), "each page has one owner")
    _require(state.pages_used <= state.pages, "pages exist")
    others = {entry.page for entry in state.entries.values() if entry.kind is not Kind.PROCESS}
    _require(others <= {NO_PAGE}, "only processes have pages")


def _bonds(state: State) -> None:
    for a, partners in state.links.partners.items():
        _require(a in state.entries and bool(partners), "links of", a, "are of a living one")
        for b in partners:
            _require(b != a and a in state.links.partners.get(b, {}), "link", a, b, "is symmetric")
    for table in (state.monitors, state.asks):
        forth = [(watcher, ref, target) for watcher, refs in table.targets.items() for ref, target in refs.items()]
        back = [
            (watcher, ref, target)
            for target, watchers in table.refs.items()
            for watcher, refs in watchers.items()
            for ref in refs
        ]
        _require(sorted(forth) == sorted(back), "both sides of a monitor agree")
        for watcher, _, target in forth:
            _require(watcher in state.entries and target in state.entries, "monitor", watcher, target, "is of the living")


def _channels(state: State) -> None:
    for entry in state.entries.values():
        for peer, seq in entry.channels.items():
            _require(peer in state.entries, "channel", entry.serial, peer, "has two ends")
            _require(entry.serial in state.entries[peer].channels, "channel", entry.serial, peer, "is symmetric")
            _require(0 < seq <= entry.seq, "channel", entry.serial, peer, "was announced")


def _names(state: State) -> None:
    names = state.names
    held = {registration.holder: name for name, registration in names.registrations.items() if registration.holder != NOBODY}
    taken = sum(registration.holder != NOBODY for registration in names.registrations.values())
    _require(held == names.held and len(held) == taken, "one name per process")
    owned = sorted((owner, name) for owner, kept in names.owned.items() for name in kept)
    owners = sorted((registration.owner, name) for name, registration in names.registrations.items() if registration.owner)
    _require(owned == owners and all(owner in state.entries for owner, _ in owned), "names are kept by the living")
    blocks = sum(blocks_of(len(registration.value)) for registration in names.registrations.values())
    _require(names.blocks == blocks and blocks + names.shown.blocks <= MAX_BLOCKS, "values have room")
    shown = [value for entries in names.shown.entries.values() for value in entries.values()]
    _require(names.shown.count == len(shown), "what is shown is counted")
    _require(names.shown.blocks == sum(blocks_of(len(value)) for value in shown), "the blocks of what is shown are counted")
    _require(all(owner in state.entries for owner in names.shown.entries), "the living show")
    for name, registration in names.registrations.items():
        entry = state.entries.get(registration.holder)
        if registration.holder == NOBODY:
            _require(registration.owner != NOBODY and not registration.published, "name", name, "is kept, not found")
            continue
        _require(entry is not None, "name", name, "has a holder")
        if entry is not None and not registration.published:
            _require(entry.phase in (Phase.FORKING, Phase.BOOTING, Phase.DYING), "name", name, "is found when ready")


def _deadlines(state: State) -> None:
    due = set()
    for entry in state.entries.values():
        forking = entry.phase is Phase.FORKING and not entry.is_blank()
        waiting = forking or entry.phase in (Phase.BOOTING, Phase.REFUSED)
        if waiting or (entry.kind is Kind.CLIENT and not entry.attached and not entry.lost):
            due.add(entry.serial)
    _require(due == set(state.deadlines.live), "deadlines are of those who wait", sorted(due), state.deadlines.live)


def _hangs(state: State) -> None:
    due: set[int] = set()
    for entry in state.entries.values():
        if entry.kind is not Kind.PROCESS or entry.phase is Phase.DYING:
            continue
        if entry.stopped:
            _require(not entry.is_blank(), "no blank is stopped", entry.serial)
            due.update(() if entry.hung == "stopped" else (entry.serial,))
        elif hangs.busy_timeout_s(entry) is not None:
            due.add(entry.serial)
    _require(due == set(state.hangs.live), "hangs are looked for where they can be", sorted(due), state.hangs.live)
