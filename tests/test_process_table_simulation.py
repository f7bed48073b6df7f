"""The process table under random events: invariants after each, one DOWN per monitor, a twin that agrees.

The judge keeps its own book of monitors and numbers and knows nothing of the table's state.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import pytest
from hypothesis import given, settings, strategies as st

from actorcore.effects import Connect, Deliver, Effect, Forget, Fork, Kill, Publish, Retract
from actorcore.exit_reason import Reason
from actorcore.links import Links
from actorcore.monitors import Monitors
from actorcore.process_table import ProcessTable
from actorcore.signals import (
    Answer,
    Asked,
    Begin,
    Booted,
    Born,
    ClientAttached,
    ClientDetached,
    Continued,
    Demonitor,
    Down,
    Event,
    Exited,
    ForkFailed,
    Introduce,
    IsAlive,
    Link,
    Looked,
    Monitor,
    ProcessSpec,
    Received,
    Refill,
    Refused,
    Register,
    Request,
    SendExit,
    Spawn,
    Started,
    Stopped,
    TemplateTold,
    Ticked,
    TrapExit,
    Undelivered,
    Unlink,
    Unregister,
    Whereis,
    Writable,
)
from actorcore.table import deaths
from actorcore.table.entry import Entry
from actorcore.table.state import State
from actorcore.table.turn import Turn

REASONS: list[Reason] = ["normal", "kill", "boom", "shutdown", {"shutdown": "x"}, {"error": {"type": "E", "text": "t"}}]
NAMES = ["a", "b", "c"]
PAGES = 12


class Simulation:
    """Random requests and facts; effects feed the book of what must be true of any table."""

    def __init__(self, choose: Callable[[int], int], twin: bool) -> None:
        self.choose = choose
        self.table = ProcessTable(1, PAGES)
        self.twin = ProcessTable.restore(self.table.snapshot()) if twin else None
        self.now = 0.0
        self.number = 0
        self.ref = 0
        self.serials = [self.table.add_resident("system:root"), self.table.add_resident(None)]
        self.residents = set(self.serials)
        if self.twin is not None:
            self.twin = ProcessTable.restore(self.table.snapshot())
        self.clients: list[int] = []
        self.seqs: dict[int, int] = {}
        self.waiting: set[int] = set()
        self.answered: set[tuple[int, int]] = set()
        self.watching: dict[tuple[int, int], int] = {}
        self.fired: dict[tuple[int, int], int] = {}
        self.forgotten: set[int] = set()
        self.killed: set[int] = set()
        self.born: set[int] = set()
        self.published = {"system:root": self.serials[0]}
        self.forked: list[int] = []
        self.delivered: list[Deliver] = []
        for name in NAMES:
            self.handle(TemplateTold(name))

    def pick(self, items: list[int]) -> int:
        return items[self.choose(len(items))]

    def step(self) -> None:
        self.now += self.choose(3)
        fact = self.choose(3) == 0
        event = self.fact() if fact else Asked(self.pick(self.serials), self.next_number(), self.request())
        effects = self.handle(event)
        if isinstance(event, ClientAttached) and event.serial == 0:
            self.clients.append(self.table.last_client)
            self.serials.append(self.table.last_client)
        self.book(event, effects)

    def handle(self, event: Event) -> list[Effect]:
        effects = self.table.handle(event, self.now)
        self.table.check_invariants()
        if self.twin is not None:
            assert self.twin.handle(event, self.now) == effects
            data = self.table.snapshot()
            assert self.twin.snapshot() == data
            self.twin = ProcessTable.restore(data)
        return effects

    def next_number(self) -> int:
        self.number += 1
        return self.number

    def request(self) -> Request:
        to, name = self.pick(self.serials), NAMES[self.choose(len(NAMES))]
        reason = REASONS[self.choose(len(REASONS))]
        self.ref += 1
        spec = ProcessSpec(
            "m:f", template=name[:1], trap_exit=bool(self.choose(2)), name=name if self.choose(3) == 0 else None,
            init_timeout_s=float(self.choose(9)), busy_timeout_s=[None, 1.0, 3.0][self.choose(3)],
            when_hung="kill" if self.choose(2) else "report",
        )  # fmt: skip
        requests: list[Request] = [
            Spawn(spec, bool(self.choose(2)), self.ref * self.choose(2), bool(self.choose(2)), introduce=bool(self.choose(2))),
            SendExit(to, reason), Link(to), Link(to), Unlink(to), Monitor(self.ref, to), Monitor(self.ref, to),
            Monitor(self.ref, name=name), Demonitor(max(1, self.ref - self.choose(20))), TrapExit(bool(self.choose(2))),
            Register(name, to * self.choose(2)), Unregister(name), Whereis(name), IsAlive(to), Introduce(to),
        ]  # fmt: skip
        return requests[self.choose(len(requests))]

    def fact(self) -> Event:
        serial = self.pick(self.forked) if self.forked else 99
        client = self.pick(self.clients) if self.clients else 99
        own = REASONS[self.choose(len(REASONS))] if self.choose(2) else None
        facts: list[Event] = [
            Born(serial, 1000 + serial), Born(serial, 1000 + serial), Booted(serial), Booted(serial),
            Refused(serial, None if self.choose(2) else "no"), ForkFailed(serial, "eagain"), Exited(serial, 2, 9),
            Exited(serial, 1, 0, own), Exited(serial, 2, 11), Stopped(serial), Continued(serial),
            ClientAttached(0, b"s", 1), ClientAttached(client, b"s", 1), ClientDetached(client, False, lost=True),
            ClientDetached(client, bool(self.choose(2))),
            Received(client, self.seqs.get(client, 0)), Writable(serial), Writable(client),
            Refill(NAMES[self.choose(3)], self.choose(3)), Ticked(), self.undelivered(),
            Looked({serial: self.now - self.choose(4), client: 1.0}),
            TemplateTold(NAMES[self.choose(3)], "broken" if self.choose(3) == 0 else ""),
        ]  # fmt: skip
        return facts[self.choose(len(facts))]

    def undelivered(self) -> Event:
        if not self.delivered:
            return Ticked()
        last = self.delivered[-1]
        return Undelivered(last.to, last.seq, last.body)

    def book(self, event: Event, effects: list[Effect]) -> None:
        """What must be true of any effects, whatever the table thinks."""
        if isinstance(event, Asked):
            self.expect(event)
        if isinstance(event, Born):
            self.born.add(event.serial)
        for effect in effects:
            match effect:
                case Fork(serial):
                    assert serial not in self.serials, "a serial is never reused"
                    self.serials.append(serial)
                    self.forked.append(serial)
                case Deliver(to, seq, body):
                    assert to not in self.forgotten | self.killed, "the dying and the dead hear nothing"
                    assert to in self.born or to not in self.forked, "the unborn cannot be written to"
                    assert (seq == 1) is isinstance(body, Begin) or to not in self.forked, "Begin is the first frame"
                    self.received(to, seq, body)
                    self.delivered = [*self.delivered[-3:], effect]
                case Connect(a, _, b, _):
                    assert not {a, b} & (self.forgotten | self.killed), "channels connect the living"
                case Publish(name, serial):
                    assert self.published.setdefault(name, serial) == serial, "a name has one holder"
                case Retract(name):
                    del self.published[name]
                case Kill(serial):
                    assert serial not in self.forgotten, "the forgotten are not killed"
                    self.killed.add(serial)
                case Forget(serial):
                    assert serial not in self.published.values(), "a name does not outlive its holder"
                    self.forgotten.add(serial)

    def expect(self, event: Asked) -> None:
        """Residents hear everything at once, so that their book is exact."""
        if event.frm not in self.residents - self.forgotten:
            return
        self.waiting.add(event.number)
        match event.body:
            case Monitor(ref, to, name):
                self.watching[event.frm, ref] = self.published.get(name, 0) if name else to
            case Demonitor(ref):
                self.watching.pop((event.frm, ref), None)

    def received(self, to: int, seq: int, body: object) -> None:
        if seq <= self.seqs.get(to, 0):  # a repeat, which the receiver drops
            return
        self.seqs[to] = seq
        match body:
            case Answer(number) | Started(number):
                assert (to, number) not in self.answered, f"request {number} of {to} is answered twice"
                self.answered.add((to, number))
                self.waiting.discard(number)
            case Down(refs, pid, _):
                for ref in refs:
                    assert (to, ref) not in self.fired, f"monitor {ref} of {to} fires twice"
                    self.fired[to, ref] = pid

    def finish(self) -> None:
        """All processes die and all clients hang up: every request and every monitor of a resident is settled."""
        for serial in self.forked:
            self.book(*self.handled(Exited(serial, 2, 9)))
        for client in self.clients:
            self.book(*self.handled(ClientDetached(client, True)))
        left = self.table.statistics()
        assert (left.processes, left.blanks, left.clients, left.deadlines, left.channels) == (0, 0, 0, 0, 0)
        assert left.pages_free == PAGES
        if not self.residents & self.forgotten:
            assert self.waiting == set(), "every request is answered"
            silent = {key: to for key, to in self.watching.items() if key not in self.fired and to not in self.residents}
            assert silent == {}, "every monitor fires"

    def handled(self, event: Event) -> tuple[Event, list[Effect]]:
        return event, self.handle(event)


def simulate(choose: Callable[[int], int], steps: int, twin: bool) -> Simulation:
    simulation = Simulation(choose, twin)
    for _ in range(steps):
        simulation.step()
    simulation.finish()
    return simulation


def run_seed(seed: int, steps: int = 400, twin: bool = False) -> Simulation:
    random = Random(seed)
    try:
        return simulate(lambda n: random.randrange(n), steps, twin)
    except AssertionError as error:
        raise AssertionError(f"seed {seed}: {error}") from error


@pytest.mark.parametrize("seed", range(60))
def test_random_lives_keep_the_invariants(seed: int) -> None:
    run_seed(seed)


@pytest.mark.parametrize("seed", range(1000, 1015))
def test_random_lives_are_the_same_for_a_table_restored_after_each_event(seed: int) -> None:
    run_seed(seed, steps=250, twin=True)


@settings(max_examples=40)
@given(st.data())
def test_no_short_life_breaks_an_invariant(data: st.DataObject) -> None:
    simulate(lambda n: data.draw(st.integers(0, n - 1)) if n > 1 else 0, 25, twin=True)


@pytest.mark.parametrize("seed", range(20))
def test_in_the_end_everybody_is_told_and_nothing_is_left(seed: int) -> None:
    """All processes die and all clients hang up: what remains is residents, and every DOWN has come exactly once."""
    monitored: dict[tuple[int, int], int] = {}
    random = Random(seed)
    table = ProcessTable(1)
    root = table.add_resident(None)
    number, fired = 0, dict[tuple[int, int], Reason]()

    def ask(frm: int, body: Request) -> list[Effect]:
        nonlocal number
        number += 1
        return handle(Asked(frm, number, body))

    def handle(event: Event) -> list[Effect]:
        effects = table.handle(event, 0.0)
        table.check_invariants()
        for effect in effects:
            if isinstance(effect, Deliver) and isinstance(effect.body, Down):
                for ref in effect.body.refs:
                    assert (effect.to, ref) not in fired, f"seed {seed}: fired twice"
                    fired[effect.to, ref] = effect.body.reason
            elif isinstance(effect, Kill):
                doomed.append(effect.serial)
        return effects

    doomed: list[int] = []
    living: list[int] = []
    for _ in range(30):
        fork = next(e for e in ask(root, Spawn(ProcessSpec("m:f", trap_exit=random.random() < 0.3))) if isinstance(e, Fork))
        handle(Born(fork.serial, 1))
        handle(Booted(fork.serial))
        living.append(fork.serial)
    for ref in range(1, 200):
        watcher, target = random.choice([root, *living]), random.choice(living)
        ask(watcher, Monitor(ref, target))
        monitored[watcher, ref] = target
        if ref % 7 == 0:
            ask(watcher, Demonitor(ref))
            del monitored[watcher, ref]
        elif ref % 9 == 0 and watcher != root:
            ask(watcher, Link(target))
    while living:
        victim = random.choice(living)
        ask(root, SendExit(victim, random.choice(REASONS[1:])))
        if victim not in doomed:
            doomed.append(victim)
        while doomed:
            dead = doomed.pop(0)
            if dead in living:
                living.remove(dead)
                handle(Exited(dead, 2, 9))
    assert {key for key in monitored if key[0] == root} <= set(fired), f"seed {seed}"
    assert set(fired) <= set(monitored), f"seed {seed}"
    statistics = table.statistics()
    assert (statistics.processes, statistics.links, statistics.monitors, statistics.pages_free) == (0, 0, 0, 16384)


# ---- planted bugs: a judge that never caught one proves nothing -----------------------------------------------------


def caught(seeds: int = 20, twin: bool = False) -> bool:
    for seed in range(seeds):
        try:
            run_seed(seed, steps=300, twin=twin)
        except (AssertionError, KeyError):
            return True
    return False


def test_the_judge_is_content_without_a_planted_bug() -> None:
    assert not caught()


def test_planted_monitors_of_the_dead_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Monitors, "drop", lambda monitors, watcher: None)
    assert caught()


def test_planted_links_are_forgotten_on_one_side(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Links, "drop", lambda links, serial: list(links.partners.pop(serial, {})))
    assert caught()


def test_planted_a_death_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    fire = Monitors.fire
    monkeypatch.setattr(Monitors, "fire", lambda monitors, target: fire(monitors, target)[1:])
    assert caught()


def test_planted_a_monitor_fires_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deaths, "Down", lambda refs, pid, reason: Down(refs + refs, pid, reason))
    assert caught()


def test_planted_pages_leak(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(State, "remove", lambda state, entry: state.entries.pop(entry.serial) and None)
    assert caught()


def test_planted_the_dying_are_still_delivered_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Turn, "doom", lambda turn, entry, reason: turn.effects.append(Kill(entry.serial)))
    assert caught()


def test_planted_a_request_is_answered_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = Turn.answer
    monkeypatch.setattr(Turn, "answer", lambda turn, *args: [answer(turn, *args), answer(turn, *args)])
    assert caught()


def test_planted_a_failed_start_is_not_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Turn, "fail_start", lambda turn, starter, code, detail, serial=0: None)
    assert caught()


def test_planted_the_unborn_are_written_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Entry, "is_writable", lambda entry: True)
    assert caught()


def test_planted_a_name_is_not_retracted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Turn, "unpublish", lambda turn, holder: turn.state.names.release(holder))
    assert caught()


def test_planted_state_is_lost_in_the_snapshot(monkeypatch: pytest.MonkeyPatch) -> None:
    restore = State.restore

    def forgetful(data: bytes) -> State:
        state = restore(data)
        for entry in state.entries.values():
            entry.ordered = None if entry.ordered is None else "boom"
        return state

    monkeypatch.setattr(State, "restore", forgetful)
    assert caught(seeds=5, twin=True)
