"""World: random lives over the node's kernel in virtual time, each event and effect read by the book.

It plays the operating system, the clients and the deaths of nodes: sockets that fill, frames lost with a connection, facts
that come twice or late, a node that dies between two effects and whose successor starts from snapshot and tail.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import msgspec

from actorcore import migrations
from actorcore.effects import Connect, Deliver, Effect
from actorcore.exit_reason import Reason
from actorcore.kernel import Kernel
from actorcore.requests import (
    Ask,
    Demonitor,
    Introduce,
    IsAlive,
    Link,
    Lookup,
    Monitor,
    Register,
    RegisterMany,
    Release,
    Request,
    SendExit,
    Spawn,
    TrapExit,
    Unlink,
    Unregister,
    Whereis,
)
from actorcore.signals import (
    Asked,
    Booted,
    Born,
    ClientAttached,
    ClientDetached,
    Continued,
    Event,
    Exited,
    ForkFailed,
    Looked,
    NotConnected,
    Received,
    Refill,
    Refused,
    Stopped,
    Ticked,
    TookOver,
    Undelivered,
    Violated,
    Writable,
)
from actorcore.words import ProcessSpec
from supervisors.tree.child_spec import ChildSpec
from supervisors.tree.session_words import (
    CountSessions,
    GetSession,
    ListSessions,
    RestartSession,
    Session,
    SessionRequest,
    StartSession,
    StopSession,
)
from supervisors.tree.sessions import Sessions
from tests.lives.book import Book, secret_of
from tests.lives.party import NOT_YET, Party

INSTANCE, MAX_SESSIONS = 7, 3
CHECK_EVERY = 250
"""Events between two checks of the whole: the table's own invariants, and nothing due to anybody who can hear."""
SUCCESSION_EVERY = 500
"""Events between two deaths of the node."""
TAIL = 40
"""Events that a successor replays, at most."""

NAMES = ["a", "b", "c", "d", "e"]
SESSIONS = ["s0", "s1", "s2", "s3"]
REASONS: list[Reason] = [
    "normal", "kill", "boom", "shutdown", "killed", {"shutdown": "x"}, {"error": {"type": "E", "text": "t"}},
]  # fmt: skip
STATUSES = [(2, 9), (2, 9), (2, 11), (2, 15), (2, 6), (1, 0), (1, 3)]


class World:
    def __init__(self, seed: int) -> None:
        self.chance = Random(seed).random
        self.kernel = self.new_kernel()
        self.book = Book(self.kernel.table.published())
        self.sessions = self.book.published["system:sessions"]
        self.now = 0.0
        self.events = 0
        self.clients = 0
        self.ref = 0
        self.crowd = 12
        self.nobody = Party(0, "client", "running")
        self.everyone: list[Party] = []
        self.base, self.tail = self.kernel.snapshot(), list[tuple[Event, float, list[Effect]]]()
        self.dies_at = SUCCESSION_EVERY
        self.generation = 1
        acts: list[tuple[int, Callable[[], None]]] = [
            (26, self.spawn), (16, self.reap), (10, self.die), (10, self.go_on), (9, self.ask), (3, self.bond), (3, self.whistle),
            (2, self.jam), (4, self.unjam), (2, self.hang_up), (3, self.come_back), (3, self.receive), (2, self.repeat),
            (2, self.wait), (3, self.supervise), (1, self.refill), (1, self.misbehave),
        ]  # fmt: skip
        self.acts = [act for weight, act in acts for _ in range(weight)]

    @staticmethod
    def new_kernel() -> Kernel:
        return Kernel(INSTANCE, {"sessions": Sessions(MAX_SESSIONS)})

    def live(self, lives: int) -> World:
        """Go on until so many processes have lived and died, then end everybody."""
        self.attach()
        chance, acts, count = self.chance, self.acts, len(self.acts)
        while self.book.lives < lives:
            self.everyone = list(self.book.parties.values())
            if not self.everyone:
                self.attach()
            for _ in range(10):  # some have died by the end of it: late requests, late facts
                acts[int(chance() * count)]()
        self.finish()
        return self

    # ---- one event --------------------------------------------------------------------------------------------------

    def do(self, event: Event) -> None:
        book = self.book
        book.now = self.now
        book.expect(event)
        effects = self.kernel.handle(event, self.now)
        if type(event) is ClientAttached and event.serial == 0:
            self.clients += 1
            book.add_client(self.kernel.table.last_client, self.clients)
        self.events += 1
        self.tail.append((event, self.now, effects))
        is_succeeded = self.events >= self.dies_at - TAIL and self._approach_death(effects)
        book.check(effects)
        if book.blanks:
            book.take_for_sessions(sum(self.kernel.table.blanks().values()))
        if self.events % CHECK_EVERY == 0:
            self.check_all()
        while book.bounced:
            self.do(book.bounced.pop(0))
        if is_succeeded:
            self.generation += 1
            self.do(TookOver(1, self.generation))

    def _approach_death(self, effects: list[Effect]) -> bool:
        """The node dies within these effects, when it is time; whether there is a successor."""
        if self.events < self.dies_at:
            if len(self.tail) > TAIL:
                self.base, self.tail = self.kernel.snapshot(), []
            return False
        self.dies_at = self.events + 2 + self.pick(2 * SUCCESSION_EVERY)
        self._frames_before_death(effects[: self.pick(len(effects) + 1)])
        successor = self.new_kernel()
        successor.restore(self.base)
        for event, at, expected in self.tail:
            again = successor.handle(event, at)
            assert again == expected, f"a successor makes of {event} {again}, not {expected}"
        self.base, self.tail = successor.snapshot(), []
        assert self.base == self.kernel.snapshot(), "a successor knows something else"
        self.kernel = successor
        return True

    def _frames_before_death(self, performed: list[Effect]) -> None:
        """These the dying node has sent; its successor sends all of them, again."""
        if self.book.spawning is not None:
            return  # whom it answers about is known when the fork is read
        held, self.book.retracts = self.book.retracts, {}
        for effect in performed:
            if type(effect) is Deliver and (party := self.book.parties.get(effect.to)) and party.seen and party.is_reachable():
                self.book.receive(party, effect.seq, effect.body)
            elif type(effect) is Connect:
                break
        self.book.retracts = held

    def check_all(self) -> None:
        self.kernel.table.check_invariants()
        self.book.check_all()
        self._check_timers()
        left, parties = self.kernel.table.statistics(), self.book.parties.values()
        processes = [party for party in parties if party.kind == "process" and party.phase not in ("blank", "warm")]
        clients = [party for party in parties if party.kind == "client"]
        monitors = sum(len(party.watchers) for party in parties)
        assert (left.processes, left.clients, left.monitors) == (len(processes), len(clients), monitors), left
        # A session's name is kept by its supervisor, and read by the book in its Begin.
        up = [party for party in processes if party.is_session and party.alive and party.phase != "refused"]
        ids = [party.spec.args[0] for party in up if party.spec is not None]
        assert len(ids) == len(set(ids)), f"two processes of one session: {ids}"
        unborn = len([party for party in processes if party.spec is None])
        kept = self.kept_names()
        assert 0 <= left.names - len(self.book.names) - kept <= unborn, f"{left}, {kept} kept, in the book {self.book.names}"

    def _check_timers(self) -> None:
        """The pump is to wake up no later than the first deadline of anybody."""
        deadlines = [at for party in self.book.parties.values() for at in (party.deadline, party.hangs_at) if at is not None]
        due = self.kernel.next_deadline()
        assert not deadlines or (due is not None and due <= min(deadlines)), f"wakes at {due}, first is {min(deadlines)}"
        self.base, self.tail = self.kernel.snapshot(), []  # to be asked has let the timers forget what was cancelled

    def kept_names(self) -> int:
        """How many names are kept for sessions that are between two processes."""
        sessions = Sessions(MAX_SESSIONS)
        sessions.restore(migrations.read(self.kernel.snapshot()).residents["sessions"][1])
        listed = sessions._lives.sessions.values()
        return len([one for one in listed if one.spec.process.name is not None and not one.serial and not one.spawn])

    # ---- choices ----------------------------------------------------------------------------------------------------

    def pick(self, count: int) -> int:
        return int(self.chance() * count)

    def anyone(self) -> Party:
        """Maybe dead by now."""
        return self.everyone[int(self.chance() * len(self.everyone))]

    def one_of(self, phases: tuple[str, ...]) -> Party | None:
        """One of a few tries."""
        for _ in range(4):
            party = self.anyone()
            if party.phase in phases and party.kind == "process":
                return party
        return None

    def known(self) -> int:
        """A serial that may be known to somebody: neither a blank's nor an unborn session's."""
        party = self.anyone()
        is_known: bool = party.kind == "client" or party.spec is not None
        return party.serial if is_known else 0

    def asker(self) -> Party:
        """Somebody who can ask, or has just died; a stranger when chance finds nobody."""
        for _ in range(6):
            party = self.anyone()
            if party.attached or (party.os_pid and party.phase not in ("warm", "blank")):
                return party
        return self.nobody

    def request(self, frm: Party, body: Request) -> None:
        self.do(Asked(frm.serial, frm.last_number + 1, body))

    # ---- acts -------------------------------------------------------------------------------------------------------

    def spawn(self) -> None:
        if len(self.book.parties) > self.crowd:
            return self.die()
        self.ref += 1
        bits = self.pick(256)
        name = NAMES[self.pick(len(NAMES))] if bits & 3 == 0 else None
        spec = ProcessSpec(
            "m:f", trap_exit=bits & 12 == 12, name=name, init_timeout_s=1.0 + (bits & 7), may_spawn=bits != 200,
            busy_timeout_s=2.0 if bits & 7 == 7 else None, when_hung="kill" if bits & 8 else "report",
        )  # fmt: skip
        before = self.book.newest
        self.request(self.asker(), Spawn(spec, bool(bits & 16), self.ref if bits & 32 else 0, bits & 64 == 0, bits & 128 > 0))
        new = self.book.newest
        late = self.pick(16)
        if new is None or new is before or late == 0:
            return None
        self.everyone.append(new)
        self.do(Born(new.serial, 1000 + new.serial))
        if late > 1 and new.alive:
            self.do(Booted(new.serial))
        return None

    def go_on(self) -> None:
        """A start that hangs somewhere moves."""
        party = self.one_of(("forking", "blank", "booting", "refused"))
        if party is None:
            return
        serial = party.serial
        if party.phase in ("forking", "blank"):
            self.do(Born(serial, 1000 + serial) if self.pick(8) else ForkFailed(serial, "eagain"))
            return
        if party.phase == "refused":
            self.do(Exited(serial, 1, 0))
            return
        choice = self.pick(8)
        if choice == 0:
            self.do(Refused(serial, None))
        elif choice == 1:
            self.do(Refused(serial, {"error": {"type": "Init", "text": ""}}))
        else:
            self.do(Booted(serial))

    def die(self) -> None:
        """Of itself, or by somebody's signal."""
        party = self.anyone()
        if party.kind != "process":
            return
        code, status = STATUSES[self.pick(len(STATUSES))]
        declared = REASONS[self.pick(len(REASONS))] if self.pick(2) else None
        self.do(Exited(party.serial, code, status, declared))

    def reap(self) -> None:
        """Who was killed is dead, some time after."""
        struck = self.book.struck
        if struck:
            serial = struck.pop(self.pick(len(struck)))
            self.do(Exited(serial, 2, 9))
        else:
            self.whistle()

    def whistle(self) -> None:
        """An exit signal."""
        self.request(self.asker(), SendExit(self.known(), REASONS[self.pick(len(REASONS))]))

    def bond(self) -> None:
        self.ref += 1
        asker, to = self.asker(), self.known()
        self.request(asker, Monitor(self.ref, to) if self.pick(2) else Link(to))

    def ask(self) -> None:
        asker, to, name = self.asker(), self.known(), NAMES[self.pick(len(NAMES))]
        self.ref += 1
        match self.pick(13):
            case 10:
                self.request(asker, Lookup(name))
            case 11:
                self.request(asker, Release(name))
            case 12:
                entries = [Register(one, self.known(), one.encode()) for one in (name, NAMES[self.pick(len(NAMES))])]
                self.request(asker, RegisterMany(entries))
            case 0:
                self.request(asker, Unlink(next(iter(asker.links), to)))
            case 1:
                self.request(asker, Demonitor(next(iter(asker.watching), 1)))
            case 2:
                self.request(asker, TrapExit(bool(self.pick(2))))
            case 3:
                self.request(asker, Register(name, to if self.pick(2) else 0))
            case 4:
                self.request(asker, Unregister(name))
            case 5:
                self.request(asker, Whereis(name))
            case 6:
                self.request(asker, IsAlive(to))
            case 7:
                self.request(asker, Monitor(self.ref, name=name))
            case 8 if asker.watching:
                self.request(asker, Monitor(next(iter(asker.watching)), to))
            case _:
                self.request(asker, Introduce(to if self.pick(9) else self.sessions))

    def jam(self) -> None:
        party = self.one_of(("booting", "running"))
        if party is not None:
            party.full = True

    def unjam(self) -> None:
        for party in self.everyone:
            if (party.full or party.jammed) and party.alive and (party.os_pid or party.attached):
                self.do(Writable(party.serial))
                break

    def attach(self) -> None:
        self.do(ClientAttached(0, secret_of(self.clients + 1), 1))
        self.everyone = list(self.book.parties.values())

    def hang_up(self) -> None:
        """What was on its way is lost."""
        party = self.anyone()
        if party.kind != "client" or not party.attached or not party.alive:
            return
        if self.pick(3):
            party.deaf = True
        else:
            self.do(ClientDetached(party.serial, self.pick(3) == 0, lost=self.pick(3) == 0))

    def come_back(self) -> None:
        """A client returns, sometimes with a wrong secret, sometimes though it is there."""
        clients = [party for party in self.everyone if party.kind == "client"]
        if len(clients) < 1 + self.pick(6):
            self.attach()
            return
        party = clients[self.pick(len(clients))]
        if party.attached and self.pick(2):
            self.do(ClientDetached(party.serial, False))
        wrong = self.pick(8) == 0
        self.do(ClientAttached(party.serial, secret_of(0 if wrong else party.number), 1))

    def receive(self) -> None:
        party = self.anyone()
        if party.kind == "client":
            self.do(Received(party.serial, self.pick(party.seen + 1) if self.pick(2) else party.seen))

    def repeat(self) -> None:
        """A fact comes again, or comes late; a request is sent again."""
        party = self.anyone()
        serial = party.serial
        match self.pick(8):
            case 0 if self.tail:
                event = self.tail[self.pick(len(self.tail))][0]
                if type(event) is Asked:
                    self.do(event)
            case 1 if party.os_pid:
                self.do(Born(serial, party.os_pid))
            case 2 if party.phase != "booting":
                self.do(Booted(serial))
            case 3 if party.phase != "booting":
                self.do(Refused(serial, "late"))
            case 4 if serial not in self.book.parties:
                self.do(Exited(serial, 2, 11))
            case 5 if party.os_pid:
                self.do(ForkFailed(serial, "late"))
            case 6 if serial not in self.book.parties or party.phase == "forking":
                self.do(Writable(serial))
            case _:
                stopped = next((party.serial for party in self.everyone if party.is_stopped), 0)
                self.do(Continued(stopped or serial) if self.pick(2) else Stopped(serial))

    def wait(self) -> None:
        """Time passes; the timers that are due ring, if any."""
        self.crowd = (5, 12, 30)[self.pick(3)]
        for _ in range(self.pick(5)):
            self.tick()

    def tick(self) -> None:
        """Some time passes, less than would make the node judge too late (D2)."""
        self.now += 0.9
        self.do(Ticked())
        looks, self.book.looks = self.book.looks, []
        if looks:
            self.do(Looked({serial: (0.0, self.now, self.now - 1.0, self.now - 5.0)[self.pick(4)] for serial in looks}))

    def supervise(self) -> None:
        """Ask the supervisor of all sessions."""
        asker, id = self.asker(), SESSIONS[self.pick(len(SESSIONS))]
        bits = self.pick(64)
        process = ProcessSpec("m:s", [id], trap_exit=bits & 3 == 0, name=id if bits & 4 else None, init_timeout_s=1e9)
        spec = ChildSpec(
            id, process, "permanent" if bits & 8 else "transient", shutdown_s=1.0 if bits & 16 else "brutal_kill",
            intensity=1 if bits & 32 else 6, backoff_initial_s=0.0 if bits & 1 else 0.01,
        )  # fmt: skip
        requests: list[SessionRequest] = [
            StartSession(spec), StartSession(spec), StartSession(spec), StopSession(id), RestartSession(id), GetSession(id),
            ListSessions(), CountSessions(),
        ]  # fmt: skip
        to = self.sessions if self.pick(12) else self.known()
        self.request(asker, Ask(to, msgspec.Raw(msgspec.msgpack.encode(requests[self.pick(8)]))))

    def refill(self) -> None:
        self.do(Refill("lean", self.pick(4)))

    def misbehave(self) -> None:
        if self.pick(4) == 0 and (to := self.known()):
            self.do(Violated(to, "junk"))
        elif self.pick(2) and (end := next((party for party in self.everyone if party.peers), None)) is not None:
            self.do(NotConnected(end.serial, next(iter(end.peers)), "emfile"))
        elif self.tail and (effect := next((e for e in self.tail[-1][2] if type(e) is Deliver), None)):
            party = self.book.parties.get(effect.to)
            if party is not None and party.is_reachable() and effect.seq == party.seen:
                self.do(Undelivered(effect.to, effect.seq, effect.body))

    # ---- the end ----------------------------------------------------------------------------------------------------

    def finish(self) -> None:
        """Everybody dies; nothing is left."""
        self._settle_sessions()
        waiting = [StopSession(id) for id in SESSIONS]
        self.attach()
        last = max(self.book.parties)
        for request in waiting:
            self.request(self.book.parties[last], Ask(self.sessions, msgspec.Raw(msgspec.msgpack.encode(request))))
        while processes := [party for party in self.book.parties.values() if party.kind == "process"]:
            for party in processes:
                if party.is_session and not party.os_pid:
                    self.do(Born(party.serial, 1))
                self.do(Exited(party.serial, 2, 9))
            for _ in range(6):
                self.tick()
        for party in list(self.book.parties.values()):
            self.do(ClientAttached(party.serial, secret_of(party.number), 1))
        self.check_all()
        for party in list(self.book.parties.values()):
            assert NOT_YET not in party.waits.values(), f"{party.serial}: a start was never answered"
            assert party.waits == {}, f"{party.serial} was never answered {party.waits}"
            self.do(ClientDetached(party.serial, True))
        left = self.kernel.table.statistics()
        rest = (left.processes, left.blanks, left.clients, left.links, left.monitors, left.channels, left.backlog, left.deadlines)
        assert rest == (0, 0, 0, 0, 0, 0, 0, 0), left
        assert self.book.published.keys() == {"system:node", "system:sessions"}


    def _settle_sessions(self) -> None:
        """Nothing happens any more but what the supervisor has begun: each session is up, or was given up."""
        for _ in range(8):
            for party in [party for party in self.book.parties.values() if party.is_session]:
                if not party.alive or party.phase == "refused":
                    self.do(Exited(party.serial, 2, 9))
                elif party.phase in ("forking", "booting"):
                    self.do(Continued(party.serial))
                    self.do(Born(party.serial, 1))
                    self.do(Booted(party.serial))
                elif party.is_stopped:
                    self.do(Continued(party.serial))
            for _ in range(4):
                self.tick()
        sessions = self.sessions_by_id()
        states = {id: session.state for id, session in sessions.items() if session.state not in ("active", "gave_up")}
        assert states == {}, f"sessions that are stuck: {states}"

    def sessions_by_id(self) -> dict[str, Session]:
        """What the supervisor knows."""
        resident = self.kernel._residents.own["sessions"]
        assert isinstance(resident, Sessions)
        return resident._lives.sessions


def run(seed: int, lives: int) -> World:
    """Raises AssertionError with the seed and the event at which a promise was broken."""
    world = World(seed)
    try:
        return world.live(lives)
    except Exception as error:
        last = world.tail[-1][0] if world.tail else None
        raise AssertionError(f"seed {seed}, event {world.events} {last}: {error!r}") from error
